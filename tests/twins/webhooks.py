"""Subscriptions, their deliveries and the work of delivering in memory, all three on one MemoryWebhooks."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from actors.errors import BadRequest, Changed, Conflict, NotFound, Unavailable
from cluster.bus.outbox import WaitingEvent
from cluster.store.deliveries import GRACE
from cluster.store.views import Page
from cluster.webhooks.model import Backlog, Claim, Delivery, DeliveryState, Health, Settled, Subscription
from cluster.webhooks.ports import Sight
from cluster.webhooks.sight import may_see

T = TypeVar("T")


class MemoryWebhooks:
    """The tables; `down` makes them unreachable."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.secrets: dict[str, list[bytes]] = {}
        self.health: dict[str, Health] = {}
        self.claims: dict[str, tuple[str, datetime]] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.waiting: list[WaitingEvent] = []
        self.sites: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.down = False

    def reach(self) -> None:
        """Fail when down."""
        if self.down:
            raise Unavailable("the database cannot be reached now")

    def known(self, subscription_id: str, owner: str | None) -> Subscription:
        """Return a subscription that is visible."""
        self.reach()
        found = self.subscriptions.get(subscription_id)
        if found is None or owner not in (None, found.owner):
            raise NotFound("there is no such webhook subscription")
        return found

    def of(self, subscription_id: str) -> list[Delivery]:
        """Return the deliveries of a subscription, the oldest first."""
        self.reach()
        return [delivery for delivery in self.deliveries.values() if delivery.subscription_id == subscription_id]

    def update(self, delivery: Delivery, **changes: object) -> Delivery:
        """Store changes of a delivery."""
        self.deliveries[delivery.id] = msgspec.structs.replace(delivery, **changes)
        return self.deliveries[delivery.id]


class MemorySubscriptions:
    """SubscriptionStore in memory."""

    def __init__(self, memory: MemoryWebhooks) -> None:
        self._memory = memory

    async def add(self, subscription: Subscription, secret: bytes, most: int) -> None:
        """Keep a new one."""
        self._memory.reach()
        mine = [
            one
            for one in self._memory.subscriptions.values()
            if one.owner == subscription.owner and one.id != subscription.id
        ]
        if len(mine) >= most:
            raise Conflict(f"there are {most} webhook subscriptions already; remove one first")
        for delivery in self._memory.of(subscription.id):
            del self._memory.deliveries[delivery.id]
        self._memory.subscriptions[subscription.id] = subscription
        self._memory.secrets[subscription.id] = [secret]
        self._memory.health[subscription.id] = Health()

    async def find(self, subscription_id: str, owner: str | None) -> Subscription:
        """Return one."""
        return self._memory.known(subscription_id, owner)

    async def page(self, owner: str | None, cursor: str | None, limit: int) -> Page[Subscription]:
        """List them, the newest first."""
        self._memory.reach()
        mine = [one for one in self._memory.subscriptions.values() if owner in (None, one.owner)]
        return paged(sorted(mine, key=lambda one: (one.created_at, one.id), reverse=True), cursor, limit)

    async def replace(self, changed: Subscription, expected_version: int, secret: bytes | None = None) -> None:
        """Store a change."""
        if self._memory.known(changed.id, None).version != expected_version:
            raise Changed("the webhook subscription has been changed meanwhile; read it again")
        self._memory.subscriptions[changed.id] = changed
        self._memory.health[changed.id] = Health()
        if secret is not None:
            self._memory.secrets[changed.id] = [secret, self._memory.secrets[changed.id][0]]

    async def remove(self, subscription_id: str, owner: str | None) -> None:
        """Forget one with all its deliveries."""
        self._memory.known(subscription_id, owner)
        del self._memory.subscriptions[subscription_id]
        for delivery in self._memory.of(subscription_id):
            del self._memory.deliveries[delivery.id]


class MemoryDeliveryLog:
    """DeliveryLog in memory."""

    def __init__(self, memory: MemoryWebhooks) -> None:
        self._memory = memory

    async def page(
        self, subscription_id: str, state: DeliveryState | None, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """List deliveries, the newest first."""
        found = [delivery for delivery in self._memory.of(subscription_id) if state in (None, delivery.state)]
        return paged(found[::-1], cursor, limit)

    async def find(self, subscription_id: str, delivery_id: str) -> Delivery:
        """Return one."""
        for delivery in self._memory.of(subscription_id):
            if delivery.id == delivery_id:
                return delivery
        raise NotFound("there is no such delivery")

    async def replay(self, subscription_id: str, delivery_id: str, now: datetime, expires_at: datetime) -> Delivery:
        """Let one begin anew."""
        return self._again(await self.find(subscription_id, delivery_id), now, expires_at)

    async def replay_range(
        self,
        subscription_id: str,
        states: Collection[DeliveryState],
        since: datetime,
        before: datetime,
        now: datetime,
        expires_at: datetime,
        most: int,
    ) -> int:
        """Let those of a time begin anew."""
        mine = self._memory.of(subscription_id)
        meant = [one for one in mine if one.state in states and since <= one.event.at < before][:most]
        for delivery in meant:
            self._again(delivery, now, expires_at)
        return len(meant)

    async def backlog(self) -> Backlog:
        """Count what is not delivered."""
        self._memory.reach()
        kept = self._memory.deliveries.values()
        waiting = [delivery for delivery in kept if delivery.state == "waiting"]
        return Backlog(
            len(waiting),
            sum(delivery.attempts > 0 for delivery in waiting),
            sum(delivery.state == "dead" for delivery in kept),
            sum(one.state == "paused" for one in self._memory.subscriptions.values()),
        )

    def _again(self, delivery: Delivery, now: datetime, expires_at: datetime) -> Delivery:
        return self._memory.update(
            delivery, state="waiting", attempts=0, next_at=now, expires_at=expires_at, error=None
        )


class MemoryDeliveryQueue:
    """DeliveryQueue in memory."""

    def __init__(self, memory: MemoryWebhooks, sight: Sight) -> None:
        self._memory = memory
        self._sight = sight

    async def expand(self, now: datetime, expires_at: datetime, limit: int) -> int:
        """Turn the next events into deliveries."""
        self._memory.reach()
        batch, self._memory.waiting = self._memory.waiting[:limit], self._memory.waiting[limit:]
        for event in batch:
            for subscription in self._memory.subscriptions.values():
                if await self._gets(subscription, event):
                    self._deliver(subscription.id, event, now, expires_at)
        return len(batch)

    async def claim(self, worker: str, now: datetime, until: datetime, endpoints: int, each: int) -> list[Claim]:
        """Take subscriptions with deliveries that are due, the one first that was served the longest ago."""
        self._memory.reach()
        longest_ago = datetime.min.replace(tzinfo=now.tzinfo)
        order = {name: self._memory.claims.get(name, ("", longest_ago))[1] for name in self._memory.subscriptions}
        claims: list[Claim] = []
        for name in sorted(order, key=order.__getitem__):
            subscription, health = self._memory.subscriptions[name], self._memory.health[name]
            rests = health.rest_until is not None and health.rest_until > now
            due = [d for d in self._memory.of(name) if d.state == "waiting" and d.next_at and d.next_at <= now]
            if subscription.state == "active" and order[name] <= now and not rests and due and len(claims) < endpoints:
                oldest = sorted(due, key=lambda delivery: (delivery.next_at or now, int(delivery.id)))[:each]
                self._memory.claims[name] = (worker, until)
                rotating = subscription.rotating_until is not None and now < subscription.rotating_until
                keys = tuple(self._memory.secrets[name][: 2 if rotating else 1])
                in_order = tuple(sorted(oldest, key=lambda delivery: int(delivery.id)))
                claims.append(Claim(worker, until, subscription, health, keys, in_order))
        return claims

    async def settle(self, settled: Settled) -> None:
        """Store the outcome of an attempt."""
        self._memory.reach()
        delivery = self._memory.deliveries.get(settled.delivery_id)
        if delivery is None or (delivery.state, delivery.attempts) != ("waiting", settled.attempts):
            return
        self._memory.update(
            delivery,
            state=settled.verdict.state,
            attempts=settled.attempts + (settled.tried_at is not None),
            next_at=settled.verdict.next_at or delivery.next_at,
            tried_at=settled.tried_at or delivery.tried_at,
            status=settled.answer.status if settled.tried_at else delivery.status,
            error=settled.answer.error,
        )

    async def finish(self, claim: Claim, health: Health, now: datetime) -> None:
        """Give a claim back."""
        self._memory.reach()
        name = claim.subscription.id
        known = self._memory.subscriptions.get(name)
        if known is None or self._memory.claims.get(name) != (claim.worker, claim.until):
            return
        self._memory.claims[name] = ("", now)
        if known.version == claim.subscription.version:
            self._memory.health[name] = msgspec.structs.replace(health, pause=None)
            learned = msgspec.structs.replace(known, failing_since=health.failing_since)
            if health.pause is not None:
                learned = msgspec.structs.replace(learned, state="paused", paused_because=health.pause)
            self._memory.subscriptions[name] = learned

    async def tidy(self, now: datetime, delivered_before: datetime, dead_before: datetime) -> int:
        """Give up what is long over its time and forget what is old."""
        self._memory.reach()
        count = 0
        for delivery in list(self._memory.deliveries.values()):
            limit = {"delivered": delivered_before, "dead": dead_before}.get(delivery.state)
            if limit is not None and delivery.created_at < limit:
                del self._memory.deliveries[delivery.id]
            elif delivery.state == "waiting" and delivery.expires_at and delivery.expires_at < now - GRACE:
                self._memory.update(delivery, state="dead", error=delivery.error or "not tried in its time")
            else:
                continue
            count += 1
        return count

    async def _gets(self, subscription: Subscription, event: WaitingEvent) -> bool:
        wants, station_id = subscription.wants, event.station_id
        placed = bool(wants.station_ids or wants.site_ids)
        here = station_id in wants.station_ids or self._memory.sites.get(station_id) in wants.site_ids
        if (wants.kinds and event.kind not in wants.kinds) or (placed and not here):
            return False
        told = subscription.whole_fleet or self._sight.tells(event.kind)
        return told and await may_see(self._sight, subscription, event)

    def _deliver(self, subscription_id: str, event: WaitingEvent, now: datetime, expires_at: datetime) -> None:
        if all(delivery.event.event_id != event.event_id for delivery in self._memory.of(subscription_id)):
            name = str(next(self._memory.numbers))
            made = Delivery(name, subscription_id, event, now, next_at=now, expires_at=expires_at)
            self._memory.deliveries[name] = made


def paged(found: Sequence[T], cursor: str | None, limit: int) -> Page[T]:
    """Cut a page out of a list; the cursor is how many came before."""
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal()):
        raise BadRequest("the cursor is not one that a page of this list has given")
    start = int(cursor or 0)
    more = start + limit < len(found)
    previous = None if cursor is None else str(max(start - limit, 0))
    return Page(list(found[start : start + limit]), str(start + limit) if more else None, previous)
