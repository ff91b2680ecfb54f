"""Transactions: the list, one of them with what is missing, and its charging curve."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime

from cluster.store.views import TransactionMeterValues
from serve.auth import viewer
from serve.pages import Cursor, Limit, PageOut, shown
from serve.services import Services
from serve.wire import MeterValuesOut, TransactionOut, TransactionSummaryOut

router = APIRouter(prefix="/api/v1/transactions", tags=["transactions"], dependencies=[Depends(viewer)])


@router.get("", response_model=PageOut[TransactionSummaryOut])
async def list_transactions(
    request: Request,
    services: Services,
    station: Annotated[str | None, Query(description="A station's id.")] = None,
    is_open: Annotated[bool | None, Query(alias="open", description="Whether it still runs.")] = None,
    began_from: Annotated[AwareDatetime | None, Query(alias="from", description="Began at or after.")] = None,
    began_before: Annotated[AwareDatetime | None, Query(alias="to", description="Began before.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List transactions, the newest first."""
    page = await services.queries.transactions(station, is_open, began_from, began_before, cursor, limit)
    return shown(request, page)


@router.get("/{transaction_id}", response_model=TransactionOut)
async def get_transaction(transaction_id: str, services: Services) -> dict[str, object]:
    """Return one transaction by the platform's id, with what is missing of it."""
    detail = msgspec.structs.asdict(await services.queries.transaction(transaction_id))
    return {**msgspec.structs.asdict(detail.pop("summary")), **detail}


@router.get("/{transaction_id}/meter-values", response_model=MeterValuesOut)
async def get_meter_values(
    transaction_id: str,
    services: Services,
    raw: Annotated[bool, Query(description="Add the meter values as the station sent them.")] = False,
) -> TransactionMeterValues:
    """Return the charging curve: energy since the start, power and state of charge where known."""
    return await services.queries.meter_values(transaction_id, received=raw)
