"""When people were erased: what is left of them goes some time later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.add_column("users", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("users_erased_at", "users", ["erased_at"], postgresql_where=sa.text("erased_at IS NOT NULL"))
