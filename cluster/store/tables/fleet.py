"""Who holds what: hosts, partitions, placements, gateways.

Must not know: who reads or writes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, Table, Text, func, text

from cluster.store.tables.base import Time, metadata

hosts = Table(
    "hosts",
    metadata,
    Column("host_id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("started_at", Time, nullable=False, server_default=func.now()),
    Column("lease_until", Time, nullable=False, server_default=func.now()),
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
    Column("started_at", Time, nullable=False, server_default=func.now()),
    Column("node", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default=text("0")),
)
