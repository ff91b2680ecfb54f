"""Webhooks as those see them who make them: what routers call.

Owners see their own, admins and auditors everybody's; what one may not see does not exist. Only admins change those of
others. A secret is shown once, by the call that makes it. Must not know: HTTP routing, SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final, NamedTuple

import httpx
import msgspec

from actors.errors import BadRequest
from cluster.identity.caller import Caller
from cluster.store.views import Page
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.model import Backlog, Delivery, DeliveryState, Filter, Subscription, SubscriptionState
from cluster.webhooks.ports import DeliveryLog, SubscriptionStore
from cluster.webhooks.signing import new_secret, shown_secret

MAX_URL: Final = 2_048
MAX_WANTED: Final = 1_000
"""Kinds, stations or sites that one subscription names."""
MAX_NAME: Final = 255
MAX_REPLAYED: Final = 10_000
"""Deliveries that one call sends again."""

_DEAD: Final[tuple[DeliveryState, ...]] = ("dead",)
_KIND: Final = re.compile(r"[A-Za-z0-9_.]{1,100}")


class WithSecret(NamedTuple):
    """A subscription with the secret that was made just now, as it is shown to its owner."""

    subscription: Subscription
    secret: str


class Webhooks:
    """Subscriptions, for callers. All methods raise Unavailable; NotFound for what the caller may not see."""

    def __init__(
        self,
        store: SubscriptionStore,
        rules: UrlRules,
        most: int,
        rotation: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._rules = rules
        self._most = most
        self._rotation = rotation
        self._clock = clock

    async def create(self, caller: Caller, subscription_id: str, url: str, wants: Filter) -> WithSecret:
        """Subscribe the caller; an earlier one of theirs with the same id is replaced.

        Raises BadRequest for a URL that may not be called, Conflict above the limit.
        """
        self._rules.check(url)
        now, secret = self._clock(), new_secret()
        made = Subscription(subscription_id, caller.subject, bool(caller.roles), url, checked(wants), now, now)
        await self._store.add(made, secret, self._most)
        return WithSecret(made, shown_secret(secret))

    async def page(self, caller: Caller, cursor: str | None = None, limit: int = 100) -> Page[Subscription]:
        """List subscriptions, the newest first. Raises BadRequest."""
        return await self._store.page(_seen_by(caller), cursor, limit)

    async def find(self, caller: Caller, subscription_id: str) -> Subscription:
        """Return one."""
        return await self._store.find(subscription_id, _seen_by(caller))

    async def change(
        self,
        caller: Caller,
        subscription_id: str,
        version: int,
        url: str | None = None,
        wants: Filter | None = None,
        state: SubscriptionState | None = None,
    ) -> Subscription:
        """Change what is given, pause or resume. Raises BadRequest; Changed when `version` is not the present one.

        A resumed or changed endpoint is tried at once.
        """
        known = await self._store.find(subscription_id, _changed_by(caller))
        if url is not None:
            self._rules.check(url)
        state = state or known.state
        reason = None if state == "active" else known.paused_because or "asked"
        changed = msgspec.structs.replace(
            known,
            url=url or known.url,
            wants=checked(wants) if wants is not None else known.wants,
            state=state,
            paused_because=reason,
            failing_since=None,
            updated_at=self._clock(),
            version=version + 1,
        )
        await self._store.replace(changed, version)
        return changed

    async def rotate(self, caller: Caller, subscription_id: str) -> WithSecret:
        """Make a new secret; for some time requests are signed with both. Raises Changed."""
        known = await self._store.find(subscription_id, _changed_by(caller))
        now, secret = self._clock(), new_secret()
        changed = msgspec.structs.replace(
            known, rotating_until=now + self._rotation, failing_since=None, updated_at=now, version=known.version + 1
        )
        await self._store.replace(changed, known.version, secret)
        return WithSecret(changed, shown_secret(secret))

    async def remove(self, caller: Caller, subscription_id: str) -> None:
        """Forget one with all its deliveries."""
        await self._store.remove(subscription_id, _changed_by(caller))

    def may_change(self, caller: Caller, subscription: Subscription) -> bool:
        """Tell whether the caller may change one that they see."""
        return _changed_by(caller) in (None, subscription.owner)


class WebhookDeliveries:
    """What became of deliveries, for callers. All methods raise Unavailable; NotFound as Webhooks does."""

    def __init__(
        self, store: SubscriptionStore, log: DeliveryLog, retry_for: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._log = log
        self._retry_for = retry_for
        self._clock = clock

    async def backlog(self) -> Backlog:
        """Count what is not delivered, of everybody."""
        return await self._log.backlog()

    async def page(
        self,
        caller: Caller,
        subscription_id: str,
        state: DeliveryState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Delivery]:
        """List deliveries, the newest first; the dead letters are those in state `dead`. Raises BadRequest."""
        await self._store.find(subscription_id, _seen_by(caller))
        return await self._log.page(subscription_id, state, cursor, limit)

    async def find(self, caller: Caller, subscription_id: str, delivery_id: str) -> Delivery:
        """Return one."""
        await self._store.find(subscription_id, _seen_by(caller))
        return await self._log.find(subscription_id, delivery_id)

    async def replay(self, caller: Caller, subscription_id: str, delivery_id: str) -> Delivery:
        """Send one again, whatever became of it, under the same message id and with all its retries."""
        await self._store.find(subscription_id, _changed_by(caller))
        now = self._clock()
        return await self._log.replay(subscription_id, delivery_id, now, now + self._retry_for)

    async def replay_range(
        self,
        caller: Caller,
        subscription_id: str,
        since: datetime,
        before: datetime,
        states: Collection[DeliveryState] = _DEAD,
    ) -> int:
        """Send again what happened from `since` until `before`; return how many: the oldest, at most MAX_REPLAYED."""
        if since.tzinfo is None or before.tzinfo is None or since >= before:
            raise BadRequest("a range needs two times with their zones, the first before the second")
        await self._store.find(subscription_id, _changed_by(caller))
        now = self._clock()
        return await self._log.replay_range(
            subscription_id, states, since, before, now, now + self._retry_for, MAX_REPLAYED
        )


class UrlRules:
    """What a URL of an endpoint may be; where a name leads is looked at when it is called."""

    def __init__(self, addresses: AddressRules, *, allow_http: bool) -> None:
        self._addresses = addresses
        self._schemes = ("https", "http") if allow_http else ("https",)

    def check(self, url: str) -> None:
        """Raise BadRequest for a URL that can never be called."""
        if len(url) > MAX_URL:
            raise BadRequest(f"the url may have {MAX_URL} characters")
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise BadRequest("the url is not one") from None
        if parsed.scheme not in self._schemes or not parsed.host:
            raise BadRequest(f"the url must begin with {' or '.join(f'{scheme}://' for scheme in self._schemes)}")
        if parsed.userinfo or parsed.fragment or not 0 < (parsed.port or 443) < 65536:
            raise BadRequest("the url may hold neither a user nor a fragment, and a port up to 65535")
        if _is_address(parsed.host) and not self._addresses.permit(parsed.host):
            raise BadRequest("the url leads to an address that may not be called")


def checked(wants: Filter) -> Filter:
    """Return a filter without repeats, in order. Raises BadRequest for one too large, or a word that can be no name."""
    kinds, station_ids, site_ids = (tuple(sorted(set(names))) for names in msgspec.structs.astuple(wants))
    if max(len(kinds), len(station_ids), len(site_ids)) > MAX_WANTED:
        raise BadRequest(f"a subscription may name {MAX_WANTED} kinds, stations and sites")
    if not all(_KIND.fullmatch(kind) for kind in kinds):
        raise BadRequest("a kind of event consists of letters, digits, full stops and underscores")
    if not all(0 < len(name) <= MAX_NAME for name in (*station_ids, *site_ids)):
        raise BadRequest(f"the id of a station or site has 1 to {MAX_NAME} characters")
    return Filter(kinds, station_ids, site_ids)


def _seen_by(caller: Caller) -> str | None:
    return None if caller.roles & {"admin", "auditor"} else caller.subject


def _changed_by(caller: Caller) -> str | None:
    return None if "admin" in caller.roles else caller.subject


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
