"""The API on a platform in memory, called without a network."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.routing import Mount, Router

from actors.domain.station import ConnectorState, Station
from cluster.bearer import mint
from cluster.identity.caller import Role
from cluster.identity.people import User
from serve.admin import application as admin_application
from serve.app import application as app_application
from serve.front import application as front_application
from tests.serve.fakes import NOW, TOKEN_KEY, MemoryPlatform, a_transaction
from tests.serve.signing_in import SignedIn


@pytest.fixture
def platform() -> MemoryPlatform:
    """Return a platform with some content."""
    return furnished_platform()


def furnished_platform() -> MemoryPlatform:
    """One station that charges and one that is offline; a finished and a running transaction."""
    platform = MemoryPlatform()
    platform.known = {
        "CP-1": Station("CP-1", "Vendor", "M1", registration="Accepted", gateway_id="gateway-a", last_seen_at=NOW,
                        password_digest="d" * 64, site_id="DEPOT", connectors={"1/1": ConnectorState("Occupied", NOW)}),
        "CP 2/é": Station("CP 2/é", site_id="DEPOT"),
        "CP-3": Station("CP-3", site_id="DEPOT"),
    }  # fmt: skip
    platform.summaries = [a_transaction(1), a_transaction(2, ended=False)]
    return platform


def bearer(*roles: Role, life_s: int = 3600, key: bytes = TOKEN_KEY, subject: str = "ann") -> dict[str, str]:
    """Return the header of a caller."""
    return {"Authorization": f"Bearer {mint(key, roles, life_s, subject=subject)}"}


@pytest.fixture
async def anonymous(platform: MemoryPlatform) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client without a token."""
    services = platform.services_of_tests()
    applications = (admin_application, app_application, front_application)
    routes = [Mount(application.PREFIX, application.build(services)) for application in applications]
    transport = httpx.ASGITransport(Router(routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.fixture
def admin(anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client that may do all."""
    anonymous.headers.update(bearer("admin"))
    return anonymous


@pytest.fixture
def auditor(anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client that may read."""
    anonymous.headers.update(bearer("auditor"))
    return anonymous


@pytest.fixture
async def here(platform: MemoryPlatform) -> AsyncIterator[SignedIn]:
    """Return a platform whose people really log in."""
    here = SignedIn(platform)
    async with here.http:
        yield here


@pytest.fixture
async def root(here: SignedIn) -> User:
    """Return an admin, as whom the client of `here` is logged in."""
    root = await here.person("root", "admin")
    here.http.headers.update(await here.token(root))
    return root
