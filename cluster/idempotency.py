"""Requests that may be repeated: under an Idempotency-Key something is done once, and repeats get the first answer.

Source: draft-ietf-httpapi-idempotency-key-header-07. A key belongs to its caller. Before anything is done it is claimed
with an id, from which whatever is created derives its own; who takes an abandoned claim over (its process died before
the answer was kept) has the same id, so that the same command is given again and no second one.
The database sees neither keys nor answers: a claim's name is a keyed hash, and the answer is sealed with what only the
caller, the key and the platform's secret together lead to. So even what is shown once, a password, can be kept.
Must not know: HTTP frameworks, SQL.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID, uuid5

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.errors import BadRequest, CloudBayError, Conflict, Unavailable
from cluster.identity.caller import Caller

log = logging.getLogger(__name__)

_NONCE_BYTES: Final = 12


class KeyReused(BadRequest):
    """The key names another request than before (section 2.7 of the draft)."""

    title = "Idempotency-Key used for something else"


class UnderWay(Conflict):
    """The first request with this key has no answer yet."""

    title = "First request under way"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class AnswerUnreadable(CloudBayError):
    """A kept answer was changed, or moved to another claim."""


class FirstAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What the first request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Claim(msgspec.Struct, frozen=True):
    """A key as the store has it; `answer` is None as long as there is none, and sealed."""

    id: str
    fingerprint: bytes
    locked_until: datetime
    kept_until: datetime
    answer: bytes | None = None


class Held(NamedTuple):
    """The claim that holds a key; `ours` if it was made or taken over just now."""

    claim: Claim
    ours: bool


class Claims(Protocol):
    """Who has claimed which key. `name` is 32 bytes. Raises Unavailable."""

    async def claim(self, name: bytes, mine: Claim, now: datetime) -> Held:
        """Return the claim that holds, and whether it is the caller's to carry out.

        It is `mine` if there was none that is still kept. An earlier one of the same fingerprint is taken over, with
        `mine`'s times, if it has no answer and its lock has run out. Else it is the earlier one as it is.
        """

    async def keep(self, name: bytes, claim_id: str, answer: bytes) -> None:
        """Keep the answer to a claim, unless it has one."""

    async def give_back(self, name: bytes, claim_id: str, now: datetime) -> None:
        """Let a claim without an answer be taken over from now on."""

    async def purge(self, now: datetime) -> int:
        """Forget what need not be kept any longer; return how much that was."""


class Attempt(NamedTuple):
    """The right to do what a key asks for; `again` tells that an earlier attempt may have done it."""

    name: bytes
    seal_key: bytes
    claim_id: str
    again: bool

    def id_of(self, what: str) -> str:
        """Return the id of something that is created, the same one in every attempt."""
        return str(uuid5(UUID(self.claim_id), what))


class Repeats:
    """Answers repeated requests with the first answer.

    `secret` has 32 bytes; `lock` is longer than any request takes; an answer is kept for `kept`.
    """

    def __init__(
        self,
        claims: Claims,
        secret: bytes,
        lock: timedelta,
        kept: timedelta,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._claims = claims
        self._secret = secret
        self._lock = lock
        self._kept = kept
        self._clock = clock
        self._new_id = new_id

    async def begin(self, caller: Caller, key: str, fingerprint: bytes) -> Attempt | FirstAnswer:
        """Claim a key for a request, or return what the first one was answered with.

        Raises KeyReused, UnderWay, Unavailable; then nothing may be done.
        """
        name, seal_key = self._derived(caller, key, "name"), self._derived(caller, key, "seal")
        now = self._clock()
        mine = Claim(self._new_id(), fingerprint, now + self._lock, now + self._kept)
        held, ours = await self._claims.claim(name, mine, now)
        if not hmac.compare_digest(held.fingerprint, fingerprint):
            raise KeyReused("this Idempotency-Key was used for another request; use a new one for each")
        if held.answer is not None:
            return _opened(held.answer, seal_key, held.id)
        if not ours:
            wait_s = max(1, -(-(held.locked_until - now) // timedelta(seconds=1)))
            raise UnderWay("the first request with this Idempotency-Key is not answered yet", wait_s)
        return Attempt(name, seal_key, held.id, again=held.id != mine.id)

    async def keep(self, attempt: Attempt, answer: FirstAnswer) -> None:
        """Keep the answer for repeats; without a database the next attempt does the same again, under the same ids."""
        try:
            await self._claims.keep(attempt.name, attempt.claim_id, _sealed(answer, attempt.seal_key, attempt.claim_id))
        except Unavailable as error:
            log.warning("first answer not kept", extra={"reason": str(error)})

    async def give_back(self, attempt: Attempt) -> None:
        """Let the next repeat try again at once, because this attempt has led to no answer that holds."""
        try:
            await self._claims.give_back(attempt.name, attempt.claim_id, self._clock())
        except Unavailable as error:
            log.info("claim not given back", extra={"reason": str(error)})

    async def purge(self) -> int:
        """Forget answers that were kept for long enough; return how many. Raises Unavailable."""
        return await self._claims.purge(self._clock())

    def _derived(self, caller: Caller, key: str, use: str) -> bytes:
        return hmac.digest(self._secret, msgspec.json.encode((use, caller.issuer, caller.subject, key)), "sha256")


async def purging(repeats: Repeats, every_s: float) -> None:
    """Purge now and then, for ever; a database that is away is asked again the next time."""
    while True:
        try:
            await repeats.purge()
        except Unavailable as error:
            log.info("first answers not purged", extra={"reason": str(error)})
        await asyncio.sleep(every_s)


def _sealed(answer: FirstAnswer, seal_key: bytes, claim_id: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(seal_key).encrypt(nonce, msgspec.msgpack.encode(answer), claim_id.encode())


def _opened(sealed: bytes, seal_key: bytes, claim_id: str) -> FirstAnswer:
    try:
        opened = AESGCM(seal_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], claim_id.encode())
    except InvalidTag:
        raise AnswerUnreadable("the first answer cannot be read any more") from None
    return msgspec.msgpack.decode(opened, type=FirstAnswer)
