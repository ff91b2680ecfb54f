"""ApprovalStore in memory."""

from __future__ import annotations

import builtins
from datetime import datetime

from actors.errors import BadRequest, Unavailable
from cluster.approvals import Approval, ApprovalFilter
from cluster.store.views import Page
from tests.twins.paging import cut
from tests.twins.store import copied


class MemoryApprovals:
    """Approvals by id; `down` makes it fail."""

    def __init__(self) -> None:
        self.kept: dict[str, Approval] = {}
        self.down = False

    async def add(self, approval: Approval) -> None:
        """Store a new one."""
        self._reach()
        if "\0" in approval.target + approval.reason:
            raise BadRequest("the request holds a value that cannot be stored")
        self.kept[approval.id] = copied(approval)

    async def get(self, approval_id: str) -> Approval | None:
        """Return one."""
        self._reach()
        found = self.kept.get(approval_id)
        return None if found is None else copied(found)

    async def replace(self, approval: Approval) -> bool:
        """Store a changed one over the version before it."""
        self._reach()
        stored = self.kept.get(approval.id)
        if stored is None or stored.version != approval.version - 1:
            return False
        self.kept[approval.id] = copied(approval)
        return True

    async def list(self, wanted: ApprovalFilter, now: datetime, cursor: str | None, limit: int) -> Page[Approval]:
        """List them, the newest first."""
        self._reach()
        found = [one for one in self.kept.values() if _within(one, wanted, now)]
        return cut(_newest_first(found), lambda one: (one.created_at, one.id), cursor, limit)

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the database cannot be reached now")


def _newest_first(found: builtins.list[Approval]) -> builtins.list[Approval]:
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)


def _within(one: Approval, wanted: ApprovalFilter, now: datetime) -> bool:
    exact = all(getattr(wanted, name) in (None, getattr(one, name)) for name in ("kind", "target", "requested_by"))
    return exact and wanted.state in (None, one.state_at(now))
