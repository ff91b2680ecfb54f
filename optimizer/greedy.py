"""The cheapest slots first: exact for one car as long as a slot's price is all that tells it from the others.

Let C(Y) be the least cost of buying Y kWh: fill the slots in order of price. C is convex and C(0) = 0, so each of
`Y <= wanted`, `C(Y) <= budget` and `C(Y) <= average cap * Y` holds from 0 up to some point; the least of these points
is the most that can be bought, and the filled slots are its cheapest plan. That holds for prices below zero, for slots
of any length and for limits by slot (a fractional knapsack; optimum of the linear program in `optimizer.formulation`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from optimizer.offer import Offer

DUST_KWH: Final = 1e-9
"""Less is rounding."""


def take_cheapest(offer: Offer, *, late: bool = False, running_kw: float | None = None) -> list[float]:
    """Buy as much as is wanted and allowed at the least cost; of equal slots the first ones, or the last.

    A running power is kept through the first slot, unless what is wanted, or money, does not reach so far.
    """
    direction = -1 if late else 1
    worth = offer.worth.tolist()
    order = sorted(range(len(worth)), key=lambda slot: (worth[slot], direction * slot))
    if running_kw is None:
        return take(offer, order)
    rest = [slot for slot in order if slot]
    if running_kw <= 0:
        return take(offer, rest)
    kept = take(offer, [0, *rest], first_kwh=running_kw * float(offer.hours[0]))
    return take(offer, order) if _over(offer, kept) else kept


def take(offer: Offer, order: Sequence[int], first_kwh: float | None = None) -> list[float]:
    """Fill slots in an order as far as wish and money reach; of the first one take `first_kwh`, whatever it costs."""
    usable, price = offer.usable_kwh.tolist(), offer.price.tolist()
    left_kwh, money, credit = offer.wanted_kwh, offer.budget, 0.0
    kwh = [0.0] * len(price)
    if first_kwh is not None:
        slot, *order = order
        kwh[slot] = amount = min(first_kwh, float(offer.most_kwh[slot]), left_kwh)
        left_kwh -= amount
        money -= price[slot] * amount
        credit -= _over_average(offer, price[slot]) * amount
    for slot in order:
        amount, over = min(usable[slot], left_kwh), _over_average(offer, price[slot])
        if price[slot] > 0:
            amount = min(amount, max(money, 0.0) / price[slot])
        if over > 0:
            amount = min(amount, max(credit, 0.0) / over)
        kwh[slot] = amount
        left_kwh -= amount
        money -= price[slot] * amount
        credit -= over * amount
    return kwh


def _over_average(offer: Offer, price: float) -> float:
    """Return by how much a price lies above the cap on the average."""
    return price - offer.average_cap if offer.average_cap < math.inf else 0.0


def _over(offer: Offer, kwh: list[float]) -> bool:
    cost = math.fsum(price * amount for price, amount in zip(offer.price.tolist(), kwh, strict=True))
    return cost > offer.budget + 1e-9 or cost > offer.average_cap * math.fsum(kwh) + 1e-9
