"""What a station may say, and who handles it: the one table, in functional blocks.

To add a message: a class in `actors/ocpp/messages.py`, a handler in the module of its block, a row here, a test
(docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.handlers import authorization, availability, metering, notices, provisioning, transactions
from actors.ocpp import messages
from actors.ports import Needs
from actors.turn import Turn


class Route(msgspec.Struct, frozen=True):
    """How one request is handled; `needs` says what must be fetched first."""

    request: type[Any]
    handle: Callable[[Turn, Any], messages.Response]
    needs: Callable[[Turn, Any], Needs] | None = None
    """None: the turn needs nothing but the charger's own state."""


_ROUTES: Final = (
    # A security
    Route(messages.SecurityEventNotification, notices.security_event),
    # B provisioning
    Route(messages.BootNotification, provisioning.boot),
    Route(messages.NotifyReport, provisioning.report),
    # C authorization
    Route(messages.Authorize, authorization.authorize, authorization.needs),
    # E transactions (1.6: StartTransaction, StopTransaction, MeterValues of a transaction)
    Route(messages.TransactionEvent, transactions.handle, transactions.needs),
    # G availability
    Route(messages.Heartbeat, availability.heartbeat),
    Route(messages.StatusNotification, availability.status),
    # J meter values
    Route(messages.MeterValues, metering.handle, metering.needs),
    # N diagnostics
    Route(messages.NotifyEvent, notices.event),
    # P data transfer
    Route(messages.DataTransfer, notices.data_transfer),
)

ROUTES: Final[dict[str, Route]] = {route.request.__name__: route for route in _ROUTES}
"""By 2.x action, which is the name of the request's class."""
