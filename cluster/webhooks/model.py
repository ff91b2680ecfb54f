"""What webhooks are made of: subscriptions, deliveries, what an endpoint has answered and how it is.

Must not know: SQL, HTTP.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from cluster.bus.outbox import WaitingEvent

SubscriptionState = Literal["active", "paused"]
PauseReason = Literal["asked", "failing", "gone"]
"""By its owner, since it failed for long, since it answered 410 Gone."""
DeliveryState = Literal["waiting", "delivered", "dead"]

MOST_COUNTED: Final = 100_000
"""Rows of a kind that are counted for the asking."""


class Filter(msgspec.Struct, frozen=True):
    """Which events a subscription gets; an empty part means any, stations and sites add to each other."""

    kinds: tuple[str, ...] = ()
    station_ids: tuple[str, ...] = ()
    site_ids: tuple[str, ...] = ()


class Subscription(msgspec.Struct, frozen=True):
    """An endpoint and what it wants to hear. Its secrets are not in here."""

    id: str
    owner: str
    """Subject of who made it."""
    whole_fleet: bool
    """Made by staff: events of all stations; otherwise of those that the owner may see at the time of the event."""
    url: str
    wants: Filter
    created_at: datetime
    updated_at: datetime
    version: int = 1
    """Counts the changes by users."""
    state: SubscriptionState = "active"
    paused_because: PauseReason | None = None
    failing_since: datetime | None = None
    rotating_until: datetime | None = None
    """Until then requests are signed with the previous secret too."""


class Delivery(msgspec.Struct, frozen=True):
    """One event for one subscription, with what has become of it."""

    id: str
    subscription_id: str
    event: WaitingEvent
    created_at: datetime
    state: DeliveryState = "waiting"
    attempts: int = 0
    next_at: datetime | None = None
    """When a waiting one is tried."""
    expires_at: datetime | None = None
    """When a waiting one is given up."""
    tried_at: datetime | None = None
    status: int | None = None
    """HTTP status of the last answer."""
    error: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What came of one attempt: a status, or an `error` when there was no answer at all."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Tell whether the endpoint has taken it: with any 2xx ("Delivery success and failure")."""
        return self.status is not None and 200 <= self.status < 300


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a delivery after an attempt; `next_at` of a waiting one."""

    state: DeliveryState
    next_at: datetime | None = None


class Health(msgspec.Struct, frozen=True):
    """How an endpoint is: rounds without any success, since when, and until when it is left alone."""

    failures: int = 0
    failing_since: datetime | None = None
    rest_until: datetime | None = None
    pause: PauseReason | None = None
    """Set when it is to be paused now."""


class Claim(msgspec.Struct, frozen=True):
    """A subscription that one worker serves until `until`, the keys to sign with, and deliveries that are due."""

    worker: str
    until: datetime
    subscription: Subscription
    health: Health
    keys: tuple[bytes, ...]
    deliveries: tuple[Delivery, ...]


class Backlog(msgspec.Struct, frozen=True):
    """What waits and what was given up, of all subscriptions; each counted up to MOST_COUNTED."""

    webhook_deliveries_waiting: int
    webhook_deliveries_retried: int
    """Of those that wait: tried at least once."""
    webhook_deliveries_dead: int
    webhook_subscriptions_paused: int


class Settled(msgspec.Struct, frozen=True):
    """The outcome of one attempt; stored only if the delivery has still seen `attempts` before it.

    Without `tried_at` nothing was sent: it counts as no attempt.
    """

    delivery_id: str
    attempts: int
    tried_at: datetime | None
    answer: Answer
    verdict: Verdict
