"""The work of delivering webhooks: which deliveries there are, and who serves which endpoint until when.

A worker claims whole subscriptions, so that an endpoint hears from one at a time and its events in order; a claim that
is not given back is over at its time. Must not know: HTTP, when a delivery is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    case,
    column,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.errors import CloudBayError
from cluster.bus.journal import WEBHOOKS
from cluster.store.engine import reachable
from cluster.store.journal import move, news, number, place
from cluster.store.matching import MATCHES, PRIVATE_STATIONS, as_columns
from cluster.store.tables.ways_out import journal
from cluster.store.tables.ways_out import webhook_deliveries as deliveries
from cluster.store.tables.ways_out import webhook_subscriptions as subscriptions
from cluster.store.webhooks import (
    DELIVERY_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    made_delivery,
    made_subscription,
    secret_context,
)
from cluster.webhooks.model import Claim, Delivery, Health, Settled
from cluster.webhooks.ports import SecretBox, Sight

log = logging.getLogger(__name__)

MAX_TIDIED: Final = 1_000
"""Rows of a kind that one call changes."""
GRACE: Final = timedelta(minutes=10)
"""How long after its time a delivery may still get its last attempt."""

Found = dict[str, list[Delivery]]
"""Deliveries that are due, by subscription."""

_EVENT: Final = ("event_id", "kind", "station_id", "at", "data")
_CLAIMED: Final = [
    *SUBSCRIPTION_COLUMNS,
    subscriptions.c.failures,
    subscriptions.c.rest_until,
    subscriptions.c.secret,
    subscriptions.c.previous_secret,
]


class PostgresDeliveryQueue:
    """DeliveryQueue of cluster/webhooks/ports.py."""

    def __init__(self, engine: AsyncEngine, box: SecretBox, sight: Sight) -> None:
        self._engine = engine
        self._box = box
        self._sight = sight

    async def expand(self, now: datetime, expires_at: datetime, limit: int) -> int:
        """Turn the next events into deliveries, in the transaction that moves the reader's place."""
        if not await news(self._engine, WEBHOOKS):
            return 0
        await number(self._engine)
        async with place(self._engine, WEBHOOKS) as held:
            if held is None:
                return 0
            connection, position = held
            count, last = await _next(connection, position, limit)
            if count:
                wanted = await self._wanted(connection, position, last)
                if wanted:
                    await _insert(connection, wanted, now, expires_at)
                await move(connection, WEBHOOKS, last)
            return count

    async def claim(self, worker: str, now: datetime, until: datetime, endpoints: int, each: int) -> list[Claim]:
        """Take subscriptions with deliveries that are due, the one first that was served the longest ago."""
        due = (deliveries.c.subscription_id == subscriptions.c.id) & _due(now)
        free = or_(subscriptions.c.claimed_until.is_(None), subscriptions.c.claimed_until <= now)
        awake = or_(subscriptions.c.rest_until.is_(None), subscriptions.c.rest_until <= now)
        chosen = select(subscriptions.c.id).where(
            subscriptions.c.state == "active", free, awake, select(deliveries.c.id).where(due).exists()
        )
        chosen = chosen.order_by(subscriptions.c.claimed_until.nulls_first()).limit(endpoints)
        chosen = chosen.with_for_update(skip_locked=True, key_share=True, of=subscriptions)
        taken = update(subscriptions).where(subscriptions.c.id.in_(chosen))
        taken = taken.values(claimed_by=worker, claimed_until=until).returning(*_CLAIMED)
        async with reachable(), self._engine.begin() as connection:
            rows = (await connection.execute(taken)).all()
            found = await _oldest_due(connection, [row.id for row in rows], now, each) if rows else {}
        claims = (self._claim(worker, now, until, row, found.get(row.id, [])) for row in rows)
        return [claim for claim in claims if claim is not None]

    async def settle(self, settled: Settled) -> None:
        """Store the outcome of an attempt, unless the delivery has begun anew or another worker was faster."""
        this = and_(
            deliveries.c.id == int(settled.delivery_id),
            deliveries.c.attempts == settled.attempts,
            deliveries.c.state == "waiting",
        )
        values: dict[str, object] = {
            "error": settled.answer.error,
            "state": settled.verdict.state,
        }
        if settled.tried_at is not None:
            values |= {
                "attempts": settled.attempts + 1,
                "tried_at": settled.tried_at,
                "status": settled.answer.status,
            }
        if settled.verdict.next_at is not None:
            values["next_at"] = settled.verdict.next_at
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(update(deliveries).where(this).values(values))

    async def finish(self, claim: Claim, health: Health, now: datetime) -> None:
        """Give a claim back; a user's change meanwhile makes what was learned of the endpoint void."""
        mine = and_(
            subscriptions.c.id == claim.subscription.id,
            subscriptions.c.claimed_by == claim.worker,
            subscriptions.c.claimed_until == claim.until,
        )
        learned: dict[str, object] = {
            "failures": health.failures,
            "failing_since": health.failing_since,
            "rest_until": health.rest_until,
        }
        if health.pause is not None:
            learned |= {"state": "paused", "paused_because": health.pause}
        same = subscriptions.c.version == claim.subscription.version
        values = {
            name: case((same, literal(value, subscriptions.c[name].type)), else_=subscriptions.c[name])
            for name, value in learned.items()
        }
        statement = update(subscriptions).where(mine).values(claimed_by=None, claimed_until=now, **values)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(statement)

    async def tidy(self, now: datetime, delivered_before: datetime, dead_before: datetime) -> int:
        """Give up what is long over its time and forget what is old."""
        given_up = select(deliveries.c.id).where(deliveries.c.state == "waiting", deliveries.c.expires_at < now - GRACE)
        old = or_(
            and_(deliveries.c.state == "delivered", deliveries.c.created_at < delivered_before),
            and_(deliveries.c.state == "dead", deliveries.c.created_at < dead_before),
        )
        forgotten = select(deliveries.c.id).where(old)
        dead = {"state": "dead", "error": func.coalesce(deliveries.c.error, "not tried in its time")}
        async with reachable(), self._engine.begin() as connection:
            first = await connection.execute(update(deliveries).where(_some(given_up)).values(dead))
            second = await connection.execute(delete(deliveries).where(_some(forgotten)))
            return first.rowcount + second.rowcount

    async def _wanted(self, connection: AsyncConnection, after: int, last: int) -> list[tuple[str, int]]:
        """Return which subscription gets which event, after asking whose events its owner may see."""
        batch = {"after": after, "last": last}
        station_ids = list(await connection.scalars(PRIVATE_STATIONS, batch))
        seen = await self._sight.watchers(station_ids) if station_ids else {}
        rows = (await connection.execute(MATCHES, batch | as_columns(seen))).all()
        staff = {row.owner for row in rows if row.whole_fleet}
        gone = await self._sight.dismissed(staff) if staff else ()
        return [
            (row.id, row.position)
            for row in rows
            if (row.owner not in gone if row.whole_fleet else self._sight.tells(row.kind))
        ]

    def _claim(self, worker: str, now: datetime, until: datetime, row: Row[Any], found: list[Delivery]) -> Claim | None:
        subscription = made_subscription(row)
        sealed = [row.secret]
        if row.previous_secret is not None and row.rotating_until is not None and now < row.rotating_until:
            sealed.append(row.previous_secret)
        try:
            keys = tuple(self._box.open(secret, secret_context(subscription.id)) for secret in sealed)
        except CloudBayError as error:  # the others are served; this one waits until its claim is over
            log.error("webhook secret unreadable", extra={"subscription_id": subscription.id, "reason": str(error)})  # noqa: TRY400
            return None
        health = Health(row.failures, row.failing_since, row.rest_until)
        return Claim(worker, until, subscription, health, keys, tuple(found))


async def _next(connection: AsyncConnection, after: int, limit: int) -> tuple[int, int]:
    """Return how many events come next, and the position of the last of them."""
    ahead = select(journal.c.position).where(journal.c.position > after).order_by(journal.c.position).limit(limit)
    found = ahead.subquery()
    row = (await connection.execute(select(func.count(), func.max(found.c.position)))).one()
    return int(row[0]), int(row[1] or after)


async def _insert(
    connection: AsyncConnection, wanted: Sequence[tuple[str, int]], now: datetime, expires_at: datetime
) -> None:
    """Make deliveries; a subscription that is removed at this moment gets none, a repeated event makes no second."""
    pairs = (
        func.unnest(
            literal([subscription_id for subscription_id, _ in wanted], ARRAY(Text)),
            literal([position for _, position in wanted], ARRAY(BigInteger)),
        )
        .table_valued(column("subscription_id", Text), column("position", BigInteger))
        .render_derived("pairs")
    )
    source = select(
        pairs.c.subscription_id,
        *(journal.c[name] for name in _EVENT),
        literal(now, deliveries.c.created_at.type),
        literal("waiting"),
        literal(now, deliveries.c.next_at.type),
        literal(expires_at, deliveries.c.expires_at.type),
    )
    source = source.join_from(pairs, journal, journal.c.position == pairs.c.position)
    source = source.join(subscriptions, subscriptions.c.id == pairs.c.subscription_id)
    source = source.order_by(journal.c.position).with_for_update(read=True, key_share=True, of=subscriptions)
    columns = ["subscription_id", *_EVENT, "created_at", "state", "next_at", "expires_at"]
    await connection.execute(insert(deliveries).from_select(columns, source).on_conflict_do_nothing())


async def _oldest_due(connection: AsyncConnection, subscription_ids: Sequence[str], now: datetime, each: int) -> Found:
    """Return, for each subscription, the deliveries that have been due the longest."""
    chosen = select(subscriptions.c.id).where(subscriptions.c.id.in_(subscription_ids)).subquery()
    oldest = (
        select(*DELIVERY_COLUMNS)
        .where(deliveries.c.subscription_id == chosen.c.id, _due(now))
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(each)
        .lateral("oldest")
    )
    found: Found = {}
    for row in await connection.execute(select(oldest).select_from(chosen.join(oldest, true()))):
        delivery = made_delivery(row)
        found.setdefault(delivery.subscription_id, []).append(delivery)
    for some in found.values():
        some.sort(key=lambda delivery: int(delivery.id))
    return found


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(deliveries.c.state == "waiting", deliveries.c.next_at <= now)


def _some(query: Select[Any]) -> ColumnElement[bool]:
    """Choose a bounded number of the rows that nobody works on."""
    return deliveries.c.id.in_(query.limit(MAX_TIDIED).with_for_update(skip_locked=True))
