"""The JSON of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from cluster.webhooks.model import DeliveryState, PauseReason, SubscriptionState
from cluster.webhooks.subscriptions import MAX_NAME, MAX_URL, MAX_WANTED
from serve.hal import Resource
from serve.wire import Asked, Moment, Wire

Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_URL),
    Field(description="Begins with https://.", examples=["https://hooks.example.org/cloudbay"]),
]
_Kind = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,100}$")]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
Kinds = Annotated[
    list[_Kind],
    Field(max_length=MAX_WANTED, description="Types of events; none means all.", examples=[["TransactionEnded"]]),
]
Places = Annotated[
    list[_Name], Field(max_length=MAX_WANTED, description="Stations and sites add to each other; none means all.")
]


class WebhookAsked(Asked):
    """An endpoint, and which events it wants. A station that is not the caller's may be named; nothing comes of it."""

    url: Url
    kinds: Kinds = Field(default=[])
    station_ids: Places = Field(default=[])
    site_ids: Places = Field(default=[])


class WebhookChange(Asked):
    """What is to be another; what is left out or null stays."""

    url: Url | None = None
    kinds: Kinds | None = None
    station_ids: Places | None = None
    site_ids: Places | None = None
    state: SubscriptionState | None = None


class StateAsked(Asked):
    """Whether events are sent."""

    state: SubscriptionState


class WebhookOut(Resource):
    """A webhook subscription."""

    id: str
    owner: str = Field(description="Subject of who has made it.")
    url: str
    kinds: list[str]
    station_ids: list[str]
    site_ids: list[str]
    whole_fleet: bool = Field(description="Made by staff: events of all stations, else of the owner's own.")
    state: SubscriptionState
    paused_because: PauseReason | None
    failing_since: datetime | None = Field(description="Since when the endpoint has taken nothing.")
    rotating_until: datetime | None = Field(description="Until then requests carry a signature of the last secret too.")
    created_at: datetime
    updated_at: datetime


class WebhookMadeOut(WebhookOut):
    """A webhook subscription with a new secret."""

    secret: str = Field(
        description="Shown this once; as Standard Webhooks has it.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )


class EventOut(Wire):
    """A business event."""

    id: str = Field(description="The same in every attempt and replay.")
    kind: str
    station_id: str
    at: datetime
    data: JsonValue = Field(examples=[{"connEpoch": 7}])


class DeliveryOut(Resource):
    """One event for one endpoint, and what became of it; a dead one was given up."""

    id: str
    event: EventOut
    created_at: datetime
    state: DeliveryState
    attempts: int
    next_at: datetime | None = Field(description="When a waiting one is tried.")
    expires_at: datetime | None = Field(description="When a waiting one is given up.")
    tried_at: datetime | None
    status: int | None = Field(description="HTTP status of the last answer.")
    error: str | None


class ReplayAsked(Asked):
    """Which deliveries to send again: those whose events are of a time."""

    since: Moment = Field(description="At or after.")
    until: Moment = Field(description="Before.", examples=["2026-05-05T12:00:00Z"])
    states: list[Literal["dead", "delivered", "waiting"]] = Field(default=["dead"], min_length=1, max_length=3)


class ReplayedOut(Resource):
    """How many deliveries begin anew."""

    replayed: int = Field(description="The oldest, at most 10,000 at once; ask again for more.")
