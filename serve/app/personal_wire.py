"""The JSON of what is known of a person; a stable shape, to which members are added and none taken away."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cluster.identity.people import UserStatus
from cluster.identity.relation import Relation
from cluster.webhooks.model import SubscriptionState
from serve.app.wire import HoldingOut, Terms
from serve.wire import Wire


class ProfileOut(Wire):
    """Who they are."""

    id: str
    issuer: str = Field(description="`local` for who logs in here.", examples=["local"])
    subject: str = Field(description="The issuer's own name of the person.")
    login: str | None
    email: str | None
    name: str | None
    roles: list[str]
    status: UserStatus
    created_at: datetime
    last_login_at: datetime | None


class ExportedSessionOut(Wire):
    """A browser in which they have logged in."""

    id: str
    began_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    address: str | None
    user_agent: str | None


class ConsentOut(Wire):
    """What they let an application do."""

    client_id: str
    scopes: list[str]
    created_at: datetime


class ExportedRelationOut(Terms):
    """What they are to a station or site."""

    holding: HoldingOut
    relation: Relation
    granted_by: str
    granted_at: datetime


class ExportedInvitationOut(Terms):
    """What they are offered, and what they have offered."""

    id: str
    holding: HoldingOut
    relation: Relation
    offered_by: str
    offered_at: datetime
    expires_at: datetime
    subject: str | None


class OrderedOut(Wire):
    """What they have asked of a station."""

    id: str
    station_id: str
    action: str
    created_at: datetime
    status: str


class ExportedWebhookOut(Wire):
    """An endpoint that they have subscribed."""

    id: str
    url: str
    kinds: list[str]
    station_ids: list[str]
    site_ids: list[str]
    state: SubscriptionState
    created_at: datetime


class MentionsOut(Wire):
    """How often records name them by their id."""

    audit_entries: int
    approvals: int
    machine_keys: int
    commands: int


class ExportedReceiptOut(Wire):
    """What was charged."""

    duration_s: float
    energy_wh: float
    complete: bool


class ExportedChargeOut(Wire):
    """A charge of theirs, with its receipt once it has ended."""

    id: str
    station_id: str
    evse_id: int | None
    connector_id: int | None
    began_at: datetime
    ended_at: datetime | None
    energy_wh: float
    stopped_reason: str | None
    receipt: ExportedReceiptOut | None


class AccountDataOut(Wire):
    """All that is known of the caller. Of other lists than charges the newest 10,000 are shown."""

    exported_at: datetime
    subject: str
    profile: ProfileOut | None = Field(description="Null for who has no account here.")
    sessions: list[ExportedSessionOut]
    consents: list[ConsentOut]
    relations: list[ExportedRelationOut]
    invitations: list[ExportedInvitationOut]
    id_token: str | None = Field(description="What they charge with, masked.")
    commands: list[OrderedOut]
    webhooks: list[ExportedWebhookOut]
    mentions: MentionsOut
    charges: list[ExportedChargeOut]
