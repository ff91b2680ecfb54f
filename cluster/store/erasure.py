"""The erasure of a person, inside one transaction.

Not touched are the audit log, where a person is a random id, approvals but for what was said of the person, and the
frame log, which forgets by itself and names nobody without `drivers`. Must not know: who asks, and may they.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, literal, or_, select, tuple_, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.errors import Conflict
from cluster.charging import START
from cluster.identity.circle import ERASED
from cluster.identity.relation import Holding
from cluster.personal_data import erasure_of, pseudonymised
from cluster.store.charges import START_WAIT
from cluster.store.circles import read_circle, write_circle
from cluster.store.holders import Holder, seal_holder, token_hash
from cluster.store.people import close_account, is_last_admin
from cluster.store.reader import is_uuid
from cluster.store.sealed import COMMAND_PAYLOAD, COMMAND_RESPONSE, DRIVER_TOKEN, EVENT_ANSWER, EVENT_PAYLOAD, words
from cluster.store.tables.chargers import commands, id_tokens, transaction_events, transactions
from cluster.store.tables.people import machine_keys
from cluster.store.tables.records import approvals
from cluster.store.tables.sharing import circles, drivers, offers, relations
from cluster.store.tables.ways_out import webhook_subscriptions
from cluster.vault.vault import Vault, place

_BATCH: Final = 500
_CHARGING: Final = "a charge or another command of theirs is under way; it must have ended before"
_LAST_ADMIN: Final = "this is the last admin; make another one first"


class _Names(NamedTuple):
    """A person as charges know them: the id token, its hash, and what takes its place."""

    id_token: str
    token_key: bytes
    pseudonym: str


async def hindrance(connection: AsyncConnection, subject: str, now: datetime) -> str | None:
    """Return why somebody cannot be erased now: whoever holds a running charge in memory would write the name again."""
    if is_uuid(subject) and await is_last_admin(connection, subject):
        return _LAST_ADMIN
    token = select(drivers.c.token_key).where(drivers.c.subject == subject).scalar_subquery()
    charging = select(transactions.c.id).where(transactions.c.token_key == token, transactions.c.ended_at.is_(None))
    begins = and_(
        commands.c.action == START,
        commands.c.status == "accepted",
        commands.c.transaction.is_(None),
        commands.c.created_at >= now - START_WAIT,
    )
    asked = select(commands.c.id).where(
        commands.c.requested_by == subject, or_(commands.c.status.in_(["queued", "sent"]), begins)
    )
    under_way = await connection.scalar(select(or_(charging.exists(), asked.exists())))
    return _CHARGING if under_way else None


async def erase(connection: AsyncConnection, vault: Vault, subject: str, pseudonym: str, now: datetime) -> None:
    """Erase somebody. Raises Conflict with the hindrance."""
    if (reason := await hindrance(connection, subject, now)) is not None:
        raise Conflict(reason)
    if is_uuid(subject):
        await close_account(connection, vault, subject, now)
    await _forget_in_circles(connection, subject, now)
    await _rename_charges(connection, vault, subject, pseudonym)
    await connection.execute(delete(webhook_subscriptions).where(webhook_subscriptions.c.owner == subject))
    keys = update(machine_keys).where(machine_keys.c.created_by == subject)
    await connection.execute(keys.values(created_by=ERASED))
    of_person = update(approvals).where(approvals.c.target == erasure_of(subject).target)
    await connection.execute(of_person.values(reason=ERASED, remark=None))


async def _forget_in_circles(connection: AsyncConnection, subject: str, now: datetime) -> None:
    """Forget somebody in every circle that names them, each locked until the end."""
    tied = or_(relations.c.subject == subject, relations.c.state["granted_by"].as_string() == subject)
    offered = or_(offers.c.subject == subject, offers.c.state["offered_by"].as_string() == subject)
    found = union(
        select(relations.c.kind, relations.c.name).where(tied), select(offers.c.kind, offers.c.name).where(offered)
    )
    holdings = sorted(Holding(row.kind, row.name) for row in await connection.execute(found))
    for holding in holdings:  # in one order, so that two erasures do not wait for each other
        here = (circles.c.kind == holding.kind) & (circles.c.name == holding.name)
        await connection.execute(select(circles.c.version).where(here).with_for_update())
        circle = await read_circle(connection, holding)
        circle.forget(subject, now)
        await write_circle(connection, circle)


async def _rename_charges(connection: AsyncConnection, vault: Vault, subject: str, pseudonym: str) -> None:
    """Put a pseudonym in the place of somebody's id token, in charges and in commands that they have given."""
    mine = select(drivers.c.token_key, drivers.c.id_token).where(drivers.c.subject == subject).with_for_update()
    row = (await connection.execute(mine)).first()
    id_token = "" if row is None else vault.open(row.id_token, place(DRIVER_TOKEN, subject)).decode()

    def renamed(message: bytes) -> bytes:
        return pseudonymised(message, id_token, pseudonym)

    asked = commands.c.requested_by == subject
    await _rewrite(connection, vault, _COMMANDS, asked, renamed, requested_by=pseudonym)
    if row is not None:
        await _rename_transactions(connection, vault, _Names(id_token, row.token_key, pseudonym), renamed)
        await connection.execute(delete(id_tokens).where(id_tokens.c.token_key == row.token_key))
        await connection.execute(delete(drivers).where(drivers.c.subject == subject))


async def _rename_transactions(
    connection: AsyncConnection, vault: Vault, names: _Names, renamed: Callable[[bytes], bytes]
) -> None:
    t = transactions.c
    theirs = select(t.id, t.station_id, t.transaction_id).where(t.token_key == names.token_key).limit(_BATCH)
    new_key = token_hash(vault, names.pseudonym)
    new: dict[str, Any] = {"holder": bindparam("sealed"), "token_key": new_key, "start_key": None}
    change = update(transactions).where(t.id == bindparam("row_id", type_=t.id.type)).values(new)
    holder = Holder(names.pseudonym, None)
    while rows := (await connection.execute(theirs)).all():
        sealed = [{"row_id": row.id, "sealed": seal_holder(vault, row.id, holder)} for row in rows]
        await connection.execute(change, sealed)
        for row in rows:
            which = (transaction_events.c.station_id == row.station_id) & (
                transaction_events.c.transaction_id == row.transaction_id
            )
            await _rewrite(connection, vault, _EVENTS, which, renamed)


class _Messages(NamedTuple):
    """A table of sealed messages: the names of its columns, by their places."""

    table: Table
    columns: dict[str, str]


_EVENTS: Final = _Messages(transaction_events, {EVENT_PAYLOAD: "payload", EVENT_ANSWER: "answer"})
_COMMANDS: Final = _Messages(commands, {COMMAND_PAYLOAD: "payload", COMMAND_RESPONSE: "response"})


async def _rewrite(
    connection: AsyncConnection,
    vault: Vault,
    messages: _Messages,
    which: ColumnElement[bool],
    rewritten: Callable[[bytes], bytes],
    **values: object,
) -> None:
    """Open messages, rewrite and seal them again, in the order of their keys; set `values` beside them."""
    table, key = messages.table, list(messages.table.primary_key)
    same = [column == bindparam(f"key_{number}", type_=column.type) for number, column in enumerate(key)]
    sealed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in messages.columns.values()}
    change = update(table).where(*same).values({**sealed, **values})
    query = select(*key, *(table.c[name] for name in sealed)).where(which).order_by(*key).limit(_BATCH)
    page = query
    while rows := (await connection.execute(page)).all():
        changes: list[dict[str, Any]] = []
        for row in rows:
            names = words(*row[: len(key)])
            made: dict[str, Any] = {f"key_{number}": part for number, part in enumerate(row[: len(key)])}
            for where, name in messages.columns.items():
                envelope, context = row._mapping[name], place(where, *names)
                made[f"new_{name}"] = envelope and vault.seal(rewritten(vault.open(envelope, context)), context)
            changes.append(made)
        await connection.execute(change, changes)
        last = [literal(part, column.type) for part, column in zip(rows[-1], key, strict=False)]
        page = query.where(tuple_(*key) > tuple_(*last))
