"""What who is not let in is told about how to be let in, read by a foreign parser."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import WWWAuthenticate

from cluster.identity.errors import BadToken
from serve.challenge import challenge
from tests.serve.conftest import bearer
from tests.serve.signing_in import SignedIn

PATHS = ("/admin/v1/stations", "/app/v1/stations", "/metrics")


def parsed(answer: httpx.Response) -> dict[str, str | None]:
    """Return the parameters of the one challenge of an answer."""
    (header,) = answer.headers.get_list("www-authenticate")
    found = WWWAuthenticate.from_header(header)
    assert found is not None
    assert found.type == "bearer"
    return dict(found.parameters)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", [None, "Basic YTpi", "Bearer", "Bearer ", "Digest x"])
async def test_who_has_sent_no_token_is_told_of_no_error(here: SignedIn, path: str, sent: str | None) -> None:
    """RFC 6750 section 3.1: no error code without authentication information, or with another kind of it."""
    answer = await here.http.get(path, headers={} if sent is None else {"Authorization": sent})
    assert answer.status_code == 401
    assert parsed(answer) == {"realm": "cloudbay"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "kind", ["nonsense", "another key", "expired", "machine key", "unknown machine key", "ID token", "ended session"]
)
async def test_whose_token_is_not_taken_is_told_so(here: SignedIn, path: str, kind: str) -> None:
    """RFC 6750 section 3.1: invalid_token."""
    answer = await here.http.get(path, headers=await wrong(here, kind))
    assert answer.status_code == 401
    said = parsed(answer)
    assert (said["realm"], said["error"]) == ("cloudbay", "invalid_token")
    assert said["error_description"] == answer.json()["detail"]


async def wrong(here: SignedIn, kind: str) -> dict[str, str]:
    match kind:
        case "another key":
            return bearer("admin", key=b"x" * 32)
        case "expired":
            return bearer("admin", life_s=-60)
        case "machine key":
            return {"Authorization": "Bearer cb_"}
        case "unknown machine key":
            return {"Authorization": f"bearer cb_{'0' * 16}_{'x' * 43}"}
        case "ID token":
            signed = here.identity.issuer.signer.id_token({"sub": "ann", "aud": "web"}, 60)
            return {"Authorization": f"Bearer {signed}"}
        case "ended session":
            ann = await here.person("ann", "admin")
            headers = dict(await here.token(ann))
            await here.identity.sessions.end(ann.id)
            await here.identity.ended.look()
            return headers
    return {"Authorization": "Bearer nonsense"}


async def test_user_info_challenges_in_the_same_way(here: SignedIn) -> None:
    """OpenID Connect Core section 5.3.3; RFC 6750 section 3.1 of a token without the scope that is needed."""
    assert parsed(await here.http.get("/oauth2/userinfo")) == {"realm": "cloudbay"}
    wrong = await here.http.get("/oauth2/userinfo", headers={"Authorization": "Bearer x"})
    assert (wrong.status_code, parsed(wrong)["error"]) == (401, "invalid_token")
    await here.identity.clients.register_machine("meter", "Meter", frozenset({"hosts:read"}))
    rotated = await here.identity.clients.rotate_secret("meter")
    given = {"grant_type": "client_credentials"}
    token = (await here.http.post("/oauth2/token", data=given, auth=("meter", str(rotated.secret)))).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    lacking = await here.http.get("/oauth2/userinfo", headers=headers)
    assert lacking.status_code == 403
    said = parsed(lacking)
    assert (said["error"], said["scope"]) == ("insufficient_scope", "openid")


@given(st.text())
def test_whatever_an_error_says_the_challenge_can_be_read(text: str) -> None:
    """RFC 6750 section 3: characters of an error_description."""
    header = challenge(BadToken(text), has_token=True)["WWW-Authenticate"]
    found = WWWAuthenticate.from_header(header)
    assert found is not None
    assert set(found.parameters) == {"realm", "error", "error_description"}
    said = str(found.parameters["error_description"])
    assert all(character in " !" or ("#" <= character <= "~" and character != "\\") for character in said)
