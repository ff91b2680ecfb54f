"""Verifies every constraint of any plan, by the words of the rules alone.

Must share nothing with what makes plans but the request and the plan: its loops are plain on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice

from optimizer.rollout.plan import Batch, Fetch, Plan
from optimizer.rollout.request import Cell, Rollout, Series, series

_TOLERANCE = 1e-6

Use = defaultdict[int, float]
"""How much of something is used, by slot."""


def violations(rollout: Rollout, plan: Plan) -> list[str]:
    """Return what a plan breaks, in words; nothing when it may be carried out."""
    unreadable = list(_unknown(rollout, plan))
    return unreadable or list(_Check(rollout, plan).found())


def _unknown(rollout: Rollout, plan: Plan) -> Iterator[str]:
    cells = {cell.name: cell for cell in rollout.cells}
    entries: list[Batch | Fetch] = [*plan.installs, *plan.fetches]
    for entry in entries:
        if entry.cell not in cells or entry.count < 1 or not 0 <= entry.slot < rollout.slots:
            yield f"nothing can be done so: {entry}"
    for fetch in plan.fetches:
        if fetch.from_controller and cells[fetch.cell].traits.controller is None:
            yield f"{fetch.cell} has no controller to download from"
    for name, slot in plan.publishes.items():
        if name not in rollout.controllers or not 0 <= slot < rollout.slots:
            yield f"nothing can be published by {name} in slot {slot}"


class _Check:
    def __init__(self, rollout: Rollout, plan: Plan) -> None:
        self.rollout, self.plan = rollout, plan
        self.cells = {cell.name: cell for cell in rollout.cells}
        self.installs: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        for batch in plan.installs:
            self.installs[batch.cell][batch.slot] += batch.count

    def found(self) -> Iterator[str]:
        for rule in (
            self.everyone_once, self.nobody_in_a_blackout, self.image_before_install, self.published_before_fetched,
            self.bandwidth, self.offline_share, self.restarts, self.storms, self.risk, self.canaries, self.orders,
        ):  # fmt: skip
            yield from rule()

    def each(self) -> Iterator[tuple[Cell, int, float]]:
        """Yield every batch with its cell."""
        for name, by_slot in self.installs.items():
            for slot, count in by_slot.items():
                yield self.cells[name], slot, count

    def everyone_once(self) -> Iterator[str]:
        for cell in self.rollout.cells:
            left, installed = self.plan.left_over.get(cell.name, 0), sum(self.installs[cell.name].values())
            if left < 0 or installed + left != cell.count:
                yield f"{cell.name}: {installed:.0f} install and {left} are left over, of {cell.count}"

    def nobody_in_a_blackout(self) -> Iterator[str]:
        for cell, slot, _ in self.each():
            end = slot + cell.traits.outage_slots
            if end >= self.rollout.slots:
                yield f"{cell.name}: an install in slot {slot} is not over before the last slot"
            for begin, until in cell.traits.blackouts:
                if slot < until and begin < end:
                    yield f"{cell.name}: an install in slot {slot} falls into the blackout from {begin} to {until}"

    def image_before_install(self) -> Iterator[str]:
        ready: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        for fetch in self.plan.fetches:
            ready[fetch.cell][fetch.slot + self.cells[fetch.cell].traits.download_slots] += fetch.count
        for cell in self.rollout.cells:
            if not cell.traits.image_mb:
                continue
            if cell.downloaded + sum(ready[cell.name].values()) > cell.count:
                yield f"{cell.name}: more images than stations"
            images, begun = float(cell.downloaded), 0.0
            for slot in range(self.rollout.slots):
                images += ready[cell.name].get(slot, 0.0)
                begun += self.installs[cell.name].get(slot, 0.0)
                if begun > images:
                    yield f"{cell.name}: {begun:.0f} installs by slot {slot}, but {images:.0f} images"

    def published_before_fetched(self) -> Iterator[str]:
        for fetch in self.plan.fetches:
            name = self.cells[fetch.cell].traits.controller
            if not fetch.from_controller or name is None or self.rollout.controllers[name].published:
                continue
            since = self.plan.publishes.get(name)
            if since is None or fetch.slot < since + self.rollout.controllers[name].publish_slots:
                yield f"{fetch.cell} downloads in slot {fetch.slot} what {name} has not published"

    def bandwidth(self) -> Iterator[str]:
        cdn: Use = Use(float)
        wan: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        lan: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        by_wan = [(self.rollout.controllers[name].areas, slot, self.rollout.controllers[name].image_mb)
                  for name, slot in self.plan.publishes.items()]  # fmt: skip
        for fetch in self.plan.fetches:
            traits = self.cells[fetch.cell].traits
            if fetch.from_controller:
                lan[traits.controller or ""][fetch.slot] += fetch.count * traits.image_mb
            else:
                by_wan.append((traits.areas, fetch.slot, fetch.count * traits.image_mb))
        for areas, slot, megabytes in by_wan:
            cdn[slot] += megabytes
            for area in areas:
                wan[area][slot] += megabytes
        yield from self.over("downloads", cdn, self.rollout.limits.cdn_mb)
        for name, used in wan.items():
            yield from self.over(f"the WAN of {name}", used, self.rollout.areas[name].wan_mb)
        for name, used in lan.items():
            yield from self.over(f"the LAN of {name}", used, self.rollout.controllers[name].lan_mb)

    def offline_share(self) -> Iterator[str]:
        ours, before = self.offline(self.each()), self.offline(self.underway())
        for name, used in ours.items():
            limit = self.rollout.areas[name].max_offline
            for slot, count in used.items():
                if limit is not None and count + before[name][slot] > limit:
                    yield f"{name}: {count + before[name][slot]:.0f} offline in slot {slot}, more than {limit}"

    def underway(self) -> Iterator[tuple[Cell, int, float]]:
        for past in self.rollout.underway:
            yield self.cells[past.cell], past.slot, past.count

    def offline(self, batches: Iterator[tuple[Cell, int, float]]) -> Mapping[str, Use]:
        used: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        for cell, slot, count in batches:
            for area in cell.traits.areas:
                for during in range(slot, slot + cell.traits.outage_slots):
                    used[area][during] += count
        return used

    def restarts(self) -> Iterator[str]:
        kilowatts: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        before: defaultdict[str, Use] = defaultdict(lambda: Use(float))
        for batches, into in ((self.each(), kilowatts), (self.underway(), before)):
            for cell, slot, count in batches:
                for area in cell.traits.areas if cell.traits.restart_kw else ():
                    into[area][slot + cell.traits.outage_slots] += count * cell.traits.restart_kw
        for name, used in kilowatts.items():
            yield from self.over(
                f"power at the restart in {name}", used, self.rollout.areas[name].restart_kw, before[name]
            )

    def storms(self) -> Iterator[str]:
        commands, returns, before = Use(float), Use(float), Use(float)
        for cell, slot, count in self.each():
            commands[slot] += count
            returns[slot + cell.traits.outage_slots] += count
        for cell, slot, count in self.underway():
            before[slot + cell.traits.outage_slots] += count
        yield from self.over("installs", commands, self.rollout.limits.installs)
        yield from self.over("returns", returns, self.rollout.limits.returns, before)

    def risk(self) -> Iterator[str]:
        expected: Use = Use(float)
        for cell, slot, count in self.each():
            expected[slot] += self.rollout.failure_bound.get(cell.traits.stratum, 0.0) * count
        yield from self.over("expected failures", expected, self.rollout.limits.service)
        before: Use = Use(float)
        risked = sum(
            self.rollout.failure_bound.get(cell.traits.stratum, 0.0) * count for cell, _, count in self.underway()
        )
        so_far: Use = Use(float)
        for slot in range(self.rollout.slots):
            so_far[slot] = so_far[slot - 1] + expected.get(slot, 0.0)
            before[slot] = risked
        yield from islice(self.over("failures expected so far", so_far, self.rollout.limits.risk, before), 1)

    def canaries(self) -> Iterator[str]:
        rule = self.rollout.canaries
        if rule is None:
            return
        units: defaultdict[str, int] = defaultdict(int)
        first: defaultdict[str, float] = defaultdict(float)
        for cell in self.rollout.cells:
            units[cell.traits.stratum] += cell.count
        for cell, slot, count in self.each():
            if slot < rule.slots:
                first[cell.traits.stratum] += count
            elif slot < rule.slots + rule.soak_slots:
                yield f"{cell.name}: an install in slot {slot}, while the canaries are watched"
        for stratum, number in units.items():
            if first[stratum] != rule.of(number):
                yield f"{stratum}: {first[stratum]:.0f} canaries instead of {rule.of(number)}"

    def orders(self) -> Iterator[str]:
        for order in self.rollout.orders:
            before, after = self.cells[order.before], self.cells[order.after]
            done, begun, finished = 0.0, 0.0, defaultdict[int, float](float)
            for slot, count in self.installs[before.name].items():
                finished[slot + before.traits.outage_slots] += count
            for slot in range(self.rollout.slots):
                done += finished.get(slot, 0.0)
                begun += self.installs[after.name].get(slot, 0.0)
                if begun * before.count > after.count * done:
                    yield f"{after.name}: {begun:.0f} begun by slot {slot}, {before.name} has {done:.0f} finished"
                    break

    def over(self, what: str, used: Use, limit: Series | None, before: Use | None = None) -> Iterator[str]:
        """Yield where more is used than the limit leaves beside what was used before."""
        if limit is None:
            return
        allowed = series(limit, self.rollout.slots)
        for slot, amount in sorted(used.items()):
            total = amount + (before or Use(float)).get(slot, 0.0)
            if slot < len(allowed) and amount > 0 and total > allowed[slot] + _TOLERANCE * max(1.0, allowed[slot]):
                yield f"{what}: {total:g} in slot {slot}, more than {allowed[slot]:g}"
