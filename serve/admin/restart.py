"""The rolling restart: every process anew, one after the other."""

from __future__ import annotations

from cluster.store.views import Restart
from serve.admin.wire import RestartOut
from serve.context import Asking, Context
from serve.hal import present
from serve.idempotency import Once
from serve.route import operations

router = operations("/restart", "platform")


@router.get("", response_model=RestartOut)
async def see_restart(asking: Asking) -> dict[str, object]:
    """Return how far the last rolling restart is."""
    return _shown(asking, await asking.services.hosts.restarting())


@router.post("", response_model=RestartOut, status_code=202, dependencies=[Once])
async def restart(asking: Asking) -> dict[str, object]:
    """Start every process anew, one after the other: hosts, gateways, and this API last.

    Each is replaced before it goes; the stations of a gateway are sent to the others at the rate they can take.
    """
    return _shown(asking, await asking.services.hosts.restart(asking.id_of("restart")))


def _shown(asking: Context, state: Restart) -> dict[str, object]:
    return {
        **state._asdict(),
        "api_left": asking.services.generation < state.generation,
        "links": {"self": asking.here, "curies": asking.curies},
        "templates": present({"restart": asking.form("POST /restart", "Start every process anew")}),
    }
