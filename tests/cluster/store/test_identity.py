"""The stores of identity keep their contracts, in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import BadRequest, Changed, Conflict, NotFound
from cluster.identity.assembly import IdentityStores
from cluster.identity.caller import Role
from cluster.identity.clients import Client
from cluster.identity.grants import Grant, Link
from cluster.identity.machine_keys import MachineKey
from cluster.identity.people import LOCAL_ISSUER, Credential, User, UserChange, UserFilter
from cluster.identity.sessions import Session
from cluster.store.identity import identity_stores
from cluster.vault.vault import Vault
from tests.twins.identity import memory_stores

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADMIN: frozenset[Role] = frozenset({"admin"})


def vault() -> Vault:
    return Vault({1: b"s" * 32}, 1, b"l" * 32)


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> IdentityStores:
    if request.param == "memory":
        return memory_stores()
    engine: AsyncEngine = request.getfixturevalue("engine")
    return identity_stores(engine, vault())


def person(login: str = "ann", roles: frozenset[Role] = frozenset(), minute: int = 0) -> User:
    user_id = str(uuid4())
    at = NOON + timedelta(minutes=minute)
    return User(user_id, LOCAL_ISSUER, user_id, login, f"{login}@example.org", login.title(), roles, "active", at)


async def added(stores: IdentityStores, user: User, password_hash: str = "hash-1") -> User:
    await stores.users.add(user, Credential(user.id, password_hash, False, None))
    return user


async def begun(stores: IdentityStores, user: User, secret: bytes = b"cookie", minute: int = 0) -> Session:
    at = NOON + timedelta(minutes=minute)
    session = Session(str(uuid4()), user.id, at, at, at, at + HOUR, None, "192.0.2.7", "Browser/1")
    await stores.sessions.begin(session, secret)
    return session


async def granted(stores: IdentityStores, session: Session, code: bytes = b"code") -> Grant:
    client = Client("web", "Web", None, frozenset({"https://a.example/cb"}), frozenset(), frozenset({"openid"}),
                    ("api",), frozenset({"authorization_code"}), NOON)  # fmt: skip
    if await stores.clients.find("web") is None:
        await stores.clients.add(client)
    grant = Grant(str(uuid4()), "web", session.user_id, session.id, ("openid",), ("api",), "https://a.example/cb",
                  "challenge", "nonce", NOON, NOON)  # fmt: skip
    await stores.grants.begin(grant, Link(code, "code", NOON + HOUR))
    return grant


async def test_a_person_is_found_as_added_and_a_login_name_belongs_to_one(stores: IdentityStores) -> None:
    ann = await added(stores, person("ann", ADMIN))
    assert await stores.users.find(ann.id) == ann
    with pytest.raises(Conflict, match="taken"):
        await added(stores, person("ann"))
    for nobody in (str(uuid4()), "no uuid"):
        with pytest.raises(NotFound):
            await stores.users.find(nobody)


async def test_people_come_in_pages_the_first_known_first(stores: IdentityStores) -> None:
    everyone = [await added(stores, person(f"user{number}", minute=number)) for number in range(5)]
    first = await stores.users.page(limit=3)
    second = await stores.users.page(first.cursor, 3)
    assert [*first.items, *second.items] == everyone
    assert second.cursor is None
    with pytest.raises(BadRequest):
        await stores.users.page("nonsense", 3)


async def test_people_are_filtered_by_role_status_and_a_whole_login_name(stores: IdentityStores) -> None:
    ann, bob = await added(stores, person("ann", ADMIN)), await added(stores, person("bob", minute=1))
    cyd = await added(stores, person("cyd", frozenset({"support", "admin"}), minute=2))
    bob = await stores.users.change(bob.id, UserChange(status="disabled"), NOON)
    for wanted, found in [
        (UserFilter(), [ann, bob, cyd]),
        (UserFilter(role="admin"), [ann, cyd]),
        (UserFilter(role="support"), [cyd]),
        (UserFilter(status="disabled"), [bob]),
        (UserFilter(login="bob"), [bob]),
        (UserFilter(login="bo"), []),
        (UserFilter(login="bob", status="active"), []),
    ]:
        assert (await stores.users.page(wanted=wanted)).items == found
    first = await stores.users.page(limit=1, wanted=UserFilter(role="admin"))
    assert (await stores.users.page(first.cursor, 1, UserFilter(role="admin"))).items == [cyd]


async def test_a_change_of_roles_or_status_ends_sessions_and_another_does_not(stores: IdentityStores) -> None:
    await added(stores, person("root", ADMIN))
    ann = await added(stores, person("ann"))
    for number, (change, ends) in enumerate(
        [
            (UserChange(name="Ann B.", email=None), False),
            (UserChange(roles=frozenset({"operator"})), True),
            (UserChange(status="disabled"), True),
        ]
    ):
        session = await begun(stores, ann, b"cookie-%d" % number)
        changed = await stores.users.change(ann.id, change, NOON + HOUR)
        assert changed == await stores.users.find(ann.id)
        assert changed.version == number + 2
        found = await stores.sessions.find(b"cookie-%d" % number)
        assert (found == session) is not ends
    assert (changed.name, changed.email, changed.status) == ("Ann B.", None, "disabled")


async def test_a_change_of_a_version_that_is_over_is_refused(stores: IdentityStores) -> None:
    ann = await added(stores, person())
    await stores.users.change(ann.id, UserChange(name="A"), NOON, 1)
    with pytest.raises(Changed, match="meanwhile"):
        await stores.users.change(ann.id, UserChange(name="B"), NOON, 1)
    assert (await stores.users.find(ann.id)).name == "A"


@pytest.mark.parametrize("change", [UserChange(roles=frozenset()), UserChange(status="disabled")])
async def test_the_last_admin_stays(stores: IdentityStores, change: UserChange) -> None:
    """Of two who take each other's role away at the same time, one fails."""
    ann, bob = await added(stores, person("ann", ADMIN)), await added(stores, person("bob", ADMIN))
    done = await asyncio.gather(
        stores.users.change(ann.id, change, NOON), stores.users.change(bob.id, change, NOON), return_exceptions=True
    )
    assert sorted(isinstance(result, Conflict) for result in done) == [False, True]


async def test_somebody_of_an_outside_issuer_is_known_from_first_sight_and_kept_up_to_date(
    stores: IdentityStores,
) -> None:
    def came(name: str) -> User:
        return User(str(uuid4()), "https://idp", "42", None, "a@b", name, frozenset(), "active", NOON)

    first, second = await asyncio.gather(stores.users.seen(came("Ann")), stores.users.seen(came("Ann")))
    assert first.id == second.id
    assert (await stores.users.seen(came("Ann B."))).name == "Ann B."
    assert (await stores.users.find(first.id)).name == "Ann B."
    await stores.users.change(first.id, UserChange(status="disabled"), NOON)
    assert (await stores.users.seen(came("Ann B."))).status == "disabled"
    assert await stores.credentials.of_user(first.id) is None


async def test_a_password_is_set_in_the_place_of_the_one_that_is_known_only(stores: IdentityStores) -> None:
    ann = await added(stores, person(), "hash-1")
    kept, _ = await begun(stores, ann, b"kept"), await begun(stores, ann, b"other")
    new = Credential(ann.id, "hash-2", False, None)
    assert not await stores.credentials.put(new, NOON, "another hash", None)
    assert await stores.sessions.find(b"other") is not None
    assert await stores.credentials.put(new, NOON, "hash-1", kept.id)
    assert await stores.credentials.of_login("ann") == new
    found, other = await stores.sessions.find(b"kept"), await stores.sessions.find(b"other")
    assert found is not None
    assert other is not None
    assert (found.ended_at, other.ended_at) == (None, NOON)
    assert await stores.credentials.of_login("nobody") is None


async def test_a_rehash_gives_way_to_a_new_password(stores: IdentityStores) -> None:
    ann = await added(stores, person(), "hash-1")
    await stores.credentials.rehash(ann.id, "hash-0", "late")
    assert (await stores.credentials.of_user(ann.id)) == Credential(ann.id, "hash-1", False, None)
    await stores.credentials.rehash(ann.id, "hash-1", "better")
    assert (await stores.credentials.of_user(ann.id)) == Credential(ann.id, "better", False, None)


async def test_a_session_goes_on_with_a_new_secret_after_another_login(stores: IdentityStores) -> None:
    session = await begun(stores, await added(stores, person()))
    await stores.sessions.renew(session.id, NOON + HOUR)
    assert await stores.sessions.find(b"cookie") == msgspec.structs.replace(session, seen_at=NOON + HOUR)
    await stores.sessions.renew(session.id, NOON + HOUR, b"new")
    assert await stores.sessions.find(b"cookie") is None
    renewed = await stores.sessions.find(b"new")
    assert renewed == msgspec.structs.replace(session, seen_at=NOON + HOUR, authenticated_at=NOON + HOUR)


async def test_sessions_are_listed_and_ended_one_or_all_but_only_the_person_s_own(stores: IdentityStores) -> None:
    ann, bob = await added(stores, person("ann")), await added(stores, person("bob"))
    sessions = [await begun(stores, ann, b"%d" % number, number) for number in range(3)]
    assert (await stores.sessions.page(ann.id)).items == sessions[::-1]
    assert await stores.sessions.end(bob.id, sessions[0].id, NOON) == 0
    assert await stores.sessions.end(ann.id, "no uuid", NOON) == 0
    assert (await stores.sessions.page("no uuid")).items == []
    assert await stores.sessions.end(ann.id, sessions[0].id, NOON) == 1
    assert await stores.sessions.end(ann.id, None, NOON + HOUR) == 2
    assert await stores.ended.ended_since(NOON) == {session.id for session in sessions}
    assert await stores.ended.ended_since(NOON + HOUR) == {session.id for session in sessions[1:]}


async def test_a_secret_is_used_once_whoever_is_faster(stores: IdentityStores) -> None:
    grant = await granted(stores, await begun(stores, await added(stores, person())))
    links = [Link(b"r%d" % number, "refresh", NOON + HOUR) for number in range(2)]
    done = await asyncio.gather(*(stores.grants.exchange(b"code", link, NOON) for link in links))
    assert sorted(done) == [False, True]
    found = [await stores.grants.find(link.secret) for link in links]
    assert [held is not None for held in found] == done
    code = await stores.grants.find(b"code")
    assert code is not None
    assert (code.grant, code.link.kind, code.used_at, code.over) == (grant, "code", NOON, False)


async def test_a_grant_is_over_when_revoked_or_when_its_session_has_ended(stores: IdentityStores) -> None:
    ann = await added(stores, person())
    first, second = await begun(stores, ann, b"1"), await begun(stores, ann, b"2")
    revoked, ended = await granted(stores, first, b"code-1"), await granted(stores, second, b"code-2")
    await stores.grants.revoke(revoked.id, NOON)
    await stores.sessions.end(ann.id, second.id, NOON)
    for code in (b"code-1", b"code-2"):
        held = await stores.grants.find(code)
        assert held is not None
        assert held.over
    assert {revoked.id, second.id} == await stores.ended.ended_since(NOON)
    assert ended.id not in await stores.ended.ended_since(NOON)


async def test_a_client_is_replaced_listed_and_removed_with_what_it_was_granted(stores: IdentityStores) -> None:
    await granted(stores, await begun(stores, await added(stores, person())))
    client = await stores.clients.find("web")
    assert client is not None
    renamed = msgspec.structs.replace(client, name="Another", roles=ADMIN, audiences=("b", "a"), secret=b"digest")
    with pytest.raises(Conflict, match="already"):
        await stores.clients.add(renamed)
    assert await stores.clients.find("web") == client
    await stores.clients.replace(renamed)
    assert (await stores.clients.page()).items == [renamed]
    await stores.clients.remove("web")
    assert await stores.clients.find("web") is None
    assert await stores.grants.find(b"code") is None
    with pytest.raises(NotFound):
        await stores.clients.remove("web")
    with pytest.raises(NotFound):
        await stores.clients.replace(renamed)
    assert (await stores.clients.page()).items == []


async def test_keys_of_machines_are_kept_used_and_revoked_once(stores: IdentityStores) -> None:
    scopes = frozenset({"a", "b"})
    keys = [
        MachineKey(f"k{number}", "meter", b"digest", ADMIN, scopes, "ann", NOON + HOUR * number, NOON + HOUR)
        for number in range(2)
    ]
    for key in keys:
        await stores.machine_keys.add(key)
    assert (await stores.machine_keys.page()).items == keys[::-1]
    await stores.machine_keys.used("k0", NOON + HOUR)
    await stores.machine_keys.revoke("k0", NOON)
    await stores.machine_keys.revoke("k0", NOON + HOUR)
    found = await stores.machine_keys.find("k0")
    assert found == msgspec.structs.replace(keys[0], last_used_at=NOON + HOUR, revoked_at=NOON)
    with pytest.raises(NotFound):
        await stores.machine_keys.revoke("none", NOON)


async def test_what_a_person_can_be_known_by_is_not_in_the_tables(engine: AsyncEngine) -> None:
    stores = identity_stores(engine, vault())
    await begun(stores, await added(stores, person("marker-login")))
    async with engine.connect() as connection:
        rows = [str(bytes(str(row), "utf-8")) for table in ("users", "sessions")
                for row in await connection.execute(text(f"SELECT * FROM {table}"))]  # fmt: skip
    assert len(rows) == 2
    assert not [marker for marker in ("marker", "192.0.2.7", "Browser") if marker in "".join(rows)]


async def test_what_is_over_is_forgotten_with_all_that_belongs_to_it(engine: AsyncEngine) -> None:
    stores = identity_stores(engine, vault())
    ann = await added(stores, person())
    old, recent = await begun(stores, ann, b"old"), await begun(stores, ann, b"recent", minute=60 * 24)
    await granted(stores, old, b"code-1")
    await granted(stores, recent, b"code-2")
    assert await stores.retention.forget(NOON + 2 * HOUR) >= 1
    assert (await stores.sessions.page(ann.id)).items == [recent]
    assert await stores.grants.find(b"code-1") is None
