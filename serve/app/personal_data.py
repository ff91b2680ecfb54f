"""The caller's personal data: all of it in one document, and the end of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from fastapi.responses import JSONResponse, StreamingResponse

from cluster.identity.circle import Offer
from cluster.identity.relation import Tie
from cluster.personal_data import Dossier
from cluster.store.views import Charge
from cluster.webhooks.model import Subscription
from serve.app import receipt
from serve.app.asking import Asking
from serve.app.people import terms_out
from serve.app.personal_wire import AccountDataOut, ExportedChargeOut
from serve.headers import NO_STORE
from serve.route import operations

router = operations("/account", "account")

_HEADERS: Final = {"Cache-Control": NO_STORE, "Content-Disposition": 'attachment; filename="cloudbay-account.json"'}


@router.get("/data", response_class=JSONResponse, responses={200: {"model": AccountDataOut}})
async def export_account_data(asking: Asking) -> StreamingResponse:
    """Return all that is known of the caller."""
    export = await asking.services.personal.export(asking.caller)
    first = await anext(export.charges, None)  # before the answer begins, so that a fault can still be told
    known = {**_known(export.dossier), "subject": asking.caller.subject, "exported_at": asking.services.clock()}
    head = AccountDataOut.model_validate({**known, "charges": []}).model_dump_json(by_alias=True, exclude={"charges"})
    return StreamingResponse(_document(head, first, export.charges), media_type="application/json", headers=_HEADERS)


@router.delete("", status_code=204)
async def erase_account(asking: Asking) -> None:
    """Erase the caller. Charges stay for billing, under a name that leads to nobody; 409 while one runs."""
    await asking.services.personal.erase_self(asking.caller)


async def _document(head: str, first: Charge | None, rest: AsyncIterator[Charge]) -> AsyncIterator[str]:
    """Write the charges as the last member of the document, which may be many."""
    yield head.removesuffix("}") + ',"charges":['
    if first is not None:
        yield _charge(first)
    async for charge in rest:
        yield "," + _charge(charge)
    yield "]}"


def _charge(charge: Charge) -> str:
    shown = msgspec.structs.asdict(charge)
    shown["receipt"] = None if charge.ended_at is None else receipt.of(charge)._asdict()
    return ExportedChargeOut.model_validate(shown).model_dump_json(by_alias=True)


def _known(dossier: Dossier) -> dict[str, object]:
    """Return a dossier as JSON has it."""
    return {
        "profile": dossier.person,
        "sessions": dossier.sessions,
        "consents": dossier.consents,
        "relations": [_tie(tie) for tie in dossier.ties],
        "invitations": [_offer(offer) for offer in dossier.offers],
        "id_token": dossier.id_token,
        "commands": dossier.commands,
        "webhooks": [_webhook(one) for one in dossier.webhooks],
        "mentions": dossier.mentions,
    }


def _tie(tie: Tie) -> dict[str, object]:
    return {**msgspec.structs.asdict(tie), **terms_out(tie.terms), "holding": tie.holding._asdict()}


def _offer(offer: Offer) -> dict[str, object]:
    return {**msgspec.structs.asdict(offer), **terms_out(offer.terms), "holding": offer.holding._asdict()}


def _webhook(subscription: Subscription) -> dict[str, object]:
    return {**msgspec.structs.asdict(subscription), **msgspec.structs.asdict(subscription.wants)}
