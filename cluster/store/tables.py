"""The tables of the system of record, and why each index is there.

Rows that are written again and again (stations, transactions) keep free space on their pages (fillfactor) and have no
index on a column that changes with every write, so that PostgreSQL updates them in place (HOT) and indexes do not grow;
but for `stations_last_seen_at`: a list in that order is asked for, and a station is written every few minutes at most.
There are no foreign keys from what stations report: the writer is fenced, and a check per row would be paid on the hot
path.
What a person can be known by, secrets, and messages as they came are sealed: their columns hold envelopes of
cluster/vault. What is looked up by such a value is a keyed hash of it (token_key, start_key).
Must not know: who reads or writes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)

_Time = DateTime(timezone=True)

NEVER: Final = "'1970-01-01 00:00:00+00'::timestamptz"
"""What a list takes for the last sight of a station that was never seen."""

SEALED = {"sealed": True}
"""Marks a column of envelopes: `info=SEALED`. The context is its place, "table.column" and the row's primary key; then
a rotation of keys finds it (sealed.py)."""

stations = Table(
    "stations",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("vendor_name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("serial_number", Text),
    Column("firmware_version", Text),
    Column("ocpp_version", Text),
    Column("registration", Text),
    Column("admission", Text),
    Column("validation", Text),
    Column("password_digest", Text),
    Column("site_id", Text),
    Column("boot_reason", Text),
    Column("booted_at", _Time),
    Column("conn_epoch", BigInteger, nullable=False),
    Column("gateway_id", Text),
    Column("connected_at", _Time),
    Column("disconnected_at", _Time),
    Column("last_seen_at", _Time),
    Column("next_transaction_id", BigInteger, nullable=False),
    Column("connectors", JSONB, nullable=False),
    Column("violations", JSONB, nullable=False),
    postgresql_with={"fillfactor": 60},
)
# Lists and counts who is connected; finds the stations of a gateway that is gone.
Index(
    "stations_gateway_id",
    stations.c.gateway_id,
    stations.c.station_id,
    postgresql_where=stations.c.gateway_id.is_not(None),
)
# Lists of stations by what they are sorted by; few are away, or not accepted.
Index("stations_last_seen_at", func.coalesce(stations.c.last_seen_at, text(NEVER)), stations.c.station_id)
Index("stations_model", stations.c.model, stations.c.station_id)
Index("stations_away", stations.c.station_id, postgresql_where=stations.c.gateway_id.is_(None))
Index(
    "stations_not_accepted",
    stations.c.registration,
    stations.c.station_id,
    postgresql_where=text("registration <> 'Accepted'"),
)
# The stations of a site.
Index("stations_site_id", stations.c.site_id, postgresql_where=stations.c.site_id.is_not(None))

transactions = Table(
    "transactions",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("station_id", Text, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("start_key", LargeBinary),
    Column("created_at", _Time, nullable=False),
    Column("began_at", _Time, nullable=False),  # started_at if believable, else created_at: the order of lists
    Column("evse_id", Integer),
    Column("connector_id", Integer),
    Column("holder", LargeBinary, info=SEALED),  # who charges
    Column("token_key", LargeBinary),
    Column("started_at", _Time),
    Column("ended_at", _Time),
    Column("energy_wh", Double, nullable=False),
    Column("charging_state", Text),
    Column("stopped_reason", Text),
    Column("complete", Boolean, nullable=False),
    Column("updated_at", _Time, nullable=False, server_default=func.now()),
    Column("state", JSON, nullable=False),  # the ChargingTransaction without its holder
    UniqueConstraint("station_id", "transaction_id"),
    postgresql_with={"fillfactor": 50},
)
# A repeated 1.6 StartTransaction.
Index(
    "transactions_start_key",
    transactions.c.station_id,
    transactions.c.start_key,
    postgresql_where=transactions.c.start_key.is_not(None),
)
# What a charger wakes up with.
Index(
    "transactions_open",
    transactions.c.station_id,
    transactions.c.created_at,
    postgresql_where=transactions.c.ended_at.is_(None),
)
# Lists and counts what charges now, anywhere.
Index(
    "transactions_open_began_at",
    transactions.c.began_at,
    transactions.c.id,
    postgresql_where=transactions.c.ended_at.is_(None),
)
# The charges of a person, newest first.
Index(
    "transactions_token_began_at",
    transactions.c.token_key,
    transactions.c.began_at,
    transactions.c.id,
    postgresql_where=transactions.c.token_key.is_not(None),
)
# What a token charges now.
Index("transactions_open_token", transactions.c.token_key, postgresql_where=transactions.c.ended_at.is_(None))
# Lists, newest first: all, and of one station.
Index("transactions_began_at", transactions.c.began_at, transactions.c.id)
Index("transactions_station_began_at", transactions.c.station_id, transactions.c.began_at, transactions.c.id)

transaction_events = Table(
    "transaction_events",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("event_key", Text, primary_key=True),
    Column("seq_no", BigInteger),
    Column("event_type", Text, nullable=False),
    Column("timestamp", _Time, nullable=False),
    Column("received_at", _Time, nullable=False),
    Column("offline", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
    Column("readings", LargeBinary, nullable=False),
    Column("answer", LargeBinary, info=SEALED),  # null for {}
)

station_readings = Table(
    "station_readings",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("at", _Time, primary_key=True),
    Column("evse_id", Integer, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("received_at", _Time, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
)

notices = Table(
    "notices",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("at", _Time, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("received_at", _Time, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
)

variables = Table(
    "variables",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("component", Text, primary_key=True),
    Column("component_instance", Text, primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("variable", Text, primary_key=True),
    Column("variable_instance", Text, primary_key=True),
    Column("attribute", Text, primary_key=True),
    Column("value", LargeBinary, info=SEALED),
    Column("mutability", Text, nullable=False),
    Column("reported_at", _Time, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("station_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
    Column("created_at", _Time, nullable=False),
    Column("deadline", _Time, nullable=False),
    Column("if_offline", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("sent_at", _Time),
    Column("finished_at", _Time),
    Column("response", LargeBinary, info=SEALED),
    Column("error", Text),
    Column("transaction", Text),
    Column("energy_limit_wh", Double),
)
# Lists of one station, newest first.
Index("commands_station_created_at", commands.c.station_id, commands.c.created_at, commands.c.id)
# What a charger wakes up with.
Index(
    "commands_unfinished",
    commands.c.station_id,
    commands.c.created_at,
    postgresql_where=commands.c.status.in_(["queued", "sent"]),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),  # by content, so that a repeated write is one event
    Column("kind", Text, nullable=False),
    Column("station_id", Text, nullable=False),
    Column("at", _Time, nullable=False),
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
    Column("at", _Time, nullable=False),
    Column("data", JSON, nullable=False),
)

# How far each reader has come, and who reads for it.
journal_readers = Table(
    "journal_readers",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    Column("holder", Text),
    Column("lease_until", _Time, nullable=False, server_default=func.now()),
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
    Column("rotating_until", _Time),
    Column("created_at", _Time, nullable=False),
    Column("updated_at", _Time, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("paused_because", Text),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", _Time),
    Column("rest_until", _Time),
    Column("claimed_by", Text),
    Column("claimed_until", _Time),
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
    Column("at", _Time, nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("tried_at", _Time),
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

id_tokens = Table(
    "id_tokens",
    metadata,
    Column("token_key", LargeBinary, primary_key=True),
    Column("id_token", LargeBinary, nullable=False, info=SEALED),
    Column("status", Text, nullable=False),
    Column("valid_until", _Time),
    Column("group_id", LargeBinary, info=SEALED),
    Column("master_pass", Boolean, nullable=False),
    Column("concurrent", Boolean, nullable=False),
    Column("created_at", _Time, nullable=False, server_default=func.now()),
)

# Partitions are made ahead and dropped by frame_log.py; each is UNLOGGED, which the parent cannot be (PostgreSQL 18).
ocpp_frames = Table(
    "ocpp_frames",
    metadata,
    Column("station_id", Text, nullable=False),
    Column("at", _Time, nullable=False),
    Column("seq", BigInteger, nullable=False),  # the writer's count: order within one moment
    Column("holds", SmallInteger, nullable=False),  # 1: a frame that was received, 2: one that was sent, 3: both
    Column("exchange", LargeBinary, nullable=False),  # sealed; a rotation leaves it to its retention
    Index("ocpp_frames_station_at", "station_id", "at", "seq"),
    postgresql_partition_by="RANGE (at)",
)

hosts = Table(
    "hosts",
    metadata,
    Column("host_id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("started_at", _Time, nullable=False, server_default=func.now()),
    Column("lease_until", _Time, nullable=False, server_default=func.now()),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    Column("own_partition", Integer),  # of a host that is dedicated to one station
    Column("generation", Integer, nullable=False, server_default=text("0")),
)

# One row: a version that every change of hosts or partitions raises, how many hosts an operator wants, and the number
# of the last rolling restart; hosts and gateways keep the number that they were started with.
fleet = Table(
    "fleet",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("hosts_wanted", Integer),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("restart_id", Text),  # of the request that has raised the generation last
)

partitions = Table(
    "partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("owner", Text, ForeignKey(hosts.c.host_id)),
    Column("epoch", BigInteger, nullable=False, server_default=text("1")),
    Column("station_id", Text, unique=True),  # the only one in it; ordinary partitions are shared by a hash
)

# Who gets a host of its own: a station, or every station of a site.
placements = Table(
    "placements",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
)

gateways = Table(
    "gateways",
    metadata,
    Column("gateway_id", Text, primary_key=True),
    Column("started_at", _Time, nullable=False, server_default=func.now()),
    Column("node", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default=text("0")),
)

# Data keys of the vault, wrapped by a key that is not in the database.
data_keys = Table(
    "data_keys",
    metadata,
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    Column("purpose", Text, nullable=False),
    Column("wrapped_by", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("active_at", _Time, nullable=False),
    Column("retired_at", _Time),
)

# How far a rotation to a data key has come in each place.
rotations = Table(
    "rotations",
    metadata,
    Column("key_id", Integer, ForeignKey(data_keys.c.key_id), primary_key=True, autoincrement=False),
    Column("place", Text, primary_key=True),
    Column("cursor", Text),
    Column("rows", BigInteger, nullable=False),
    Column("resealed", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False),
)
# People: those who log in here (issuer `local`), and those of outside issuers since they were first seen.
users = Table(
    "users",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("login_key", LargeBinary, unique=True),  # keyed hash of the login name
    Column("login", LargeBinary, info=SEALED),
    Column("email", LargeBinary, info=SEALED),
    Column("name", LargeBinary, info=SEALED),
    Column("roles", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("last_login_at", _Time),
    Column("version", Integer, nullable=False),
    Column("password_hash", Text),  # argon2id
    Column("must_change_password", Boolean, nullable=False),
    Column("password_expires_at", _Time),  # of a one-time password
    UniqueConstraint("issuer", "subject"),
)
# Lists, the first known first.
Index("users_created_at", users.c.created_at, users.c.id)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("user_id", Uuid(as_uuid=False), ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("secret", LargeBinary, nullable=False, unique=True),  # digest of the cookie
    Column("began_at", _Time, nullable=False),
    Column("authenticated_at", _Time, nullable=False),
    Column("seen_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("ended_at", _Time),
    Column("address", LargeBinary, info=SEALED),
    Column("user_agent", LargeBinary, info=SEALED),
)
# Lists of one person, newest first.
Index("sessions_user_began_at", sessions.c.user_id, sessions.c.began_at, sessions.c.id)
# What was ended lately.
Index("sessions_ended_at", sessions.c.ended_at, postgresql_where=sessions.c.ended_at.is_not(None))
# What may be forgotten.
Index("sessions_expires_at", sessions.c.expires_at)

clients = Table(
    "clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary),  # digest
    Column("redirect_uris", ARRAY(Text), nullable=False),
    Column("logout_uris", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("audiences", ARRAY(Text), nullable=False),
    Column("grant_types", ARRAY(Text), nullable=False),
    Column("roles", ARRAY(Text), nullable=False),  # of a machine
    Column("created_at", _Time, nullable=False),
)

# What a person lets a client do in a session; its secrets are the code and the refresh tokens, each good once.
grants = Table(
    "grants",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("client_id", Text, ForeignKey(clients.c.id, ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid(as_uuid=False), ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("session_id", Uuid(as_uuid=False), ForeignKey(sessions.c.id, ondelete="CASCADE"), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("audiences", ARRAY(Text), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("nonce", Text),
    Column("authenticated_at", _Time, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("revoked_at", _Time),
)
# Rows that go with a session, a person or a client.
Index("grants_session_id", grants.c.session_id)
Index("grants_user_id", grants.c.user_id)
Index("grants_client_id", grants.c.client_id)
# What was revoked lately.
Index("grants_revoked_at", grants.c.revoked_at, postgresql_where=grants.c.revoked_at.is_not(None))

grant_secrets = Table(
    "grant_secrets",
    metadata,
    Column("secret", LargeBinary, primary_key=True),  # digest
    Column("grant_id", Uuid(as_uuid=False), ForeignKey(grants.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("used_at", _Time),
)
# Rows that go with a grant.
Index("grant_secrets_grant_id", grant_secrets.c.grant_id)
# What may be forgotten.
Index("grant_secrets_expires_at", grant_secrets.c.expires_at)

machine_keys = Table(
    "machine_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # digest
    Column("roles", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("last_used_at", _Time),
    Column("revoked_at", _Time),
)
# Lists, newest first.
Index("machine_keys_created_at", machine_keys.c.created_at, machine_keys.c.id)

# Counts of login attempts while Valkey is away; names are keyed hashes.
attempts = Table(
    "attempts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Double, nullable=False),
    Column("at", _Time, nullable=False),
    Column("closed_until", _Time, nullable=False),
)
# What may be forgotten.
Index("attempts_at", attempts.c.at)
# A chain of hashes that only grows; triggers of migration 0007 refuse every other change.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),  # a repeat after a lost acknowledgement is known by it
    Column("at", _Time, nullable=False),
    Column("subject", Text),
    Column("issuer", Text),
    Column("roles", JSONB, nullable=False),
    Column("session_id", Text),
    Column("action", Text, nullable=False),
    Column("target_kind", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("address", Text),
    Column("user_agent", Text),
    Column("request_id", Text),
    Column("status", Integer, nullable=False),
    Column("problem", Text),
    Column("details", JSONB, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
# Lists, the newest first: of all, of one person, of one thing.
Index("audit_entries_at", audit_entries.c.at, audit_entries.c.seq)
Index("audit_entries_subject_at", audit_entries.c.subject, audit_entries.c.at, audit_entries.c.seq)
Index(
    "audit_entries_target_at",
    audit_entries.c.target_kind,
    audit_entries.c.target_id,
    audit_entries.c.at,
    audit_entries.c.seq,
)

# One row: where the chain ends. Who appends holds its lock.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", JSON, nullable=False),  # as it came: what is done must be what was approved, to the digit
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", _Time),
    Column("remark", Text),
    Column("used_by", Text),
    Column("used_at", _Time),
    Column("version", Integer, nullable=False),
    CheckConstraint("decided_by <> requested_by", name="approvals_by_another"),
    CheckConstraint("state = 'open' OR decided_by IS NOT NULL", name="approvals_decided"),
    CheckConstraint("(state = 'used') = (used_at IS NOT NULL)", name="approvals_used_once"),
)
# Lists, the newest first.
Index("approvals_created_at", approvals.c.created_at, approvals.c.id)
# Requests that may be repeated: who has claimed a key, and the sealed answer for repeats.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("name", LargeBinary, primary_key=True),  # a keyed hash of caller and key
    Column("id", Uuid(as_uuid=False), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("locked_until", _Time, nullable=False),
    Column("kept_until", _Time, nullable=False),
    Column("answer", LargeBinary),
)
# What is purged.
Index("idempotency_keys_kept_until", idempotency_keys.c.kept_until)

# The people of stations and sites: a row with a version for each holding that has any, who has a relation to it, and
# who is offered one. `state` is the whole Tie or Offer; the other columns are what is looked for.
circles = Table(
    "circles",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

relations = Table(
    "relations",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("relation", Text, nullable=False),
    Column("valid_from", _Time),
    Column("valid_until", _Time),
    Column("state", JSON, nullable=False),
)
# What somebody has relations to.
Index("relations_subject", relations.c.subject, relations.c.kind, relations.c.name)
# A holding has one owner at most.
Index(
    "relations_owner", relations.c.kind, relations.c.name, unique=True, postgresql_where=relations.c.relation == "owner"
)

offers = Table(
    "offers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("subject", Text),
    Column("code_digest", Text, unique=True),
    Column("offered_at", _Time, nullable=False),
    Column("state", JSON, nullable=False),
)
# The offers at a holding.
Index("offers_holding", offers.c.kind, offers.c.name)
# What somebody is offered.
Index("offers_subject", offers.c.subject, offers.c.offered_at, postgresql_where=offers.c.subject.is_not(None))

# The id tokens that app users charge with. Without its row a charge is nobody's; a token that is forgotten among the id
# tokens is registered again from here.
drivers = Table(
    "drivers",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("token_key", LargeBinary, nullable=False, unique=True),  # keyed hash
    Column("id_token", LargeBinary, nullable=False, info=SEALED),
    Column("created_at", _Time, nullable=False, server_default=func.now()),
)
