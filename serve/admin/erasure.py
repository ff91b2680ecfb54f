"""The erasure of a person by staff, which another person has to approve."""

from __future__ import annotations

from serve.admin.record_wire import ErasureAsked
from serve.context import Asking
from serve.idempotency import Once
from serve.route import operations

router = operations("", "people")


@router.post("/people/{subject}/erasure", status_code=204, dependencies=[Once])
async def erase_person(subject: str, asked: ErasureAsked, asking: Asking) -> None:
    """Erase a person; without an approval that names them the answer says what to ask for."""
    await asking.services.personal.erase(asking.caller, subject, asked.approval_id)
