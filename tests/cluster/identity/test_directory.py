"""Whoever calls is read by who can read them, and called the same everywhere."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from cluster.identity.caller import Caller
from cluster.identity.claims import Identity
from cluster.identity.directory import Callers
from cluster.identity.errors import BadToken
from cluster.identity.people import AccountClosed
from cluster.identity.sessions import RecentlyEnded
from configs.fields import ApiName

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Says:
    """Calls everybody by its own name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def identify(self, token: str) -> Caller:
        return Caller(self._name, "here")


class Outside:
    """Takes every token for that of `identity`."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.asked: list[ApiName] = []

    async def verify(self, token: str, api: ApiName) -> Identity:
        self.asked.append(api)
        return self._identity


class People:
    async def seen(self, issuer: str, subject: str, name: str | None = None, email: str | None = None) -> str:
        return f"person of {issuer}: {subject}"


ANN = Identity("https://id.example", "ann", roles=frozenset({"auditor"}), session_id="s-1")
ROBOT = Identity("https://id.example", "robot", scopes=frozenset({"stations:read"}), is_machine=True)


class Erased:
    """Tells of people that they were erased."""

    def __init__(self, *people: str) -> None:
        self._people = frozenset(people)

    async def ended_since(self, at: datetime) -> frozenset[str]:
        return self._people


def callers(identity: Identity = ANN, ended: RecentlyEnded | None = None) -> tuple[Callers, Outside]:
    outside, ended = Outside(identity), ended or RecentlyEnded(Erased(), 60, 1, lambda: NOON)
    own = {"cloudbay": Says("operator"), "http://us": Says("our issuer")}
    return Callers("admin", Says("key"), dict(own), outside, People(), ended), outside


def token(issuer: str) -> str:
    return jwt.encode({"alg": "HS256"}, {"iss": issuer}, OctKey.import_key(b"k" * 32))


@pytest.mark.parametrize(
    ("shown", "read_by"),
    [("cb_0123_secret", "key"), (token("cloudbay"), "operator"), (token("http://us"), "our issuer")],
)
async def test_each_is_read_by_who_can(shown: str, read_by: str) -> None:
    directory, outside = callers()
    assert (await directory.identify(shown)).subject == read_by
    assert not outside.asked


async def test_a_person_of_an_outside_issuer_has_an_id_of_the_platform() -> None:
    directory, outside = callers()
    caller = await directory.identify(token("https://id.example"))
    assert caller == Caller(
        "person of https://id.example: ann", "https://id.example", frozenset({"auditor"}), session_id="s-1"
    )
    assert outside.asked == ["admin"]


async def test_a_person_who_was_erased_is_not_called_so_any_more() -> None:
    ended = RecentlyEnded(Erased("person of https://id.example: ann"), 60, 1, lambda: NOON)
    directory, _ = callers(ended=ended)
    await directory.identify(token("https://id.example"))
    await ended.look()
    with pytest.raises(AccountClosed, match="erased"):
        await directory.identify(token("https://id.example"))


async def test_a_machine_of_an_outside_issuer_is_limited_to_its_scopes() -> None:
    directory, _ = callers(ROBOT)
    caller = await directory.identify(token("https://id.example"))
    assert (caller.subject, caller.scopes) == ("client:https://id.example:robot", frozenset({"stations:read"}))


@pytest.mark.parametrize("shown", ["", "a.b.c", "nonsense", "x" * 100_000, token("x").replace(".", "..")])
async def test_what_is_no_token_goes_nowhere(shown: str) -> None:
    directory, outside = callers()
    with pytest.raises(BadToken):
        await directory.identify(shown)
    assert not outside.asked
