"""What recording a deed costs a request, how much one chain takes from many processes, and how fast it is verified.

The server, the chain and the spool alone: no platform is started.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from benchmarks.rows import Rows, percentile, row
from cluster.audit.entry import Entry, Origin, Outcome, Target, make_entry
from cluster.audit.spool import Spool
from cluster.audit.trail import MAX_BATCH, AuditTrail
from cluster.audit.walk import verify
from cluster.embedded import EmbeddedPostgres
from cluster.identity.caller import Caller
from cluster.store.audit import PostgresAudit
from cluster.store.engine import database_url, make_engine
from cluster.store.migrate import migrate

WRITERS = 4
SECONDS = 3.0
AT_ONCE = 16
RECORDED = 800

_CALLER = Caller("ann", "https://id.example", frozenset({"operator"}), session_id="session")


def measure(folder: Path) -> Rows:
    """Measure on a server of its own."""
    server = EmbeddedPostgres(folder)
    try:
        url = server.start()
        asyncio.run(migrate(url))
        return asyncio.run(_requests(url, folder / "audit")) | _chain(url)
    finally:
        server.stop()


def _entries() -> Iterator[Entry]:
    target, origin = Target("station", "CP-1"), Origin("192.0.2.7", "curl/8.5.0", "request")
    while True:
        yield make_entry(str(uuid4()), datetime.now(UTC), _CALLER, "station.change", target, origin, Outcome(200))


async def _requests(url: str, folder: Path) -> Rows:
    engine = make_engine(url, "benchmark", pool_size=1)
    store = PostgresAudit(engine)
    trail = AuditTrail(store, Spool(folder))
    trail.start()
    rows: Rows = {}
    for at_once in (1, AT_ONCE):
        spooled = await _waits(trail.record, at_once)
        stored = await _waits(lambda entry: store.append([entry]), at_once)
        for name, waits in (("record", spooled), ("commit_each", stored)):
            rows[f"audit_{name}_{at_once}_p50_ms"] = row(percentile(waits, 0.5) * 1000, "ms")
            rows[f"audit_{name}_{at_once}_p99_ms"] = row(percentile(waits, 0.99) * 1000, "ms")
    await trail.close()
    await engine.dispose()
    return rows


async def _waits(keep: Callable[[Entry], Awaitable[object]], at_once: int) -> list[float]:
    waits: list[float] = []

    async def ask() -> None:
        for entry, _ in zip(_entries(), range(RECORDED // at_once), strict=False):
            began = time.perf_counter()
            await keep(entry)
            waits.append(time.perf_counter() - began)

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return waits


def _chain(url: str) -> Rows:
    own = [database_url(url).set(database=f"chain_{n}").render_as_string(hide_password=False) for n in range(WRITERS)]
    for number, each in enumerate(own):
        asyncio.run(_create(url, f"chain_{number}"))
        asyncio.run(migrate(each))
    one = _appended([url])
    together, apart = _appended([url] * WRITERS), _appended(own)
    return {
        "audit_chain_1_writer": row(one, "1/s"),
        f"audit_chain_{WRITERS}_writers": row(together, "1/s"),
        f"audit_{WRITERS}_chains": row(apart, "1/s"),
        "audit_verified": row(asyncio.run(_verified(url)), "1/s"),
    }


async def _create(url: str, name: str) -> None:
    engine = make_engine(url, "benchmark", pool_size=1)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()


def _appended(urls: list[str]) -> float:
    with ProcessPoolExecutor(len(urls), multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(_append, urls, repeat(SECONDS)))


def _append(url: str, seconds: float) -> float:
    return asyncio.run(_append_for(url, seconds))


async def _append_for(url: str, seconds: float) -> float:
    engine = make_engine(url, "benchmark", pool_size=1)
    store, entries, count, began = PostgresAudit(engine), _entries(), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += await store.append([next(entries) for _ in range(MAX_BATCH)])
    await engine.dispose()
    return count / (time.perf_counter() - began)


async def _verified(url: str) -> float:
    engine = make_engine(url, "benchmark", pool_size=1)
    store, began = PostgresAudit(engine), time.perf_counter()
    assert [finding async for finding in verify(store)] == []
    head = await store.head()
    took_s = time.perf_counter() - began
    await engine.dispose()
    return 0.0 if head is None else head.seq / took_s
