"""Logging in costs the same work whoever tries; passwords are kept, renewed and refused by the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadRequest, CloudBayError, TooMany, Unavailable
from cluster.identity.assembly import IdentityStores
from cluster.identity.brakes import BrakeLimits, Brakes, TooManyAttempts, network_of
from cluster.identity.login import BadLogin, Login
from cluster.identity.passwords import Passwords, WeakPassword, make_one_time_password
from cluster.identity.people import LOCAL_ISSUER, Credential, People, User, UserChange, normal_login
from tests.twins.identity import MemoryAttempts, memory_stores

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HERE = "192.0.2.1"
RIGHT = "correct horse battery"
CHEAP = Passwords(memory_kib=64, iterations=1, lanes=1)


def now() -> datetime:
    return NOON


class WorkBook:
    """Notes each call that goes to a port."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def noting(self, name: str, port: Any) -> Any:
        book = self

        class Noting:
            def __getattr__(self, method: str) -> Any:
                async def call(*arguments: Any) -> Any:
                    book.calls.append(f"{name}.{method}")
                    return await getattr(port, method)(*arguments)

                return call

        return Noting()


class CountingPasswords(Passwords):
    """Notes how much hashing is done."""

    def __init__(self, book: WorkBook) -> None:
        super().__init__(memory_kib=64, iterations=1, lanes=1)
        self._book = book

    def _verified(self, password: str, kept: str) -> bool:
        self._book.calls.append(f"argon2 {kept.rpartition('$')[0].rpartition('$')[0]}")
        return super()._verified(password, kept)


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(memory_kib=64, iterations=1, lanes=1)
    yield made
    made.close()


async def with_ann(stores: IdentityStores, passwords: Passwords, expires_at: datetime | None = None) -> User:
    user = User(str(uuid4()), LOCAL_ISSUER, "ann", "ann", None, None, frozenset(), "active", NOON)
    await stores.users.add(user, Credential(user.id, await passwords.hashed(RIGHT), False, expires_at))
    return user


async def work_of(login: str, prepare: str = "") -> list[str]:
    """Return what is done for a failed login, call by call."""
    book, stores = WorkBook(), memory_stores()
    passwords = CountingPasswords(book)
    user = await with_ann(stores, passwords, NOON if prepare == "expired" else None)
    if prepare == "disabled":
        await stores.users.change(user.id, UserChange(status="disabled"), NOON)
    attempts = book.noting("attempts", MemoryAttempts())
    brakes = Brakes(attempts, MemoryAttempts(), BrakeLimits(), b"k" * 32, now)
    service = Login(book.noting("credentials", stores.credentials), passwords, brakes, now)
    with pytest.raises(BadLogin) as refused:
        await service.attempt(login, RIGHT if prepare else "wrong", HERE)
    return [*book.calls, str(refused.value)]


async def test_a_failed_login_is_the_same_work_and_the_same_words_whatever_is_wrong() -> None:
    """Not measured in seconds: the steps are the same, with the same parameters."""
    known = await work_of("ann")
    assert known == [
        "attempts.take",
        "credentials.of_login",
        "argon2 $argon2id$v=19$m=64,t=1,p=1",
        "the login name or the password is wrong; try again, or have an admin give you a new one",
    ]
    for login, prepare in [("nobody", ""), ("not a name", ""), ("", ""), ("ann", "disabled"), ("ann", "expired")]:
        assert await work_of(login, prepare) == known, (login, prepare)


async def test_a_thousand_attempts_at_once_gain_nothing(passwords: Passwords) -> None:
    """Each is counted before it is known how it ends."""
    stores, attempts = memory_stores(), MemoryAttempts()
    await with_ann(stores, passwords)
    brakes = Brakes(attempts, MemoryAttempts(), BrakeLimits(account_burst=5), b"k" * 32, now)
    service = Login(stores.credentials, passwords, brakes, now)
    looked_at = 0
    for _ in range(1000):
        try:
            await service.attempt("ann", "wrong", HERE)
        except TooManyAttempts:
            continue
        except BadLogin:
            looked_at += 1
    assert looked_at == 6


async def test_one_address_cannot_try_many_accounts_and_an_ipv6_site_is_one(passwords: Passwords) -> None:
    brakes = Brakes(MemoryAttempts(), MemoryAttempts(), BrakeLimits(address_burst=10), b"k" * 32, now)
    let_through = 0
    for number in range(100):
        try:
            await brakes.attempt(f"user{number}", f"2001:db8::{number:x}")
        except TooManyAttempts:
            continue
        let_through += 1
    assert let_through == 11
    await brakes.attempt("user0", "2001:db8:0:1::1")


async def test_everybody_together_is_slowed_and_not_shut_out() -> None:
    limits = BrakeLimits(total_burst=10, max_total_delay_s=5)
    brakes = Brakes(MemoryAttempts(), MemoryAttempts(), limits, b"k" * 32, now)
    waits = set()
    for number in range(100):
        try:
            await brakes.attempt(f"user{number}", f"10.0.0.{number}")
        except TooManyAttempts as error:
            waits.add(error.retry_after_s)
    assert waits == {1}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::/64"),
        ("", "unknown"), ("somebody", "unknown"),
    ],
)  # fmt: skip
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_what_is_counted_names_nobody() -> None:
    attempts = MemoryAttempts()
    await Brakes(attempts, MemoryAttempts(), BrakeLimits(), b"k" * 32, now).attempt("ann@example.org", HERE)
    assert not [key for key in attempts.counters if "ann" in key or HERE in key]


async def test_the_fallback_counts_while_the_first_is_away_and_that_is_tried_again_later() -> None:
    moment = [NOON]
    first, fallback = MemoryAttempts(), MemoryAttempts()
    brakes = Brakes(first, fallback, BrakeLimits(account_burst=2), b"k" * 32, lambda: moment[0])
    first.down = True
    for _ in range(3):
        await brakes.attempt("ann", HERE)
    with pytest.raises(TooManyAttempts):
        await brakes.attempt("ann", HERE)
    assert first.asked == 1, "a time-out a login would be a denial of service"
    first.down = False
    moment[0] += timedelta(seconds=10)
    await brakes.attempt("ann", HERE)
    assert first.asked == 2
    fallback.down = first.down = True
    with pytest.raises(Unavailable):
        await brakes.attempt("ann", HERE)


async def test_a_hash_made_with_old_parameters_is_renewed_at_login(passwords: Passwords) -> None:
    stores = memory_stores()
    user = await with_ann(stores, passwords)
    stronger = Passwords(memory_kib=128, iterations=1, lanes=1)
    brakes = Brakes(MemoryAttempts(), MemoryAttempts(), BrakeLimits(), b"k" * 32, now)
    with pytest.raises(BadLogin):
        await Login(stores.credentials, stronger, brakes, now).attempt("ann", "wrong", HERE)
    kept = await stores.credentials.of_user(user.id)
    assert "m=64" in str(kept)
    proof = await Login(stores.credentials, stronger, brakes, now).attempt("ann", RIGHT, HERE)
    assert proof.user_id == user.id
    kept = await stores.credentials.of_user(user.id)
    assert "m=128" in str(kept)


async def test_of_two_password_changes_with_one_proof_one_holds(passwords: Passwords) -> None:
    stores = memory_stores()
    user = await with_ann(stores, passwords)
    brakes = Brakes(MemoryAttempts(), MemoryAttempts(), BrakeLimits(), b"k" * 32, now)
    service = Login(stores.credentials, passwords, brakes, now)
    proof = await service.attempt("ANN ", RIGHT, HERE)
    await service.change_password(user.id, "ann", proof.fingerprint, "another fine phrase")
    with pytest.raises(BadLogin):
        await service.change_password(user.id, "ann", proof.fingerprint, "yet another phrase")


async def test_more_than_can_wait_are_told_so(passwords: Passwords) -> None:
    answers = await asyncio.gather(*(passwords.matches("x", None) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(answer, TooMany) for answer in answers) == 200 - 64
    assert not await passwords.matches("x", None), "and afterwards all is well"


async def test_a_hash_that_is_none_matches_nothing(passwords: Passwords) -> None:
    assert not await passwords.matches("x", "not a hash")
    assert not await passwords.matches("x", None)
    assert await passwords.matches("a\u0301bc", await passwords.hashed("\u00e1bc")), "however it was typed"


@given(st.text(max_size=400))
def test_no_text_is_taken_for_a_password_that_breaks_a_rule(text: str) -> None:
    try:
        CHEAP.check_new(text, "ann")
    except WeakPassword:
        return
    assert len(text) * 18 >= 12  # NFKC may spell one character with up to 18
    assert "ann" not in text.casefold()


@given(st.text(max_size=300))
def test_a_login_name_has_one_spelling(text: str) -> None:
    try:
        name = normal_login(text)
    except BadRequest:
        return
    assert normal_login(name) == name
    assert not any(character.isspace() for character in name)


def test_one_time_passwords_are_long_and_all_different() -> None:
    made = {make_one_time_password() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(password) for password in made} == {23}


async def test_people_are_made_with_roles_that_exist_only(passwords: Passwords) -> None:
    stores = memory_stores()
    people = People(stores.users, stores.credentials, passwords, 60, now, lambda: str(uuid4()))
    for faulty in (("bob", frozenset({"king"})), ("b o b", frozenset())):
        with pytest.raises(CloudBayError):
            await people.create(*faulty)  # type: ignore[arg-type]
    assert (await stores.users.page()).items == []
