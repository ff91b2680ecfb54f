"""The system of record on PostgreSQL; the only package that imports SQLAlchemy."""
