"""A recorded deed is durable before its answer, whatever the database does; nothing is lost and one alarm is raised."""

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from actors.errors import Unavailable
from cluster.audit import trail as trail_module
from cluster.audit.entry import decode
from cluster.audit.metrics import numbers
from cluster.audit.spool import Spool
from cluster.audit.trail import AuditTrail
from cluster.audit.walk import verify
from cluster.embedded import EmbeddedPostgres
from cluster.store.audit import PostgresAudit
from cluster.store.engine import make_engine
from cluster.store.migrate import migrate
from tests.cluster.audit.deeds import deed
from tests.twins.audit import MemoryAudit


class Disk:
    """A disk whose syncs are counted, and fail while it is `broken`."""

    def __init__(self) -> None:
        self.syncs = 0
        self.broken = False

    def sync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.syncs += 1
        os.fsync(descriptor)


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact, ten seconds at most."""
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 - the fact is made in the background
            await asyncio.sleep(0.002)


def files(folder: Path, suffix: str) -> list[Path]:
    return list(folder.rglob(f"*{suffix}"))


def on_disk(folder: Path) -> list[str]:
    """Read what is spooled with the eyes of another process."""
    spool = Spool(folder / "copy")
    for number, path in enumerate(sorted(folder.rglob("*.spool"))):
        (folder / "copy" / "dead").mkdir(parents=True, exist_ok=True)
        (folder / "copy" / "dead" / "lock").touch()
        (folder / "copy" / "dead" / f"{number:020d}.spool").write_bytes(path.read_bytes())
    spool.take_over()
    found = []
    while records := spool.read(100):
        found += [decode(record).id for record in records]
        spool.forget()
    spool.close()
    return found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "RETRY_S", 0.01)


@pytest.fixture
def store() -> MemoryAudit:
    return MemoryAudit()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def trail(store: MemoryAudit, disk: Disk, tmp_path: Path) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(store, Spool(tmp_path, sync=disk.sync), gather_s=0.001, note_s=0.01, max_queued=20)
    trail.start()
    yield trail
    await trail.close()


def ids(store: MemoryAudit) -> list[str]:
    return [link.entry.id for link in store.links]


async def test_a_recorded_deed_is_on_the_disk_when_its_answer_leaves(
    trail: AuditTrail, store: MemoryAudit, disk: Disk, tmp_path: Path
) -> None:
    store.down = True
    for number in range(5):
        await trail.record(deed(number))
        assert disk.syncs == number + 1
        assert on_disk(tmp_path)[-1] == f"deed-{number}"


async def test_recorded_deeds_reach_the_chain_in_order(trail: AuditTrail, store: MemoryAudit) -> None:
    for number in range(50):
        await trail.record(deed(number))
    await until(lambda: len(store.links) == 50)
    assert ids(store) == [f"deed-{number}" for number in range(50)]
    assert trail.status().ok
    assert (trail.status().spooled, trail.status().stored) == (50, 50)


async def test_requests_at_the_same_time_share_a_sync(trail: AuditTrail, disk: Disk) -> None:
    await asyncio.gather(*(trail.record(deed(number)) for number in range(40)))
    assert disk.syncs <= 3


async def test_notes_wait_for_nothing_and_arrive_soon(trail: AuditTrail, store: MemoryAudit, disk: Disk) -> None:
    for number in range(10):
        await trail.note(deed(number))
    assert disk.syncs == 0
    await until(lambda: len(store.links) == 10)
    assert disk.syncs == 1


async def test_too_many_notes_wait_for_the_disk(trail: AuditTrail, disk: Disk) -> None:
    for number in range(100):
        await trail.note(deed(number))
        assert len(trail._queue) <= 20
    assert 1 <= disk.syncs <= 10


async def test_while_the_database_is_away_requests_go_on_and_one_alarm_is_raised(
    trail: AuditTrail, store: MemoryAudit, caplog: pytest.LogCaptureFixture
) -> None:
    store.down = True
    for number in range(30):
        await trail.record(deed(number))
    await until(lambda: not trail.status().ok)
    status = trail.status()
    assert status.waiting_bytes > 0
    assert status.waiting_s is not None
    shown = numbers(status)
    assert (shown["audit_ok"], shown["audit_waiting_bytes"]) == (0, status.waiting_bytes)
    assert shown["audit_waiting_seconds"] == status.waiting_s
    store.down = False
    await until(lambda: len(store.links) == 30)
    await until(lambda: not trail.status().waiting_bytes)
    assert ids(store) == [f"deed-{number}" for number in range(30)]
    assert trail.status().ok
    assert numbers(trail.status())["audit_ok"] == 1
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "audit entries wait for the database"
    ]


async def test_a_deed_whose_commit_was_not_heard_of_is_chained_once(trail: AuditTrail, store: MemoryAudit) -> None:
    store.loses_word = True
    await trail.record(deed(1))
    await trail.record(deed(2))
    await until(lambda: len(store.links) == 2)
    await until(lambda: not trail.status().waiting_bytes)
    assert ids(store) == ["deed-1", "deed-2"]


async def test_with_a_full_disk_deeds_go_to_the_database_at_once(
    trail: AuditTrail, store: MemoryAudit, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.broken = True
    await trail.record(deed(1))
    assert ids(store) == ["deed-1"]
    assert trail.status().spool_failures == 1
    assert "cannot be spooled" in caplog.text
    disk.broken = False
    await trail.record(deed(2))
    await until(lambda: len(store.links) == 2)


async def test_with_neither_disk_nor_database_the_request_learns_it_and_the_deed_is_still_kept(
    trail: AuditTrail, store: MemoryAudit, disk: Disk
) -> None:
    disk.broken = store.down = True
    for number in range(100):
        with pytest.raises(Unavailable, match="audit log"):
            await trail.record(deed(number))
    kept = len(trail._queue)
    assert 20 <= kept <= 60
    disk.broken = store.down = False
    await until(lambda: len(store.links) == kept)
    assert ids(store) == [f"deed-{number}" for number in range(kept)]


async def test_a_request_that_was_given_up_meanwhile_does_no_harm(trail: AuditTrail, store: MemoryAudit) -> None:
    given_up = asyncio.create_task(trail.record(deed(1)))
    await asyncio.sleep(0)
    given_up.cancel()
    await trail.record(deed(2))
    await until(lambda: ids(store) == ["deed-1", "deed-2"])


async def test_what_a_closed_process_could_not_store_the_next_one_stores(store: MemoryAudit, tmp_path: Path) -> None:
    store.down = True
    former = AuditTrail(store, Spool(tmp_path), note_s=60)
    former.start()
    await former.record(deed(1))
    await former.note(deed(2))
    await former.close()
    assert ids(store) == []
    store.down = False
    latter = AuditTrail(store, Spool(tmp_path))
    latter.start()
    await until(lambda: ids(store) == ["deed-1", "deed-2"])
    await latter.close()
    assert not files(tmp_path, ".spool")


async def test_closing_stores_what_waits(store: MemoryAudit, tmp_path: Path) -> None:
    trail = AuditTrail(store, Spool(tmp_path), gather_s=0.5, note_s=60)
    trail.start()
    await trail.note(deed(1))
    await trail.record(deed(2))
    await trail.note(deed(3))
    await trail.close()
    assert ids(store) == ["deed-1", "deed-2", "deed-3"]


async def test_a_record_that_is_not_understood_is_kept_aside_and_the_others_go_on(
    store: MemoryAudit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strange = Spool(tmp_path)
    strange.append([b'{"from":"another version"}'])
    strange.close()
    trail = AuditTrail(store, Spool(tmp_path))
    trail.start()
    await trail.record(deed(1))
    await until(lambda: ids(store) == ["deed-1"])
    await trail.close()
    assert len(files(tmp_path, ".damaged")) == 1
    assert "not understood" in caplog.text


async def test_an_entry_without_a_text_form_is_its_callers_error_and_harms_no_other(
    trail: AuditTrail, store: MemoryAudit
) -> None:
    broken = msgspec.structs.replace(deed(1), subject="\ud800")
    for keep in (trail.record, trail.note):
        with pytest.raises(UnicodeEncodeError):
            await keep(broken)
    await trail.record(deed(2))
    await until(lambda: ids(store) == ["deed-2"])


async def test_a_spool_that_cannot_be_read_for_a_while_is_an_outage_like_any_other(
    store: MemoryAudit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(Spool):
        fails = 3

        def read(self, limit: int) -> list[bytes]:
            self.fails -= 1
            if self.fails >= 0:
                raise OSError(errno.EIO, "the disk is broken")
            return super().read(limit)

    trail = AuditTrail(store, Unreadable(tmp_path))
    trail.start()
    await trail.record(deed(1))
    await until(lambda: ids(store) == ["deed-1"])
    assert trail.status().ok
    assert "the disk is broken" in caplog.text
    await trail.close()


async def test_an_outage_of_postgresql_delays_the_chain_and_loses_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        url = server.start()
        await migrate(url)
        engine = make_engine(url, "cloudbay tests", pool_size=1)
        store = PostgresAudit(engine)
        trail = AuditTrail(store, Spool(tmp_path / "audit"), gather_s=0.001)
        trail.start()
        await trail.record(deed(1))
        server.stop()
        for number in range(2, 12):
            await trail.record(deed(number))
        await until(lambda: not trail.status().ok)
        server.start()
        await until(lambda: trail.status().ok and not trail.status().waiting_bytes)
        assert [link.entry.id for link in await store.read(0, 100)] == [f"deed-{number}" for number in range(1, 12)]
        assert [finding async for finding in verify(store)] == []
        await trail.close()
        await engine.dispose()
    finally:
        server.stop()
