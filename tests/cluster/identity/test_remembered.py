"""What was found out about tokens is remembered for as long as they are good, and not a moment longer."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from cluster.bearer import OwnTokens, mint
from cluster.identity.callers import IssuedTokens
from cluster.identity.errors import BadToken
from cluster.identity.remembered import Remembered
from cluster.identity.sessions import RecentlyEnded, Session
from cluster.identity.signing import NotOurToken, Signer
from tests.cluster.identity.test_callers import ISSUER, KEYS, NOON, about
from tests.twins.identity import memory_stores


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_no_more_than_so_many_are_remembered_and_none_by_its_text() -> None:
    remembered: Remembered[int] = Remembered(max_remembered=3)
    for number in range(5):
        remembered.keep(f"token-{number}", number)
    assert [remembered.get(f"token-{number}") for number in range(5)] == [None, None, 2, 3, 4]
    assert "token-4" not in str(vars(remembered))


async def test_a_token_that_was_read_before_ends_with_its_session_at_the_next_look() -> None:
    stores, clock = memory_stores(), Clock()
    ended = RecentlyEnded(stores.ended, 300, 1, clock)
    tokens = IssuedTokens(Signer(KEYS, ISSUER, clock, lambda: "id"), ended, ["app"])
    token = Signer(KEYS, ISSUER, clock, lambda: "id").access_token(about(), 60)
    first = await tokens.identify(token)
    assert await tokens.identify(token) == first
    await stores.sessions.begin(Session("s", "ann", NOON, NOON, NOON, NOON), b"")
    await stores.sessions.end("ann", "s", NOON)
    await ended.look()
    with pytest.raises(NotOurToken, match="log in again"):
        await tokens.identify(token)


async def test_a_token_that_was_read_before_ends_in_time() -> None:
    clock = Clock()
    ended = RecentlyEnded(memory_stores().ended, 300, 1, clock)
    tokens = IssuedTokens(Signer(KEYS, ISSUER, clock, lambda: "id"), ended, ["app"])
    token = Signer(KEYS, ISSUER, clock, lambda: "id").access_token(about(), 60)
    assert (await tokens.identify(token)).subject == "ann"
    clock.now += timedelta(seconds=61)
    with pytest.raises(NotOurToken, match="expired"):
        await tokens.identify(token)


async def test_an_operators_token_that_was_read_before_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, token = OwnTokens(b"k" * 32), mint(b"k" * 32, ["admin"], 60)
    assert await tokens.identify(token) == await tokens.identify(token)
    monkeypatch.setattr("time.time", lambda: 9_999_999_999.0)
    with pytest.raises(BadToken):
        await tokens.identify(token)
