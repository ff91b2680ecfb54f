"""Against Amazon Cognito as moto serves it: no audience, no type, groups for roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from cluster.identity.errors import BadToken
from cluster.identity.issuers import DiscoveredKeys
from cluster.identity.verifier import TokenVerifier, Trusted
from configs.identity import Identity
from tests.cluster.identity.conftest import Stopwatch
from tests.cluster.identity.documented import example

REGION = "eu-central-1"
PASSWORD = "Correct-Horse-9"
# One server stands for all of Amazon; it tells whom a plain request is for by whom it would be signed for.
FOR_COGNITO = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential=x/20260504/{REGION}/cognito-idp/aws4_request, Signature=x"
}


class Pool:
    """A user pool with two applications and one person."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._cognito = boto3.client(
            "cognito-idp", REGION, endpoint_url=endpoint, aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.id = self._cognito.create_user_pool(PoolName="cloudbay")["UserPool"]["Id"]
        self.app, self.admin, self.foreign = (self._client(name) for name in ("app", "admin", "foreign"))
        self._cognito.admin_create_user(UserPoolId=self.id, Username="alice")
        self._cognito.admin_set_user_password(UserPoolId=self.id, Username="alice", Password=PASSWORD, Permanent=True)
        for group in ("cloudbay-support", "tennis"):
            self._cognito.create_group(UserPoolId=self.id, GroupName=group)
            self._cognito.admin_add_user_to_group(UserPoolId=self.id, Username="alice", GroupName=group)

    @property
    def issuer(self) -> str:
        return f"https://cognito-idp.{REGION}.amazonaws.com/{self.id}"

    def log_in(self, client: str) -> dict[str, Any]:
        answer = self._cognito.initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "alice", "PASSWORD": PASSWORD},
        )
        return dict(answer["AuthenticationResult"])

    def _client(self, name: str) -> str:
        made = self._cognito.create_user_pool_client(
            UserPoolId=self.id, ClientName=name, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )
        return str(made["UserPoolClient"]["ClientId"])


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Run moto's server with a pool in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Pool(f"http://{host}:{port}")
    finally:
        server.stop()


@pytest.fixture
async def verifier(pool: Pool, identity: Identity, stopwatch: Stopwatch) -> AsyncIterator[TokenVerifier]:
    issuer = example(
        "cognito",
        issuer=pool.issuer,
        keys_url=f"{pool.endpoint}/{pool.id}/.well-known/jwks.json",
        audiences={"app": [pool.app], "admin": [pool.admin]},
    )
    async with httpx.AsyncClient(headers=FOR_COGNITO, trust_env=False, timeout=None) as http:
        keys = DiscoveredKeys(issuer, identity, http, stopwatch)
        yield TokenVerifier([Trusted(issuer, keys)], lambda: datetime.now(UTC))
        await keys.close()


async def test_a_person_of_the_pool_is_known(pool: Pool, verifier: TokenVerifier) -> None:
    identity = await verifier.verify(pool.log_in(pool.app)["AccessToken"], "app")
    assert (identity.issuer, identity.name, identity.client) == (pool.issuer, "alice", pool.app)
    assert identity.roles == {"support"}
    assert identity.scopes == {"aws.cognito.signin.user.admin"}
    assert identity.logged_in_at is not None
    assert datetime.now(UTC) - identity.logged_in_at < timedelta(minutes=2)
    assert not identity.is_machine


async def test_the_client_id_stands_for_the_audience(pool: Pool, verifier: TokenVerifier) -> None:
    assert await verifier.verify(pool.log_in(pool.admin)["AccessToken"], "admin")
    for client in (pool.app, pool.foreign):
        with pytest.raises(BadToken, match="not meant for this API"):
            await verifier.verify(pool.log_in(client)["AccessToken"], "admin")


async def test_an_id_token_is_no_access_token(pool: Pool, verifier: TokenVerifier) -> None:
    with pytest.raises(BadToken, match="not an access token"):
        await verifier.verify(pool.log_in(pool.app)["IdToken"], "app")


async def test_another_pool_is_not_trusted(pool: Pool, verifier: TokenVerifier) -> None:
    other = Pool(pool.endpoint)
    with pytest.raises(BadToken, match="not trusted"):
        await verifier.verify(other.log_in(other.app)["AccessToken"], "app")
