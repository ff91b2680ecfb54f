"""Indexes for every order in which stations are listed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_NEVER = sa.text("COALESCE(last_seen_at, '1970-01-01 00:00:00+00'::timestamptz)")


def upgrade() -> None:
    """Apply."""
    op.create_index("stations_last_seen_at", "stations", [_NEVER, "station_id"])
    op.create_index("stations_model", "stations", ["model", "station_id"])
    op.create_index("stations_away", "stations", ["station_id"], postgresql_where=sa.text("gateway_id IS NULL"))
    op.create_index(
        "stations_not_accepted",
        "stations",
        ["registration", "station_id"],
        postgresql_where=sa.text("registration <> 'Accepted'"),
    )
