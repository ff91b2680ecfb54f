"""Requests that may be repeated; which request asked for the last rolling restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "idempotency_keys",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index("idempotency_keys_kept_until", "idempotency_keys", ["kept_until"])
    op.add_column("fleet", sa.Column("restart_id", sa.Text(), nullable=True))
