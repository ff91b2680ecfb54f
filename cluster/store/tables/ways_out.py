"""Business events on their way out: outbox, journal, webhooks.

Must not know: who reads or writes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from cluster.store.tables.base import Time, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),  # by content, so that a repeated write is one event
    Column("kind", Text, nullable=False),
    Column("station_id", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("data", JSON, nullable=False),
)

# What has left the outbox, in the order that all readers see; deleted when all have read it.
journal = Table(
    "journal",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("station_id", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("data", JSON, nullable=False),
)

# How far each reader has come, and who reads for it.
journal_readers = Table(
    "journal_readers",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    Column("holder", Text),
    Column("lease_until", Time, nullable=False, server_default=func.now()),
    postgresql_with={"fillfactor": 50},
)

webhook_subscriptions = Table(
    "webhook_subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("whole_fleet", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("kinds", ARRAY(Text), nullable=False),
    Column("station_ids", ARRAY(Text), nullable=False),
    Column("site_ids", ARRAY(Text), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("rotating_until", Time),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("paused_because", Text),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", Time),
    Column("rest_until", Time),
    Column("claimed_by", Text),
    Column("claimed_until", Time),
    postgresql_with={"fillfactor": 50},
)
# Lists, newest first, and counts of one owner.
Index(
    "webhook_subscriptions_owner",
    webhook_subscriptions.c.owner,
    webhook_subscriptions.c.created_at,
    webhook_subscriptions.c.id,
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", Text, ForeignKey(webhook_subscriptions.c.id, ondelete="CASCADE"), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("station_id", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("tried_at", Time),
    Column("status", Integer),
    Column("error", Text),
    UniqueConstraint("subscription_id", "event_id"),  # a repeated event is delivered once
    postgresql_with={"fillfactor": 80},
)
# What is due, the longest first.
Index(
    "webhook_deliveries_due",
    webhook_deliveries.c.subscription_id,
    webhook_deliveries.c.next_at,
    webhook_deliveries.c.id,
    postgresql_where=webhook_deliveries.c.state == "waiting",
)
# Lists of one subscription, newest first: all, and dead letters.
Index("webhook_deliveries_subscription", webhook_deliveries.c.subscription_id, webhook_deliveries.c.id)
Index(
    "webhook_deliveries_dead",
    webhook_deliveries.c.subscription_id,
    webhook_deliveries.c.id,
    postgresql_where=webhook_deliveries.c.state == "dead",
)
# What is over its time, and what is old.
Index(
    "webhook_deliveries_expires_at",
    webhook_deliveries.c.expires_at,
    postgresql_where=webhook_deliveries.c.state == "waiting",
)
Index(
    "webhook_deliveries_finished",
    webhook_deliveries.c.state,
    webhook_deliveries.c.created_at,
    postgresql_where=webhook_deliveries.c.state != "waiting",
)
