"""Keys of issuers: asked for once, kept while the issuer is away, asked for again when a token names an unknown one."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, Key, OctKey
from starlette.responses import RedirectResponse, Response, StreamingResponse

from actors.errors import Unavailable
from cluster.identity.errors import BadToken
from cluster.identity.issuers import MAX_DOCUMENT_BYTES, DiscoveredKeys, IssuerKeys, KnownKeys
from configs.identity import Identity
from tests.cluster.identity.conftest import MAX_AGE_S, PAUSE_S, Stopwatch, trusting
from tests.cluster.identity.tiny_issuer import EC, NEXT_EC, RSA, TinyIssuer, public

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(params=["discovered", "known"])
def either(request: pytest.FixtureRequest, keys: DiscoveredKeys) -> IssuerKeys:
    return keys if request.param == "discovered" else KnownKeys([RSA, EC])


async def settle(keys: DiscoveredKeys) -> None:
    """Wait for the question that was begun beside a call."""
    asking = keys._asking
    assert asking is not None
    await asyncio.wait([asking], timeout=10)


class TestWhicheverKeys:
    """The contract of IssuerKeys."""

    async def test_a_key_is_found_by_its_id(self, either: IssuerKeys) -> None:
        assert (await either.find("ec-1", "ES256")).thumbprint() == EC.thumbprint()
        assert (await either.find("rsa-1", "RS256")).thumbprint() == RSA.thumbprint()

    async def test_the_only_key_that_signs_so_needs_no_id(self, either: IssuerKeys) -> None:
        assert (await either.find(None, "ES256")).thumbprint() == EC.thumbprint()

    async def test_a_key_signs_with_its_own_algorithm_only(self, either: IssuerKeys) -> None:
        """RFC 8725, section 3.1."""
        for kid, algorithm in [("ec-1", "RS256"), ("rsa-1", "ES256"), ("rsa-1", "PS256"), ("ec-1", "HS256")]:
            with pytest.raises(BadToken, match="key"):
                await either.find(kid, algorithm)

    async def test_an_unknown_id_is_a_bad_token(self, either: IssuerKeys) -> None:
        with pytest.raises(BadToken, match="log in again"):
            await either.find("nobody's", "ES256")


async def test_of_two_keys_none_goes_without_its_id(issuer: TinyIssuer, keys: DiscoveredKeys) -> None:
    """OpenID Connect Core, section 10.1."""
    issuer.key_set = public(EC, NEXT_EC)
    with pytest.raises(BadToken):
        await keys.find(None, "ES256")


async def test_nothing_is_asked_before_the_first_token_and_nothing_twice(
    issuer: TinyIssuer, keys: DiscoveredKeys
) -> None:
    assert issuer.asked == []
    await asyncio.gather(*(keys.find("ec-1", "ES256") for _ in range(50)))
    await keys.find("rsa-1", "RS256")
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_a_rotated_key_is_found_at_its_first_token(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch
) -> None:
    await keys.find("ec-1", "ES256")
    issuer.key_set = public(NEXT_EC)
    stopwatch.now_s += PAUSE_S
    assert (await keys.find("ec-2", "ES256")).thumbprint() == NEXT_EC.thumbprint()
    with pytest.raises(BadToken):
        await keys.find("ec-1", "ES256")


async def test_a_storm_of_unknown_ids_is_one_question_in_a_pause(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch
) -> None:
    await keys.find("ec-1", "ES256")
    for asked in (2, 3):
        stopwatch.now_s += PAUSE_S
        storm = [keys.find(f"kid-{number}", "ES256") for number in range(200)]
        results = await asyncio.gather(*storm, return_exceptions=True)
        assert {type(result) for result in results} == {BadToken}
        for number in range(100):
            with pytest.raises(BadToken):
                await keys.find(f"later-{number}", "ES256")
        assert issuer.keys_asked == asked
        assert await keys.find("ec-1", "ES256")


async def test_old_keys_serve_at_once_while_the_issuer_is_asked_again(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch
) -> None:
    await keys.find("ec-1", "ES256")
    stopwatch.now_s += MAX_AGE_S
    issuer.gate.clear()
    issuer.key_set = public(NEXT_EC)
    assert (await keys.find("ec-1", "ES256")).thumbprint() == EC.thumbprint()
    issuer.gate.set()
    await settle(keys)
    with pytest.raises(BadToken):  # the issuer took it back
        await keys.find("ec-1", "ES256")
    assert issuer.keys_asked == 2


async def test_known_keys_serve_while_the_issuer_is_away(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cluster.identity")
    await keys.find("ec-1", "ES256")
    await issuer.stop()
    for _ in range(3):
        stopwatch.now_s += MAX_AGE_S
        assert await keys.find("ec-1", "ES256")
        await settle(keys)
    with pytest.raises(Unavailable, match="tiny"):  # it may be a new key: that cannot be known now
        await keys.find("ec-2", "ES256")

    issuer.key_set = public(NEXT_EC)
    await issuer.start()
    stopwatch.now_s += PAUSE_S
    assert await keys.find("ec-2", "ES256")
    assert caplog.messages == ["an issuer does not give its keys", "an issuer gives its keys again"]


async def test_keys_that_were_never_had_are_unavailable_and_asked_for_again_after_a_pause(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch
) -> None:
    issuer.answers["/keys"] = lambda: Response(status_code=500)
    for _ in range(5):
        with pytest.raises(Unavailable, match="does not give its keys now"):
            await keys.find("ec-1", "ES256")
    assert issuer.keys_asked == 1
    issuer.answers.clear()
    stopwatch.now_s += PAUSE_S
    assert await keys.find("ec-1", "ES256")


async def test_a_caller_who_leaves_does_not_take_the_answer_from_the_others(
    issuer: TinyIssuer, keys: DiscoveredKeys
) -> None:
    issuer.gate.clear()
    first, second = (asyncio.ensure_future(keys.find("ec-1", "ES256")) for _ in range(2))
    await asyncio.wait_for(issuer.was_asked.wait(), 10)
    first.cancel()
    issuer.gate.set()
    assert (await second).kid == "ec-1"


async def test_closing_ends_the_question_under_way(issuer: TinyIssuer, keys: DiscoveredKeys) -> None:
    issuer.gate.clear()
    waiting = asyncio.ensure_future(keys.find("ec-1", "ES256"))
    await asyncio.wait_for(issuer.was_asked.wait(), 10)
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def slow_drip() -> Response:
    async def drip() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    return StreamingResponse(drip())


GOOD = json.dumps(public(RSA, EC))
PACKED = gzip.compress(GOOD.encode())


WRONG_ANSWERS: dict[str, tuple[str, Callable[[], Response]]] = {
    "an error": ("/keys", lambda: Response(GOOD, status_code=503)),
    "no key": ("/keys", lambda: Response('{"keys": []}')),
    "no key set": ("/keys", lambda: Response("[]")),
    "no JSON": ("/keys", lambda: Response("<html>")),
    "no UTF-8": ("/keys", lambda: Response(b'{"keys": ["\xff"]}')),
    "nesting without end": ("/keys", lambda: Response('{"keys": [{"kty": ' + "[" * 100_000)),
    "a huge key set": ("/keys", lambda: Response(GOOD + " " * MAX_DOCUMENT_BYTES)),
    "a packed key set": ("/keys", lambda: Response(PACKED, headers={"Content-Encoding": "gzip"})),
    "a redirect": ("/keys", lambda: RedirectResponse("/elsewhere")),
    "a redirect of the discovery": (DISCOVERY, lambda: RedirectResponse("/elsewhere")),
    "a discovery without keys": (DISCOVERY, lambda: Response('{"issuer": "http://127.0.0.1"}')),
}


@pytest.mark.parametrize("wrong", WRONG_ANSWERS)
async def test_a_wrong_answer_gives_no_keys_and_leaves_the_known_ones(
    issuer: TinyIssuer, keys: DiscoveredKeys, stopwatch: Stopwatch, wrong: str
) -> None:
    path, answer = WRONG_ANSWERS[wrong]
    issuer.answers[path] = answer
    issuer.answers["/elsewhere"] = lambda: Response(status_code=200)
    with pytest.raises(Unavailable):
        await keys.find("ec-1", "ES256")
    assert "/elsewhere" not in issuer.asked

    issuer.answers.clear()
    stopwatch.now_s += PAUSE_S
    assert await keys.find("ec-1", "ES256")
    issuer.answers[path] = answer
    stopwatch.now_s += MAX_AGE_S
    await keys.find("ec-1", "ES256")
    await settle(keys)
    assert await keys.find("ec-1", "ES256")


async def test_an_answer_that_never_ends_is_given_up(
    issuer: TinyIssuer, identity: Identity, http: httpx.AsyncClient, stopwatch: Stopwatch
) -> None:
    issuer.answers["/keys"] = slow_drip
    hasty = identity.model_copy(update={"keys_timeout_s": 0.3})
    keys = DiscoveredKeys(trusting(issuer.url), hasty, http, stopwatch)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(keys.find("ec-1", "ES256"), 20)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "{url}/"},
        {"jwks_uri": "http://keys.example/keys"},
        {"jwks_uri": "http://127.0.0.1@keys.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "/keys"},
    ],
    ids=["another issuer", "nearly the issuer", "no https", "loopback in name only", "a file", "relative"],
)
async def test_a_discovery_that_leads_astray_is_not_followed(
    issuer: TinyIssuer, keys: DiscoveredKeys, document: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """OpenID Connect Discovery, section 4.3: `issuer` must be the one that was asked."""
    told = {name: value.format(url=issuer.url) for name, value in document.items()}
    issuer.document = lambda: {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", **told}
    with pytest.raises(Unavailable):
        await keys.find("ec-1", "ES256")
    assert issuer.asked == [DISCOVERY]
    assert "its discovery document" in str(caplog.records[0].__dict__["error"])


async def test_https_does_not_lead_back_to_plain_loopback(identity: Identity, stopwatch: Stopwatch) -> None:
    asked = []

    async def document() -> AsyncIterator[bytes]:
        yield json.dumps({"issuer": "https://id.example", "jwks_uri": "http://127.0.0.1/keys"}).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=document())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        keys = DiscoveredKeys(trusting("https://id.example"), identity, http, stopwatch)
        with pytest.raises(Unavailable):
            await keys.find("ec-1", "ES256")
    assert asked == [f"https://id.example{DISCOVERY}"]


async def test_a_key_set_may_be_named_without_discovery(
    issuer: TinyIssuer, identity: Identity, http: httpx.AsyncClient, stopwatch: Stopwatch
) -> None:
    settings = trusting("https://id.example", keys_url=f"{issuer.url}/keys")
    assert await DiscoveredKeys(settings, identity, http, stopwatch).find("ec-1", "ES256")
    assert issuer.asked == ["/keys"]


def with_entry(key: Key, **entries: object) -> dict[str, Any]:
    return {**key.as_dict(private=False), **entries}


@pytest.mark.filterwarnings("ignore:Key size")
@pytest.mark.parametrize(
    "unfit",
    [
        OctKey.import_key(b"k" * 32, {"kid": "odd"}).as_dict(private=True),
        {"kty": "RSA", "kid": "odd", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xff" * 126).decode()},
        with_entry(ECKey.generate_key("P-256"), kid="odd", use="enc"),
        with_entry(EC, kid="odd", x="AA"),
        with_entry(EC, kid="odd", crv="P-999"),
        {"kty": "AKP", "kid": "odd"},
        {"kty": "EC", "kid": "odd"},
        {"kid": "odd"},
        {"kty": ["EC"], "kid": "odd"},
    ],
    ids=["symmetric", "short", "for encryption", "no point", "no curve", "new kind", "empty", "no kind", "odd kind"],
)
async def test_a_key_that_cannot_sign_tokens_is_passed_over(
    issuer: TinyIssuer, keys: DiscoveredKeys, unfit: dict[str, Any]
) -> None:
    """RFC 7517, section 5: keys that are not understood do not spoil the set."""
    issuer.key_set["keys"].insert(0, unfit)
    assert await keys.find("ec-1", "ES256")
    for algorithm in ("HS256", "RS256", "ES256"):
        with pytest.raises(BadToken):
            await keys.find("odd", algorithm)
