"""Which rolling restart the fleet is asked for, and with which each host and gateway was started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    for table in ("fleet", "hosts", "gateways"):
        op.add_column(table, sa.Column("generation", sa.Integer(), nullable=False, server_default=sa.text("0")))
