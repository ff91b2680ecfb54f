"""Four eyes: what one person asks for and another one approves, before it may be done once.

An approval names exactly what is to be done (kind, target, payload); it is good for that and nothing else, one time,
until it expires. Machines take no part: a key acts for a person, who would have two voices.
Must not know: HTTP, SQL, what the kinds mean and who carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from actors.errors import BadRequest, Changed, CloudBayError, Conflict, NotFound
from cluster.identity.caller import Caller, Role
from cluster.store.views import Page

State = Literal["open", "approved", "rejected", "expired", "used"]
Verdict = Literal["approved", "rejected"]

MAX_TEXT: Final = 1000
MAX_PAYLOAD_BYTES: Final = 64 * 1024
_TRIES: Final = 3


class MayNotDecide(CloudBayError):
    """The caller may take no part in this approval, or not this one."""

    http_status = 403
    title = "May not decide"


class ApprovalNeeded(Conflict):
    """The deed needs an approval, and none is named; `wish` is what to ask for."""

    title = "Approval needed"

    def __init__(self, wish: Wish) -> None:
        super().__init__("this needs the approval of another person: ask for it, then name it here")
        self.wish = wish


class ApprovalKind(NamedTuple):
    """A kind of deed: any of these roles may approve it, and how long a request and its approval are good."""

    roles: frozenset[Role]
    life: timedelta


ERASE_PERSON: Final = "person.erase"

KINDS: Final[Mapping[str, ApprovalKind]] = {
    ERASE_PERSON: ApprovalKind(frozenset({"admin"}), timedelta(days=7)),  # nothing brings a person back
}
"""The deeds that need four eyes."""


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants to do, on what, how exactly, and why."""

    kind: str
    target: str
    payload: dict[str, object]
    reason: str = ""
    """Asked for, but no part of what is approved."""


class Approval(msgspec.Struct, frozen=True):
    """A request and what became of it. `version` grows with every change."""

    id: str
    kind: str
    target: str
    payload: dict[str, object]
    reason: str
    requested_by: str
    created_at: datetime
    expires_at: datetime
    state: State = "open"
    """As stored: what nobody decided or used in time is still `open` or `approved`; `state_at` knows better."""
    decided_by: str | None = None
    decided_at: datetime | None = None
    remark: str | None = None
    used_by: str | None = None
    used_at: datetime | None = None
    version: int = 1

    def state_at(self, now: datetime) -> State:
        """Return the state at a time."""
        return "expired" if self.state in ("open", "approved") and now >= self.expires_at else self.state


class ApprovalFilter(msgspec.Struct, frozen=True):
    """Which approvals to list: all that are given must match."""

    state: State | None = None
    kind: str | None = None
    target: str | None = None
    requested_by: str | None = None


ANY: Final = ApprovalFilter()


class ApprovalStore(Protocol):
    """Keeps approvals. Raises Unavailable."""

    async def add(self, approval: Approval) -> None:
        """Store a new one. Raises BadRequest for a value that cannot be stored."""

    async def get(self, approval_id: str) -> Approval | None:
        """Return one, if there is such."""

    async def replace(self, approval: Approval) -> bool:
        """Store a changed one over the version before it; False when that is not the stored one any more."""

    async def list(self, wanted: ApprovalFilter, now: datetime, cursor: str | None, limit: int) -> Page[Approval]:
        """List those in a state at `now`, the newest first. Raises BadRequest for a bad cursor or limit."""


def asked(wish: Wish, kind: ApprovalKind, caller: Caller, now: datetime, approval_id: str) -> Approval:
    """Return the request for a deed. Raises MayNotDecide for a machine, BadRequest for texts out of bounds."""
    _person(caller)
    for name, text in (("target", wish.target), ("reason", wish.reason)):
        if not 1 <= len(text.strip()) <= MAX_TEXT:
            raise BadRequest(f"{name} must have 1 to {MAX_TEXT} characters")
    content = _canonical(wish.payload)
    if len(content) > MAX_PAYLOAD_BYTES:
        raise BadRequest(f"the payload has {len(content)} bytes, at most {MAX_PAYLOAD_BYTES} are taken")
    return Approval(
        approval_id,
        wish.kind,
        wish.target,
        msgspec.json.decode(content),
        wish.reason,
        requested_by=caller.subject,
        created_at=now,
        expires_at=now + kind.life,
    )


def decided(
    approval: Approval, kind: ApprovalKind, caller: Caller, verdict: Verdict, remark: str | None, now: datetime
) -> Approval:
    """Return the request as another person has decided it. Raises MayNotDecide, Conflict."""
    _decider(approval, kind, caller)
    if remark is not None and len(remark) > MAX_TEXT:
        raise BadRequest(f"remark may have {MAX_TEXT} characters")
    _in_state(approval, "open", now)
    return msgspec.structs.replace(
        approval,
        state=verdict,
        decided_by=caller.subject,
        decided_at=now,
        remark=remark,
        version=approval.version + 1,
    )


def _decider(approval: Approval, kind: ApprovalKind, caller: Caller) -> None:
    _person(caller)
    if caller.subject == approval.requested_by:
        raise MayNotDecide("nobody decides their own request")
    if not caller.roles & kind.roles:
        raise MayNotDecide(f"a request of this kind is decided by: {', '.join(sorted(kind.roles))}")


def used(approval: Approval, caller: Caller, wish: Wish, now: datetime) -> Approval:
    """Return the approval as used up by the deed that it was given for. Raises Conflict."""
    _in_state(approval, "approved", now)
    approved = (approval.kind, approval.target, _canonical(approval.payload))
    if approved != (wish.kind, wish.target, _canonical(wish.payload)):
        raise Conflict("this approval was given for something else: kind, target and payload must be the same")
    return msgspec.structs.replace(
        approval, state="used", used_by=caller.subject, used_at=now, version=approval.version + 1
    )


def _person(caller: Caller) -> None:
    if caller.scopes is not None or caller.logged_in_at is None:
        raise MayNotDecide("approvals are a matter between people: a machine's key can neither ask nor decide")


def _in_state(approval: Approval, wanted: State, now: datetime) -> None:
    state = approval.state_at(now)
    if state != wanted:
        raise Conflict(f"the request is {state}, not {wanted}")


_encode = msgspec.json.Encoder(order="sorted").encode


def _canonical(payload: dict[str, object]) -> bytes:
    try:
        return _encode(payload)
    except UnicodeEncodeError:
        raise BadRequest("the payload holds half a character") from None


class Approvals:
    """What routers call. Every method raises Unavailable without a database."""

    def __init__(
        self,
        store: ApprovalStore,
        kinds: Mapping[str, ApprovalKind],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._clock = clock

    async def ask(self, caller: Caller, approval_id: str, wish: Wish, *, again: bool = False) -> Approval:
        """Ask for somebody's approval; `again` tells that it may have been asked for before under this id.

        Raises BadRequest, MayNotDecide.
        """
        approval = asked(wish, self._kind(wish.kind), caller, self._clock(), approval_id)
        earlier = await self._store.get(approval_id) if again else None
        if earlier is not None:
            return earlier
        await self._store.add(approval)
        return approval

    async def list(self, wanted: ApprovalFilter = ANY, cursor: str | None = None, limit: int = 100) -> Page[Approval]:
        """List approvals, the newest first. Raises BadRequest for a bad cursor or limit."""
        return await self._store.list(wanted, self._clock(), cursor, limit)

    async def get(self, approval_id: str) -> Approval:
        """Return one approval. Raises NotFound."""
        found = await self._store.get(approval_id)
        if found is None:
            raise NotFound("there is no such approval")
        return found

    async def decide(
        self, caller: Caller, approval_id: str, version: int | None, verdict: Verdict, remark: str | None = None
    ) -> Approval:
        """Approve or reject the version that the caller has seen, None for whichever: what is asked never changes.

        Raises NotFound, MayNotDecide, Conflict, Changed.
        """
        seen = await self.get(approval_id)
        if version not in (None, seen.version):
            raise Changed("the request has changed since you looked")
        approval = decided(seen, self._kind(seen.kind), caller, verdict, remark, self._clock())
        if not await self._store.replace(approval):
            raise Changed("the request has changed since you looked")
        return approval

    def may_decide(self, caller: Caller, approval: Approval) -> bool:
        """Tell whether the caller could approve or reject it now."""
        kind = self._kinds.get(approval.kind)
        if kind is None or approval.state_at(self._clock()) != "open":
            return False
        try:
            _decider(approval, kind, caller)
        except MayNotDecide:
            return False
        return True

    def state(self, approval: Approval) -> State:
        """Return the state of an approval now."""
        return approval.state_at(self._clock())

    async def use(self, caller: Caller, approval_id: str | None, wish: Wish) -> Approval:
        """Use an approval up, just before its deed is done: of many who try one may.

        A deed that fails afterwards needs a new approval. Raises ApprovalNeeded for None, NotFound, Conflict.
        """
        if approval_id is None:
            raise ApprovalNeeded(wish)
        for _ in range(_TRIES):  # each change takes it nearer to an end, so that one look after the last is enough
            approval = used(await self.get(approval_id), caller, wish, self._clock())
            if await self._store.replace(approval):
                return approval
        raise Conflict("the approval is being changed")

    def _kind(self, name: str) -> ApprovalKind:
        kind = self._kinds.get(name)
        if kind is None:
            raise BadRequest(f"{name!r} is nothing that needs an approval; allowed: {', '.join(sorted(self._kinds))}")
        return kind
