"""What was acknowledged is in the chain, once and in order, whatever kills the process and whether or not the database
was there: two processes on one folder are killed at any moment, and a third one finds what they left.
"""

import asyncio
import itertools
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.audit.spool import Spool
from cluster.audit.trail import AuditTrail
from cluster.audit.walk import verify
from cluster.store.audit import PostgresAudit

AWAY = "postgresql://nobody@/nothing?host=%2Fnowhere"
ENOUGH = 300


def files(folder: Path, suffix: str) -> list[Path]:
    return list(folder.rglob(f"*{suffix}"))


async def killed(url: str, folder: Path, name: str) -> list[str]:
    """Let a process record, kill it, and return what it had acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.cluster.audit.recorder", url, str(folder), name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(ENOUGH)]
    process.kill()
    told += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return [line.decode().strip() for line in told if line.endswith(b"\n")]


async def stored_ids(store: PostgresAudit) -> AsyncIterator[str]:
    place = 0
    while links := await store.read(place, 1000):
        place = links[-1].seq
        for link in links:
            yield link.entry.id


@pytest.mark.parametrize("url", ["database", AWAY], ids=["database there", "database away"])
async def test_nothing_acknowledged_is_lost_when_processes_are_killed(
    url: str, database: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    target = database if url == "database" else url
    async with asyncio.timeout(90):
        acknowledged = await asyncio.gather(*(killed(target, tmp_path, name) for name in "ab"))
        store = PostgresAudit(engine)
        trail = AuditTrail(store, Spool(tmp_path), gather_s=0.001)
        trail.start()
        wanted = set(itertools.chain(*acknowledged))
        while not wanted <= {one async for one in stored_ids(store)} or trail.status().waiting_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await trail.close()
    assert len(wanted) >= 2 * ENOUGH
    ids = [one async for one in stored_ids(store)]
    assert len(ids) == len(set(ids))
    by_writer = defaultdict(list)
    for one in ids:
        writer, _, number = one.rpartition("-")
        by_writer[writer].append(int(number))
    assert all(numbers == list(range(len(numbers))) for numbers in by_writer.values()), "in the order they were done"
    assert [finding async for finding in verify(store)] == []
    assert files(tmp_path, ".spool") == []
