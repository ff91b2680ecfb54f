"""A station that people share, one that they know nothing of, and everybody's client."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from actors.domain.command import Command
from actors.domain.station import ConnectorState, Station
from cluster.bus.outbox import WaitingEvent
from cluster.charging import START
from cluster.identity.circle import Circle, Offer
from cluster.identity.relation import Holding, Relation, Terms, Tie
from cluster.webhooks.model import Delivery, Filter, Subscription
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform

HOME = Holding("station", "CP-1")
PEOPLE: dict[str, Relation] = {"olga": "owner", "cora": "co-owner", "gus": "guest", "gil": "guest", "eve": "guest"}
"""Eve's time is over. Sam is nothing to anybody's station."""

Asked = Callable[[str, str], httpx.Request]


def shared_platform(*, foreign: bool = True) -> MemoryPlatform:
    """Return a platform where CP-1 is Olga's and Gus charges there; CP-9 is somebody else's, if there is one."""
    platform = MemoryPlatform()
    platform.known = {
        "CP-1": Station(
            "CP-1", "ACME", "Fast", registration="Accepted", gateway_id="gateway-a", last_seen_at=NOW, site_id="HOME",
            connectors={"1/1": ConnectorState("Occupied", NOW), "2/1": ConnectorState("Available", NOW),
                        "3/1": ConnectorState("Faulted", NOW)},
        ),
    }  # fmt: skip
    over = Terms(valid_until=NOW)
    platform.circles.circles[HOME] = Circle(
        HOME,
        1,
        {
            who: Tie(who, HOME, relation, "olga", NOW - timedelta(days=9), over if who == "eve" else Terms())
            for who, relation in PEOPLE.items()
        },
        {"offer-1": Offer("offer-1", HOME, "guest", "olga", NOW, NOW + timedelta(days=7), "new")},
    )
    platform.drivers.tokens = {who: f"{number:020x}" for number, who in enumerate((*PEOPLE, "fay"))}
    platform.charge("CP-1", platform.drivers.tokens["gus"])
    asked = Command("request-1", "CP-1", START, {"idToken": {"idToken": "secret"}}, NOW, NOW, requested_by="gus")
    platform.queue["request-1"] = asked
    if foreign:
        add_foreign(platform)
    return platform


def add_foreign(platform: MemoryPlatform) -> None:
    """Add what none of the people may learn of."""
    holding, site = Holding("station", "CP-9"), Holding("site", "AWAY")
    connectors = {"1/1": ConnectorState("Available", NOW)}
    platform.known["CP-9"] = Station("CP-9", gateway_id="gateway-a", site_id="AWAY", connectors=connectors)
    for where in (holding, site):
        offers = {
            f"away-{where.kind}": Offer(
                f"away-{where.kind}", where, "guest", "fay", NOW, NOW + timedelta(days=7), "fred"
            )
        }
        platform.circles.circles[where] = Circle(where, 1, {"fay": Tie("fay", where, "owner", "staff", NOW)}, offers)
    platform.charge("CP-9", platform.drivers.tokens["fay"], ended=True)
    asked = Command("request-9", "CP-9", START, {}, NOW, NOW, requested_by="fay")
    platform.queue["request-9"] = asked
    hook = Subscription("away-webhook", "fay", False, "https://fay.example/", Filter(), NOW, NOW)
    platform.hooks.subscriptions[hook.id], platform.hooks.secrets[hook.id] = hook, [b"s"]
    event = WaitingEvent("e", "TransactionEnded", "CP-9", NOW, "{}")
    platform.hooks.deliveries["1"] = Delivery("1", hook.id, event, NOW)


@pytest.fixture
def platform() -> MemoryPlatform:
    return shared_platform()


class Person:
    """Somebody's client of the app."""

    def __init__(self, http: httpx.AsyncClient, subject: str) -> None:
        self._http = http
        self._headers = bearer(subject=subject)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.send("POST", path, body, **headers)

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        where = path if path.startswith("/app/") else f"/app/v1{path}"
        return await self._http.request(method, where, json=body, headers={**self._headers, **headers})


@pytest.fixture
def person(anonymous: httpx.AsyncClient) -> Callable[[str], Person]:
    """Return who makes clients for people."""
    return lambda subject: Person(anonymous, subject)
