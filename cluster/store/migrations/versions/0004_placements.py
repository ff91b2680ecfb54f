"""Stations belong to sites; stations and sites may have hosts of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.add_column("stations", sa.Column("site_id", sa.Text(), nullable=True))
    op.create_index("stations_site_id", "stations", ["site_id"], postgresql_where=sa.text("site_id IS NOT NULL"))
    op.add_column("hosts", sa.Column("own_partition", sa.Integer(), nullable=True))
    op.add_column("partitions", sa.Column("station_id", sa.Text(), nullable=True))
    op.create_unique_constraint(op.f("partitions_station_id_key"), "partitions", ["station_id"])
    op.create_table(
        "placements",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("placements_pkey")),
    )
