"""The people of stations and sites, and what they charge with.

Must not know: who reads or writes.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, Table, Text, func

from cluster.store.tables.base import SEALED, Time, metadata

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
    Column("valid_from", Time),
    Column("valid_until", Time),
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
    Column("offered_at", Time, nullable=False),
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
    Column("created_at", Time, nullable=False, server_default=func.now()),
)
