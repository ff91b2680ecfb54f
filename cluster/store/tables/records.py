"""What proves and protects: the audit log, approvals, repeats of requests, keys of the vault.

Must not know: who reads or writes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from cluster.store.tables.base import Time, metadata

# A chain of hashes that only grows; triggers of migration 0007 refuse every other change.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),  # a repeat after a lost acknowledgement is known by it
    Column("at", Time, nullable=False),
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
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Time),
    Column("remark", Text),
    Column("used_by", Text),
    Column("used_at", Time),
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
    Column("locked_until", Time, nullable=False),
    Column("kept_until", Time, nullable=False),
    Column("answer", LargeBinary),
)
# What is purged.
Index("idempotency_keys_kept_until", idempotency_keys.c.kept_until)

# Data keys of the vault, wrapped by a key that is not in the database.
data_keys = Table(
    "data_keys",
    metadata,
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    Column("purpose", Text, nullable=False),
    Column("wrapped_by", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("active_at", Time, nullable=False),
    Column("retired_at", Time),
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
