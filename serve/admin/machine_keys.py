"""Keys of machines: who has one, what it may do, when it ends."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from fastapi import Response

from cluster.identity.machine_keys import MachineKey
from serve.admin.identity_wire import MachineKeyAsked, MachineKeyItemOut, MachineKeyOut, NewMachineKeyOut
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/machine-keys", "machines")

_ONE = "GET /machine-keys/{key_id}"


@router.get("", response_model=ListOf[MachineKeyItemOut])
async def list_machine_keys(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List keys, also those that have ended, the newest first."""
    page = await asking.services.identity.machine_keys.page(cursor, limit)
    forms = {"create": asking.form("POST /machine-keys", "Make a key", body=MachineKeyAsked)}
    return listed(asking, "cb:machine-key", page, lambda key: _item(asking, key), forms)


@router.post("", status_code=201, response_model=NewMachineKeyOut, dependencies=[Once])
async def make_machine_key(asked: MachineKeyAsked, asking: Asking, response: Response) -> dict[str, object]:
    """Make a key; it is shown this once and not kept."""
    made = await asking.services.identity.machine_keys.make(
        asking.caller, asked.name, frozenset(asked.roles), frozenset(asked.scopes), timedelta(days=asked.days)
    )
    response.headers["Location"] = asking.href("/machine-keys/{key_id}", {"key_id": made.key.id})
    response.headers["Cache-Control"] = NO_STORE
    return {**_shown(asking, made.key), "key": made.text}


@router.get("/{key_id}", response_model=MachineKeyOut)
async def get_machine_key(key_id: str, asking: Asking) -> dict[str, object]:
    """Return one key without its secret."""
    return _shown(asking, await asking.services.identity.machine_keys.find(key_id))


@router.delete("/{key_id}", status_code=204)
async def revoke_machine_key(key_id: str, asking: Asking) -> None:
    """End a key at once; it stays in the list."""
    await asking.services.identity.machine_keys.revoke(key_id)


def _plain(asking: Context, key: MachineKey) -> dict[str, object]:
    shown = msgspec.structs.asdict(key)
    del shown["secret"]
    sets = {"roles": sorted(key.roles), "scopes": sorted(key.scopes)}
    return {**shown, **sets, "state": key.state_at(asking.services.clock())}


def _item(asking: Context, key: MachineKey) -> dict[str, object]:
    return {**_plain(asking, key), "links": present({"self": asking.link(_ONE, {"key_id": key.id})})}


def _shown(asking: Context, key: MachineKey) -> dict[str, object]:
    at = {"key_id": key.id}
    links = {"self": asking.link(_ONE, at), "up": asking.link("GET /machine-keys")}
    revoke = asking.form("DELETE /machine-keys/{key_id}", "End the key", at)
    is_active = key.state_at(asking.services.clock()) == "active"
    return {
        **_plain(asking, key),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present({"revoke": revoke if is_active else None}),
    }
