"""What is known of a person, and that nothing of it is left (GDPR, articles 15, 17): of the tables and their twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.records import Row, StoredEvent
from actors.domain.station import Station
from actors.domain.transaction import ChargingTransaction
from actors.errors import Conflict
from actors.ports import ChargerStore, Unit
from cluster.approvals import Approval, ApprovalStore
from cluster.audit.entry import Origin, Outcome, Target, make_entry
from cluster.audit.ports import AuditStore
from cluster.charging import ChargeQueries, Drivers
from cluster.identity.assembly import IdentityStores
from cluster.identity.caller import Caller
from cluster.identity.circle import ERASED, Offer
from cluster.identity.clients import Client
from cluster.identity.grants import Grant, Link
from cluster.identity.machine_keys import MachineKey
from cluster.identity.people import Credential, User
from cluster.identity.relation import Holding, Relation, Terms, Tie
from cluster.identity.sessions import Session
from cluster.personal_data import Mentions, PersonalRecords, erasure_of, pseudonymised
from cluster.sharing import CircleStore
from cluster.store.approvals import PostgresApprovals
from cluster.store.audit import PostgresAudit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.charges import PostgresCharges
from cluster.store.circles import PostgresCircles
from cluster.store.dossiers import PostgresPersonalRecords
from cluster.store.drivers import PostgresDrivers
from cluster.store.fleet import PostgresFleet
from cluster.store.identity import identity_stores
from cluster.store.queries import PostgresQueries
from cluster.store.sealed import sealed_columns
from cluster.store.tables import metadata
from cluster.store.views import masked
from cluster.store.webhooks import PostgresSubscriptions
from cluster.webhooks.model import Filter, Subscription
from cluster.webhooks.ports import SubscriptionStore
from tests.twins.approvals import MemoryApprovals
from tests.twins.audit import MemoryAudit
from tests.twins.charges import MemoryCharges, MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.identity import MemoryIdentity, memory_stores
from tests.twins.personal_data import MemoryPersonalRecords
from tests.twins.store import MemoryDatabase, MemoryStore
from tests.twins.vault import fixed_vault
from tests.twins.webhooks import MemorySubscriptions, MemoryWebhooks

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
A_DAY = timedelta(days=1)
HOME, DEPOT = Holding("station", "CP-1"), Holding("site", "DEPOT")
VAULT = fixed_vault()


@dataclass
class World:
    """Everywhere a person leaves traces."""

    identity: IdentityStores
    circles: CircleStore
    chargers: ChargerStore
    drivers: Drivers
    charges: ChargeQueries
    webhooks: SubscriptionStore
    approvals: ApprovalStore
    audit: AuditStore
    records: PersonalRecords

    async def join(self, name: str, *roles: Any, issuer: str = "local") -> str:
        """Let somebody be known, by the words of `name` wherever a person is called something; return the subject."""
        user_id = str(uuid4())
        subject = user_id if issuer == "local" else f"{name}-at-issuer"
        user = User(
            user_id, issuer, subject, f"{name}-login", f"{name}@example.org", f"{name} Doe", frozenset(roles), "active",
            NOON,
        )  # fmt: skip
        if issuer == "local":
            await self.identity.users.add(user, Credential(user_id, "hash", must_change=False, expires_at=None))
        else:
            await self.identity.users.seen(msgspec.structs.replace(user, login=None))
        return user_id

    async def put(self, *rows: Row) -> None:
        """Store what stations and commands have brought."""
        assert not await self.chargers.commit([Unit("CP-1", list(rows))])

    async def relate(self, holding: Holding, *ties: Tie, offers: tuple[Offer, ...] = ()) -> None:
        circle = await self.circles.circle(holding)
        circle.ties |= {tie.subject: tie for tie in ties}
        circle.offers |= {offer.id: offer for offer in offers}
        await self.circles.save(circle)

    async def people(self, holding: Holding) -> dict[str, tuple[Relation, str]]:
        ties = (await self.circles.circle(holding)).ties
        return {tie.subject: (tie.relation, tie.granted_by) for tie in ties.values()}

    async def log_in(self, subject: str, name: str) -> Session:
        session = Session(
            str(uuid4()), subject, NOON, NOON, NOON, NOON + A_DAY, None, f"{name}-address", f"{name}-browser"
        )
        await self.identity.sessions.begin(session, uuid4().bytes)
        return session

    async def consent(self, session: Session) -> None:
        none = frozenset[str]()
        client = Client("web", "Web", None, none, none, none, (), frozenset(), NOON)
        if await self.identity.clients.find("web") is None:
            await self.identity.clients.add(client)
        grant = Grant(
            str(uuid4()), "web", session.user_id, session.id, ("openid",), ("app",), "u", "c", "n", NOON, NOON
        )
        await self.identity.grants.begin(grant, Link(uuid4().bytes, "refresh", NOON + A_DAY))

    async def charge(self, subject: str, *, ended: bool = True) -> ChargingTransaction:
        """Let somebody charge as the app does: a command, and a transaction whose events name the id token."""
        id_token, number = await self.drivers.id_token(subject), uuid4()
        made = ChargingTransaction(
            str(number), "CP-1", f"wire-{number}", NOON, evse_id=1, id_token=id_token, started_at=NOON,
            start_key=f"1|{id_token}", ended_at=NOON + timedelta(hours=1) if ended else None,
        )  # fmt: skip
        made.meter.energy_wh = 7500.0
        told = {
            "eventType": "Started", "idToken": {"idToken": id_token.upper(), "type": "Central"}, "seqNo": 0,
            "customData": {"vendorId": "x", "card": id_token},
            "meterValue": [{"sampledValue": [{"value": 1.0, "signedMeterValue": {"signedMeterData": "c2ln"}}]}],
        }  # fmt: skip
        answer = {"idTokenInfo": {"status": "Accepted", "groupIdToken": {"idToken": id_token, "type": "Central"}}}
        event = StoredEvent(
            "CP-1", made.transaction_id, "0", 0, "Started", NOON, NOON, False, msgspec.json.encode(told), b"",
            msgspec.json.encode(answer),
        )  # fmt: skip
        payload: Any = {"evseId": 1, "idToken": {"idToken": id_token, "type": "Central"}}
        command = Command(str(uuid4()), "CP-1", "RequestStartTransaction", payload, NOON, NOON, requested_by=subject)
        command.move("sent", NOON)
        command.move("accepted", NOON)
        command.response, command.transaction = {"status": "Accepted"}, made.id
        await self.put(made, event, command)
        return made

    async def subscribe(self, subject: str, name: str) -> None:
        url = f"https://{name}.example.org/"
        await self.webhooks.add(Subscription(str(uuid4()), subject, False, url, Filter(), NOON, NOON), b"secret", 10)

    async def record(self, subject: str) -> None:
        who, where = Caller(subject, "local"), Origin("192.0.2.0/24")
        entry = make_entry(str(uuid4()), NOON, who, "POST /x", Target("stations", "CP-1"), where, Outcome(200))
        await self.audit.append([entry])

    async def ask_to_erase(self, subject: str, name: str) -> Approval:
        wish = erasure_of(subject)
        approval = Approval(
            str(uuid4()), wish.kind, wish.target, {}, f"{name} has asked", "staff", NOON, NOON + A_DAY, remark=name
        )
        await self.approvals.add(approval)
        return approval


def memory_world() -> World:
    database, tables, hooks, audit = MemoryDatabase(), MemoryIdentity(), MemoryWebhooks(), MemoryAudit()
    circles, drivers, approvals = MemoryCircles(database), MemoryDrivers(database), MemoryApprovals()
    return World(
        memory_stores(tables), circles, MemoryStore(database), drivers, MemoryCharges(database, circles, drivers),
        MemorySubscriptions(hooks), approvals, audit,
        MemoryPersonalRecords(database, circles, drivers, tables, hooks, audit, approvals),
    )  # fmt: skip


async def postgres_world(engine: AsyncEngine) -> World:
    epoch = await PostgresFleet(engine).join("host-0", 600)
    return World(
        identity_stores(engine, VAULT), PostgresCircles(engine),
        PostgresChargerStore(engine, VAULT, "host-0", epoch), PostgresDrivers(engine, VAULT), PostgresCharges(engine),
        PostgresSubscriptions(engine, VAULT), PostgresApprovals(engine), PostgresAudit(engine),
        PostgresPersonalRecords(engine, VAULT),
    )  # fmt: skip


@pytest.fixture(params=["memory", "postgresql"])
async def world(request: pytest.FixtureRequest, engine: AsyncEngine) -> World:
    made = memory_world() if request.param == "memory" else await postgres_world(engine)
    await made.put(Station("CP-1", site_id="DEPOT"))
    await made.join("root", "admin")
    return made


def tie(
    subject: str, relation: Relation, holding: Holding = HOME, by: str = "staff", days: int = 0, **terms: Any
) -> Tie:
    return Tie(subject, holding, relation, by, NOON - timedelta(days=days), Terms(**terms))


def offer(offer_id: str, by: str, to: str | None, *, claim: bool = False) -> Offer:
    return Offer(offer_id, HOME, "guest", by, NOON, NOON + A_DAY, to, None if to else offer_id * 8, claim=claim)


async def test_all_that_is_known_of_a_person_is_told(world: World) -> None:
    ann = await world.join("ann", "support")
    session = await world.log_in(ann, "ann")
    await world.consent(session)
    await world.relate(HOME, tie(ann, "owner"), offers=(offer("o1", ann, "bob"),))
    await world.relate(
        DEPOT, tie("dan", "owner", DEPOT), offers=(msgspec.structs.replace(offer("o2", "dan", ann), holding=DEPOT),)
    )
    charge = await world.charge(ann)
    await world.subscribe(ann, "ann")
    await world.record(ann)
    await world.ask_to_erase(ann, "ann")
    found = await world.records.dossier(ann)
    assert found.person is not None
    assert (found.person.login, found.person.email) == ("ann-login", "ann@example.org")
    assert found.sessions == [session]
    assert [consent.client_id for consent in found.consents] == ["web"]
    assert [(one.holding, one.relation) for one in found.ties] == [(HOME, "owner")]
    assert {one.id for one in found.offers} == {"o1", "o2"}
    assert found.id_token == masked(await world.drivers.id_token(ann))
    assert [(one.action, one.status) for one in found.commands] == [("RequestStartTransaction", "accepted")]
    assert [one.url for one in found.webhooks] == ["https://ann.example.org/"]
    assert found.mentions == Mentions(audit_entries=1, approvals=1, machine_keys=0, commands=1)
    assert [one.id for one in (await world.charges.charges(ann)).items] == [charge.id]


async def test_of_a_stranger_nothing_is_known(world: World) -> None:
    found = await world.records.dossier("nobody")
    assert (found.person, found.sessions, found.ties, found.id_token) == (None, [], [], None)
    assert found.mentions == Mentions(0, 0, 0, 0)
    await world.records.erase("nobody", "erased-1", NOON)


async def test_who_is_erased_is_known_no_more_and_logged_in_nowhere(world: World) -> None:
    ann = await world.join("ann")
    session = await world.log_in(ann, "ann")
    await world.consent(session)
    await world.records.erase(ann, "erased-1", NOON)
    found = await world.records.dossier(ann)
    assert found.person is not None
    assert (found.person.status, found.person.login, found.person.email, found.person.name) == ("erased", *[None] * 3)
    assert [(one.ended_at, one.address, one.user_agent) for one in found.sessions] == [(NOON, None, None)]
    assert found.consents == []
    assert {session.id, ann} <= await world.identity.ended.ended_since(NOON), "access tokens end at once"
    assert await world.identity.credentials.of_login("ann-login") is None
    await world.join("ann")  # the login name is free again


async def test_a_token_from_before_opens_no_account_anew(world: World) -> None:
    ann = await world.join("ann", issuer="https://id.example")
    await world.records.erase(ann, "erased-1", NOON)
    newcomer = User(str(uuid4()), "https://id.example", "ann-at-issuer", None, "e", "n", frozenset(), "active", NOON)
    seen = await world.identity.users.seen(newcomer)
    assert (seen.id, seen.status, seen.email) == (ann, "erased", None)


async def test_billing_keeps_the_charges_under_a_name_that_leads_to_nobody(world: World) -> None:
    ann, bob = await world.join("ann"), await world.join("bob")
    first, second, others = await world.charge(ann), await world.charge(ann), await world.charge(bob)
    await world.records.erase(ann, "erased-1", NOON)
    assert (await world.charges.charges(ann)).items == []
    for charge in (first, second):
        kept = await world.charges.charge(charge.id)
        assert (kept.subject, kept.energy_wh, kept.ended_at) == (None, 7500.0, charge.ended_at)
    assert (await world.charges.charge(others.id)).subject == bob


async def test_what_meters_have_signed_is_kept_and_the_name_is_gone_from_it(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    ann = await world.join("ann")
    charge = await world.charge(ann)
    id_token = await world.drivers.id_token(ann)
    await world.records.erase(ann, "erased-1", NOON)
    queries = PostgresQueries(engine, VAULT)
    (kept,) = (await queries.transactions(show_tokens=True)).items
    assert kept.id_token == "erased-1"
    (received,) = (await queries.meter_values(charge.id, received=True)).received
    assert "c2ln" in str(received.meter_values)
    (ordered,) = (await queries.commands("CP-1")).items
    assert (ordered.requested_by, ordered.payload["idToken"]) == (
        "erased-1",
        {"idToken": "erased-1", "type": "Central"},
    )
    assert id_token not in await everything(engine)
    assert [token.id_token for token in (await queries.tokens(show_tokens=True)).items] == []


async def test_nobody_is_erased_while_they_charge(world: World) -> None:
    ann = await world.join("ann")
    running = await world.charge(ann, ended=False)
    assert "under way" in str(await world.records.hindrance(ann, NOON))
    with pytest.raises(Conflict, match="under way"):
        await world.records.erase(ann, "erased-1", NOON)
    assert (await world.records.dossier(ann)).person is not None
    running.ended_at = NOON
    await world.put(running)
    await world.records.erase(ann, "erased-1", NOON)


@pytest.mark.parametrize("status", ["queued", "sent", "accepted"])
async def test_nobody_is_erased_while_a_charge_of_theirs_may_begin(world: World, status: Any) -> None:
    ann = await world.join("ann")
    asked = Command("c-1", "CP-1", "RequestStartTransaction", {}, NOON, NOON, requested_by=ann)
    asked.status = status
    await world.put(asked)
    with pytest.raises(Conflict, match="under way"):
        await world.records.erase(ann, "erased-1", NOON)
    later = await world.records.hindrance(ann, NOON + timedelta(minutes=6))
    assert (later is None) == (status == "accepted"), "it has led to nothing"


async def test_the_last_admin_stays(world: World) -> None:
    ann = await world.join("ann", "admin")
    await world.records.erase(ann, "erased-1", NOON)
    (root,) = [user for user in (await world.identity.users.page()).items if user.status == "active"]
    with pytest.raises(Conflict, match="last admin"):
        await world.records.erase(root.id, "erased-2", NOON)
    assert (await world.identity.users.find(root.id)).status == "active"


async def test_a_station_goes_to_the_co_owner_who_has_been_there_the_longest(world: World) -> None:
    ann = await world.join("ann")
    await world.relate(
        HOME, tie(ann, "owner"), tie("cora", "co-owner", by=ann, days=5), tie("cleo", "co-owner", by=ann, days=9),
        tie("carl", "co-owner", by=ann, days=20, valid_until=NOON + A_DAY), tie("gus", "guest", by="cora", days=30),
        offers=(offer("by-ann", ann, "x"), offer("to-ann", "cora", ann), offer("others", "cora", "y")),
    )  # fmt: skip
    await world.records.erase(ann, "erased-1", NOON)
    assert await world.people(HOME) == {
        "cleo": ("owner", ERASED),
        "cora": ("co-owner", ERASED),
        "carl": ("co-owner", ERASED),
        "gus": ("guest", "cora"),
    }
    circle = await world.circles.circle(HOME)
    assert circle.ties["cleo"].granted_at == NOON - timedelta(days=9), "still sees what was charged since"
    assert set(circle.offers) == {"others"}


async def test_a_station_without_a_co_owner_is_nobodys(world: World) -> None:
    ann = await world.join("ann")
    await world.relate(HOME, tie(ann, "owner"), tie("gus", "guest", by=ann), offers=(offer("o", ann, "x"),))
    await world.records.erase(ann, "erased-1", NOON)
    circle = await world.circles.circle(HOME)
    assert (circle.ties, circle.offers) == ({}, {})


async def test_claim_codes_and_relations_that_staff_have_made_stay_good(world: World) -> None:
    ann = await world.join("ann", "production")
    await world.relate(HOME, offers=(offer("claim", ann, None, claim=True),))
    await world.relate(DEPOT, tie("dan", "owner", DEPOT, by=ann))
    none = frozenset[str]()
    await world.identity.machine_keys.add(MachineKey("k1", "robot", b"s", frozenset(), none, ann, NOON, NOON + A_DAY))
    await world.records.erase(ann, "erased-1", NOON)
    assert (await world.circles.circle(HOME)).offers["claim"].offered_by == ERASED
    assert await world.people(DEPOT) == {"dan": ("owner", ERASED)}
    key = await world.identity.machine_keys.find("k1")
    assert key is not None
    assert (key.created_by, key.revoked_at) == (ERASED, None)


async def test_webhooks_go_and_approvals_say_nothing_of_the_person(world: World) -> None:
    ann, bob = await world.join("ann"), await world.join("bob")
    await world.subscribe(ann, "ann")
    await world.subscribe(bob, "bob")
    asked = await world.ask_to_erase(ann, "ann")
    await world.records.erase(ann, "erased-1", NOON)
    assert [one.owner for one in (await world.webhooks.page(None, None, 10)).items] == [bob]
    kept = await world.approvals.get(asked.id)
    assert kept is not None
    assert (kept.target, kept.reason, kept.remark) == (asked.target, ERASED, None)


def test_a_pseudonym_takes_the_place_of_the_id_token_alone() -> None:
    message = {"idToken": {"idToken": "AB12", "type": "Central"}, "note": "AB12x", "n": [1, 2.5, None, True, "ab12"]}
    told = pseudonymised(msgspec.json.encode({**message, "customData": {"vendorId": "ab12"}}), "ab12", "P")
    assert msgspec.json.decode(told) == {
        "idToken": {"idToken": "P", "type": "Central"}, "note": "AB12x", "n": [1, 2.5, None, True, "P"],
    }  # fmt: skip


# Whatever somebody does, nothing of it leads to them afterwards.

RECORDS = {"audit_entries", "approvals"}
TRACES = {"users", "sessions"}
"""Where the random id of who was erased may stand: records, and what refuses tokens from before for some days."""
DEEDS: dict[str, Callable[[World, str, str], Any]] = {
    "charges": lambda world, ann, _: world.charge(ann),
    "logs in": lambda world, ann, name: world.log_in(ann, name),
    "is let in": lambda world, ann, _: world.relate(HOME, tie(ann, "guest")),
    "shares": lambda world, ann, _: world.relate(
        DEPOT, tie(ann, "owner", DEPOT), tie("carl", "co-owner", DEPOT, by=ann), tie("gus", "guest", DEPOT, by=ann)
    ),
    "invites": lambda world, ann, _: world.relate(HOME, offers=(offer(f"o-{uuid4()}", ann, "x"),)),
    "is invited": lambda world, ann, _: world.relate(HOME, offers=(offer(f"o-{uuid4()}", "x", ann),)),
    "subscribes": lambda world, ann, name: world.subscribe(ann, name),
    "is recorded": lambda world, ann, _: world.record(ann),
    "asks to be erased": lambda world, ann, name: world.ask_to_erase(ann, name),
}


async def everything(engine: AsyncEngine, leave_out: frozenset[str] = frozenset()) -> str:
    """Return every value of every table as text, sealed ones opened."""
    sealed = sealed_columns()
    found = []
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            if table.name in leave_out:
                continue
            for row in (await connection.execute(select(table))).mappings():
                for column in table.columns:
                    value, mark = row[column.name], sealed.get(f"{table.name}.{column.name}")
                    if mark is not None and value is not None:
                        value = VAULT.open(value, mark.context([row[part.name] for part in mark.key])).decode()
                    found.append(value.hex() if isinstance(value, bytes) else str(value))
    return "\n".join(found).lower()


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deeds=st.lists(st.sampled_from(sorted(DEEDS)), max_size=8),
    issuer=st.sampled_from(["local", "https://id.example"]),
)
async def test_nothing_leads_to_who_was_erased(engine: AsyncEngine, deeds: list[str], issuer: str) -> None:
    world = await postgres_world(engine)
    name = f"marker{uuid4().hex}"
    ann = await world.join(name, issuer=issuer)
    for deed in deeds:
        await DEEDS[deed](world, ann, name)
    id_token = await world.drivers.id_token(ann)
    before = await everything(engine)
    assert all(marker in before for marker in (name, ann, id_token)), "the search sees what is there"
    await world.records.erase(ann, f"erased-{uuid4().hex[:12]}", NOON)
    after = await everything(engine)
    assert name not in after
    assert id_token not in after
    assert ann not in await everything(engine, frozenset(RECORDS | TRACES))


async def test_traces_of_who_was_erased_go_some_time_later(engine: AsyncEngine) -> None:
    world = await postgres_world(engine)
    ann = await world.join("ann")
    await world.log_in(ann, "ann")
    await world.records.erase(ann, "erased-1", NOON)
    await world.identity.retention.forget(NOON)
    assert ann in await everything(engine)
    await world.identity.retention.forget(NOON + A_DAY)
    assert ann not in await everything(engine)
