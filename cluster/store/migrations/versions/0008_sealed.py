"""Personal data, secrets and messages as they came are sealed; data keys are kept wrapped.

The columns get their types here; what is in them is sealed right after, in the same transaction (old_rows.py). The
frame log starts anew: it is unlogged and lives for days.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_BYTES = {
    "id_tokens": ("token_key", "id_token", "group_id"),
    "transactions": ("token_key", "start_key"),
    "transaction_events": ("payload",),
    "station_readings": ("payload",),
    "notices": ("payload",),
    "variables": ("value",),
    "commands": ("payload", "response"),
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "data_keys",
        sa.Column("key_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("wrapped_by", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("data_keys_pkey")),
    )
    op.create_table(
        "rotations",
        sa.Column("key_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("resealed", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["data_keys.key_id"], name=op.f("rotations_key_id_fkey")),
        sa.PrimaryKeyConstraint("key_id", "place", name=op.f("rotations_pkey")),
    )
    op.add_column("transactions", sa.Column("holder", sa.LargeBinary(), nullable=True))
    op.drop_column("transactions", "id_token")
    for table, columns in _BYTES.items():
        for column in columns:
            using = f"convert_to({column}::text, 'UTF8')"
            op.alter_column(table, column, type_=sa.LargeBinary(), postgresql_using=using)
    op.alter_column("transaction_events", "answer", nullable=True)
    op.execute("UPDATE transaction_events SET answer = NULL WHERE length(answer) = 0")
    op.drop_table("ocpp_frames")
    op.create_table(
        "ocpp_frames",
        sa.Column("station_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("holds", sa.SmallInteger(), nullable=False),
        sa.Column("exchange", sa.LargeBinary(), nullable=False),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ocpp_frames_station_at", "ocpp_frames", ["station_id", "at", "seq"], unique=False)
