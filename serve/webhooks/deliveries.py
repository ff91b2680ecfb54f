"""What became of a webhook's deliveries, the dead letters among them, and how they are sent again."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query

from cluster.webhooks.model import Delivery, DeliveryState
from serve.context import Asking, Context
from serve.hal import ListOf, present
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations
from serve.webhooks.subscriptions import DELIVERIES, acting
from serve.webhooks.wire import DeliveryOut, ReplayAsked, ReplayedOut

router = operations("/webhooks/{webhook_id}", "webhooks")

_ONE = "/webhooks/{webhook_id}/deliveries/{delivery_id}"


@router.get("/deliveries", response_model=ListOf[DeliveryOut])
async def list_deliveries(
    webhook_id: str,
    asking: Asking,
    state: Annotated[DeliveryState | None, Query(description="`dead` lists the dead letters.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List deliveries, the newest first."""
    page = await asking.services.deliveries.page(acting(asking), webhook_id, state, cursor, limit)
    replayable = await _may_replay(asking, webhook_id)
    range_form = asking.form(
        "POST /webhooks/{webhook_id}/replay", "Send events of a time again", {"webhook_id": webhook_id},
        body=ReplayAsked,
    )  # fmt: skip
    forms = {"replay": range_form if replayable else None}
    return listed(asking, "cb:delivery", page, lambda one: _shown(asking, one, replayable=replayable), forms)


@router.get("/deliveries/{delivery_id}", response_model=DeliveryOut)
async def get_delivery(webhook_id: str, delivery_id: str, asking: Asking) -> dict[str, object]:
    """Return one delivery with its event."""
    found = await asking.services.deliveries.find(acting(asking), webhook_id, delivery_id)
    return _shown(asking, found, replayable=await _may_replay(asking, webhook_id))


@router.post("/deliveries/{delivery_id}/replay", status_code=202, response_model=DeliveryOut, dependencies=[Once])
async def replay_delivery(webhook_id: str, delivery_id: str, asking: Asking) -> dict[str, object]:
    """Send one again, whatever became of it, under the same message id and with all its retries."""
    return _shown(
        asking, await asking.services.deliveries.replay(acting(asking), webhook_id, delivery_id), replayable=True
    )


@router.post("/replay", status_code=202, response_model=ReplayedOut, dependencies=[Once])
async def replay_range(webhook_id: str, asked: ReplayAsked, asking: Asking) -> dict[str, object]:
    """Send again what happened in a time."""
    count = await asking.services.deliveries.replay_range(
        acting(asking), webhook_id, asked.since, asked.until, asked.states
    )
    links = {"up": asking.link(DELIVERIES, {"webhook_id": webhook_id}, query="state,limit")}
    return {"replayed": count, "links": {"curies": asking.curies, **present(links)}, "templates": {}}


async def _may_replay(asking: Context, webhook_id: str) -> bool:
    caller, webhooks = acting(asking), asking.services.webhooks
    return webhooks.may_change(caller, await webhooks.find(caller, webhook_id))


def _shown(asking: Context, delivery: Delivery, *, replayable: bool) -> dict[str, object]:
    at = {"webhook_id": delivery.subscription_id, "delivery_id": delivery.id}
    event = delivery.event
    links = {
        "self": asking.link(f"GET {_ONE}", at),
        "up": asking.link(DELIVERIES, {"webhook_id": delivery.subscription_id}, query="state,limit"),
    }
    replay = asking.form(f"POST {_ONE}/replay", "Send it again", at) if replayable else None
    return {
        **msgspec.structs.asdict(delivery),
        "event": {
            "id": event.event_id,
            "kind": event.kind,
            "station_id": event.station_id,
            "at": event.at,
            "data": msgspec.json.decode(event.data),
        },
        "links": {"curies": asking.curies, **present(links)},
        "templates": present({"replay": replay}),
    }
