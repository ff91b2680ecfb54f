"""The way to one host: the heads of many stations' lanes travel in batches, a few calls in flight.

A call starts as soon as one of the window is free; while all are in flight the next batch grows by itself, so no timer
is needed. What a host has not answered goes again, also after its socket is closed: an event read from a socket is
never dropped. A call that failed may have been executed, so hosts must be safe to repeat to.

Hard state: none. Lost on a crash: unanswered items; their stations have seen no answer either and send them again.
Must not know: OCPP, sockets, Ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from cluster import batch
from cluster.gateway.ports import HostKey, HostUnavailable, Ingest, Recipient

if TYPE_CHECKING:
    from cluster.gateway.uplink import Uplink

log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 100 * 1024
"""A larger argument would not travel inside Ray's message but through its object store."""
_COMING_AND_GOING = 32
"""How many Connects and Disconnects a batch takes at most."""
_ENVELOPE_BYTES = 32
_CONNECT_BYTES = 512


class WrongAnswer(Exception):
    """The host answered something that does not fit the items."""


class Lane:
    """The items of one station on their way to its host: the first is unanswered, the others wait, so order holds."""

    __slots__ = ("_uplink", "alone", "attempts", "items", "link", "overhead_bytes", "station_id", "users")

    def __init__(self, station_id: str, uplink: Uplink) -> None:
        self.station_id = station_id
        self.overhead_bytes = _ENVELOPE_BYTES + len(station_id.encode())
        self.items: list[tuple[batch.Item, Recipient]] = []  # a deque would cost every idle station 760 bytes
        self.link: HostLink | None = None
        self.attempts = 0
        self.alone = False
        self.users = 0
        self._uplink = uplink

    def post(self, item: batch.Item, recipient: Recipient) -> None:
        """Send `item` after all earlier ones of this station, and tell `recipient` the answer."""
        self.items.append((item, recipient))
        self._uplink.queued_bytes += _size_bytes(item)
        if len(self.items) == 1:
            self._uplink.lane_busy()
            self._uplink.dispatch(self)

    def finish(self) -> None:
        """Forget the head, which has its answer, and send the next item."""
        self._uplink.queued_bytes -= _size_bytes(self.items[0][0])
        del self.items[0]
        self.attempts = 0
        self.alone = False
        if self.items:
            self._uplink.dispatch(self)
        else:
            self._uplink.lane_idle(self)

    def withdrawn(self) -> bool:
        """Tell whether the head asks to connect a socket that has gone: there is nobody left to admit."""
        item, recipient = self.items[0]
        return type(item) is batch.Connect and recipient.closed

    def head_bytes(self) -> int:
        """Return an upper bound of the head's packed size."""
        return self.overhead_bytes + _size_bytes(self.items[0][0])


class HostLink:
    """Batches of lane heads to one host, at most `window` calls in flight."""

    def __init__(self, host_key: HostKey, ingest: Ingest, uplink: Uplink, window: int, max_batch_items: int) -> None:
        self.host_key = host_key
        self._ingest = ingest
        self._uplink = uplink
        self._window = window
        self._max_batch_items = max_batch_items
        self._frames: deque[Lane] = deque()
        self._coming_and_going: deque[Lane] = deque()
        self._in_flight = 0
        self._scheduled = False
        self._down = False
        self._failures = 0

    def add(self, lane: Lane) -> None:
        """Send the lane's head with the next batch; all that is ready in one turn of the event loop shares it.

        A batch takes only a few Connects and Disconnects, so that a storm does not hold up who charges.
        """
        self._queue(lane).append(lane)
        self._schedule()

    def _queue(self, lane: Lane) -> deque[Lane]:
        return self._frames if type(lane.items[0][0]) is batch.Frame else self._coming_and_going

    def _schedule(self) -> None:
        if (
            (self._frames or self._coming_and_going)
            and not self._scheduled
            and not self._down
            and self._in_flight < self._window
        ):
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_calls)

    def _start_calls(self) -> None:
        self._scheduled = False
        while self._in_flight < self._window and not self._down and (lanes := self._next_batch()):
            self._in_flight += 1
            self._uplink.spawn(self._call(lanes))

    def _next_batch(self) -> list[Lane]:
        lanes = list[Lane]()
        size_bytes = _move(self._coming_and_going, lanes, min(_COMING_AND_GOING, self._max_batch_items), 0)
        if not (lanes and lanes[0].alone):
            _move(self._frames, lanes, self._max_batch_items, size_bytes)
        return lanes

    async def _call(self, lanes: list[Lane]) -> None:
        try:
            answer = await self._ingest.ingest(batch.encode([lane.items[0][0] for lane in lanes]))
            results = _results(answer, len(lanes))
        except HostUnavailable as error:
            self._host_failed(lanes, error)
        except Exception as error:  # noqa: BLE001 - whatever a host does wrong must not end the link
            self._answered_wrongly(lanes, error)
        else:
            self._failures = 0
            self._settle(lanes, results)
        finally:
            self._in_flight -= 1
            self._schedule()

    def _settle(self, lanes: list[Lane], results: list[batch.Result]) -> None:
        self._uplink.batches += 1
        strays: list[Lane] = []
        for lane, result in zip(lanes, results, strict=True):
            item, recipient = lane.items[0]
            if type(result) is batch.NotOwner:
                strays.append(lane)
            elif (type(result) is batch.Answers) is (type(item) is batch.Connect):
                self._answered_wrongly([lane], WrongAnswer(f"{type(result).__name__} to {type(item).__name__}"))
            else:
                _deliver(result, recipient, lane.station_id)
                lane.finish()
        if strays:
            self._uplink.send_again(strays)

    def _host_failed(self, lanes: list[Lane], error: HostUnavailable) -> None:
        self._uplink.failures += 1
        for lane in reversed(lanes):
            self._queue(lane).appendleft(lane)
        if self._down:
            return
        self._down = True
        self._failures += 1
        log.warning("host unavailable", extra={"host": self.host_key, "attempt": self._failures, "error": str(error)})
        self._uplink.spawn(self._recover())

    async def _recover(self) -> None:
        await self._uplink.pause_and_refresh(self._failures - 1, self.host_key)
        self._down = False
        lanes = [*self._coming_and_going, *self._frames]
        self._coming_and_going.clear()
        self._frames.clear()
        self._uplink.dispatch_anew(lanes)

    def _answered_wrongly(self, lanes: list[Lane], error: Exception) -> None:
        self._uplink.failures += 1
        log.error("host answered wrongly", extra={"host": self.host_key, "items": len(lanes)}, exc_info=error)
        for lane in lanes:  # one of them may be what the host cannot digest: from now on it delays only itself
            lane.alone = True
            self._uplink.send_again([lane])


def _size_bytes(item: batch.Item) -> int:
    return len(item.data) if type(item) is batch.Frame else _CONNECT_BYTES


def _move(waiting: deque[Lane], lanes: list[Lane], most: int, size_bytes: int) -> int:
    """Move lanes into a batch of `most`, as long as it stays small enough; return its size in bytes."""
    while waiting and len(lanes) < most:
        lane = waiting[0]
        if lane.withdrawn():
            waiting.popleft()
            lane.finish()
            continue
        size_bytes += lane.head_bytes()
        if lanes and (lane.alone or size_bytes > MAX_BATCH_BYTES):
            break
        lanes.append(waiting.popleft())
        if lane.alone:
            break
    return size_bytes


def _results(answer: bytes, count: int) -> list[batch.Result]:
    results = batch.decode_results(answer)
    if len(results) != count:
        raise WrongAnswer(f"{len(results)} results for {count} items")
    return results


def _deliver(result: batch.Result, recipient: Recipient, station_id: str) -> None:
    try:
        if type(result) is batch.Answers:
            recipient.answered(result.frames)
        elif type(result) is batch.Admitted:
            recipient.admitted(result.conn_epoch)
        elif type(result) is batch.Refused:
            recipient.refused(result.status, result.reason)
    except Exception:  # one broken socket must not keep the others of its batch from their answers
        log.exception("answer not delivered", extra={"station_id": station_id})
