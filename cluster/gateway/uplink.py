"""All the ways from one gateway to the hosts: a lane per station, a link per host, and who goes where.

Must not know: OCPP, sockets, Ray.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable

from cluster.gateway.link import HostLink, Lane
from cluster.gateway.ports import HostKey, HostUnavailable, Ingest, Router

log = logging.getLogger(__name__)

_RETRY_FIRST_S = 0.05
_RETRY_MAX_S = 5.0


class Uplink:
    """Lanes and links of one gateway; `connect` opens the way to a host when it is first needed."""

    def __init__(self, router: Router, connect: Callable[[HostKey], Ingest], window: int, max_batch_items: int) -> None:
        self.queued_bytes = 0
        """What all lanes hold."""
        self.batches = 0
        self.failures = 0
        self._router = router
        self._connect = connect
        self._window = window
        self._max_batch_items = max_batch_items
        self._links: dict[HostKey, HostLink] = {}
        self._lanes: dict[str, Lane] = {}
        self._busy_lanes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._suspects: set[HostKey] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False

    def open_lane(self, station_id: str) -> Lane:
        """Return the station's lane for one more socket; pair it with `release`."""
        lane = self._lanes.get(station_id)
        if lane is None:
            lane = self._lanes[station_id] = Lane(station_id, self)
        lane.users += 1
        return lane

    def release(self, lane: Lane) -> None:
        """Forget the lane once no socket uses it and its last item is answered."""
        lane.users -= 1
        self._forget_unused(lane)

    def lane_busy(self) -> None:
        """Count a lane that has something unanswered."""
        self._busy_lanes += 1
        if self._busy_lanes == 1:
            self._idle.clear()

    def lane_idle(self, lane: Lane) -> None:
        """Count a lane that has everything answered."""
        self._busy_lanes -= 1
        if self._busy_lanes == 0:
            self._idle.set()
        self._forget_unused(lane)

    def _forget_unused(self, lane: Lane) -> None:
        if lane.users == 0 and not lane.items:
            self._lanes.pop(lane.station_id, None)

    def dispatch(self, lane: Lane) -> None:
        """Hand the lane's head to the link of the station's host."""
        if self._closed:
            return
        if lane.link is None:
            try:
                lane.link = self._link_to(self._router.route(lane.station_id))
            except HostUnavailable as error:
                log.debug("no host", extra={"station_id": lane.station_id, "error": str(error)})
                self.send_again([lane])
                return
            except Exception:
                log.exception("not routed", extra={"station_id": lane.station_id})
                self.send_again([lane])
                return
        lane.link.add(lane)

    def dispatch_anew(self, lanes: Iterable[Lane]) -> None:
        """Hand the lanes' heads to whichever hosts own the stations by now."""
        for lane in lanes:
            lane.link = None
            self.dispatch(lane)

    def send_again(self, lanes: list[Lane]) -> None:
        """Ask who owns the stations and send their heads again: at once the first time, later with growing delays."""
        for lane in lanes:
            lane.attempts += 1
        self.spawn(self._send_again(lanes, max(lane.attempts for lane in lanes) - 1))

    async def _send_again(self, lanes: list[Lane], failures: int) -> None:
        await self.pause_and_refresh(failures)
        self.dispatch_anew(lanes)

    async def pause_and_refresh(self, failures: int, suspect: HostKey | None = None) -> None:
        """Wait the longer the more often it failed, then read the partition map; all who ask share one reading."""
        if suspect is not None:
            self._suspects.add(suspect)
        if failures:
            await asyncio.sleep(retry_delay_s(failures))
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self.spawn(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        suspects, self._suspects = list(self._suspects), set()
        try:
            await self._router.refresh(suspects)
        except Exception as error:  # noqa: BLE001 - the old map still serves, and the next failure asks again
            log.warning("partition map not refreshed", extra={"error": repr(error)})

    def _link_to(self, host_key: HostKey) -> HostLink:
        link = self._links.get(host_key)
        if link is None:
            link = HostLink(host_key, self._connect(host_key), self, self._window, self._max_batch_items)
            self._links[host_key] = link
        return link

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` in the background until `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, timeout_s: float) -> bool:
        """Wait until every item is answered; tell whether that came true in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop all calls and retries; what is unanswered here is known to its station as unanswered."""
        self._closed = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def retry_delay_s(failures: int) -> float:
    """Return a jittered delay after so many failures in a row, doubling from 0.05 s up to 5 s."""
    return min(_RETRY_MAX_S, _RETRY_FIRST_S * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)
