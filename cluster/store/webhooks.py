"""Webhook subscriptions and the log of their deliveries, as those who make them see them.

Must not know: who asks, and may they; how deliveries are sent (deliveries.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Table, and_, delete, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import BadRequest, Changed, Conflict, NotFound
from cluster.bus.outbox import WaitingEvent
from cluster.store.engine import blames_content, reachable
from cluster.store.journal import event_columns
from cluster.store.paging import Order
from cluster.store.reader import Reader
from cluster.store.tables.ways_out import webhook_deliveries as deliveries
from cluster.store.tables.ways_out import webhook_subscriptions as subscriptions
from cluster.store.views import Page
from cluster.webhooks.model import MOST_COUNTED, Backlog, Delivery, DeliveryState, Filter, Subscription
from cluster.webhooks.ports import SecretBox

_LOCK: Final = 0x686F6F6B73  # "hooks": those of one owner are counted one by one
_ORDER: Final = Order([subscriptions.c.created_at, subscriptions.c.id], (datetime, str), descending=True)
_DELIVERY_ORDER: Final = Order([deliveries.c.id], (int,), descending=True)
_FILTER: Final = ("kinds", "station_ids", "site_ids")
_PLAIN: Final = tuple(name for name in Subscription.__struct_fields__ if name != "wants")
SUBSCRIPTION_COLUMNS: Final = [subscriptions.c[name] for name in (*_PLAIN, *_FILTER)]
DELIVERY_COLUMNS: Final = [
    *event_columns(deliveries.c),
    *(deliveries.c[name] for name in Delivery.__struct_fields__ if name != "event"),
]


def secret_context(subscription_id: str) -> str:
    """Name the place of a subscription's secrets, to which they are bound."""
    return f"webhook_subscriptions.secret/{subscription_id}"


class PostgresSubscriptions:
    """SubscriptionStore of cluster/webhooks/ports.py."""

    def __init__(self, engine: AsyncEngine, box: SecretBox) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._box = box

    async def add(self, subscription: Subscription, secret: bytes, most: int) -> None:
        """Keep a new one, in the place of an earlier one of its owner with its id. Raises Conflict, BadRequest."""
        sealed = self._box.seal(secret, secret_context(subscription.id))
        one_by_one = select(func.pg_advisory_xact_lock(func.hashtextextended(subscription.owner, _LOCK)))
        count = select(func.count()).where(subscriptions.c.owner == subscription.owner)
        async with _writing(self._engine) as connection:
            await connection.execute(one_by_one)
            await connection.execute(_of(delete(subscriptions), subscription.id, subscription.owner))
            if int(await connection.scalar(count) or 0) >= most:
                raise Conflict(f"there are {most} webhook subscriptions already; remove one first")
            await connection.execute(insert(subscriptions).values(secret=sealed, **_values(subscription)))

    async def find(self, subscription_id: str, owner: str | None) -> Subscription:
        """Return one. Raises NotFound."""
        row = await self._reader.one(_of(select(*SUBSCRIPTION_COLUMNS), subscription_id, owner))
        if row is None:
            raise _unknown()
        return made_subscription(row)

    async def page(self, owner: str | None, cursor: str | None, limit: int) -> Page[Subscription]:
        """List them, the newest first."""
        query = select(*SUBSCRIPTION_COLUMNS)
        if owner is not None:
            query = query.where(subscriptions.c.owner == owner)
        return await self._reader.page(query, _ORDER, cursor, limit, made_subscription)

    async def replace(self, changed: Subscription, expected_version: int, secret: bytes | None = None) -> None:
        """Store a change; a new secret moves the one that was to the second place."""
        values: dict[str, object] = {**_values(changed), "failures": 0, "failing_since": None, "rest_until": None}
        if secret is not None:
            values["previous_secret"] = subscriptions.c.secret
            values["secret"] = self._box.seal(secret, secret_context(changed.id))
        this = subscriptions.c.id == changed.id
        statement = update(subscriptions).where(this, subscriptions.c.version == expected_version).values(values)
        async with _writing(self._engine) as connection:
            if (await connection.execute(statement)).rowcount == 0:
                if await connection.scalar(select(subscriptions.c.id).where(this)) is None:
                    raise _unknown()
                raise Changed("the webhook subscription has been changed meanwhile; read it again")

    async def remove(self, subscription_id: str, owner: str | None) -> None:
        """Forget one with all its deliveries."""
        statement = _of(delete(subscriptions), subscription_id, owner)
        async with _writing(self._engine) as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise _unknown()


class PostgresDeliveryLog:
    """DeliveryLog of cluster/webhooks/ports.py."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)

    async def page(
        self, subscription_id: str, state: DeliveryState | None, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """List deliveries, the newest first."""
        query = select(*DELIVERY_COLUMNS).where(deliveries.c.subscription_id == subscription_id)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        return await self._reader.page(query, _DELIVERY_ORDER, cursor, limit, made_delivery)

    async def find(self, subscription_id: str, delivery_id: str) -> Delivery:
        """Return one. Raises NotFound."""
        row = await self._reader.one(select(*DELIVERY_COLUMNS).where(_this(subscription_id, delivery_id)))
        if row is None:
            raise NotFound("there is no such delivery")
        return made_delivery(row)

    async def replay(self, subscription_id: str, delivery_id: str, now: datetime, expires_at: datetime) -> Delivery:
        """Let one begin anew."""
        statement = _begun_anew(_this(subscription_id, delivery_id), now, expires_at).returning(*DELIVERY_COLUMNS)
        async with reachable(), self._engine.begin() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise NotFound("there is no such delivery")
        return made_delivery(row)

    async def replay_range(
        self,
        subscription_id: str,
        states: Collection[DeliveryState],
        since: datetime,
        before: datetime,
        now: datetime,
        expires_at: datetime,
        most: int,
    ) -> int:
        """Let those of a time begin anew, the oldest first."""
        meant = select(deliveries.c.id).where(
            deliveries.c.subscription_id == subscription_id,
            deliveries.c.state.in_(states),
            deliveries.c.at >= since,
            deliveries.c.at < before,
        )
        meant = meant.order_by(deliveries.c.id).limit(most).with_for_update()
        async with reachable(), self._engine.begin() as connection:
            return (await connection.execute(_begun_anew(deliveries.c.id.in_(meant), now, expires_at))).rowcount

    async def backlog(self) -> Backlog:
        """Count what is not delivered, with one look that reads a bounded number of rows."""
        waiting = deliveries.c.state == "waiting"
        queries: dict[str, Any] = {
            "webhook_deliveries_waiting": _counted(deliveries, waiting),
            "webhook_deliveries_retried": _counted(deliveries, and_(waiting, deliveries.c.attempts > 0)),
            "webhook_deliveries_dead": _counted(deliveries, deliveries.c.state == "dead"),
            "webhook_subscriptions_paused": _counted(subscriptions, subscriptions.c.state == "paused"),
        }
        (row,) = await self._reader.all(select(*(query.label(name) for name, query in queries.items())))
        return Backlog(**row._mapping)


def _counted(table: Table, which: ColumnElement[bool]) -> ColumnElement[int]:
    some = select(literal(1)).select_from(table).where(which).limit(MOST_COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def made_subscription(row: Row[Any]) -> Subscription:
    """Return a row of SUBSCRIPTION_COLUMNS as a value."""
    found = row._mapping
    wants = Filter(*(tuple(found[name]) for name in _FILTER))
    return Subscription(wants=wants, **{name: found[name] for name in _PLAIN})


def made_delivery(row: Row[Any]) -> Delivery:
    """Return a row that begins with DELIVERY_COLUMNS as a value."""
    found = row._mapping
    event = WaitingEvent(*(found[name] for name in WaitingEvent.__struct_fields__))
    others = {name: found[name] for name in Delivery.__struct_fields__ if name not in ("id", "event")}
    return Delivery(id=str(found["id"]), event=event, **others)


def _values(subscription: Subscription) -> dict[str, object]:
    wants = {name: list(getattr(subscription.wants, name)) for name in _FILTER}
    return {**{name: getattr(subscription, name) for name in _PLAIN}, **wants}


def _of(statement: Any, subscription_id: str, owner: str | None) -> Any:
    statement = statement.where(subscriptions.c.id == subscription_id)
    return statement if owner is None else statement.where(subscriptions.c.owner == owner)


def _this(subscription_id: str, delivery_id: str) -> ColumnElement[bool]:
    if not (delivery_id.isascii() and delivery_id.isdigit() and len(delivery_id) < 19):
        raise NotFound("there is no such delivery")
    return (deliveries.c.id == int(delivery_id)) & (deliveries.c.subscription_id == subscription_id)


def _begun_anew(which: ColumnElement[bool], now: datetime, expires_at: datetime) -> Any:
    fresh = {"state": "waiting", "attempts": 0, "next_at": now, "expires_at": expires_at, "error": null()}
    return update(deliveries).where(which).values(fresh)


def _unknown() -> NotFound:
    return NotFound("there is no such webhook subscription")


@asynccontextmanager
async def _writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with reachable(), engine.begin() as connection:
            yield connection
    except Exception as error:
        if blames_content(error):
            raise BadRequest("the webhook subscription holds a value that cannot be stored") from error
        raise
