"""The JSON of the audit log and of approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, JsonValue, StringConstraints

from cluster.approvals import KINDS, MAX_TEXT, State, Verdict
from cluster.audit.chain import FindingKind
from serve.hal import Resource
from serve.wire import Asked, Wire

_TEXT: Final = r"^[^\x00-\x08\x0b-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x08\x0b-\x1f\x7f]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=_TEXT)]
"""Something that can be read: not only blanks, and no control characters but tabs and ends of lines."""
Kind = Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)})]


class AuditEntryOut(Resource):
    """Who did what, on what, when, from where, and how it ended; in its place in the chain."""

    seq: int = Field(description="The place, from 1 without gaps.")
    id: str
    at: datetime
    subject: str | None = Field(description="Null when nobody was known, as in a failed login.")
    issuer: str | None
    roles: list[str]
    session_id: str | None
    action: str = Field(examples=["POST /admin/v1/restart"])
    target_kind: str = Field(examples=["stations"])
    target_id: str = Field(examples=["CP-1"])
    address: str | None = Field(examples=["192.0.2.7"])
    user_agent: str | None
    request_id: str | None
    status: int
    problem: str | None
    details: dict[str, str]
    previous: str = Field(description="Hash of the entry before.")
    hash: str = Field(description="SHA-256 of `previous` and the entry, as the export has it.")


class LogStatusOut(Wire):
    """The audit log of the process that answers."""

    ok: bool = Field(description="Whether entries reach the database.")
    waiting_bytes: int = Field(description="On the local disk and not in the database yet.")
    waiting_s: float | None = Field(description="For how long the database has not taken them.")
    spooled: int
    stored: int
    spool_failures: int


class AuditHeadOut(Resource):
    """Where the chain ends."""

    anchor: str | None = Field(
        description="Place and hash of the newest entry; null if they are lost.", examples=["17:" + "9f" * 32]
    )
    log: LogStatusOut


class FindingOut(Wire):
    """What is wrong with the chain, and the place that shows it."""

    seq: int
    kind: FindingKind
    text: str


class VerificationOut(Resource):
    """What a look at a stretch of the chain has found; nothing when it is whole."""

    after: str = Field(description="The anchor it began from.", examples=["0:" + "00" * 32])
    until: str = Field(description="The anchor it came to.", examples=["17:" + "9f" * 32])
    checked: int
    complete: bool = Field(description="Whether that is the end of the chain.")
    findings: list[FindingOut]


class ApprovalAsked(Asked):
    """What somebody wants to do, exactly, and why."""

    kind: Kind
    target: Text = Field(examples=["person/8e03978e-40d5-43dd-bc93-6894a57f9324"])
    payload: dict[str, JsonValue] = Field(default={}, examples=[{}])
    reason: Text


class DecisionAsked(Asked):
    """What another person says to it."""

    verdict: Verdict
    remark: Text | None = None


class ApprovalOut(Resource):
    """A request for the approval of another person, and what became of it."""

    id: str
    kind: str
    target: str
    payload: dict[str, JsonValue]
    reason: str
    requested_by: str
    created_at: datetime
    expires_at: datetime
    state: State
    decided_by: str | None
    decided_at: datetime | None
    remark: str | None
    used_by: str | None
    used_at: datetime | None


class ErasureAsked(Asked):
    """The approval that names this person."""

    approval_id: Text | None = Field(default=None, description="Left out, the answer says what to ask for.")
