"""Whatever listeners want and do, each gets what a naive model says: every event checked against every listener."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.records import LiveEvent
from cluster.bus.fanout import Fanout
from cluster.bus.stream import Position, SeenEvent, Written
from cluster.bus.subscription import EventFilter, Subscription, SubscriptionEnded
from tests.cluster.bus.live_events import number_of, tick
from tests.twins.live import MemoryLiveLog

STATIONS = ["CP-1", "CP-2", "CP-3"]
SITES = ["depot", "mall"]
KINDS = ["MeterValues", "StationDisconnected"]
MAX_QUEUED: Final = 5


def some(names: list[str]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from(names))


FILTERS = st.builds(EventFilter, some(STATIONS), some(SITES), some(KINDS))
EVENTS = st.tuples(st.sampled_from(STATIONS), st.sampled_from([None, *SITES]), st.sampled_from(KINDS))


@dataclass(frozen=True)
class Publish:
    events: list[tuple[str, str | None, str]]


@dataclass(frozen=True)
class Listen:
    wanted: EventFilter
    may_see: frozenset[str]


@dataclass(frozen=True)
class Act:
    """Of one listener: take what waits, want something else, leave, or be cut off and come back."""

    who: int
    what: str
    wanted: EventFilter


STEPS = st.lists(
    st.one_of(
        st.builds(Publish, st.lists(EVENTS, min_size=1, max_size=3)),
        st.builds(Listen, FILTERS, st.frozensets(st.sampled_from(STATIONS), min_size=1)),
        st.builds(Act, st.integers(0, 5), st.sampled_from(["take", "refilter", "leave", "come back"]), FILTERS),
    ),
    max_size=40,
)


@dataclass
class Listener:
    """A listener, and what the model says of it."""

    subscription: Subscription
    wanted: EventFilter
    may_see: frozenset[str]
    waiting: list[int] = field(default_factory=list)
    room: int = MAX_QUEUED
    dropped: bool = False
    got: list[int] = field(default_factory=list)
    should_get: list[int] = field(default_factory=list)

    def hear(self, number: int, event: LiveEvent) -> None:
        takes = (
            event.station_id in self.may_see
            and (self.wanted.stations is None or event.station_id in self.wanted.stations)
            and (self.wanted.sites is None or event.site_id in self.wanted.sites)
            and (self.wanted.kinds is None or event.kind in self.wanted.kinds)
        )
        if not takes or self.dropped:
            return
        if len(self.waiting) == self.room:
            self.dropped = True
            self.waiting.clear()
        else:
            self.waiting.append(number)

    async def take(self) -> None:
        self.should_get += self.waiting
        self.waiting.clear()
        if self.dropped:
            with pytest.raises(SubscriptionEnded, match="too slow"):
                await self.subscription.take(0)
        else:
            self.got += [number_of(i.event) for i in await self.subscription.take(0) if isinstance(i, SeenEvent)]


class Play:
    """A fan-out and its listeners."""

    def __init__(self) -> None:
        self.log = MemoryLiveLog()
        self.fanout = Fanout(self.log, max_kept=1000, max_listeners=100, max_queued=MAX_QUEUED)
        self.listeners: list[Listener] = []
        self.published: list[tuple[Position, LiveEvent]] = []

    async def listen(self, wanted: EventFilter, may_see: frozenset[str], after: Position | None = None) -> Listener:
        def allowed(event: Written) -> bool:
            return event.station_id in may_see

        last = None if after is None else str(after)
        return Listener(await self.fanout.subscribe(wanted, allowed, last), wanted, may_see)

    async def publish(self, events: list[tuple[str, str | None, str]]) -> None:
        first = len(self.published)
        ticks = [tick(first + n, *event) for n, event in enumerate(events)]
        self.log.write(ticks)
        entry = self.log.entries[-1]
        self.published += [(Position(entry.ms, entry.number, n), event) for n, event in enumerate(ticks, 1)]
        async with asyncio.timeout(5):
            while self.fanout.position < self.published[-1][0]:  # noqa: ASYNC110 - the reader has its turn
                await asyncio.sleep(0)
        for listener in self.listeners:
            for number, event in enumerate(ticks, first):
                listener.hear(number, event)

    async def act(self, act: Act) -> None:
        if act.who >= len(self.listeners):
            return
        listener = self.listeners[act.who]
        match act.what:
            case "take":
                await listener.take()
            case "refilter":
                listener.subscription.refilter(act.wanted)
                listener.wanted = listener.wanted if listener.dropped else act.wanted
            case "leave":
                listener.subscription.end()
                self.listeners.remove(listener)
            case "come back":
                await self.come_back(listener)

    async def come_back(self, listener: Listener) -> None:
        """Cut a listener off and let it go on from its position; what the filter took then is missed no less."""
        after = listener.subscription.position
        listener.subscription.end()
        back = await self.listen(listener.wanted, listener.may_see, after)
        back.got, back.should_get, back.room = listener.got, listener.should_get, 10**9
        for number, (position, event) in enumerate(self.published):
            if position > after:
                back.hear(number, event)
        missed = back.waiting
        if len(missed) > MAX_QUEUED:
            back.waiting = missed[-MAX_QUEUED:]
        back.room = MAX_QUEUED + len(back.waiting) + (len(missed) > MAX_QUEUED)
        self.listeners[self.listeners.index(listener)] = back
        if len(missed) > MAX_QUEUED:
            await back.take()  # with the gap; the model counts events only


@settings(max_examples=150)
@given(STEPS)
def test_every_listener_gets_what_the_model_says(steps: list[Publish | Listen | Act]) -> None:
    async def play() -> None:
        it = Play()
        it.fanout.start()
        (await it.fanout.subscribe(EventFilter(), lambda _: False)).end()  # somebody looks in: the reader goes on
        for step in steps:
            match step:
                case Publish():
                    await it.publish(step.events)
                case Listen():
                    it.listeners.append(await it.listen(step.wanted, step.may_see))
                case Act():
                    await it.act(step)
            assert it.fanout.listeners == sum(not listener.dropped for listener in it.listeners)
        for listener in it.listeners:
            await listener.take()
            assert listener.got == listener.should_get
        await it.fanout.close()

    asyncio.run(play())
