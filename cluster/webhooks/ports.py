"""What webhooks need from the world, as Protocols named by role; adapters are in cluster/store and beside this file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from cluster.store.views import Page
from cluster.webhooks.model import Answer, Backlog, Claim, Delivery, DeliveryState, Health, Settled, Subscription


class SecretBox(Protocol):
    """Keeps secrets unreadable at rest; `context` binds a value to its place."""

    def seal(self, value: bytes, context: str) -> bytes:
        """Return the value as it may be stored."""

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed for the same context."""


class SubscriptionStore(Protocol):
    """Subscriptions, seen by those who make them. With an `owner`, those of others do not exist. Raises Unavailable."""

    async def add(self, subscription: Subscription, secret: bytes, most: int) -> None:
        """Keep a new one, in the place of an earlier one of its owner with its id.

        Raises Conflict when its owner has `most` already, BadRequest for what cannot be stored.
        """

    async def find(self, subscription_id: str, owner: str | None) -> Subscription:
        """Return one. Raises NotFound."""

    async def page(self, owner: str | None, cursor: str | None, limit: int) -> Page[Subscription]:
        """List them, the newest first. Raises BadRequest."""

    async def replace(self, changed: Subscription, expected_version: int, secret: bytes | None = None) -> None:
        """Store a change, and a new secret beside the one that was; the endpoint counts as well again.

        Raises Changed when it has another version by now, NotFound, BadRequest.
        """

    async def remove(self, subscription_id: str, owner: str | None) -> None:
        """Forget one with all its deliveries. Raises NotFound."""


class DeliveryLog(Protocol):
    """What became of deliveries, and how they are sent again. Raises Unavailable."""

    async def page(
        self, subscription_id: str, state: DeliveryState | None, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """List deliveries, the newest first. Raises BadRequest."""

    async def find(self, subscription_id: str, delivery_id: str) -> Delivery:
        """Return one. Raises NotFound."""

    async def replay(self, subscription_id: str, delivery_id: str, now: datetime, expires_at: datetime) -> Delivery:
        """Let one begin anew, whatever became of it. Raises NotFound."""

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
        """Let at most `most` begin anew whose events are of this time, the oldest first; return how many."""

    async def backlog(self) -> Backlog:
        """Count what is not delivered, with one look."""


class DeliveryQueue(Protocol):
    """The work of delivering, shared by many workers. Raises Unavailable."""

    async def expand(self, now: datetime, expires_at: datetime, limit: int) -> int:
        """Turn the next events of the journal into deliveries, each once; return how many events were looked at."""

    async def claim(self, worker: str, now: datetime, until: datetime, endpoints: int, each: int) -> list[Claim]:
        """Take subscriptions with deliveries that are due and whom nobody serves; `each` deliveries of each at most."""

    async def settle(self, settled: Settled) -> None:
        """Store the outcome of an attempt."""

    async def finish(self, claim: Claim, health: Health, now: datetime) -> None:
        """Give a claim back, with how its endpoint is now; nothing happens when another worker has it by now."""

    async def tidy(self, now: datetime, delivered_before: datetime, dead_before: datetime) -> int:
        """Give up what is long over its time, forget what is old; return how many rows, bounded."""


class Sight(Protocol):
    """Whose events a user may see now. Raises Unavailable."""

    async def watchers(self, station_ids: Collection[str]) -> Mapping[str, Mapping[str, datetime]]:
        """Return, by station, who may see its events besides staff, each with the time since when."""

    def tells(self, kind: str) -> bool:
        """Tell whether events of a type are for others than staff."""

    async def dismissed(self, owners: Collection[str]) -> Collection[str]:
        """Return those of some who have been staff and may not see the fleet any more."""


class Endpoint(Protocol):
    """One endpoint while a claim lasts."""

    async def post(self, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request. Never raises for what the network or the endpoint does."""

    async def close(self) -> None:
        """Let go of its connections."""


class Sender(Protocol):
    """The way to endpoints."""

    def endpoint(self, url: str) -> Endpoint:
        """Return the way to one endpoint; nothing is sent yet."""
