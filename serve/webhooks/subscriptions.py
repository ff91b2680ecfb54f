"""Webhook subscriptions of the caller: make one, change it, pause it, give it a new secret, remove it."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from fastapi import Response

from actors.errors import Changed
from cluster.identity.caller import Caller
from cluster.webhooks.model import Filter, Subscription
from cluster.webhooks.subscriptions import WithSecret
from serve.access import operation_of
from serve.context import Asking, Context
from serve.etags import IfMatch, expected, quoted
from serve.hal import ListOf, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations
from serve.webhooks.wire import (
    ReplayAsked,
    StateAsked,
    WebhookAsked,
    WebhookChange,
    WebhookMadeOut,
    WebhookOut,
)

router = operations("/webhooks", "webhooks")

_ONE = "/webhooks/{webhook_id}"
DELIVERIES = "GET /webhooks/{webhook_id}/deliveries"

_encode = msgspec.json.Encoder().encode


@router.get("", response_model=ListOf[WebhookOut])
async def list_webhooks(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List the caller's webhooks, the newest first; admins and auditors see everybody's."""
    page = await asking.services.webhooks.page(acting(asking), cursor, limit)
    forms = {"create": asking.form("POST /webhooks", "Subscribe an endpoint", body=WebhookAsked)}
    return listed(asking, "cb:webhook", page, lambda one: _shown(asking, one), forms)


@router.post("", status_code=201, response_model=WebhookMadeOut, dependencies=[Once])
async def create_webhook(asked: WebhookAsked, asking: Asking, response: Response) -> dict[str, object]:
    """Subscribe an endpoint. Its secret is shown this once."""
    wants = Filter(tuple(asked.kinds), tuple(asked.station_ids), tuple(asked.site_ids))
    webhooks, webhook_id = asking.services.webhooks, asking.id_of("webhook")
    made = await webhooks.create(acting(asking), webhook_id, asked.url, wants)
    response.headers["Location"] = asking.href(_ONE, {"webhook_id": made.subscription.id})
    return _with_secret(asking, made, response)


@router.get("/{webhook_id}", response_model=WebhookOut)
async def get_webhook(webhook_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Return one webhook."""
    found = await asking.services.webhooks.find(acting(asking), webhook_id)
    response.headers["ETag"] = quoted(_tag(found))
    return _shown(asking, found)


@router.patch("/{webhook_id}", response_model=WebhookOut)
async def change_webhook(
    webhook_id: str, change: WebhookChange, asking: Asking, response: Response, if_match: IfMatch = None
) -> dict[str, object]:
    """Change where and what is sent; pause and resume it. A changed or resumed endpoint is tried at once."""
    webhooks, caller = asking.services.webhooks, acting(asking)
    known = await webhooks.find(caller, webhook_id)
    if expected(if_match) not in (None, _tag(known)):
        raise Changed("the webhook has been changed meanwhile; read it again")
    given = {name: tuple(getattr(change, name)) for name in _WANTS if getattr(change, name) is not None}
    wants = msgspec.structs.replace(known.wants, **given) if given else None
    changed = await webhooks.change(caller, webhook_id, known.version, change.url, wants, change.state)
    response.headers["ETag"] = quoted(_tag(changed))
    return _shown(asking, changed)


@router.delete("/{webhook_id}", status_code=204)
async def remove_webhook(webhook_id: str, asking: Asking) -> None:
    """Forget a webhook with all its deliveries."""
    await asking.services.webhooks.remove(acting(asking), webhook_id)


@router.post("/{webhook_id}/secret", response_model=WebhookMadeOut, dependencies=[Once])
async def rotate_webhook_secret(webhook_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Make a new secret, shown this once; for some time requests carry signatures of both."""
    return _with_secret(asking, await asking.services.webhooks.rotate(acting(asking), webhook_id), response)


def acting(asking: Context) -> Caller:
    """Return the caller with the roles that count here: in the app staff have no more to say than anybody."""
    if asking.rule(operation_of(asking.request.scope)).roles:
        return asking.caller
    return msgspec.structs.replace(asking.caller, roles=frozenset())


_WANTS = Filter.__struct_fields__


def _tag(subscription: Subscription) -> str:
    return blake2b(_encode(subscription), digest_size=12).hexdigest()


def _with_secret(asking: Context, made: WithSecret, response: Response) -> dict[str, object]:
    response.headers["Cache-Control"] = NO_STORE
    return {**_shown(asking, made.subscription), "secret": made.secret}


def _shown(asking: Context, subscription: Subscription) -> dict[str, object]:
    at = {"webhook_id": subscription.id}
    links = {
        "self": asking.link(f"GET {_ONE}", at),
        "cb:deliveries": asking.link(DELIVERIES, at, query="state,limit"),
        "up": asking.link("GET /webhooks"),
    }
    change, to = f"PATCH {_ONE}", "paused" if subscription.state == "active" else "active"
    forms = {
        "change": asking.form(change, "Change it", at, body=WebhookChange),
        "pause" if to == "paused" else "resume": asking.form(
            change, f"Make it {to}", at, body=StateAsked, values={"state": to}
        ),
        "rotate": asking.form(f"POST {_ONE}/secret", "Make a new secret", at),
        "replay": asking.form(f"POST {_ONE}/replay", "Send events of a time again", at, body=ReplayAsked),
        "remove": asking.form(f"DELETE {_ONE}", "Remove it", at),
    }
    changes = asking.services.webhooks.may_change(acting(asking), subscription)
    return {
        **msgspec.structs.asdict(subscription),
        **msgspec.structs.asdict(subscription.wants),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present(forms if changes else {}),
    }
