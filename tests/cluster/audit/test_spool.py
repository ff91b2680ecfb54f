"""What is appended to a spool is found again after any kill, and a broken disk is told, not hidden."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.audit.spool import Spool

RECORDS = [f"record {number}".encode() for number in range(100)]


def all_of(spool: Spool, limit: int = 7) -> list[bytes]:
    found = []
    while batch := spool.read(limit):
        found += batch
        spool.forget()
    return found


def killed(spool: Spool) -> None:
    """Let go of the lock, as the kernel does for a process that is gone."""
    os.close(spool._lock)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "audit")


def test_records_come_back_in_order_each_once(spool: Spool) -> None:
    assert spool.read(5) == []
    spool.append(RECORDS[:60])
    spool.append(RECORDS[60:])
    assert spool.waiting_bytes > 0
    assert all_of(spool) == RECORDS
    assert spool.waiting_bytes == 0
    spool.append([b"more"])
    assert all_of(spool) == [b"more"]


def test_what_is_not_forgotten_is_read_again(spool: Spool) -> None:
    spool.append(RECORDS)
    assert spool.read(3) == spool.read(3) == RECORDS[:3]


def test_full_files_are_left_for_new_ones_and_deleted_when_all_of_them_is_stored(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_segment_bytes=50)
    for record in RECORDS:
        spool.append([record])
    assert len(list(tmp_path.rglob("*.spool"))) > 20
    assert all_of(spool) == RECORDS
    assert spool.read(1) == []
    assert len(list(tmp_path.rglob("*.spool"))) == 1
    spool.close()
    assert list(tmp_path.rglob("*")) == []


def test_a_new_process_takes_over_what_a_killed_one_has_left(tmp_path: Path) -> None:
    former, latter = Spool(tmp_path, max_segment_bytes=200), Spool(tmp_path)
    for record in RECORDS:
        former.append([record])
    latter.append([b"own"])
    killed(former)
    assert latter.take_over() > 0
    assert latter.take_over() == 0
    assert all_of(latter) == [*RECORDS, b"own"]


def test_what_a_living_process_has_is_left_alone(tmp_path: Path) -> None:
    living, looking = Spool(tmp_path), Spool(tmp_path)
    living.append(RECORDS)
    assert looking.take_over() == 0
    assert all_of(looking) == []
    assert all_of(living) == RECORDS


def test_a_closed_spool_leaves_what_waits_to_the_next(tmp_path: Path) -> None:
    former, latter = Spool(tmp_path), Spool(tmp_path)
    former.append(RECORDS)
    former.close()
    latter.take_over()
    assert all_of(latter) == RECORDS


@given(st.data())
def test_after_a_power_cut_all_whole_records_are_there(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The end of a file may be cut anywhere, or be zeros; whole records before it are acknowledged ones."""
    folder = tmp_path_factory.mktemp("spool")
    records = data.draw(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8))
    former, latter = Spool(folder), Spool(folder)
    former.append(records)
    killed(former)
    (file,) = folder.rglob("*.spool")
    content = file.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:cut] + bytes(data.draw(st.integers(0, 20))))
    whole, end = [], 0
    for record in records:
        end += 8 + len(record)
        whole += [record] * (end <= cut)
    latter.take_over()
    assert all_of(latter) == whole


def test_a_file_that_cannot_be_read_to_its_end_is_kept_aside_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    former, latter = Spool(tmp_path), Spool(tmp_path)
    former.append(RECORDS)
    killed(former)
    (file,) = tmp_path.rglob("*.spool")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    latter.take_over()
    found = all_of(latter)
    assert found == RECORDS[: len(found)]
    assert 0 < len(found) < len(RECORDS)
    (aside,) = tmp_path.rglob("*.damaged")
    assert aside.read_bytes() == content
    assert "cannot be read" in caplog.text


def test_a_file_that_somebody_has_deleted_is_told_and_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    spool.append([b"deleted"])
    (file,) = tmp_path.rglob("*.spool")
    file.unlink()
    assert all_of(spool) == []
    assert "are gone" in caplog.text
    spool.append([b"next"])
    assert all_of(spool) == [b"next"]


def failing(times: int) -> Callable[[int], None]:
    left = iter(range(times))

    def sync(descriptor: int) -> None:
        if next(left, None) is not None:
            raise OSError(errno.EIO, "the disk is broken")
        os.fsync(descriptor)

    return sync


def test_what_could_not_be_synced_is_not_acknowledged_and_the_next_goes_to_a_new_file(tmp_path: Path) -> None:
    """After a failed fsync a second one of the same file may succeed though the data is gone."""
    spool = Spool(tmp_path, sync=failing(1))
    with pytest.raises(OSError, match="broken"):
        spool.append([b"lost"])
    spool.append([b"kept"])
    assert len(list(tmp_path.rglob("*.spool"))) == 2
    assert all_of(spool) == [b"kept"]


def test_files_are_for_their_owner_alone(tmp_path: Path, spool: Spool) -> None:
    spool.append(RECORDS)
    modes = {path.stat().st_mode & 0o777 for path in [tmp_path / "audit", *(tmp_path / "audit").rglob("*")]}
    assert modes == {0o700, 0o600}
