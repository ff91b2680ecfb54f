"""Against a real Keycloak with the realm of deploy/keycloak: people, machines, rotated keys."""

from __future__ import annotations

import json
import os
import shutil
import socket
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client.errors import OAuthError

from cluster.identity.caller import ROLES
from cluster.identity.errors import BadToken
from cluster.identity.verifier import TokenVerifier, outside_issuers
from configs.identity import Identity
from tests.cluster.identity.documented import example
from tests.cluster.identity.person import DISCOVERY, PATIENCE_S, client_credentials, endpoints, log_in
from tests.fetched import fetched, not_here, run, server

VERSION = "26.7.3"
REALM = Path(__file__).parents[3] / "deploy" / "keycloak" / "cloudbay-realm.json"
PEOPLE = Path(__file__).with_name("keycloak_people.json")
WEB = "http://127.0.0.1:8123"
MACHINE_SECRET = "a secret of a test"
ROOT = {"username": "root", "password": "only for a test"}
JAVA_NEEDED = 17
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Keycloak:
    """A running Keycloak."""

    url: str

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/cloudbay"

    async def log_in(self, name: str, password: str) -> Mapping[str, Any]:
        typed = {"username": name, "password": password}
        return await log_in(self.issuer, "cloudbay-web", f"{WEB}/done", typed, scope="openid")

    async def alice(self) -> Mapping[str, Any]:
        return await self.log_in("alice", "correct horse battery")

    async def rotate(self) -> None:
        """Make a new signing key that Keycloak prefers from now on."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S, base_url=self.url) as admin:
            form = {"grant_type": "password", "client_id": "admin-cli", **ROOT}
            answer = await admin.post("/realms/master/protocol/openid-connect/token", data=form)
            admin.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            realm = (await admin.get("/admin/realms/cloudbay")).raise_for_status().json()
            key = {
                "name": "the next key",
                "providerId": "rsa-generated",
                "providerType": "org.keycloak.keys.KeyProvider",
                "parentId": realm["id"],
                "config": {"priority": ["1000"], "algorithm": ["RS256"]},
            }
            (await admin.post("/admin/realms/cloudbay/components", json=key)).raise_for_status()


def fetch(half: Path) -> None:
    """Fetch Keycloak from Maven Central and build it for a database in memory."""
    artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
    run(["mvn", "--batch-mode", "--quiet", copy, artifact, f"-DoutputDirectory={half}"], half)
    archive = half / f"keycloak-quarkus-dist-{VERSION}.zip"
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(half)
    archive.unlink()
    run(["bash", half / f"keycloak-{VERSION}" / "bin" / "kc.sh", "build", "--db=dev-mem"], half)


def linked(source: str, target: str) -> None:
    """Copy a file without its content where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def keycloak_with(realm: Mapping[str, Any], folder: Path) -> Iterator[Keycloak]:
    home = folder / "keycloak"
    installed = fetched(f"keycloak-{VERSION}", fetch) / f"keycloak-{VERSION}"
    shutil.copytree(installed, home, copy_function=linked, ignore=shutil.ignore_patterns("data"))
    (home / "data" / "import").mkdir(parents=True)
    (home / "data" / "import" / "cloudbay-realm.json").write_text(json.dumps(realm))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = Keycloak(f"http://127.0.0.1:{port}")
    options = ["--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}", "--hostname-strict=false"]
    command: list[str | Path] = ["bash", home / "bin" / "kc.sh", "start", "--optimized", *options, "--import-realm"]
    variables = {
        "CLOUDBAY_WEB_URL": WEB,
        "KC_BOOTSTRAP_ADMIN_USERNAME": ROOT["username"],
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ROOT["password"],
    }
    with server(command, started.issuer + DISCOVERY, folder / "log", variables, patience_s=300):
        yield started


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """Run Keycloak with the realm, two people and a secret that the test knows."""
    if shutil.which("mvn") is None or shutil.which("java") is None:
        not_here(f"Keycloak needs Java {JAVA_NEEDED} or newer, and Maven to fetch it")
    realm = {**json.loads(REALM.read_text()), **json.loads(PEOPLE.read_text())}
    for client in realm["clients"]:
        if client["clientId"] == "cloudbay-machine":
            client["secret"] = MACHINE_SECRET
    with keycloak_with(realm, tmp_path_factory.mktemp("keycloak")) as started:
        yield started


@pytest.fixture
async def verifier(keycloak: Keycloak) -> AsyncIterator[TokenVerifier]:
    issuer = example("keycloak", issuer=keycloak.issuer)
    settings = Identity(issuers=[issuer], keys_max_age_s=60.0, keys_pause_s=0.001, keys_timeout_s=PATIENCE_S)
    async with outside_issuers(settings) as trusted:
        yield TokenVerifier(trusted, lambda: datetime.now(UTC))


async def test_a_member_of_staff_is_known(keycloak: Keycloak, verifier: TokenVerifier) -> None:
    token = (await keycloak.alice())["access_token"]
    identity = await verifier.verify(token, "admin")
    assert identity == await verifier.verify(token, "app")  # one login for both
    assert (identity.issuer, identity.client) == (keycloak.issuer, "cloudbay-web")
    assert (identity.name, identity.email) == ("Alice Ångström", "alice@example.com")
    assert identity.roles == {"operator", "auditor"}
    assert {"openid", "email", "profile"} <= identity.scopes
    assert identity.logged_in_at is not None
    assert datetime.now(UTC) - identity.logged_in_at < timedelta(minutes=2)
    assert identity.session_id
    assert not identity.is_machine


async def test_a_person_without_roles_has_none_and_keeps_their_id(keycloak: Keycloak, verifier: TokenVerifier) -> None:
    first, second = [
        await verifier.verify((await keycloak.log_in("bob", "staple battery horse"))["access_token"], "app")
        for _ in range(2)
    ]
    assert first.roles == frozenset()
    assert first.email is None  # Keycloak says that nobody has verified it
    assert first.subject == second.subject
    assert first.session_id != second.session_id


async def test_a_machine_is_no_person(keycloak: Keycloak, verifier: TokenVerifier) -> None:
    tokens = await client_credentials(keycloak.issuer, "cloudbay-machine", MACHINE_SECRET)
    identity = await verifier.verify(tokens["access_token"], "admin")
    assert identity.is_machine
    assert (identity.client, identity.roles, identity.logged_in_at) == ("cloudbay-machine", frozenset(), None)


@pytest.mark.parametrize("kind", ["id_token", "refresh_token"])
async def test_other_tokens_of_a_login_are_no_access_tokens(
    keycloak: Keycloak, verifier: TokenVerifier, kind: str
) -> None:
    with pytest.raises(BadToken):
        await verifier.verify((await keycloak.alice())[kind], "app")


async def test_a_token_of_another_realm_is_not_trusted(keycloak: Keycloak, verifier: TokenVerifier) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        form = {"grant_type": "password", "client_id": "admin-cli", **ROOT}
        answer = await client.post(f"{keycloak.url}/realms/master/protocol/openid-connect/token", data=form)
    with pytest.raises(BadToken, match="not trusted"):
        await verifier.verify(answer.json()["access_token"], "admin")


async def test_the_first_token_of_a_new_key_is_taken(keycloak: Keycloak, verifier: TokenVerifier) -> None:
    before = (await keycloak.alice())["access_token"]
    assert await verifier.verify(before, "app")
    await keycloak.rotate()
    after = (await keycloak.alice())["access_token"]
    assert after.split(".")[0] != before.split(".")[0]  # the header names another key
    assert await verifier.verify(after, "app")
    assert await verifier.verify(before, "app")


async def test_the_web_client_gets_no_token_for_a_password_nor_without_pkce(keycloak: Keycloak) -> None:
    """RFC 9700, sections 2.1.1 and 2.4."""
    at = await endpoints(keycloak.issuer)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        form = {"grant_type": "password", "client_id": "cloudbay-web", "username": "alice", "password": "any"}
        assert (await client.post(at["token_endpoint"], data=form)).json()["error"] == "unauthorized_client"
        asked = {"client_id": "cloudbay-web", "response_type": "code", "redirect_uri": f"{WEB}/done"}
        answer = await client.get(at["authorization_endpoint"], params=asked)
        assert "error=invalid_request" in answer.headers["location"]
        elsewhere = await client.get(
            at["authorization_endpoint"], params={**asked, "redirect_uri": "http://127.0.0.1:8124/done"}
        )
        assert elsewhere.status_code == 400


async def test_the_secret_of_a_machine_is_not_in_the_realm_file(keycloak: Keycloak) -> None:
    assert "secret" not in {key for client in json.loads(REALM.read_text())["clients"] for key in client}
    with pytest.raises(OAuthError):
        await client_credentials(keycloak.issuer, "cloudbay-machine", "")


def test_the_realm_has_every_role_and_nobody_in_it() -> None:
    realm = json.loads(REALM.read_text())
    assert {role["name"] for role in realm["roles"]["realm"]} == ROLES
    assert "users" not in realm
    assert example("keycloak").claims.role_names == {role: role for role in ROLES}
