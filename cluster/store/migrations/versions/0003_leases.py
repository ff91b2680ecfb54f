"""Hosts hold leases, and the wanted size of the fleet is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "hosts",
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    op.add_column("hosts", sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_table(
        "fleet",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("hosts_wanted", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("fleet_pkey")),
    )
    op.execute("INSERT INTO fleet (id, version) VALUES (1, 1)")
