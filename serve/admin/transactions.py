"""Transactions: the list, one of them with what is missing, and its charging curve."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query

from cluster.store.views import TransactionSummary
from serve.admin.wire import MeterValuesOut, TransactionOut, TransactionSummaryOut
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.pages import Cursor, Limit, listed
from serve.route import operations
from serve.wire import Moment

router = operations("/transactions", "transactions")

FILTERS = "station,open,from,to,limit"
_ONE = "GET /transactions/{transaction_id}"
_CURVE = "GET /transactions/{transaction_id}/meter-values"


@router.get("", response_model=ListOf[TransactionSummaryOut])
async def list_transactions(
    asking: Asking,
    station: Annotated[str | None, Query(description="A station's id.")] = None,
    is_open: Annotated[bool | None, Query(alias="open", description="Whether it still runs.")] = None,
    began_from: Annotated[Moment | None, Query(alias="from", description="Began at or after.")] = None,
    began_before: Annotated[Moment | None, Query(alias="to", description="Began before.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List transactions, the newest first."""
    page = await asking.services.queries.transactions(station, is_open, began_from, began_before, cursor, limit)
    return listed(asking, "cb:transaction", page, lambda transaction: in_list(asking, transaction))


@router.get("/{transaction_id}", response_model=TransactionOut)
async def get_transaction(transaction_id: str, asking: Asking) -> dict[str, object]:
    """Return one transaction by the platform's id, with what is missing of it."""
    detail = msgspec.structs.asdict(await asking.services.queries.transaction(transaction_id))
    summary: TransactionSummary = detail.pop("summary")
    links = {
        "cb:meter-values": asking.link(_CURVE, {"transaction_id": transaction_id}, query="raw"),
        "cb:station": asking.link("GET /stations/{station_id}", {"station_id": summary.station_id}),
        "cb:events": asking.events(transaction=transaction_id),
        "up": asking.link("GET /transactions"),
    }
    return {
        **msgspec.structs.asdict(summary),
        **detail,
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": {},
    }


@router.get("/{transaction_id}/meter-values", response_model=MeterValuesOut)
async def get_meter_values(
    transaction_id: str,
    asking: Asking,
    raw: Annotated[bool, Query(description="Add the meter values as the station sent them.")] = False,
) -> dict[str, object]:
    """Return the charging curve: energy since the start, power and state of charge where known."""
    found = await asking.services.queries.meter_values(transaction_id, received=raw)
    links = {"up": asking.link(_ONE, {"transaction_id": transaction_id})}
    return {**msgspec.structs.asdict(found), "links": {"self": asking.here, **present(links)}, "templates": {}}


def in_list(asking: Context, transaction: TransactionSummary) -> dict[str, object]:
    """Return a transaction as lists show it."""
    links = {
        "self": asking.link(_ONE, {"transaction_id": transaction.id}),
        "cb:station": asking.link("GET /stations/{station_id}", {"station_id": transaction.station_id}),
    }
    return {**msgspec.structs.asdict(transaction), "links": present(links)}
