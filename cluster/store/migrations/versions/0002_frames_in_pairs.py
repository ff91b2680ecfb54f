"""A request and its answer share a row of the frame log; events hold no digest of what they hold whole.

The frame log starts anew: it is unlogged and lives for days.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    op.drop_column("transaction_events", "digest")
    op.drop_table("ocpp_frames")
    op.create_table(
        "ocpp_frames",
        sa.Column("station_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.LargeBinary(), nullable=True),
        sa.Column("sent", sa.LargeBinary(), nullable=True),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ocpp_frames_station_at", "ocpp_frames", ["station_id", "at", "seq"], unique=False)
