"""Whoever calls is read by who can read them, and called the same everywhere."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from cluster.identity.caller import Caller
from cluster.identity.claims import Identity
from cluster.identity.directory import Callers
from cluster.identity.errors import BadToken
from configs.fields import ApiName


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


def callers(identity: Identity = ANN) -> tuple[Callers, Outside]:
    outside = Outside(identity)
    own = {"cloudbay": Says("operator"), "http://us": Says("our issuer")}
    return Callers("admin", Says("key"), dict(own), outside, People()), outside


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
