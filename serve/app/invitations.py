"""Invitations to the caller: accept one, use a code, decline."""

from __future__ import annotations

from cluster.identity.circle import Offer
from serve.app import people
from serve.app.asking import AppContext, Asking
from serve.app.wire import CodeAsked, InvitationOut, RelationOut
from serve.hal import ListOf, present
from serve.idempotency import Once
from serve.route import operations

router = operations("/invitations", "people")


@router.get("", response_model=ListOf[InvitationOut])
async def list_invitations(asking: Asking) -> dict[str, object]:
    """List what the caller is offered, a hundred at most, the oldest first."""
    offers = await asking.services.sharing.offered_to(asking.caller)
    redeem = asking.form("POST /invitations", "Use a code", body=CodeAsked)
    return {
        "links": {"self": asking.here, "curies": asking.curies},
        "templates": present({"redeem": redeem}),
        "embedded": {"cb:invitation": [_shown(asking, offer) for offer in offers]},
    }


@router.post("", status_code=201, response_model=RelationOut, dependencies=[Once])
async def redeem(asked: CodeAsked, asking: Asking) -> dict[str, object]:
    """Use a code: of an invitation, or the one that came with a new station."""
    return people.mine(asking, await asking.services.sharing.redeem(asking.caller, asked.code))


@router.post("/{offer_id}/acceptance", status_code=201, response_model=RelationOut, dependencies=[Once])
async def accept(offer_id: str, asking: Asking) -> dict[str, object]:
    """Accept an invitation."""
    return people.mine(asking, await asking.services.sharing.accept(asking.caller, offer_id))


@router.delete("/{offer_id}", status_code=204)
async def decline(offer_id: str, asking: Asking) -> None:
    """Decline an invitation."""
    await asking.services.sharing.decline(asking.caller, offer_id)


def _shown(asking: AppContext, offer: Offer) -> dict[str, object]:
    at = {"offer_id": offer.id}
    forms = {
        "accept": asking.form("POST /invitations/{offer_id}/acceptance", "Accept", at),
        "decline": asking.form("DELETE /invitations/{offer_id}", "Decline", at),
    }
    return {**people.offered(offer), "templates": present(forms)}
