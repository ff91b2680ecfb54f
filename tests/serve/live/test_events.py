"""Live events of both applications over a real server: who sees what, how long, and how they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import msgspec
import pytest
from starlette.routing import Mount, Router
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from actors.domain.events import EVENTS
from actors.domain.records import LiveEvent
from cluster.bus.fanout import Fanout
from cluster.identity.caller import ROLES, Caller, Role
from cluster.identity.relation import Holding, Terms
from cluster.services import ApiServices
from configs.settings import Settings
from serve.access import app_user_sees, staff_sees
from serve.admin import application as admin_application
from serve.app import application as app_application
from serve.asyncapi import EXAMPLES
from tests.serve.app.conftest import HOME, shared_platform
from tests.serve.app.test_access import CHARGE, FOREIGN_CHARGE, STANDING
from tests.serve.conftest import bearer
from tests.serve.fakes import NOW, MemoryPlatform
from tests.serve.live.clients import EventSource, listening, said
from tests.serve.serving import serving

ADMIN: Final = "/admin/v1/events"
APP: Final = "/app/v1/events"
BY_KIND: Final = {type(example).__name__: example for example in EXAMPLES}

# Written a second time, for somebody who reads the table wrongly.
_STATION_STATE: Final = {"owner", "co-owner", "guest", "driver"}
SHOWN: Final[dict[str, set[str]]] = {
    "StationConnected": _STATION_STATE,
    "StationDisconnected": _STATION_STATE,
    "ConnectorStatusChanged": _STATION_STATE,
    "StationBooted": {"owner", "co-owner"},
    "MeterValues": {"owner", "co-owner"},
    "TransactionStarted": {"owner", "co-owner", "driver"},
    "TransactionUpdated": {"owner", "co-owner", "driver"},
    "TransactionEnded": {"owner", "co-owner", "driver"},
    "TransactionRevised": {"owner", "co-owner", "driver"},
}


def event(
    kind: str, station_id: str = "CP-1", site_id: str | None = "HOME", transaction: str | None = CHARGE
) -> LiveEvent:
    """Return an event of a type; one of a charge tells of `transaction`."""
    data = BY_KIND[kind]
    if transaction is not None and "transaction" in data.__struct_fields__:
        data = msgspec.structs.replace(data, transaction=transaction)
    return LiveEvent(kind, station_id, site_id, NOW, data)


@dataclass
class Api:
    """Both applications on a server, and the platform behind them."""

    platform: MemoryPlatform
    address: str
    services: ApiServices

    def write(self, *events: LiveEvent) -> None:
        self.platform.live_log.write(events)

    async def keep_writing(self, event: LiveEvent) -> None:
        while True:
            self.write(event)
            await asyncio.sleep(0.02)

    @property
    def fanout(self) -> Fanout:
        return self.platform.live

    async def remove(self, subject: str, holding: Holding = HOME) -> None:
        """Take somebody's relation away, as another process of the API does."""
        circle = await self.platform.circles.circle(holding)
        del circle.ties[subject]
        await self.platform.circles.save(circle)

    async def open(self, count: int = 1) -> None:
        """Wait until so many listen."""
        async with asyncio.timeout(10):
            while self.fanout.listeners != count:  # noqa: ASYNC110 - the fact is the network's
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def streaming(
        self, path: str, headers: dict[str, str], query: str = "", after: str | None = None
    ) -> AsyncIterator[EventSource]:
        """Listen to a stream that is open."""
        async with listening(f"http://{self.address}{path}{query}", None, after, headers) as source:
            assert source.response.status_code == 200, await source.response.aread()
            yield source

    def connecting(self, path: str, headers: dict[str, str], query: str = "", **more: Any) -> connect:
        """Connect a WebSocket."""
        return connect(f"ws://{self.address}{path}{query}", additional_headers=headers, proxy=None, **more)

    async def refusal(self, path: str, headers: dict[str, str], query: str = "") -> tuple[int, dict[str, Any]]:
        """Return how a stream is refused."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{self.address}{path}{query}", headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, _told(answer.json())

    async def refusal_of_socket(self, path: str, headers: dict[str, str], query: str = "") -> tuple[int, Any]:
        """Return how a WebSocket's handshake is refused."""
        with pytest.raises(InvalidStatus) as refused:
            async with self.connecting(path, headers, query):
                pass
        response = refused.value.response
        assert response.headers["content-type"] == "application/problem+json"
        return response.status_code, _told(msgspec.json.decode(response.body or b""))


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in problem.items() if word != "requestId"}


async def types(source: EventSource, until: str) -> list[str]:
    """Return the types of events up to the first of one type."""
    found: list[str] = []
    async with asyncio.timeout(10):
        while not found or found[-1] != until:
            got = await source.next()
            assert got is not None, f"the stream has ended after {found}"
            found.append(got.type)
    return found


async def ending(source: EventSource) -> object:
    """Return why a stream ends; fails for an event before."""
    async with asyncio.timeout(10):
        closed = await source.next()
        assert closed is not None
        assert closed.type == "Closed", closed
        assert await source.next() is None
    return closed.data["reason"]


async def close_code(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        await said(socket)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    platform = shared_platform()
    platform.go_live()
    short = {"live.heartbeat_s": 0.2, "live.recheck_s": 0.05, "hosts.count": 1}
    services = platform.services(Settings.load("embedded", env={}, overrides=short))
    routes = [Mount(each.PREFIX, each.build(services)) for each in (admin_application, app_application)]
    watching = [
        asyncio.create_task(platform.onlookers.run(services.settings.live.recheck_s)),
        asyncio.create_task(platform.attendance.run(services.settings.live.recheck_s)),
    ]
    async with serving(Router(routes)) as address:
        yield Api(platform, address, services)
        await platform.live.close()
    for task in watching:
        task.cancel()


STAFF: Final = bearer("auditor")
OLGA: Final = bearer(subject="olga", life_s=600)


async def test_staff_get_events_of_everything_by_what_they_name(api: Api) -> None:
    queries = {
        "": ["StationConnected", "TransactionUpdated", "MeterValues", "SecurityEvent"],
        "?station=CP-1": ["TransactionUpdated", "SecurityEvent"],
        "?station=CP-1&station=CP-9": ["StationConnected", "TransactionUpdated", "SecurityEvent"],
        "?site=AWAY": ["StationConnected", "SecurityEvent"],
        "?kind=MeterValues&kind=SecurityEvent": ["MeterValues", "SecurityEvent"],
        f"?transaction={CHARGE}&kind=TransactionUpdated": ["TransactionUpdated"],
        "?site=AWAY&station=CP-1": ["SecurityEvent"],
    }
    for query, expected in queries.items():
        async with api.streaming(ADMIN, STAFF, query) as source, api.connecting(ADMIN, STAFF, query) as there:
            await api.open(2)
            api.write(
                event("StationConnected", "CP-9", "AWAY"), event("TransactionUpdated"), event("MeterValues", "CP-5"),
                event("SecurityEvent", "CP-1", "AWAY"),
            )  # fmt: skip
            assert await types(source, expected[-1]) == expected, query
            assert [(await said(there))["type"] for _ in expected] == expected, query
        await api.open(0)


async def test_after_a_cut_a_client_goes_on_by_header_or_by_query(api: Api) -> None:
    async with api.streaming(ADMIN, STAFF) as source:
        await api.open()
        api.write(event("StationBooted"))
        assert await types(source, "StationBooted")
        last = source.last_event_id
        api.write(event("StationConnected"), event("StationDisconnected"))
        assert await types(source, "StationConnected") == ["StationConnected"]
        later = source.last_event_id
        assert await types(source, "StationDisconnected")
    missed = ["StationConnected", "StationDisconnected"]
    async with api.streaming(ADMIN, STAFF, f"?lastEventId={last}") as source:
        assert await types(source, "StationDisconnected") == missed
    async with api.streaming(ADMIN, STAFF, f"?lastEventId={last}", after=later) as source:
        assert await types(source, "StationDisconnected") == missed[1:], "what an EventSource tells by itself is newer"
    async with api.connecting(ADMIN, STAFF, f"?lastEventId={last}") as there:
        assert [(await said(there))["type"] for _ in missed] == missed


async def test_a_browser_gives_its_token_among_subprotocols_and_gets_another_one_back(api: Api) -> None:
    """RFC 6455, 1.9 and 4.2.2: the server speaks one of those offered; the token is not repeated."""
    token = STAFF["Authorization"].removeprefix("Bearer ")
    offered = [Subprotocol("cloudbay.events.v1"), Subprotocol(f"bearer.{token}")]
    async with api.connecting(ADMIN, {}, subprotocols=offered) as there:
        assert there.subprotocol == "cloudbay.events.v1"
        assert there.response is not None
        assert token not in str(there.response.headers)
        await api.open()
        api.write(event("StationBooted"))
        assert (await said(there))["type"] == "StationBooted"


@pytest.mark.parametrize(
    "offered", [["bearer.{}"], ["cloudbay.events.v1"], ["cloudbay.events.v1", "bearer.x"], ["x", "cloudbay.events.v1"]]
)
async def test_a_socket_without_a_good_token_is_refused_before_it_is_one(api: Api, offered: list[str]) -> None:
    token = STAFF["Authorization"].removeprefix("Bearer ")
    protocols = [Subprotocol(each.format(token)) for each in offered]
    with pytest.raises(InvalidStatus) as refused:
        async with api.connecting(ADMIN, {}, subprotocols=protocols):
            pass
    assert refused.value.response.status_code == 401
    challenge = refused.value.response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="cloudbay"')
    assert ('error="invalid_token"' in challenge) == ("bearer.x" in offered)


async def test_a_stream_without_a_token_is_refused(api: Api) -> None:
    for path in (ADMIN, APP):
        assert (await api.refusal(path, {}))[0] == 401
        assert (await api.refusal_of_socket(path, {}))[0] == 401


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_every_role_may_listen(api: Api, role: Role) -> None:
    async with api.connecting(ADMIN, bearer(role)):
        await api.open()


async def test_who_is_no_staff_hears_nothing_of_staffs(api: Api) -> None:
    told = await api.refusal(ADMIN, OLGA)
    assert told[0] == 403
    assert await api.refusal_of_socket(ADMIN, OLGA) == told


@pytest.mark.parametrize(
    "query", ["?lastEventId=seven", "?kind=Nonsense", "?station=" + "&station=".join(map(str, range(101)))]
)
async def test_nonsense_is_refused_before_anything_begins(api: Api, query: str) -> None:
    assert (await api.refusal(ADMIN, STAFF, query))[0] == 422
    assert (await api.refusal_of_socket(ADMIN, STAFF, query))[0] == 422
    assert api.fanout.listeners == 0


def test_every_type_of_event_is_shown_to_somebody() -> None:
    admin = Caller("ann", "cloudbay", frozenset({"admin"}))
    assert {kind for kind in EVENTS if staff_sees(admin, kind)} == set(EVENTS)
    assert not staff_sees(admin, "Nonsense")
    assert set(SHOWN) < set(EVENTS)


def test_a_machine_sees_what_its_scopes_let_it_read() -> None:
    machine = Caller("key:1", "cloudbay", ROLES, frozenset({"events:read", "transactions:read"}))  # type: ignore[arg-type]
    assert {kind for kind in EVENTS if staff_sees(machine, kind)} == {
        "TransactionStarted", "TransactionUpdated", "TransactionEnded", "TransactionRevised", "MeterValues",
    }  # fmt: skip


@pytest.mark.parametrize("standing", ["owner", "co-owner", "guest", "driver"])
async def test_an_app_user_sees_what_he_is_to_the_station_and_the_charge(api: Api, standing: str) -> None:
    """All types of events, of one station and one charge; a station that is not his among them."""
    headers = bearer(subject=STANDING[standing])
    expected = [kind for kind in EVENTS if standing in SHOWN.get(kind, ())]
    for query in ("", "?station=CP-1"):
        async with api.streaming(APP, headers, query) as source, api.connecting(APP, headers, query) as there:
            await api.open(2)
            api.write(*(event(kind, "CP-9", "AWAY", FOREIGN_CHARGE) for kind in EVENTS), *map(event, EVENTS))
            api.write(event("StationDisconnected"))
            heard = [*expected, "StationDisconnected"]
            async with asyncio.timeout(10):
                assert [got.type for _ in heard if (got := await source.next()) is not None] == heard
            assert [(await said(there))["type"] for _ in heard] == heard
        await api.open(0)


@pytest.mark.parametrize("standing", ["expired guest", "stranger"])
async def test_who_is_nothing_to_a_station_sees_nothing_of_it(api: Api, standing: str) -> None:
    headers = bearer(subject=STANDING[standing])
    async with api.streaming(APP, headers) as source:
        await api.open()
        api.write(*map(event, EVENTS))
        waiting = asyncio.create_task(source.next())
        async with asyncio.timeout(10):
            while source.comments < 3:  # noqa: ASYNC110 - the fact is the network's
                await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize(
    ("mine", "foreign", "nothing"),
    [
        ("?station=CP-1", "?station=CP-9", "?station=CP-8"),
        ("?station=CP-1", "?station=CP-1&station=CP-9", "?station=CP-1&station=CP-8"),
        ("", "?site=AWAY", "?site=NOWHERE"),
        (f"?transaction={CHARGE}", f"?transaction={FOREIGN_CHARGE}", f"?transaction={CHARGE[:-1]}9"),
    ],
)
async def test_what_is_foreign_is_refused_as_what_does_not_exist(
    api: Api, mine: str, foreign: str, nothing: str
) -> None:
    async with api.streaming(APP, OLGA, mine):
        pass
    names = {"CP-9": "X", "CP-8": "X", "AWAY": "X", "NOWHERE": "X", FOREIGN_CHARGE: "X", f"{CHARGE[:-1]}9": "X"}

    def blurred(told: tuple[int, dict[str, Any]]) -> tuple[int, str]:
        text = str(told[1])
        for name, dot in names.items():
            text = text.replace(name, dot)
        return told[0], text

    asked = [await api.refusal(APP, OLGA, query) for query in (foreign, nothing)]
    asked += [await api.refusal_of_socket(APP, OLGA, query) for query in (foreign, nothing)]
    assert {blurred(told) for told in asked} == {blurred(asked[0])}
    assert asked[0][0] == 404


async def test_a_relation_that_ends_ends_the_sight_of_what_it_was_named_for(api: Api) -> None:
    cora = bearer(subject="cora")
    async with (
        api.streaming(APP, cora, "?station=CP-1") as source,
        api.connecting(APP, cora, "?station=CP-1") as there,
        api.streaming(APP, OLGA, "?station=CP-1") as owner,
    ):
        await api.open(3)
        await api.remove("cora")
        assert await ending(source) == "not allowed any more"
        assert await close_code(there) == (4403, "not allowed any more")
        api.write(event("StationBooted"))
        assert await types(owner, "StationBooted") == ["StationBooted"]


async def test_who_listens_to_all_that_is_his_goes_on_without_what_is_not_any_more_and_with_what_is_new(
    api: Api,
) -> None:
    async with api.streaming(APP, bearer(subject="cora")) as source:
        await api.open()
        await api.remove("cora")
        away = Holding("site", "AWAY")
        circle = await api.platform.circles.circle(away)
        circle.ties["cora"] = msgspec.structs.replace(circle.ties["fay"], subject="cora", relation="co-owner")
        await api.platform.circles.save(circle)
        writing = asyncio.create_task(api.keep_writing(event("StationConnected", "CP-9", "AWAY")))
        assert await types(source, "StationConnected")
        await asyncio.sleep(0.2)  # what was queued for her of her old station is gone by now
        api.write(event("StationBooted"), event("StationBooted", "CP-9", "AWAY"))
        async with asyncio.timeout(10):
            while (got := await source.next()) is not None and got.type != "StationBooted":
                pass
        assert got is not None
        assert got.data["subject"] == "CP-9"
        writing.cancel()


async def test_terms_that_end_end_the_sight_with_their_last_moment(api: Api) -> None:
    circle = await api.platform.circles.circle(HOME)
    until = NOW + timedelta(hours=1)
    circle.ties["gil"] = msgspec.structs.replace(circle.ties["gil"], terms=Terms(valid_until=until))
    await api.platform.circles.save(circle)
    async with api.streaming(APP, bearer(subject="gil"), "?station=CP-1") as source:
        await api.open()
        api.write(event("StationConnected"))
        assert await types(source, "StationConnected")
        api.platform.now = until
        api.write(event("StationDisconnected"))
        assert await ending(source) == "not allowed any more"


async def test_a_driver_watches_his_charge_to_its_end_though_the_relation_has_ended(api: Api) -> None:
    gus = bearer(subject="gus")
    async with api.streaming(APP, gus, f"?transaction={CHARGE}") as source, api.streaming(APP, gus) as everything:
        await api.open(2)
        await api.remove("gus")
        await asyncio.sleep(0.2)  # looked at again meanwhile
        api.write(event("StationConnected"), event("TransactionUpdated"), event("TransactionEnded"))
        assert await types(source, "TransactionEnded") == ["TransactionUpdated", "TransactionEnded"]
        assert await types(everything, "TransactionEnded") == ["TransactionUpdated", "TransactionEnded"]


async def test_a_charge_from_before_ones_relation_is_not_shown(api: Api) -> None:
    circle = await api.platform.circles.circle(HOME)
    circle.ties["cora"] = msgspec.structs.replace(circle.ties["cora"], granted_at=NOW + timedelta(seconds=1))
    await api.platform.circles.save(circle)
    cora = bearer(subject="cora")
    assert (await api.refusal(APP, cora, f"?transaction={CHARGE}"))[0] == 404
    async with api.streaming(APP, cora) as source:
        await api.open()
        api.write(event("TransactionUpdated"), event("StationBooted"))
        assert await types(source, "StationBooted") == ["StationBooted"]


async def test_a_card_that_turns_out_to_be_a_drivers_is_his_from_then_on(api: Api) -> None:
    """A 2.x transaction may begin with the cable; whose it is, is known later."""
    charge = api.platform.database.transactions[CHARGE]
    token, charge.id_token = charge.id_token, None
    async with api.streaming(APP, bearer(subject="gus")) as source:
        await api.open()
        api.write(event("TransactionUpdated"), event("StationConnected"))
        assert await types(source, "StationConnected") == ["StationConnected"]
        charge.id_token = token
        api.write(event("TransactionUpdated"), event("StationConnected"))
        assert await types(source, "StationConnected") == ["TransactionUpdated", "StationConnected"]


async def test_what_cannot_be_told_now_is_come_back_for(api: Api) -> None:
    """While the database is away nobody sees a charge that is not known; nothing is lost by that."""
    async with api.streaming(APP, OLGA) as source:
        await api.open()
        api.write(event("StationConnected"))
        assert await types(source, "StationConnected")
        api.platform.look.down = True
        api.write(event("TransactionUpdated"), event("StationBooted"))
        assert await ending(source) == "going away"
        last = source.last_event_id
    api.platform.look.down = False
    async with api.streaming(APP, OLGA, after=last) as source:
        assert await types(source, "StationBooted") == ["TransactionUpdated", "StationBooted"]


async def test_the_end_of_a_token_ends_what_it_has_begun(api: Api) -> None:
    for path, roles in ((ADMIN, ["auditor"]), (APP, [])):
        headers = bearer(*roles, subject="olga", life_s=2)  # type: ignore[arg-type]
        async with api.streaming(path, headers) as source, api.connecting(path, headers) as there:
            assert await ending(source) == "sign in again"
            assert await close_code(there) == (4401, "sign in again")


async def test_a_process_that_leaves_sends_its_listeners_to_another_one(api: Api) -> None:
    """RFC 6455, 7.4.1: 1001 is going away. An EventSource gives up at any status but 200, and comes back at its end."""
    async with api.streaming(APP, OLGA) as source, api.connecting(ADMIN, STAFF) as there:
        await api.open(2)
        api.services.live.leave()
        assert await ending(source) == "going away"
        assert await close_code(there) == (1001, "going away")
    async with api.streaming(APP, OLGA) as late, api.connecting(APP, OLGA) as there:
        assert await ending(late) == "going away"
        assert await close_code(there) == (1001, "going away")


async def test_a_socket_may_want_something_else_that_is_its_own(api: Api) -> None:
    async with api.connecting(APP, OLGA, "?station=CP-1") as there:
        await api.open()
        await there.send('{"filter": {"stations": ["CP-9"]}}')
        assert await said(there) == {"type": "FilterRefused", "detail": "there is no station CP-9"}
        await there.send('{"filter": {"kinds": ["Nonsense"]}}')
        assert (await said(there))["type"] == "FilterRefused"
        await there.send(msgspec.json.encode({"filter": {"transactions": [CHARGE]}}).decode())
        assert (await said(there))["type"] == "FilterChanged"
        await asyncio.sleep(0.2)  # looked at again meanwhile
        api.write(event("StationConnected"), event("TransactionUpdated"))
        assert (await said(there))["type"] == "TransactionUpdated"


async def test_whose_a_charge_is_is_asked_once(api: Api) -> None:
    async with api.streaming(APP, OLGA) as source, api.streaming(APP, bearer(subject="gus")) as driver:
        await api.open(2)
        for _ in range(5):
            api.write(event("TransactionUpdated"))
            await types(source, "TransactionUpdated")
            await types(driver, "TransactionUpdated")
    assert api.platform.look.asked <= 2


def test_nothing_is_shown_to_who_is_nothing() -> None:
    assert not any(app_user_sees(kind, "guest") for kind in EVENTS if "guest" not in SHOWN.get(kind, ()))
