"""App users who listen to live events: each sees what the API would show, and what is not theirs any more no longer.

What somebody is to stations and sites is read again every second for all who listen in this process; whose a charge is,
when an event of it is about to be sent. While the database is away the last answer holds for relations, and nothing is
sent of charges that are not known yet. Soft state: all of it. Must not know: HTTP, SQL, the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from actors.domain.events import EVENTS
from actors.errors import NotFound, Unavailable
from cluster.bus.stream import SeenEvent, Written
from cluster.bus.subscription import EventFilter, Item, Reach, Subscription
from cluster.identity.relation import Holding, Standing, Tie, deciding

log = logging.getLogger(__name__)

MaySee = Callable[[str, Standing], bool]
"""Whether a kind of event is shown to who is this to it."""

OF_CHARGES: Final = frozenset(kind for kind, event in EVENTS.items() if "transaction" in event.__struct_fields__)
_MAX_KNOWN: Final = 10_000


class Origin(NamedTuple):
    """Where a charge runs, whose it is (None for a card) and since when."""

    station_id: str
    driver: str | None
    began_at: datetime


class OnlookerQueries(Protocol):
    """What decides who may see an event. Everything raises Unavailable."""

    async def ties(self, subjects: Collection[str]) -> list[Tie]:
        """Return what these people are to holdings, in force or not, and the owners of the stations among these."""

    async def sites(self, stations: Collection[str]) -> dict[str, str]:
        """Return the sites of those of these stations that have one."""

    async def charging(self, subjects: Collection[str]) -> dict[str, frozenset[str]]:
        """Return the stations where each of these people charges now; who charges nowhere is left out."""

    async def origins(self, transactions: Collection[str]) -> dict[str, Origin]:
        """Return whose these charges are; what is no charge is left out."""


class _Known(NamedTuple):
    """What was read of some people, and of what they name."""

    mine: Mapping[str, Mapping[Holding, Tie]] = {}
    owners: Mapping[Holding, Tie] = {}
    charging: Mapping[str, frozenset[str]] = {}
    sites: Mapping[str, str] = {}
    origins: Mapping[str, Origin] = {}


class Onlooker:
    """One listener: what it may see of what it wants. Made by `Onlookers.admit`."""

    def __init__(self, subject: str, may_see: MaySee, wanted: EventFilter, everybody: Onlookers) -> None:
        self.subject = subject
        self.wanted = wanted
        self._may_see = may_see
        self._everybody = everybody
        self._known = _Known()

    def learn(self, known: _Known) -> None:
        """Take what was read anew."""
        self._known = known

    @property
    def reach(self) -> Reach:
        """Where events may come from that are the onlooker's to see."""
        known = self._known
        if self.wanted.transactions is not None:
            named = (known.origins[each] for each in self.wanted.transactions if each in known.origins)
            return Reach(stations=frozenset(origin.station_id for origin in named))
        mine = known.mine.get(self.subject, ())
        stations = frozenset(holding.name for holding in mine if holding.kind == "station")
        sites = frozenset(holding.name for holding in mine if holding.kind == "site")
        return Reach(stations | known.charging.get(self.subject, frozenset()), sites)

    def allows(self, event: Written) -> bool:
        """Tell whether an event may be seen, as far as that can be told at once: of a charge, `screen` decides."""
        if event.kind in OF_CHARGES:
            return True
        tie = self._tie(event.station_id, event.site_id)
        return tie is not None and self._may_see(event.kind, tie.relation)

    async def screen(self, items: list[Item]) -> list[Item]:
        """Leave out events of charges that are not the onlooker's to see. Raises Unavailable."""
        events = [item.event for item in items if isinstance(item, SeenEvent) and item.event.kind in OF_CHARGES]
        origins = await self._everybody.origins({event.transaction for event in events if event.transaction})
        return [item for item in items if not isinstance(item, SeenEvent) or self._sees(item.event, origins)]

    def _sees(self, event: Written, origins: Mapping[str, Origin]) -> bool:
        if event.kind not in OF_CHARGES:
            return self.allows(event)  # also what has waited: a relation may have ended meanwhile
        origin = origins.get(event.transaction or "")
        standing = None if origin is None else self._standing(origin, event.site_id)
        return standing is not None and self._may_see(event.kind, standing)

    def _standing(self, origin: Origin, site_id: str | None) -> Standing | None:
        """Tell what the onlooker is to a charge: its driver, or who has had the station since before it began."""
        if origin.driver == self.subject:
            return "driver"
        tie = self._tie(origin.station_id, site_id)
        if tie is None or tie.relation == "guest" or origin.began_at < tie.granted_at:
            return None
        return tie.relation

    def _tie(self, station_id: str, site_id: str | None) -> Tie | None:
        station = Holding("station", station_id)
        found = [self._mine(station), self._known.owners.get(station)]
        if site_id is not None:
            found.append(self._mine(Holding("site", site_id)))
        return deciding(self.subject, [tie for tie in found if tie is not None], self._everybody.clock())

    def _mine(self, holding: Holding) -> Tie | None:
        return self._known.mine.get(self.subject, {}).get(holding)

    def foreign(self, wanted: EventFilter) -> str | None:
        """Return what a filter names that is not the onlooker's, None if all of it is."""
        known, now = self._known, self._everybody.clock()
        for station_id in wanted.stations or ():
            if self._tie(station_id, known.sites.get(station_id)) is None:
                return f"station {station_id}"
        for site_id in wanted.sites or ():
            tie = self._mine(Holding("site", site_id))
            if tie is None or not tie.in_force(now):
                return f"site {site_id}"
        for transaction in wanted.transactions or ():
            origin = known.origins.get(transaction)
            if origin is None or self._standing(origin, known.sites.get(origin.station_id)) is None:
                return f"charge {transaction}"
        return None


class Onlookers:
    """All app users who listen in this process."""

    def __init__(self, look: OnlookerQueries, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self._look = look
        self._origins: dict[str, Origin] = {}
        """Of charges that have a driver: that does not change any more."""
        self._listening: dict[Onlooker, Subscription] = {}

    async def admit(self, subject: str, may_see: MaySee, wanted: EventFilter) -> Onlooker:
        """Return what somebody may see of what he wants.

        Raises NotFound for a station, site or charge that is not his to look at, Unavailable.
        """
        onlooker = Onlooker(subject, may_see, wanted, self)
        await self._admit(onlooker, wanted)
        return onlooker

    async def refilter(self, onlooker: Onlooker, wanted: EventFilter) -> EventFilter:
        """Let an onlooker want something else. Raises NotFound as `admit` does, and then nothing is changed."""
        await self._admit(onlooker, wanted)
        onlooker.wanted = wanted
        if onlooker in self._listening:
            self._listening[onlooker].move(onlooker.reach)
        return wanted

    def join(self, onlooker: Onlooker, subscription: Subscription) -> None:
        """Keep a listener's sight up to date until its subscription ends, and end that when what it names is gone."""
        self._listening[onlooker] = subscription

    async def run(self, every_s: float) -> None:
        """Look again and again until cancelled."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("relations of listeners cannot be looked up", extra={"error": str(error)})
                away = True
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        """Read once what all listeners are to what they listen to. Raises Unavailable."""
        self._listening = {one: listening for one, listening in self._listening.items() if not listening.ended}
        present = [(one, one.wanted, subscription) for one, subscription in self._listening.items()]
        if not present:
            return
        known = await self._read({one.subject for one, _, _ in present}, [wanted for _, wanted, _ in present])
        for onlooker, wanted, subscription in present:
            if onlooker.wanted is not wanted:  # it has found that out for itself meanwhile
                continue
            onlooker.learn(known)
            if onlooker.foreign(onlooker.wanted) is not None:
                subscription.end("not allowed any more")
            else:
                subscription.move(onlooker.reach)

    async def origins(self, transactions: Collection[str]) -> dict[str, Origin]:
        """Return whose charges are. Raises Unavailable."""
        unknown = [each for each in transactions if each not in self._origins]
        found = await self._look.origins(unknown) if unknown else {}
        known = {each: self._origins[each] for each in transactions if each in self._origins}
        self._keep(found)
        return known | found

    async def _admit(self, onlooker: Onlooker, wanted: EventFilter) -> None:
        """Raise NotFound for what is not there for somebody, in the words for what does not exist."""
        onlooker.learn(await self._read({onlooker.subject}, [wanted]))
        foreign = onlooker.foreign(wanted)
        if foreign is not None:
            raise NotFound(f"there is no {foreign}")

    async def _read(self, subjects: set[str], filters: Iterable[EventFilter]) -> _Known:
        stations: set[str] = set()
        charges: set[str] = set()
        for wanted in filters:
            stations |= wanted.stations or frozenset()
            charges |= wanted.transactions or frozenset()
        origins = await self.origins(charges)
        stations |= {origin.station_id for origin in origins.values()}
        mine: dict[str, dict[Holding, Tie]] = {}
        owners: dict[Holding, Tie] = {}
        for tie in await self._look.ties(subjects):
            mine.setdefault(tie.subject, {})[tie.holding] = tie
            if tie.relation == "owner" and tie.holding.kind == "station":
                owners[tie.holding] = tie
        sites = await self._look.sites(stations) if stations else {}
        return _Known(mine, owners, await self._look.charging(subjects), sites, origins)

    def _keep(self, found: Mapping[str, Origin]) -> None:
        for transaction, origin in found.items():
            if origin.driver is not None:
                while len(self._origins) >= _MAX_KNOWN:
                    del self._origins[next(iter(self._origins))]
                self._origins[transaction] = origin
