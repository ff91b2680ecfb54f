"""Which subscription gets which event of the journal, as two queries.

Those of staff meet every event, those of others only what happens where their owners are known to look: the number of
app users who subscribe costs nothing where nothing of theirs happens. Must not know: who may see what.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Text, and_, bindparam, column, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from cluster.store.tables.chargers import stations
from cluster.store.tables.ways_out import journal
from cluster.store.tables.ways_out import webhook_subscriptions as subscriptions

_SEEN: Final = (
    func.unnest(
        bindparam("owners", type_=ARRAY(Text)),
        bindparam("seen", type_=ARRAY(Text)),
        bindparam("since", type_=ARRAY(journal.c.at.type)),
    )
    .table_valued(column("owner", Text), column("station_id", Text), column("since", journal.c.at.type))
    .render_derived("seen")
)
"""Who may see the events of which station since when, besides staff."""


def as_columns(seen: Mapping[str, Mapping[str, datetime]]) -> dict[str, list[object]]:
    """Return who may see what since when, as MATCHES takes it."""
    rows = [(owner, station_id, since) for station_id, owners in seen.items() for owner, since in owners.items()]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return dict(zip(("owners", "seen", "since"), map(list, columns), strict=True))


def _matches() -> CompoundSelect[Any]:
    """Build the query of subscriptions with the events that pass their filters, for positions in (after, last]."""
    wants = subscriptions.c
    everywhere = (func.cardinality(wants.station_ids) == 0) & (func.cardinality(wants.site_ids) == 0)
    where = or_(
        everywhere, journal.c.station_id == func.any(wants.station_ids), stations.c.site_id == func.any(wants.site_ids)
    )
    kind = or_(func.cardinality(wants.kinds) == 0, journal.c.kind == func.any(wants.kinds))
    theirs = and_(_SEEN.c.station_id == journal.c.station_id, journal.c.at >= _SEEN.c.since)
    of_staff = journal.join(subscriptions, wants.whole_fleet)
    of_others = journal.join(_SEEN, theirs).join(subscriptions, and_(~wants.whole_fleet, wants.owner == _SEEN.c.owner))
    return union_all(
        *(
            select(wants.id, wants.owner, wants.whole_fleet, journal.c.position, journal.c.kind)
            .select_from(pairs.outerjoin(stations, stations.c.station_id == journal.c.station_id))
            .where(kind, where, _in_batch())
            for pairs in (of_staff, of_others)
        )
    )


def _in_batch() -> ColumnElement[bool]:
    return and_(journal.c.position > bindparam("after"), journal.c.position <= bindparam("last"))


MATCHES: Final = _matches()
"""Subscriptions with positions of the journal; takes `after`, `last` and what `as_columns` returns."""
PRIVATE_STATIONS: Final = (
    select(journal.c.station_id)
    .distinct()
    .where(_in_batch(), select(subscriptions.c.id).where(~subscriptions.c.whole_fleet).exists())
)
"""The stations of a batch, where anybody but staff may have to be told of them."""
