"""What every table needs: the one MetaData, the type of a time, the mark of sealed columns.

Must not know: which tables there are.
"""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)

Time = DateTime(timezone=True)

SEALED = {"sealed": True}
"""Marks a column of envelopes: `info=SEALED`. The context is its place, "table.column" and the row's primary key; then
a rotation of keys finds it (store/sealed.py)."""
