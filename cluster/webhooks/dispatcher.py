"""Turns business events into deliveries and sends them; any number of these share the work.

Hard state: all of it, in the tables behind DeliveryQueue. Soft state: requests under way; when a worker dies, they are
sent again by whoever takes its claims, so an endpoint may get an event twice and never not at all.
Events of one station go to an endpoint one after the other; after one that failed, later ones may overtake it.
Must not know: SQL, HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from actors.errors import Unavailable
from cluster.bus.outbox import as_message
from cluster.webhooks.model import Answer, Claim, Delivery, Settled, Verdict
from cluster.webhooks.ports import DeliveryQueue, Endpoint, Sender, Sight
from cluster.webhooks.schedule import Schedule
from cluster.webhooks.sight import may_see
from cluster.webhooks.signing import signed_headers

log = logging.getLogger(__name__)

NOT_ALLOWED: Final = "not allowed any more"
"""What is said of a delivery whose event its owner may not see by now."""
_OUTCOMES: Final = ("delivered", "refused", "unanswered", "not_allowed")
"""Of attempts: taken with a 2xx, another status, no answer at all; not made, because its owner may not see it now."""


@dataclass(frozen=True)
class DispatchLimits:
    """How much at once, how often, how long."""

    poll_s: float
    events: int
    """Events looked at in one step."""
    endpoints: int
    """Endpoints that one worker serves at the same time."""
    lanes: int
    """Requests to one endpoint at the same time."""
    timeout_s: float
    retry_for: timedelta
    keep_delivered: timedelta
    keep_dead: timedelta

    @property
    def each(self) -> int:
        """Deliveries of an endpoint taken at once: some for every lane."""
        return 8 * self.lanes

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts: enough for two rounds of requests that all hang."""
        return timedelta(seconds=3 * self.timeout_s + 30)


class Dispatcher:
    """One worker. `name` is unique among those that run."""

    def __init__(
        self,
        name: str,
        queue: DeliveryQueue,
        sight: Sight,
        sender: Sender,
        schedule: Schedule,
        limits: DispatchLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self._name = name
        self._queue = queue
        self._sight = sight
        self._sender = sender
        self._schedule = schedule
        self._limits = limits
        self._clock = clock
        self._outcomes = dict.fromkeys(_OUTCOMES, 0)
        self._tidy_at: datetime | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Expand and deliver until cancelled."""
        away = False
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    busy = await self._step(group)
                except Unavailable as error:
                    if not away:
                        log.warning("webhooks wait", extra={"error": str(error)})
                    away, busy = True, False
                except Exception:
                    log.exception("webhooks step failed")
                    busy = False
                else:
                    away = False
                if not busy:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._more.wait(), self._limits.poll_s)
                self._more.clear()

    def stats(self) -> dict[str, float]:
        """Return attempts by their outcome since the start."""
        return {f"webhooks_{outcome}": count for outcome, count in self._outcomes.items()}

    async def deliver(self) -> int:
        """Claim what is due, send it, and return how many endpoints were served. Raises Unavailable."""
        claims = await self._claim()
        await asyncio.gather(*(self._serve(claim) for claim in claims))
        return len(claims)

    async def expand(self) -> int:
        """Make deliveries of the next events; return how many events were looked at. Raises Unavailable."""
        now = self._clock()
        return await self._queue.expand(now, now + self._limits.retry_for, self._limits.events)

    async def _step(self, group: asyncio.TaskGroup) -> bool:
        """Do what can be done now; tell whether there may be more."""
        looked_at = await self.expand()
        claims = await self._claim()
        for claim in claims:
            task = group.create_task(self._serve_safely(claim))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        await self._tidy_sometimes()
        return looked_at == self._limits.events or bool(claims)

    async def _claim(self) -> list[Claim]:
        room = self._limits.endpoints - len(self._serving)
        if room <= 0:
            return []
        now = self._clock()
        return await self._queue.claim(self._name, now, now + self._limits.lease, room, self._limits.each)

    async def _serve_safely(self, claim: Claim) -> None:
        try:
            await self._serve(claim)
            if len(claim.deliveries) == self._limits.each:
                self._more.set()
        except Unavailable:
            pass  # Told by the loop, which needs the same database; the claim comes back by itself.
        except Exception:
            log.exception("webhook endpoint not served", extra={"subscription_id": claim.subscription.id})

    async def _serve(self, claim: Claim) -> None:
        """Send what a claim holds and give it back, also when cancelled."""
        endpoint = self._sender.endpoint(claim.subscription.url)
        served = _Round()
        free = asyncio.Semaphore(self._limits.lanes)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in _by_station(claim.deliveries):
                    group.create_task(self._serve_lane(claim, endpoint, lane, free, served))
        except* Unavailable as errors:
            raise Unavailable("deliveries cannot be looked at or stored now") from errors
        finally:
            await endpoint.close()
            now = self._clock()
            health = self._schedule.health(claim.health, served.answers, served.died, now)
            await self._queue.finish(claim, health, now)

    async def _serve_lane(
        self, claim: Claim, endpoint: Endpoint, lane: Iterable[Delivery], free: asyncio.Semaphore, served: _Round
    ) -> None:
        for delivery in lane:
            async with free:
                if self._clock() + timedelta(seconds=self._limits.timeout_s) >= claim.until:
                    return  # Another worker may have it soon; what is left stays due.
                if not await may_see(self._sight, claim.subscription, delivery.event):
                    await self._give_up(delivery)
                elif not await self._attempt(claim, endpoint, delivery, served):
                    return

    async def _attempt(self, claim: Claim, endpoint: Endpoint, delivery: Delivery, served: _Round) -> bool:
        """Send one delivery and store what came of it; tell whether it was taken."""
        body = as_message(delivery.event)
        tried_at = self._clock()
        answer = await endpoint.post(signed_headers(delivery.event.event_id, tried_at, body, claim.keys), body)
        now = self._clock()
        verdict = self._schedule.verdict(answer, delivery.attempts + 1, now, delivery.expires_at or now)
        served.add(answer, died=verdict.state == "dead")
        self._outcomes["delivered" if answer.delivered else "refused" if answer.status else "unanswered"] += 1
        await self._queue.settle(Settled(delivery.id, delivery.attempts, tried_at, answer, verdict))
        return answer.delivered

    async def _give_up(self, delivery: Delivery) -> None:
        """Let a delivery die unsent: a relation that has ended ends here."""
        self._outcomes["not_allowed"] += 1
        answer = Answer(error=NOT_ALLOWED)
        await self._queue.settle(Settled(delivery.id, delivery.attempts, None, answer, Verdict("dead")))

    async def _tidy_sometimes(self) -> None:
        now = self._clock()
        if self._tidy_at is None or now >= self._tidy_at:
            await self._queue.tidy(now, now - self._limits.keep_delivered, now - self._limits.keep_dead)
            self._tidy_at = now + timedelta(minutes=1)


class _Round:
    """What the attempts of one claim have brought."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.died = False

    def add(self, answer: Answer, *, died: bool) -> None:
        self.answers.append(answer)
        self.died = self.died or died


def _by_station(deliveries: Iterable[Delivery]) -> list[list[Delivery]]:
    lanes: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        lanes[delivery.event.station_id].append(delivery)
    return list(lanes.values())
