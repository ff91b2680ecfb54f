"""The JSON of the app."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from cluster.identity.relation import HoldingKind, Relation
from serve.hal import Item, Resource
from serve.wire import Asked, Moment, Wire

Subject = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Code = Annotated[str, StringConstraints(min_length=20, max_length=40, pattern=r"^[0-9A-Za-z\s-]+$")]
_HOUR: Final = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"


def _hour(value: object) -> object:
    if not isinstance(value, time) and not (isinstance(value, str) and re.match(_HOUR, value)):
        raise ValueError("a time of day is expected, like 18:00")
    return value


Hour = Annotated[
    time,
    BeforeValidator(_hour),
    WithJsonSchema({"type": "string", "format": "time-local", "pattern": _HOUR, "examples": ["18:00"]}),
]
"""A time of day without an offset; which zone it is in is said beside it."""
Weekday = Annotated[int, Field(ge=0, le=6, examples=[0])]


class Terms(Wire):
    """How long a relation holds, and what a guest may take; null sets no limit."""

    valid_from: Moment | None = None
    valid_until: Moment | None = None
    energy_per_charge_wh: float | None = Field(default=None, gt=0, le=1e9)
    energy_total_wh: float | None = Field(default=None, gt=0, le=1e9)
    charges: int | None = Field(default=None, ge=1, le=1_000_000, description="How many charges.")
    hours_from: Hour | None = Field(default=None, description="The hours in which a charge may begin, as `18:00`.")
    hours_until: Hour | None = Field(default=None, description="May be the next morning.")
    days: list[Weekday] | None = Field(
        default=None, min_length=1, max_length=7, description="0 is Monday; all if left out."
    )
    zone: str | None = Field(default=None, max_length=64, description="Time zone of the hours; UTC if left out.")


class TermsAsked(Terms, Asked):
    """Other terms for somebody."""


class InvitationAsked(Terms, Asked):
    """Somebody to share with; `owner` hands the holding over."""

    relation: Relation = "guest"
    subject: Subject | None = Field(default=None, description="Who; left out, a code is made for whoever has it.")


class CodeAsked(Asked):
    """A code that somebody was given."""

    code: Code = Field(examples=["7ZKM-04QX-P8TE-6D3W-HN1R"])


class HoldingOut(Wire):
    """A station, or a site with all its stations."""

    kind: HoldingKind
    name: str


class RelationOut(Terms, Resource):
    """What somebody is to a holding."""

    subject: str
    holding: HoldingOut
    relation: Relation
    granted_by: str
    granted_at: datetime
    in_force: bool


class InvitationOut(Terms, Resource):
    """A relation that waits to be accepted."""

    id: str
    holding: HoldingOut
    relation: Relation
    offered_by: str
    offered_at: datetime
    expires_at: datetime
    subject: str | None = Field(description="To whom; null for whoever has its code.")
    code: str | None = Field(default=None, description="Shown this once.")


class StationItemOut(Item):
    """A station in the caller's list."""

    station_id: str
    vendor_name: str
    model: str
    connected: bool
    relation: Relation = Field(description="What the caller is to it.")


class UseOut(Wire):
    """What a guest has taken of his limits, with charges that are about to begin."""

    charges: int
    energy_wh: float


class ConnectorOut(Resource):
    """A connector; the form `start` is there while it can be used by the caller."""

    evse_id: int
    connector_id: int
    status: str
    at: datetime
    hindrance: str | None = Field(description="Why no charge can begin here now, for the caller.")


class StationOut(StationItemOut, Resource):
    """A station with its connectors."""

    last_seen_at: datetime | None
    terms: Terms = Field(description="Of the caller's own relation.")
    used: UseOut | None = Field(description="For a guest with limits.")
    embedded: dict[str, list[ConnectorOut]] = Field(alias="_embedded")


class ChargeAsked(Asked):
    """Where to charge."""

    evse_id: int = Field(ge=1, le=1_000_000)
    connector_id: int | None = Field(default=None, ge=1, le=1_000_000)


class ChargeRequestOut(Resource):
    """A charge that was asked for; `cb:charge` leads to it once it runs."""

    id: str
    station_id: str
    status: str = Field(description="queued, sent, accepted, or how it failed.")
    created_at: datetime
    deadline: datetime
    error: str | None
    energy_limit_wh: float | None = Field(description="The charge is ended when it has taken this.")


class ChargeItemOut(Item):
    """A charge in a list."""

    id: str
    station_id: str
    evse_id: int | None
    connector_id: int | None
    mine: bool
    subject: str | None = Field(description="Who charges; null for a card.")
    began_at: datetime
    ended_at: datetime | None
    state: str | None = Field(description="Charging, SuspendedEV, ..., or Ended.")
    energy_wh: float
    power_w: float | None
    soc_percent: float | None


class ChargeOut(ChargeItemOut, Resource):
    """A charge; the form `stop` is there while it runs."""

    stopped_reason: str | None
    updated_at: datetime


class PointOut(Wire):
    """A point of the charging curve: energy since the start."""

    at: datetime
    energy_wh: float
    power_w: float | None
    soc_percent: float | None


class CurveOut(Resource):
    """The charging curve of a charge."""

    curve: list[PointOut]


class ReceiptOut(Resource):
    """What was charged."""

    id: str
    station_id: str
    evse_id: int | None
    began_at: datetime
    ended_at: datetime
    duration_s: float
    energy_wh: float
    complete: bool = Field(description="Whether every reading has arrived; if not, the energy may still be corrected.")
