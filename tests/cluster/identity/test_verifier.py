"""Access tokens: what is taken, and that everything else is refused without a word too many."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import validate_compact

from actors.errors import Unavailable
from cluster.identity.errors import BadToken
from cluster.identity.issuers import DiscoveredKeys, KnownKeys
from cluster.identity.verifier import MAX_TOKEN_BYTES, TokenVerifier, Trusted, outside_issuers
from configs.fields import ApiName
from configs.identity import Identity
from tests.cluster.identity.conftest import PAUSE_S, Stopwatch, Verifying, trusting
from tests.cluster.identity.tiny_issuer import EC, NEXT_EC, NOON, RSA, STRANGER, TinyIssuer, access_claims, public

NOW = int(NOON.timestamp())
HERE = "https://id.example"
APIS: list[ApiName] = ["app", "admin"]
ANY_RSA = RSAKey.import_key(RSA.raw_value, {"kid": "rsa-1"})
"""The same key, by itself good for every RSA algorithm."""


async def test_closing_the_way_to_the_issuers_ends_questions_under_way(issuer: TinyIssuer) -> None:
    issuer.gate.clear()
    settings = Identity(issuers=[trusting(issuer.url)], keys_max_age_s=60.0, keys_pause_s=1.0, keys_timeout_s=60.0)
    async with outside_issuers(settings) as trusted:
        verifier = TokenVerifier(trusted, lambda: NOON)
        waiting = asyncio.ensure_future(verifier.verify(issuer.sign(access_claims(issuer.url)), "app"))
        await asyncio.wait_for(issuer.was_asked.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 10)


DEEP = b'{"iss": ' + b"[" * 9000
NO_TEXT = b'{"iss": "\xff"}'


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def known(**changes: Any) -> TokenVerifier:
    """Return a verifier that needs no network."""
    return TokenVerifier([Trusted(trusting(HERE, **changes), KnownKeys([ANY_RSA, EC]))], lambda: NOON)


async def test_a_good_token_says_who_calls(issuer: TinyIssuer, verifier: Verifying) -> None:
    identity = await verifier().verify(issuer.sign(access_claims(issuer.url)), "app")
    assert (identity.issuer, identity.subject, identity.client) == (issuer.url, "alice", "web")


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
async def test_each_allowed_algorithm_is_taken(issuer: TinyIssuer, verifier: Verifying, key: RSAKey | ECKey) -> None:
    assert await verifier().verify(issuer.sign(access_claims(issuer.url), key), "app")


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_the_type_of_access_tokens_may_be_written_in_several_ways(kind: str) -> None:
    """RFC 7515, section 4.1.9; RFC 9068, section 4."""
    assert await known().verify(TinyIssuer().sign(access_claims(HERE), typ=kind), "app")


@pytest.mark.parametrize("kind", ["JWT", "", "secevent+jwt", None])
async def test_another_type_is_no_access_token(kind: str | None) -> None:
    """RFC 9068, section 4: an ID token is no access token, though its signature is good."""
    with pytest.raises(BadToken, match="not an access token"):
        await known().verify(TinyIssuer().sign(access_claims(HERE), typ=kind), "app")


@pytest.mark.parametrize("kind", ["JWT", None])
async def test_another_type_may_be_allowed_where_claims_tell_access_tokens(kind: str | None) -> None:
    verifier = known(token_types=["JWT", ""], require={"token_use": "access"})
    token = TinyIssuer().sign(access_claims(HERE, token_use="access"), typ=kind)
    assert await verifier.verify(token, "app")
    for use in ("id", None):
        with pytest.raises(BadToken, match="not an access token"):
            await verifier.verify(TinyIssuer().sign(access_claims(HERE, token_use=use), typ=kind), "app")


def keyed_with_what_is_public() -> str:
    """Sign with the published key as if it were a shared secret, as no library of good sense does."""
    signed = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'rsa-1'})}.{part(access_claims(HERE))}"
    return f"{signed}.{part(hmac.digest(RSA.as_pem(private=False), signed.encode(), 'sha256'))}"


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'ec-1'})}.{part(access_claims(HERE))}."


@pytest.mark.parametrize(
    "token",
    [
        unsigned("none"),
        unsigned("None"),
        unsigned("ES256"),
        keyed_with_what_is_public(),
        TinyIssuer().sign(access_claims(HERE), ANY_RSA, alg="PS256"),
        TinyIssuer().sign(access_claims(HERE), RSA, kid="ec-1"),
        TinyIssuer().sign(access_claims(HERE), STRANGER),
        TinyIssuer().sign(access_claims(HERE), STRANGER, jwk=STRANGER.as_dict(private=False)),
        TinyIssuer().sign(access_claims(HERE), STRANGER, jku="https://evil.example/keys"),
        TinyIssuer().sign(access_claims(HERE), crit=["typ"]),
    ],
    ids=[
        "no signature, and says so",
        "no signature, with another case",
        "no signature",
        "the public key as a secret",
        "an algorithm that is not allowed",
        "a key of another kind",
        "a stranger's key",
        "a key that the token brings along",
        "a key that the token leads to",
        "an extension that must be understood",
    ],
)
async def test_a_token_nobody_trusted_signed_is_refused(token: str) -> None:
    """RFC 8725, sections 2.1, 3.1, 3.2 and 3.10; RFC 7515, section 4.1.11."""
    with pytest.raises(BadToken, match="log in again"):
        await known().verify(token, "app")


async def test_a_changed_token_is_refused() -> None:
    header, _, signature = TinyIssuer().sign(access_claims(HERE)).split(".")
    with pytest.raises(BadToken):
        await known().verify(f"{header}.{part(access_claims(HERE, sub='admin'))}.{signature}", "app")


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
async def test_a_symmetric_key_in_a_key_set_signs_nothing(
    issuer: TinyIssuer, verifier: Verifying, key: RSAKey | ECKey
) -> None:
    """RFC 8725, section 2.1: whoever can read the key set could sign with it."""
    secret = OctKey.import_key(b"k" * 32, {"kid": "odd"})
    issuer.key_set = public(key, secret)
    with pytest.raises(BadToken):
        await verifier().verify(issuer.sign(access_claims(issuer.url), secret), "app")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"exp": NOW - 30}, "expired"),
        ({"exp": None}, "not valid now"),
        ({"exp": "tomorrow"}, "not valid now"),
        ({"exp": True}, "not valid now"),
        ({"nbf": NOW + 31}, "not valid now"),
        ({"iat": NOW + 31}, "not valid now"),
        ({"aud": "cloudbay-admin"}, "not meant for this API"),
        ({"aud": ["https://other.example", "cloudbay-app2"]}, "not meant for this API"),
        ({"aud": None}, "not meant for this API"),
        ({"aud": {"cloudbay-app": True}}, "not valid"),
        ({"iss": "https://other.example"}, "issuer that is not trusted"),
        ({"iss": f"{HERE}/"}, "issuer that is not trusted"),
        ({"iss": None}, "issuer that is not trusted"),
        ({"iss": [HERE]}, "issuer that is not trusted"),
        ({"sub": None}, "whom it is for"),
        ({"sub": ""}, "whom it is for"),
        ({"sub": 7}, "not valid"),
        ({"sub": "a\x00b"}, "whom it is for"),
    ],
)
async def test_a_claim_that_is_wrong_is_told(changes: dict[str, object], match: str) -> None:
    """RFC 7519, section 4.1; RFC 9068, section 4."""
    with pytest.raises(BadToken, match=match):
        await known().verify(TinyIssuer().sign(access_claims(HERE, **changes)), "app")


@pytest.mark.parametrize("changes", [{"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW + 30}])
async def test_the_clocks_may_differ_by_the_leeway(changes: dict[str, object]) -> None:
    token = TinyIssuer().sign(access_claims(HERE, **changes))
    assert await known().verify(token, "app")
    with pytest.raises(BadToken):
        await known(leeway_s=0).verify(token, "app")


async def test_a_token_is_good_for_the_apis_it_is_meant_for() -> None:
    """RFC 9068, section 4: `aud` must name this resource server."""
    token = TinyIssuer().sign(access_claims(HERE, aud=["cloudbay-app", "cloudbay-admin"]))
    assert await known().verify(token, "app")
    assert await known().verify(token, "admin")


async def test_an_issuer_of_app_users_lets_nobody_into_the_admin_api() -> None:
    verifier = known(audiences={"app": ["cloudbay-app"]})
    token = TinyIssuer().sign(access_claims(HERE, aud=["cloudbay-app", "cloudbay-admin"]))
    assert await verifier.verify(token, "app")
    with pytest.raises(BadToken, match="not meant for this API"):
        await verifier.verify(token, "admin")


async def test_each_issuer_signs_with_its_own_keys_only() -> None:
    """RFC 8725, section 3.8."""
    other = trusting("https://other.example", name="other")
    trusted = [Trusted(trusting(HERE), KnownKeys([RSA])), Trusted(other, KnownKeys([EC]))]
    verifier = TokenVerifier(trusted, lambda: NOON)
    assert await verifier.verify(TinyIssuer().sign(access_claims("https://other.example"), EC), "app")
    with pytest.raises(BadToken):
        await verifier.verify(TinyIssuer().sign(access_claims(HERE), EC), "app")


class Checks:
    """Counts how often a signature was checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr("cluster.identity.verifier.validate_compact", self)

    def __call__(self, *args: Any, **options: Any) -> bool:
        self.count += 1
        return validate_compact(*args, **options)


async def test_the_signature_of_a_token_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, verifier = Checks(monkeypatch), known()
    token = TinyIssuer().sign(access_claims(HERE, aud=["cloudbay-app", "cloudbay-admin"]))
    first = await verifier.verify(token, "app")
    assert [await verifier.verify(token, api) for api in APIS] == [first, first]
    assert checks.count == 1


async def test_a_token_that_was_taken_is_looked_at_again_for_time_and_api() -> None:
    moments = [NOON, NOON + timedelta(seconds=330), NOON]
    verifier = TokenVerifier([Trusted(trusting(HERE), KnownKeys([EC]))], lambda: moments.pop(0))
    token = TinyIssuer().sign(access_claims(HERE))
    assert await verifier.verify(token, "app")
    with pytest.raises(BadToken, match="expired"):
        await verifier.verify(token, "app")
    with pytest.raises(BadToken, match="not meant for this API"):
        await verifier.verify(token, "admin")


@pytest.mark.parametrize("now_published", [NEXT_EC, STRANGER], ids=["none of that id", "another of that id"])
async def test_a_token_that_was_taken_is_refused_once_its_key_is_taken_back(
    issuer: TinyIssuer, keys: DiscoveredKeys, verifier: Verifying, stopwatch: Stopwatch, now_published: ECKey
) -> None:
    trusting_verifier, token = verifier(), issuer.sign(access_claims(issuer.url))
    assert await trusting_verifier.verify(token, "app")
    issuer.key_set = public(now_published)
    stopwatch.now_s += PAUSE_S
    with pytest.raises(BadToken):
        await keys.find("makes it ask again", "ES256")
    with pytest.raises(BadToken):
        await trusting_verifier.verify(token, "app")


async def test_no_more_tokens_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = Checks(monkeypatch)
    verifier = TokenVerifier([Trusted(trusting(HERE), KnownKeys([EC]))], lambda: NOON, max_remembered=2)
    first, second, third = [TinyIssuer().sign(access_claims(HERE, sub=name)) for name in ("a", "b", "c")]
    for token, count in [(first, 1), (second, 2), (first, 2), (third, 3), (third, 3), (second, 3), (first, 4)]:
        await verifier.verify(token, "app")
        assert checks.count == count


async def test_a_token_with_a_bad_signature_is_not_remembered() -> None:
    verifier = known()
    for _ in range(2):
        with pytest.raises(BadToken):
            await verifier.verify(TinyIssuer().sign(access_claims(HERE), STRANGER), "app")


async def test_no_answer_of_an_issuer_is_no_fault_of_the_token(issuer: TinyIssuer, verifier: Verifying) -> None:
    token = issuer.sign(access_claims(issuer.url))
    await issuer.stop()
    with pytest.raises(Unavailable):
        await verifier().verify(token, "app")


async def test_the_issuers_of_the_settings_are_trusted_and_no_other(issuer: TinyIssuer) -> None:
    settings = Identity(issuers=[trusting(issuer.url)], keys_max_age_s=60.0, keys_pause_s=1.0, keys_timeout_s=20.0)
    async with outside_issuers(settings) as trusted:
        verifier = TokenVerifier(trusted, lambda: NOON)
        assert issuer.asked == []
        assert await verifier.verify(issuer.sign(access_claims(issuer.url)), "app")
        with pytest.raises(BadToken, match="not trusted"):
            await verifier.verify(issuer.sign(access_claims("https://other.example")), "app")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "\ud800",
        "é.é.é",
        f"{part([])}.{part({})}.",
        f"{part('alg')}.{part({})}.",
        f"{part('alg b64')}.{part({})}.",
        f"{part({'alg': ['ES256']})}.{part({'iss': HERE})}.",
        f"{part({'alg': 'ES256', 'typ': ['at+jwt']})}.{part({'iss': HERE})}.",
        f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': 7})}.{part({'iss': HERE})}.",
        f"{part({'alg': 'ES256', 'crit': 7})}.{part({'iss': HERE})}.",
        f"{part({'alg': 'ES256', 'b64': False, 'crit': ['b64']})}.{part({'iss': HERE})}.",
        f"{part({'alg': 'ES256'})}.{part(DEEP)}.",
        f"{part({'alg': 'ES256'})}.{part(NO_TEXT)}.",
        f"{part({'alg': 'ES256'})}.{part(b'NaN')}.",
        f"{part({'alg': 'ES256'})}.{part([HERE])}.",
        TinyIssuer().sign(access_claims(HERE, note="a" * MAX_TOKEN_BYTES)),
    ],
)
async def test_garbage_is_a_bad_token(token: str) -> None:
    with pytest.raises(BadToken):
        await known().verify(token, "app")


@pytest.mark.parametrize("header", [{"kid": 7}, {"alg": "PS256"}, {"typ": "JWT"}, {"crit": ["kid"]}])
async def test_a_header_that_cannot_be_right_makes_no_question_to_the_issuer(
    issuer: TinyIssuer, verifier: Verifying, header: dict[str, object]
) -> None:
    shown = {"alg": "ES256", "typ": "at+jwt", "kid": "ec-1", **header}
    with pytest.raises(BadToken):
        await verifier().verify(f"{part(shown)}.{part(access_claims(issuer.url))}.{part(b'x')}", "app")
    assert issuer.asked == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
headers = st.fixed_dictionaries(
    {"alg": st.just("ES256") | json_values},
    optional=dict.fromkeys(("typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "cty"), json_values),
)
claim_names = ("sub", "aud", "exp", "nbf", "iat", "jti", "auth_time", "scope", "sid", "email", "roles")


@given(header=headers, claims=st.dictionaries(st.text(), json_values, max_size=4), signature=st.binary(max_size=80))
async def test_whatever_is_sent_unsigned_is_a_bad_token(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    token = f"{part(header)}.{part({**claims, 'iss': HERE})}.{part(signature)}"
    with pytest.raises(BadToken):
        await known().verify(token, "app")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(claims=st.fixed_dictionaries({}, optional=dict.fromkeys(claim_names, json_values)))
async def test_whatever_a_trusted_issuer_signs_is_an_identity_or_a_bad_token(claims: dict[str, Any]) -> None:
    token = TinyIssuer().sign({**access_claims(HERE), **claims})
    try:
        identity = await known(claims={"roles": "roles", "role_names": {"a": "admin"}}).verify(token, "app")
    except BadToken:
        return
    assert identity.subject == claims.get("sub", "alice")
    assert identity.roles <= {"admin"}


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
async def test_whatever_text_is_sent_is_a_bad_token(text: str) -> None:
    with pytest.raises(BadToken):
        await known().verify(text, "app")


@pytest.mark.parametrize("token", ["garbage", unsigned("none"), TinyIssuer().sign(access_claims(HERE, exp=1))])
async def test_a_refusal_repeats_nothing_of_the_token_and_nothing_of_the_settings(token: str) -> None:
    with pytest.raises(BadToken) as raised:
        await known().verify(token, "app")
    told = str(raised.value)
    assert raised.value.http_status == 401
    for secret in (token, "alice", HERE, "ES256", "joserfc", "cloudbay-app"):
        assert secret not in told
