"""Records on a local disk until they are stored elsewhere: a queue that outlives its process, and its machine's power.

A record is durable when `append` returns. Each process has a folder of its own and holds a lock in it while it lives;
the records of a folder that nobody holds are taken over by whoever looks. After a kill some records come twice, none is
lost. A file whose rest cannot be read is kept aside, never deleted.
Everything here blocks, and belongs to one thread. Must not know: what a record is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

MAX_SEGMENT_BYTES: Final = 1 << 20
"""What a new life may read a second time; a segment is deleted when all of it is stored elsewhere."""

_HEADER: Final = struct.Struct(">II")  # length and CRC-32 of a record, which is never empty
_LOCK: Final = "lock"
_SEGMENT: Final = ".spool"
_DAMAGED: Final = ".damaged"


class _Segment:
    """One file of records: appended to by one process, read once."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.taken = 0
        """Bytes that are stored elsewhere."""

    @property
    def waiting(self) -> int:
        return self.size - self.taken


class Spool:
    """The records of one process in a folder below `folder`, oldest first."""

    def __init__(
        self, folder: Path, max_segment_bytes: int = MAX_SEGMENT_BYTES, sync: Callable[[int], None] = os.fsync
    ) -> None:
        self._folder = folder
        self._max_segment_bytes = max_segment_bytes
        self._sync = sync
        self._own: Path | None = None
        self._lock = -1
        self._segments: list[_Segment] = []
        self._active: tuple[_Segment, int] | None = None
        self._lent: tuple[_Segment, int] | None = None
        """What `read` has returned last: its file, and up to where."""

    @property
    def waiting_bytes(self) -> int:
        """Return how much waits to be stored elsewhere."""
        return sum(segment.waiting for segment in self._segments)

    def append(self, records: Sequence[bytes]) -> None:
        """Write records; they are durable when this returns.

        After an OSError none is known to be: what was written may be found again after a kill, and is not read here.
        """
        segment, descriptor = self._writable()
        data = b"".join(_HEADER.pack(len(record), zlib.crc32(record)) + record for record in records)
        try:
            _write(descriptor, data)
            self._sync(descriptor)
        except OSError:
            # After a failed fsync nobody knows what the file holds: it is left, and the next one is a new one.
            self._end_active()
            with suppress(OSError):
                os.truncate(segment.path, segment.size)
            raise
        segment.size += len(data)

    def read(self, limit: int) -> list[bytes]:
        """Return the oldest records, at most `limit`, of one file; the same ones again until `forget`.

        Raises OSError.
        """
        for segment in list(self._segments):
            try:
                records, end = _records(segment, limit)
            except FileNotFoundError:
                log.error("spooled records are gone", extra={"file": str(segment.path), "bytes": segment.waiting})  # noqa: TRY400
                self._let_go(segment)
                continue
            if records:
                self._lent = segment, end
                return records
            if segment.waiting:
                self._set_aside(segment)
            elif self._active is None or segment is not self._active[0]:
                self._drop(segment)
        return []

    def forget(self) -> None:
        """Let go of what `read` has returned last: it is stored elsewhere."""
        if self._lent is not None:
            self._lent[0].taken = self._lent[1]
            self._lent = None

    def set_aside(self) -> None:
        """Keep the file of what `read` has returned last apart: it cannot be used."""
        if self._lent is not None:
            self._set_aside(self._lent[0])
            self._lent = None

    def take_over(self) -> int:
        """Make the records of processes that are gone one's own; return how many bytes they are. Raises OSError."""
        own = self._opened()
        folders = [folder for folder in self._folder.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
        found = sum(self._adopt(folder, own) for folder in folders if folder != own)
        self._segments.sort(key=lambda segment: segment.path.name)
        return found

    def close(self) -> None:
        """Let go of the folder; what waits is left to whoever takes it over."""
        if self._own is None:
            return
        self._end_active()
        for segment in [segment for segment in self._segments if not segment.waiting]:
            self._drop(segment)
        if not self._segments:
            _remove(self._own)
        os.close(self._lock)
        self._own = None

    def _opened(self) -> Path:
        """Make this process' folder and lock it, if that is not done yet."""
        if self._own is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{os.getpid()}-{secrets.token_hex(4)}"
            new = self._folder / f".{name}"  # not looked at by others until it is locked
            new.mkdir(mode=0o700)
            self._lock = os.open(new / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._own = new.rename(self._folder / name)
            _sync_folder(self._folder)
        return self._own

    def _writable(self) -> tuple[_Segment, int]:
        if self._active is not None and self._active[0].size >= self._max_segment_bytes:
            self._end_active()
        if self._active is None:
            own = self._opened()
            path = own / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SEGMENT}"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._active = _Segment(path, 0), descriptor
            self._segments.append(self._active[0])
            _sync_folder(own)
        return self._active

    def _end_active(self) -> None:
        if self._active is not None:
            _, descriptor = self._active
            self._active = None
            with suppress(OSError):
                os.close(descriptor)

    def _adopt(self, folder: Path, own: Path) -> int:
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # its process has just removed it
            return 0
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = [self._move(path, own) for path in sorted(folder.glob(f"*{_SEGMENT}"))]
            _remove(folder)
        except BlockingIOError:  # its process lives
            return 0
        finally:
            os.close(lock)
        if found:
            _sync_folder(own)
        return sum(found)

    def _move(self, path: Path, own: Path) -> int:
        moved = path.rename(own / path.name)
        segment = _Segment(moved, moved.stat().st_size)
        self._segments.append(segment)
        return segment.size

    def _drop(self, segment: _Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self._let_go(segment)

    def _set_aside(self, segment: _Segment) -> None:
        aside = self._folder / (segment.path.name + _DAMAGED)
        segment.path.rename(aside)
        self._let_go(segment)
        log.error("spooled records cannot be read", extra={"file": str(aside), "bytes": segment.waiting})

    def _let_go(self, segment: _Segment) -> None:
        if self._active is not None and segment is self._active[0]:
            self._end_active()
        self._segments.remove(segment)


def _records(segment: _Segment, limit: int) -> tuple[list[bytes], int]:
    """Return whole records after those that are taken, and where they end."""
    with segment.path.open("rb") as file:
        file.seek(segment.taken)
        data = file.read(min(segment.waiting, MAX_SEGMENT_BYTES))
    records = [record for _, record in zip(range(limit), _split(data), strict=False)]
    return records, segment.taken + sum(_HEADER.size + len(record) for record in records)


def _split(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, at)
        record = data[at + _HEADER.size : at + _HEADER.size + length]
        if not record or len(record) < length or zlib.crc32(record) != checksum:
            return
        yield record
        at += _HEADER.size + length


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    (folder / _LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # damaged files may have been put there by hand
        folder.rmdir()
