"""The receipt of a charge that has ended: its facts, and the page that shows them on screen and paper.

Must not know: HTTP's requests, who asks.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Final, NamedTuple

from actors.errors import Conflict
from cluster.store.views import Charge

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Receipt {id}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}}
dl{{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1.5rem}}dt{{color:#555}}dd{{margin:0;text-align:right}}
@media print{{body{{margin:0;font-size:12pt}}@page{{margin:2cm}}}}</style>
<h1>Charging receipt</h1>
<dl>
{rows}
</dl>
{remark}
</html>
"""
_REMARK: Final = "<p>Readings are still missing; the energy may be corrected.</p>"


class Receipt(NamedTuple):
    """What was charged."""

    id: str
    station_id: str
    evse_id: int | None
    began_at: datetime
    ended_at: datetime
    duration_s: float
    energy_wh: float
    complete: bool


def of(charge: Charge) -> Receipt:
    """Return the receipt of a charge. Raises Conflict while it still runs."""
    if charge.ended_at is None:
        raise Conflict("there is no receipt before the charge has ended")
    duration_s = max(0.0, (charge.ended_at - charge.began_at).total_seconds())
    return Receipt(
        charge.id,
        charge.station_id,
        charge.evse_id,
        charge.began_at,
        charge.ended_at,
        duration_s,
        charge.energy_wh,
        charge.complete,
    )


def wants_page(accept: str) -> bool:
    """Tell whether an Accept header names a page before JSON, as browsers do (RFC 9110 section 12.5.1)."""
    weights: dict[str, float] = {}
    for choice in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        weights[kind] = _weight(parameters)
    html = weights.get("text/html", 0.0)
    json = max(weights.get("application/hal+json", 0.0), weights.get("application/json", 0.0))
    return html > 0 and html >= json


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def page(receipt: Receipt) -> str:
    """Return the receipt as a page."""
    minutes = round(receipt.duration_s / 60)
    holding = receipt.station_id if receipt.evse_id is None else f"{receipt.station_id}, EVSE {receipt.evse_id}"
    facts = {
        "Station": holding,
        "From": f"{receipt.began_at:%Y-%m-%d %H:%M} UTC",
        "To": f"{receipt.ended_at:%Y-%m-%d %H:%M} UTC",
        "Duration": f"{minutes // 60} h {minutes % 60:02} min",
        "Energy": f"{receipt.energy_wh / 1000:.3f} kWh",
        "Charge": receipt.id,
    }
    rows = "\n".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return _PAGE.format(id=escape(receipt.id), rows=rows, remark="" if receipt.complete else _REMARK)
