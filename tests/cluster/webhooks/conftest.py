"""Webhooks on real tables and on their twins, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.ports import Unit
from cluster.bus.outbox import WaitingEvent
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.deliveries import PostgresDeliveryQueue
from cluster.store.fleet import PostgresFleet
from cluster.store.webhooks import PostgresDeliveryLog, PostgresSubscriptions
from cluster.webhooks.model import Claim, Delivery, Filter, Subscription
from cluster.webhooks.ports import DeliveryLog, DeliveryQueue, SubscriptionStore
from tests.cluster.bus.facts import NOON, tell
from tests.twins.vault import fixed_vault
from tests.twins.webhooks import MemoryDeliveryLog, MemoryDeliveryQueue, MemorySubscriptions, MemoryWebhooks

DAY = timedelta(hours=24)


class Clock:
    """The time, which goes on only when a test says so."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


class Known:
    """Sight: who may see which stations since when, and who is not staff any more."""

    def __init__(self) -> None:
        self.stations: dict[str, set[str]] = {}
        self.since = NOON - DAY
        self.gone: set[str] = set()
        self.for_staff: set[str] = set()

    async def watchers(self, station_ids: Collection[str]) -> Mapping[str, Mapping[str, datetime]]:
        """Return who may see each of the stations."""
        return {
            station_id: {owner: self.since for owner, seen in self.stations.items() if station_id in seen}
            for station_id in station_ids
        }

    def tells(self, kind: str) -> bool:
        """Tell whether events of a type are for others than staff."""
        return kind not in self.for_staff

    async def dismissed(self, owners: Collection[str]) -> Collection[str]:
        """Return those who may not see the fleet any more."""
        return self.gone.intersection(owners)


class MarkedBox:
    """SecretBox that shows whether it was used, and for which place."""

    def seal(self, value: bytes, context: str) -> bytes:
        """Mark a value."""
        return context.encode() + b"|" + value[::-1]

    def open(self, sealed: bytes, context: str) -> bytes:
        """Take the mark off."""
        assert sealed.startswith(context.encode() + b"|"), "sealed for another place"
        return sealed[len(context.encode()) + 1 :][::-1]


@dataclass
class World:
    """Everything behind the ports, and how events come about."""

    subscriptions: SubscriptionStore
    log: DeliveryLog
    queue: DeliveryQueue
    tell: Callable[[Sequence[WaitingEvent]], Awaitable[None]]
    locate: Callable[[str, str], Awaitable[None]]
    """Say that a station is at a site."""
    clock: Clock
    sight: Known
    made: list[Subscription] = field(default_factory=list)

    async def subscribe(
        self, wants: Filter | None = None, owner: str = "ann", url: str = "https://a.example/", whole_fleet: bool = True
    ) -> Subscription:
        """Keep a subscription of its own name."""
        name = f"sub-{len(self.made)}"
        made = Subscription(name, owner, whole_fleet, url, wants or Filter(), self.clock.now, self.clock.now)
        await self.subscriptions.add(made, f"secret of {name}".encode(), 100)
        self.made.append(made)
        return made

    async def happens(self, *events: WaitingEvent) -> None:
        """Let events come about and be expanded."""
        await self.tell(events)
        await self.queue.expand(self.clock.now, self.clock.now + DAY, 1000)

    async def claim(self, worker: str = "w", endpoints: int = 10, each: int = 100, for_s: float = 60) -> list[Claim]:
        """Claim what is due."""
        now = self.clock.now
        return await self.queue.claim(worker, now, now + timedelta(seconds=for_s), endpoints, each)

    async def all_of(self, subscription: Subscription) -> list[Delivery]:
        """Return the deliveries of a subscription, the oldest first."""
        return (await self.log.page(subscription.id, None, None, 1000)).items[::-1]


def memory_world() -> World:
    """Return the twins."""
    memory, sight = MemoryWebhooks(), Known()

    async def tell_all(events: Sequence[WaitingEvent]) -> None:
        memory.waiting += events

    async def locate(station_id: str, site_id: str) -> None:
        memory.sites[station_id] = site_id

    log, queue = MemoryDeliveryLog(memory), MemoryDeliveryQueue(memory, sight)
    return World(MemorySubscriptions(memory), log, queue, tell_all, locate, Clock(), sight)


async def postgres_world(engine: AsyncEngine) -> World:
    """Return the adapters on an empty database."""
    box, sight = MarkedBox(), Known()
    store = PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 600))

    async def tell_all(events: Sequence[WaitingEvent]) -> None:
        await tell(engine, events)

    async def locate(station_id: str, site_id: str) -> None:
        await store.commit([Unit(station_id, [Station(station_id, site_id=site_id)])])

    queue = PostgresDeliveryQueue(engine, box, sight)
    log = PostgresDeliveryLog(engine)
    return World(PostgresSubscriptions(engine, box), log, queue, tell_all, locate, Clock(), sight)


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest, engine: AsyncEngine) -> World:
    """Return the twins, then the real thing."""
    return memory_world() if request.param == "memory" else await postgres_world(engine)
