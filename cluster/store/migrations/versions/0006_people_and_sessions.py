"""People, their sessions, what they granted to clients, keys of machines, and counts of login attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_TIME = sa.DateTime(timezone=True)
_ID = sa.Uuid(as_uuid=False)
_TEXTS = postgresql.ARRAY(sa.Text())


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("login_key", sa.LargeBinary(), nullable=True),
        sa.Column("login", sa.LargeBinary(), nullable=True),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.LargeBinary(), nullable=True),
        sa.Column("roles", _TEXTS, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_login_at", _TIME, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("password_expires_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("users_issuer_subject_key")),
        sa.UniqueConstraint("login_key", name=op.f("users_login_key_key")),
    )
    op.create_index("users_created_at", "users", ["created_at", "id"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("authenticated_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("user_agent", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("sessions_pkey")),
        sa.UniqueConstraint("secret", name=op.f("sessions_secret_key")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("sessions_user_id_fkey"), ondelete="CASCADE"),
    )
    op.create_index("sessions_user_began_at", "sessions", ["user_id", "began_at", "id"])
    op.create_index("sessions_ended_at", "sessions", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))
    op.create_index("sessions_expires_at", "sessions", ["expires_at"])


def _grants() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("redirect_uris", _TEXTS, nullable=False),
        sa.Column("logout_uris", _TEXTS, nullable=False),
        sa.Column("scopes", _TEXTS, nullable=False),
        sa.Column("audiences", _TEXTS, nullable=False),
        sa.Column("grant_types", _TEXTS, nullable=False),
        sa.Column("roles", _TEXTS, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("clients_pkey")),
    )
    op.create_table(
        "grants",
        sa.Column("id", _ID, nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("scopes", _TEXTS, nullable=False),
        sa.Column("audiences", _TEXTS, nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("authenticated_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("grants_pkey")),
        *(
            sa.ForeignKeyConstraint(
                [f"{table}_id"], [f"{table}s.id"], name=op.f(f"grants_{table}_id_fkey"), ondelete="CASCADE"
            )
            for table in ("client", "user", "session")
        ),
    )
    for column in ("session_id", "user_id", "client_id"):
        op.create_index(f"grants_{column}", "grants", [column])
    op.create_index("grants_revoked_at", "grants", ["revoked_at"], postgresql_where=sa.text("revoked_at IS NOT NULL"))
    op.create_table(
        "grant_secrets",
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("secret", name=op.f("grant_secrets_pkey")),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.id"], name=op.f("grant_secrets_grant_id_fkey"), ondelete="CASCADE"
        ),
    )
    op.create_index("grant_secrets_grant_id", "grant_secrets", ["grant_id"])
    op.create_index("grant_secrets_expires_at", "grant_secrets", ["expires_at"])


def upgrade() -> None:
    """Apply."""
    _users()
    _sessions()
    _grants()
    op.create_table(
        "machine_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("roles", _TEXTS, nullable=False),
        sa.Column("scopes", _TEXTS, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("machine_keys_pkey")),
    )
    op.create_index("machine_keys_created_at", "machine_keys", ["created_at", "id"])
    op.create_table(
        "attempts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("closed_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("attempts_pkey")),
    )
    op.create_index("attempts_at", "attempts", ["at"])
