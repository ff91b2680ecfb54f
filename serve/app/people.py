"""The people of a station or site: who they are, who is invited, in which terms; and what the caller himself is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from fastapi import APIRouter, Response

from cluster.identity import relation as rules
from cluster.identity.circle import Offer
from cluster.identity.relation import Grant, Place, PlaceKind, may_give
from cluster.sharing import Made
from serve.access import Standing
from serve.app.asking import AppContext, Asking
from serve.app.wire import InvitationAsked, InvitationOut, RelationOut, Terms, TermsAsked
from serve.hal import Link, ListOf, Template, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed

router = APIRouter(tags=["people"])

_ALL = "GET /places/{kind}/{name}/people"
_PERSON = "/places/{kind}/{name}/people/{subject}"


@router.get("/places/{kind}/{name}/people", response_model=ListOf[RelationOut | InvitationOut])
async def list_people(kind: PlaceKind, name: str, asking: Asking) -> dict[str, object]:
    """List the people of a place (`cb:person`) and who is invited (`cb:invitation`)."""
    circle = await asking.services.sharing.circle(Place(kind, name))
    invite = asking.form(
        "POST /places/{kind}/{name}/people", "Share with somebody", _at(circle.place), body=InvitationAsked,
        relation=asking.about.standing,
    )  # fmt: skip
    return {
        "links": {"self": asking.here, "curies": asking.curies},
        "templates": present({"invite": invite}),
        "embedded": {
            "cb:person": [_person(asking, grant) for grant in circle.grants.values()],
            "cb:invitation": [_offer(asking, Made(offer, None)) for offer in circle.offers.values()],
        },
    }


@router.post("/places/{kind}/{name}/people", status_code=201, response_model=InvitationOut, dependencies=[Once])
async def invite(
    kind: PlaceKind, name: str, asked: InvitationAsked, asking: Asking, response: Response
) -> dict[str, object]:
    """Invite somebody by name, or make a code; owners may also make co-owners, and hand over what is theirs."""
    sharing, place, offer_id = asking.services.sharing, Place(kind, name), asking.id_of("offer")
    made = await sharing.invite(asking.caller, offer_id, place, asked.relation, asked.subject, terms_of(asked))
    if made.code is not None:
        response.headers["Cache-Control"] = NO_STORE
    return _offer(asking, made)


@router.put("/places/{kind}/{name}/people/{subject}/terms", response_model=RelationOut)
async def set_terms(kind: PlaceKind, name: str, subject: str, asked: TermsAsked, asking: Asking) -> dict[str, object]:
    """Replace the terms of somebody's relation."""
    sharing = asking.services.sharing
    return _person(asking, await sharing.change(asking.caller, Place(kind, name), subject, terms_of(asked)))


@router.delete("/places/{kind}/{name}/people/{subject}", status_code=204)
async def remove_person(kind: PlaceKind, name: str, subject: str, asking: Asking) -> None:
    """Take somebody's relation away; a running charge goes on and can be ended."""
    await asking.services.sharing.remove(asking.caller, Place(kind, name), subject)


@router.delete("/places/{kind}/{name}/invitations/{offer_id}", status_code=204)
async def withdraw_invitation(kind: PlaceKind, name: str, offer_id: str, asking: Asking) -> None:
    """Take an invitation back."""
    await asking.services.sharing.withdraw(asking.caller, Place(kind, name), offer_id)


@router.get("/relations", response_model=ListOf[RelationOut])
async def list_my_relations(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List what the caller is to stations and sites, in force or not."""
    page = await asking.services.charging.look.grants_of(asking.caller.subject, cursor, limit)
    return listed(asking, "cb:relation", page, lambda grant: mine(asking, grant))


@router.delete("/relations/{kind}/{name}", status_code=204)
async def leave(kind: PlaceKind, name: str, asking: Asking) -> None:
    """Give a relation up; an owner hands over instead."""
    await asking.services.sharing.leave(asking.caller, Place(kind, name))


def link(asking: AppContext, place: Place, relation: Standing) -> Link | None:
    """Return a link to the people of a place, None if the caller may not see them."""
    return asking.link(_ALL, _at(place), relation=relation)


def mine(asking: AppContext, grant: Grant) -> dict[str, object]:
    """Return a relation of the caller's own."""
    links: dict[str, Link | None] = {}
    if grant.in_force(asking.services.clock()):
        links["cb:people"] = link(asking, grant.place, grant.relation)
        if grant.place.kind == "station":
            at = {"station_id": grant.place.name}
            links["cb:station"] = asking.link("GET /stations/{station_id}", at, relation=grant.relation)
    form = asking.form("DELETE /relations/{kind}/{name}", "Give it up", _at(grant.place))
    forms = {"leave": None if grant.relation == "owner" else form}
    return _relation(asking, grant, links, forms)


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


def _person(asking: AppContext, grant: Grant) -> dict[str, object]:
    at = {**_at(grant.place), "subject": grant.subject}
    standing = asking.about.standing
    has_say = grant.relation != "owner" and may_give(asking.grant.relation, grant.relation)
    forms = {
        "terms": asking.form(f"PUT {_PERSON}/terms", "Set other terms", at, body=TermsAsked, relation=standing),
        "remove": asking.form(f"DELETE {_PERSON}", "Take the relation away", at, relation=standing),
    }
    return _relation(asking, grant, {}, forms if has_say else {})


def _relation(
    asking: AppContext, grant: Grant, links: Mapping[str, Link | None], forms: Mapping[str, Template | None]
) -> dict[str, object]:
    return {
        **terms_out(grant.terms),
        "subject": grant.subject,
        "place": grant.place._asdict(),
        "relation": grant.relation,
        "granted_by": grant.granted_by,
        "granted_at": grant.granted_at,
        "in_force": grant.in_force(asking.services.clock()),
        "links": present(links),
        "templates": present(forms),
    }


def _offer(asking: AppContext, made: Made) -> dict[str, object]:
    offer = made.offer
    at = {**_at(offer.place), "offer_id": offer.id}
    path = "DELETE /places/{kind}/{name}/invitations/{offer_id}"
    withdraw = asking.form(path, "Take it back", at, relation=asking.about.standing)
    has_say = not offer.claim and may_give(asking.grant.relation, offer.relation)
    return {**offered(offer), "code": made.code, "templates": present({"withdraw": withdraw if has_say else None})}


def offered(offer: Offer) -> dict[str, object]:
    """Return an offer as JSON has it, without links and forms."""
    return {
        **terms_out(offer.terms),
        "id": offer.id,
        "place": offer.place._asdict(),
        "relation": offer.relation,
        "offered_by": offer.offered_by,
        "offered_at": offer.offered_at,
        "expires_at": offer.expires_at,
        "subject": offer.subject,
        "links": {},
    }


def _at(place: Place) -> dict[str, object]:
    return {"kind": place.kind, "name": place.name}
