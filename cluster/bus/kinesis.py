"""Forwards the business events to an Amazon Kinesis stream: at least once, in order for each station.

Hard state: a checkpoint in the journal. Soft state: what was sent after it; whoever goes on after a crash sends that
again, and a consumer knows a repeat by its `id`. The partition key is the station id, so a station stays on a shard.
Must not know: SQL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from actors.errors import Unavailable
from cluster.bus.forwarding import Window
from cluster.bus.journal import KINESIS, Entry, Journal
from cluster.bus.outbox import as_message

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 500
MAX_REQUEST_BYTES: Final = 5 * 1024 * 1024
MAX_RECORD_BYTES: Final = 1024 * 1024
"""Limits of PutRecords, of a record with its key; the smaller ones where regions differ."""
MAX_KEY: Final = 256
FIRST_DELAY_S: Final = 0.1
MAX_DELAY_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
LEASE_S: Final = 45.0
"""Outlasts a request that hangs and the longest delay."""


class Record(NamedTuple):
    """One record of a request; together with its key at most MAX_RECORD_BYTES."""

    key: str
    data: bytes


class RecordStream(Protocol):
    """A stream that takes some of the records and refuses others."""

    async def put(self, records: Sequence[Record]) -> Sequence[str | None]:
        """Return why each record was refused, None for one that was taken. Raises Unavailable: nothing is known."""


class KinesisStream:
    """RecordStream on boto3, whose calls block and therefore run in threads.

    `endpoint_url` is that of another server with Kinesis' protocol; credentials are found as boto3 finds them.
    """

    def __init__(self, name: str, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._name = name
        self._region = region
        self._endpoint_url = endpoint_url
        self._put_records: Callable[..., dict[str, list[dict[str, str]]]] | None = None

    async def put(self, records: Sequence[Record]) -> Sequence[str | None]:
        """Send one request, without repeats of its own."""
        try:
            return await asyncio.to_thread(self._put, records)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise Unavailable(f"Kinesis cannot be reached now ({_named(error)})") from error

    def _put(self, records: Sequence[Record]) -> list[str | None]:
        if self._put_records is None:
            once = Config(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 1}
            )
            client = boto3.client("kinesis", region_name=self._region, endpoint_url=self._endpoint_url, config=once)
            self._put_records = client.put_records
        entries = [{"PartitionKey": record.key, "Data": record.data} for record in records]
        answer = self._put_records(StreamName=self._name, Records=entries)
        return [entry.get("ErrorCode") for entry in answer["Records"]]


class KinesisForwarder:
    """One of many that may run; the one that holds the reader's place works. `chance` returns numbers from 0 to 1."""

    def __init__(
        self, journal: Journal, stream: RecordStream, holder: str, poll_s: float, chance: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._stream = stream
        self._holder = holder
        self._poll_s = poll_s
        self._chance = chance
        self._window: Window | None = None
        self._failures = 0
        self.forwarded = 0
        self.skipped = 0
        """Events larger than a record may be."""

    async def run(self) -> None:
        """Forward until cancelled; then another may go on at once."""
        try:
            while True:
                try:
                    worked = await self.forward()
                except Unavailable as error:
                    if not self._failures:
                        log.warning("Kinesis forwarder waits", extra={"error": str(error)})
                    self._failures += 1
                    worked = False
                except Exception:
                    log.exception("Kinesis forwarder failed")
                    self._failures += 1
                    worked = False
                if self._failures or not worked:
                    await asyncio.sleep(self._delay_s())
        finally:
            with suppress(Unavailable):
                await self._journal.leave(KINESIS, self._holder)

    async def forward(self) -> bool:
        """Send one request and move the checkpoint; tell whether there was anything to send. Raises Unavailable."""
        stored = await self._journal.hold(KINESIS, self._holder, LEASE_S)
        if stored is None:
            self._window, self._failures = None, 0
            return False
        if self._window is None or stored > self._window.checkpoint:  # the first time, or another was here meanwhile
            self._window = Window(stored)
        window = self._window
        if window.room:
            window.add(await self._journal.read(window.read_up_to, window.room))
        batch, too_large = _request(window.due())
        self._skip(window, too_large)
        await self._put(window, batch)
        if window.checkpoint > stored:
            await self._journal.advance(KINESIS, self._holder, window.checkpoint)
        return bool(batch or too_large)

    async def _put(self, window: Window, batch: Sequence[tuple[Entry, Record]]) -> None:
        refusals = await self._stream.put([record for _, record in batch]) if batch else []
        refused = [why for why in refusals if why is not None]
        window.done([entry.position for (entry, _), why in zip(batch, refusals, strict=True) if why is None])
        self.forwarded += len(batch) - len(refused)
        if refused and not self._failures:
            log.warning("Kinesis refuses records", extra={"count": len(refused), "why": refused[0]})
        # Shards are throttled one by one: where some records pass, those that do not are soon tried again.
        self._failures = 0 if not refused else 1 if len(refused) < len(batch) else self._failures + 1

    def _skip(self, window: Window, too_large: Sequence[Entry]) -> None:
        for entry in too_large:
            log.error("event too large for Kinesis", extra={"event_id": entry.event.event_id})
        window.done(entry.position for entry in too_large)
        self.skipped += len(too_large)

    def _delay_s(self) -> float:
        if not self._failures:
            return self._poll_s
        longest_s = min(FIRST_DELAY_S * 2.0 ** min(self._failures - 1, 30), MAX_DELAY_S)
        return longest_s * (1.0 - self._chance() / 2.0)


def _request(due: Iterable[Entry]) -> tuple[list[tuple[Entry, Record]], list[Entry]]:
    """Fill one request within the limits; return also what no request can hold."""
    batch: list[tuple[Entry, Record]] = []
    too_large: list[Entry] = []
    total_bytes = 0
    for entry in islice(due, MAX_RECORDS):
        record = Record(entry.event.station_id[:MAX_KEY], as_message(entry.event))
        size = len(record.key.encode()) + len(record.data)
        if size > MAX_RECORD_BYTES:
            too_large.append(entry)
            continue
        if total_bytes + size > MAX_REQUEST_BYTES:
            break
        total_bytes += size
        batch.append((entry, record))
    return batch, too_large


def _named(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
