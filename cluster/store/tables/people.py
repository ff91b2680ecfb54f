"""Who logs in: people, sessions, clients, grants, keys of machines, attempts.

Must not know: who reads or writes.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from cluster.store.tables.base import SEALED, Time, metadata

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
    Column("created_at", Time, nullable=False),
    Column("last_login_at", Time),
    Column("version", Integer, nullable=False),
    Column("password_hash", Text),  # argon2id
    Column("must_change_password", Boolean, nullable=False),
    Column("password_expires_at", Time),  # of a one-time password
    Column("erased_at", Time),
    UniqueConstraint("issuer", "subject"),
)
# Lists, the first known first.
Index("users_created_at", users.c.created_at, users.c.id)
# Who was erased lately, and what may be forgotten.
Index("users_erased_at", users.c.erased_at, postgresql_where=users.c.erased_at.is_not(None))

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("user_id", Uuid(as_uuid=False), ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("secret", LargeBinary, nullable=False, unique=True),  # digest of the cookie
    Column("began_at", Time, nullable=False),
    Column("authenticated_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("ended_at", Time),
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
    Column("created_at", Time, nullable=False),
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
    Column("authenticated_at", Time, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("revoked_at", Time),
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
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time),
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
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("last_used_at", Time),
    Column("revoked_at", Time),
)
# Lists, newest first.
Index("machine_keys_created_at", machine_keys.c.created_at, machine_keys.c.id)

# Counts of login attempts while Valkey is away; names are keyed hashes.
attempts = Table(
    "attempts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Double, nullable=False),
    Column("at", Time, nullable=False),
    Column("closed_until", Time, nullable=False),
)
# What may be forgotten.
Index("attempts_at", attempts.c.at)
