"""A process that records deeds until it is killed, and tells of each that was acknowledged: a line with its id.

`python -m tests.cluster.audit.recorder URL FOLDER NAME`
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from cluster.audit.spool import Spool
from cluster.audit.trail import AuditTrail
from cluster.store.audit import PostgresAudit
from cluster.store.engine import make_engine
from tests.cluster.audit.deeds import deed

WRITERS = 5


async def record(url: str, folder: Path, name: str) -> None:
    """Record for ever, as a few requests at a time do; the numbers of each writer ascend."""
    engine = make_engine(url, "recorder", pool_size=1)
    trail = AuditTrail(PostgresAudit(engine), Spool(folder, max_segment_bytes=4096), gather_s=0.005)
    trail.start()

    async def writer(writer_name: str) -> None:
        number = 0
        while True:
            entry = msgspec.structs.replace(deed(number), id=f"{writer_name}-{number}")
            await trail.record(entry)
            print(entry.id, flush=True)
            number += 1

    await asyncio.gather(*(writer(f"{name}-{index}") for index in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
