"""Clients of the embedded issuer: applications that people log in with, machines that log in themselves."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Body, Response

from cluster.identity.clients import Client, Clients, NewClient
from serve.admin.identity_wire import ApplicationAsked, ClientItemOut, ClientOut, MachineAsked, NewClientOut
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/clients", "machines")

_ONE = "GET /clients/{client_id}"
_REGISTER = "POST /clients"
_SETS = ("redirect_uris", "logout_uris", "scopes", "grant_types", "roles")


@router.get("", response_model=ListOf[ClientItemOut])
async def list_clients(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List clients by id."""
    page = await asking.services.identity.clients.page(cursor, limit)
    forms = {
        "register-application": asking.form(
            _REGISTER, "Register an application", body=ApplicationAsked, values={"kind": "application"}
        ),
        "register-machine": asking.form(_REGISTER, "Register a machine", body=MachineAsked, values={"kind": "machine"}),
    }
    return listed(asking, "cb:client", page, lambda client: _item(asking, client), forms)


@router.post("", status_code=201, response_model=NewClientOut, dependencies=[Once])
async def register_client(
    asked: Annotated[ApplicationAsked | MachineAsked, Body(discriminator="kind")], asking: Asking, response: Response
) -> dict[str, object]:
    """Register a client; a machine's secret is shown this once and not kept."""
    made = await _registered(asking.services.identity.clients, asked)
    response.headers["Location"] = asking.href("/clients/{client_id}", {"client_id": made.client.id})
    return _with_secret(asking, made, response)


@router.get("/{client_id}", response_model=ClientOut)
async def get_client(client_id: str, asking: Asking) -> dict[str, object]:
    """Return one client without its secret."""
    return _shown(asking, await asking.services.identity.clients.find(client_id))


@router.post("/{client_id}/secret", response_model=NewClientOut, dependencies=[Once])
async def rotate_client_secret(client_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Replace a machine's secret at once; the new one is shown this once and not kept."""
    return _with_secret(asking, await asking.services.identity.clients.rotate_secret(client_id), response)


@router.delete("/{client_id}", status_code=204)
async def remove_client(client_id: str, asking: Asking) -> None:
    """Forget a client and all that people have granted it; the access tokens it has run out within minutes."""
    await asking.services.identity.clients.remove(client_id)


async def _registered(clients: Clients, asked: ApplicationAsked | MachineAsked) -> NewClient:
    if isinstance(asked, MachineAsked):
        return await clients.register_machine(asked.id, asked.name, frozenset(asked.scopes), frozenset(asked.roles))
    redirects, logouts = frozenset(asked.redirect_uris), frozenset(asked.logout_uris)
    return await clients.register_application(asked.id, asked.name, redirects, logouts)


def _plain(client: Client) -> dict[str, object]:
    shown = msgspec.structs.asdict(client)
    del shown["secret"]
    sets = {name: sorted(getattr(client, name)) for name in _SETS}
    return {**shown, **sets, "public": client.secret is None}


def _item(asking: Context, client: Client) -> dict[str, object]:
    return {**_plain(client), "links": present({"self": asking.link(_ONE, {"client_id": client.id})})}


def _shown(asking: Context, client: Client) -> dict[str, object]:
    at = {"client_id": client.id}
    links = {"self": asking.link(_ONE, at), "up": asking.link("GET /clients")}
    rotate = asking.form("POST /clients/{client_id}/secret", "Replace the secret", at)
    forms = {
        "rotate-secret": None if client.secret is None else rotate,
        "remove": asking.form("DELETE /clients/{client_id}", "Forget the client", at),
    }
    return {
        **_plain(client),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present(forms),
    }


def _with_secret(asking: Context, made: NewClient, response: Response) -> dict[str, object]:
    response.headers["Cache-Control"] = NO_STORE
    return {**_shown(asking, made.client), "secret": made.secret}
