"""How the schema grows, as alembic revisions."""
