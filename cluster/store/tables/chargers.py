"""What chargers store: stations, transactions, readings, commands, id tokens and OCPP frames.

Rows that are written again and again (stations, transactions) keep free space on their pages (fillfactor) and have no
index on a column that changes with every write, so that PostgreSQL updates them in place (HOT) and indexes do not grow;
but for `stations_last_seen_at`: a list in that order is asked for, and a station is written every few minutes at most.
There are no foreign keys from what stations report: the writer is fenced, and a check per row would be paid on the hot
path. Must not know: who reads or writes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cluster.store.tables.base import SEALED, Time, metadata

NEVER: Final = "'1970-01-01 00:00:00+00'::timestamptz"
"""What a list takes for the last sight of a station that was never seen."""

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
    Column("booted_at", Time),
    Column("conn_epoch", BigInteger, nullable=False),
    Column("gateway_id", Text),
    Column("connected_at", Time),
    Column("disconnected_at", Time),
    Column("last_seen_at", Time),
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
    Column("created_at", Time, nullable=False),
    Column("began_at", Time, nullable=False),  # started_at if believable, else created_at: the order of lists
    Column("evse_id", Integer),
    Column("connector_id", Integer),
    Column("holder", LargeBinary, info=SEALED),  # who charges
    Column("token_key", LargeBinary),
    Column("started_at", Time),
    Column("ended_at", Time),
    Column("energy_wh", Double, nullable=False),
    Column("charging_state", Text),
    Column("stopped_reason", Text),
    Column("complete", Boolean, nullable=False),
    Column("updated_at", Time, nullable=False, server_default=func.now()),
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
    Column("timestamp", Time, nullable=False),
    Column("received_at", Time, nullable=False),
    Column("offline", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
    Column("readings", LargeBinary, nullable=False),
    Column("answer", LargeBinary, info=SEALED),  # null for {}
)

station_readings = Table(
    "station_readings",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("at", Time, primary_key=True),
    Column("evse_id", Integer, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("received_at", Time, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
)

notices = Table(
    "notices",
    metadata,
    Column("station_id", Text, primary_key=True),
    Column("at", Time, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("received_at", Time, nullable=False),
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
    Column("reported_at", Time, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("station_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False, info=SEALED),
    Column("created_at", Time, nullable=False),
    Column("deadline", Time, nullable=False),
    Column("if_offline", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("sent_at", Time),
    Column("finished_at", Time),
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

id_tokens = Table(
    "id_tokens",
    metadata,
    Column("token_key", LargeBinary, primary_key=True),
    Column("id_token", LargeBinary, nullable=False, info=SEALED),
    Column("status", Text, nullable=False),
    Column("valid_until", Time),
    Column("group_id", LargeBinary, info=SEALED),
    Column("master_pass", Boolean, nullable=False),
    Column("concurrent", Boolean, nullable=False),
    Column("created_at", Time, nullable=False, server_default=func.now()),
)

# Partitions are made ahead and dropped by frame_log.py; each is UNLOGGED, which the parent cannot be (PostgreSQL 18).
ocpp_frames = Table(
    "ocpp_frames",
    metadata,
    Column("station_id", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("seq", BigInteger, nullable=False),  # the writer's count: order within one moment
    Column("holds", SmallInteger, nullable=False),  # 1: a frame that was received, 2: one that was sent, 3: both
    Column("exchange", LargeBinary, nullable=False),  # sealed; a rotation leaves it to its retention
    Index("ocpp_frames_station_at", "station_id", "at", "seq"),
    postgresql_partition_by="RANGE (at)",
)
