"""Who has which relation to stations and sites, what is offered, what app users charge with and how much they may."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "circles",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="circles_pkey"),
    )
    op.create_table(
        "relations",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("valid_from", time),
        sa.Column("valid_until", time),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "subject", name="relations_pkey"),
    )
    op.create_index("relations_subject", "relations", ["subject", "kind", "name"])
    op.create_index(
        "relations_owner", "relations", ["kind", "name"], unique=True, postgresql_where=sa.text("relation = 'owner'")
    )
    op.create_table(
        "offers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("code_digest", sa.Text()),
        sa.Column("offered_at", time, nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="offers_pkey"),
        sa.UniqueConstraint("code_digest", name="offers_code_digest_key"),
    )
    op.create_index("offers_holding", "offers", ["kind", "name"])
    op.create_index(
        "offers_subject", "offers", ["subject", "offered_at"], postgresql_where=sa.text("subject IS NOT NULL")
    )
    op.create_table(
        "drivers",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("token_key", sa.LargeBinary(), nullable=False),
        sa.Column("id_token", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", time, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("subject", name="drivers_pkey"),
        sa.UniqueConstraint("token_key", name="drivers_token_key_key"),
    )
    op.add_column("commands", sa.Column("energy_limit_wh", sa.Double()))
    op.create_index(
        "transactions_token_began_at",
        "transactions",
        ["token_key", "began_at", "id"],
        postgresql_where=sa.text("token_key IS NOT NULL"),
    )
