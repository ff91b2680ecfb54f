"""What keys and their rotation need from the world: who wraps data keys, where they are kept, what is sealed.

Twins are in tests/twins/vault.py. Must not know: files, AWS, SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Purpose = Literal["seal", "lookup"]


class Wrapped(msgspec.Struct, frozen=True):
    """A data key as it may be stored: encrypted by the wrapping key that `by` names."""

    by: str
    data: bytes


class DataKey(msgspec.Struct, frozen=True):
    """A data key, wrapped. Values are sealed with the newest that is active; the others open what they have sealed."""

    key_id: int
    purpose: Purpose
    wrapped: Wrapped
    created_at: datetime
    active_at: datetime
    """From when on it seals: late enough for every process to have learned of it before."""
    retired_at: datetime | None = None
    """When no row was sealed with it any more."""

    @property
    def label(self) -> str:
        """What a wrapped key is bound to, so that none can be taken for another."""
        return f"{self.purpose} {self.key_id}"


class KeyProvider(Protocol):
    """Holds wrapping keys, which never leave it. Raises Unavailable, and SealBroken for what it has not wrapped."""

    async def generate(self, label: str) -> tuple[bytes, Wrapped]:
        """Make a data key of 32 bytes and return it, plain and wrapped."""

    async def unwrap(self, wrapped: Wrapped, label: str) -> bytes:
        """Return the data key again."""

    async def rewrap(self, wrapped: Wrapped, label: str) -> Wrapped:
        """Wrap the data key with the wrapping key of today; the same value when it is already."""


class DataKeys(Protocol):
    """Where wrapped data keys are kept. Raises Unavailable."""

    async def all(self) -> list[DataKey]:
        """Return every data key, by id."""

    async def add(self, key: DataKey) -> None:
        """Keep a new one. Raises Conflict when its id is taken."""

    async def rewrap(self, key_id: int, wrapped: Wrapped) -> None:
        """Replace how one is wrapped."""

    async def retire(self, key_ids: Sequence[int], at: datetime) -> None:
        """Note that nothing is sealed with these any more."""


class Progress(msgspec.Struct, frozen=True):
    """How far the values of one place are: rows looked at, values sealed anew, and whether all are done."""

    place: str
    rows: int
    resealed: int
    finished: bool


class SealedRows(Protocol):
    """All sealed values of the database, by place ("table.column")."""

    def places(self) -> Sequence[str]:
        """Return every place."""

    async def step(self, place: str, key_id: int, limit: int, reseal: Callable[[bytes, str], bytes]) -> Progress:
        """Seal the next few values anew that another key than `key_id` has sealed, and remember how far it went.

        `reseal` takes an envelope and its context. A value that is written meanwhile is left to its writer, and looked
        at again before the place counts as finished. Raises Unavailable, and what `reseal` raises.
        """
