"""The people of a station or site: who they are, who is invited, in which terms; and what the caller himself is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from fastapi import Response

from cluster.identity import relation as rules
from cluster.identity.circle import Offer
from cluster.identity.relation import Holding, HoldingKind, Standing, Tie, may_give
from cluster.sharing import Made
from serve.app.asking import AppContext, Asking
from serve.app.wire import InvitationAsked, InvitationOut, RelationOut, Terms, TermsAsked
from serve.hal import Link, ListOf, Template, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("", "people")

_ALL = "GET /holdings/{kind}/{name}/people"
_PERSON = "/holdings/{kind}/{name}/people/{subject}"


@router.get("/holdings/{kind}/{name}/people", response_model=ListOf[RelationOut | InvitationOut])
async def list_people(kind: HoldingKind, name: str, asking: Asking) -> dict[str, object]:
    """List the people of a holding (`cb:person`) and who is invited (`cb:invitation`)."""
    circle = await asking.services.sharing.circle(Holding(kind, name))
    invite = asking.form(
        "POST /holdings/{kind}/{name}/people", "Share with somebody", _at(circle.holding), body=InvitationAsked,
        relation=asking.about.standing,
    )  # fmt: skip
    links = {"self": asking.here, "curies": asking.curies, **present({"cb:events": _events(asking, circle.holding)})}
    return {
        "links": links,
        "templates": present({"invite": invite}),
        "embedded": {
            "cb:person": [_person(asking, tie) for tie in circle.ties.values()],
            "cb:invitation": [_offer(asking, Made(offer, None)) for offer in circle.offers.values()],
        },
    }


@router.post("/holdings/{kind}/{name}/people", status_code=201, response_model=InvitationOut, dependencies=[Once])
async def invite(
    kind: HoldingKind, name: str, asked: InvitationAsked, asking: Asking, response: Response
) -> dict[str, object]:
    """Invite somebody by name, or make a code; owners may also make co-owners, and hand over what is theirs."""
    sharing, holding, offer_id = asking.services.sharing, Holding(kind, name), asking.id_of("offer")
    made = await sharing.invite(asking.caller, offer_id, holding, asked.relation, asked.subject, terms_of(asked))
    if made.code is not None:
        response.headers["Cache-Control"] = NO_STORE
    return _offer(asking, made)


@router.put("/holdings/{kind}/{name}/people/{subject}/terms", response_model=RelationOut)
async def set_terms(kind: HoldingKind, name: str, subject: str, asked: TermsAsked, asking: Asking) -> dict[str, object]:
    """Replace the terms of somebody's relation."""
    sharing = asking.services.sharing
    return _person(asking, await sharing.change(asking.caller, Holding(kind, name), subject, terms_of(asked)))


@router.delete("/holdings/{kind}/{name}/people/{subject}", status_code=204)
async def remove_person(kind: HoldingKind, name: str, subject: str, asking: Asking) -> None:
    """Take somebody's relation away; a running charge goes on and can be ended."""
    await asking.services.sharing.remove(asking.caller, Holding(kind, name), subject)


@router.delete("/holdings/{kind}/{name}/invitations/{offer_id}", status_code=204)
async def withdraw_invitation(kind: HoldingKind, name: str, offer_id: str, asking: Asking) -> None:
    """Take an invitation back."""
    await asking.services.sharing.withdraw(asking.caller, Holding(kind, name), offer_id)


@router.get("/relations", response_model=ListOf[RelationOut])
async def list_my_relations(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List what the caller is to stations and sites, in force or not."""
    page = await asking.services.charging.look.ties_of(asking.caller.subject, cursor, limit)
    return listed(asking, "cb:relation", page, lambda tie: mine(asking, tie))


@router.delete("/relations/{kind}/{name}", status_code=204)
async def leave(kind: HoldingKind, name: str, asking: Asking) -> None:
    """Give a relation up; an owner hands over instead."""
    await asking.services.sharing.leave(asking.caller, Holding(kind, name))


def link(asking: AppContext, holding: Holding, relation: Standing) -> Link | None:
    """Return a link to the people of a holding, None if the caller may not see them."""
    return asking.link(_ALL, _at(holding), relation=relation)


def mine(asking: AppContext, tie: Tie) -> dict[str, object]:
    """Return a relation of the caller's own."""
    links: dict[str, Link | None] = {}
    if tie.in_force(asking.services.clock()):
        links["cb:people"] = link(asking, tie.holding, tie.relation)
        links["cb:events"] = _events(asking, tie.holding)
        if tie.holding.kind == "station":
            at = {"station_id": tie.holding.name}
            links["cb:station"] = asking.link("GET /stations/{station_id}", at, relation=tie.relation)
    form = asking.form("DELETE /relations/{kind}/{name}", "Give it up", _at(tie.holding))
    forms = {"leave": None if tie.relation == "owner" else form}
    return _relation(asking, tie, links, forms)


def terms_of(asked: Terms) -> rules.Terms:
    """Return the terms that a body names. Raises BadRequest."""
    window = None
    if asked.hours_from is not None or asked.hours_until is not None:
        window = rules.window(asked.hours_from, asked.hours_until, asked.days, asked.zone)
    return rules.Terms(
        asked.valid_from,
        asked.valid_until,
        asked.energy_per_charge_wh,
        asked.energy_total_wh,
        asked.charges,
        window,
    )


def terms_out(terms: rules.Terms) -> dict[str, object]:
    """Return terms as JSON has them."""
    shown = msgspec.structs.asdict(terms)
    window: rules.Window | None = shown.pop("window")
    if window is None:
        return shown
    hours = {"hours_from": window.begins, "hours_until": window.ends, "days": list(window.days), "zone": window.zone}
    return {**shown, **hours}


def _person(asking: AppContext, tie: Tie) -> dict[str, object]:
    at = {**_at(tie.holding), "subject": tie.subject}
    standing = asking.about.standing
    has_say = tie.relation != "owner" and may_give(asking.tie.relation, tie.relation)
    forms = {
        "terms": asking.form(f"PUT {_PERSON}/terms", "Set other terms", at, body=TermsAsked, relation=standing),
        "remove": asking.form(f"DELETE {_PERSON}", "Take the relation away", at, relation=standing),
    }
    return _relation(asking, tie, {}, forms if has_say else {})


def _relation(
    asking: AppContext, tie: Tie, links: Mapping[str, Link | None], forms: Mapping[str, Template | None]
) -> dict[str, object]:
    return {
        **terms_out(tie.terms),
        "subject": tie.subject,
        "holding": tie.holding._asdict(),
        "relation": tie.relation,
        "granted_by": tie.granted_by,
        "granted_at": tie.granted_at,
        "in_force": tie.in_force(asking.services.clock()),
        "links": present(links),
        "templates": present(forms),
    }


def _offer(asking: AppContext, made: Made) -> dict[str, object]:
    offer = made.offer
    at = {**_at(offer.holding), "offer_id": offer.id}
    path = "DELETE /holdings/{kind}/{name}/invitations/{offer_id}"
    withdraw = asking.form(path, "Take it back", at, relation=asking.about.standing)
    has_say = not offer.claim and may_give(asking.tie.relation, offer.relation)
    return {**offered(offer), "code": made.code, "templates": present({"withdraw": withdraw if has_say else None})}


def offered(offer: Offer) -> dict[str, object]:
    """Return an offer as JSON has it, without links and forms."""
    return {
        **terms_out(offer.terms),
        "id": offer.id,
        "holding": offer.holding._asdict(),
        "relation": offer.relation,
        "offered_by": offer.offered_by,
        "offered_at": offer.offered_at,
        "expires_at": offer.expires_at,
        "subject": offer.subject,
        "links": {},
    }


def _events(asking: AppContext, holding: Holding) -> Link | None:
    return asking.events(**{holding.kind: holding.name})


def _at(holding: Holding) -> dict[str, object]:
    return {"kind": holding.kind, "name": holding.name}
