"""Envelopes and keyed hashes: what opens where, and that nonces do not repeat."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.vault.vault import OVERHEAD_BYTES, KeyMissing, SealBroken, Vault, place, sealed_with

OLD, NEW = b"o" * 32, b"n" * 32
LOOKUP = b"l" * 32
EMAIL = place("people.email", "p-1")


def vault() -> Vault:
    return Vault({1: OLD, 2: NEW}, 2, LOOKUP)


@given(st.binary(), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_at_its_place(value: bytes, context: str) -> None:
    assert vault().open(vault().seal(value, context), context) == value


@given(st.binary(), st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=3))
def test_a_value_opens_at_no_other_place(value: bytes, other: list[str]) -> None:
    with pytest.raises(SealBroken):
        vault().open(vault().seal(value, EMAIL), place("people.name", *other))


def test_two_places_never_have_one_name() -> None:
    assert place("t.c", "a", "bc") != place("t.c", "ab", "c")


@given(st.binary(min_size=1), st.data())
def test_a_changed_envelope_does_not_open(value: bytes, data: st.DataObject) -> None:
    """SP 800-38D: key id and algorithm are authenticated as well as the ciphertext."""
    envelope = bytearray(vault().seal(value, EMAIL))
    envelope[data.draw(st.integers(0, len(envelope) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((SealBroken, KeyMissing)):
        vault().open(bytes(envelope), EMAIL)


@pytest.mark.parametrize("stored", [b"", b"{}", b"\x01\x01", b"plain text that is long enough to be an envelope"])
def test_what_is_no_envelope_is_never_taken_for_a_value(stored: bytes) -> None:
    with pytest.raises(SealBroken):
        vault().open(stored, EMAIL)


def test_an_envelope_names_its_key_and_costs_34_bytes() -> None:
    envelope = vault().seal(b"anna@example.org", EMAIL)
    assert sealed_with(envelope) == 2
    assert len(envelope) == len(b"anna@example.org") + OVERHEAD_BYTES == 16 + 34


def test_old_values_open_as_long_as_their_key_is_there() -> None:
    sealed_before = Vault({1: OLD}, 1, LOOKUP).seal(b"anna", EMAIL)
    changing = vault()
    assert changing.open(sealed_before, EMAIL) == b"anna"
    changing.take({2: NEW}, 2)
    with pytest.raises(KeyMissing, match="data key 1"):
        changing.open(sealed_before, EMAIL)


def test_another_key_of_the_same_id_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        Vault({2: OLD}, 2, LOOKUP).open(vault().seal(b"anna", EMAIL), EMAIL)


def nonces(count: int, sealer: Vault) -> list[bytes]:
    return [sealer.seal(b"", EMAIL)[6:18] for _ in range(count)]


def test_no_nonce_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """SP 800-38D 8.3: also not when a run of counts is over, and not by a second vault with the same keys."""
    monkeypatch.setattr("cluster.vault.vault._SEALS_A_COUNT", 3)
    used = nonces(20, vault()) + nonces(20, vault())
    assert len(set(used)) == 40


def test_looking_for_new_keys_uses_up_no_random_bits() -> None:
    """Else a platform that looks every half minute would have begun a million counts in a month."""
    sealer = vault()
    before = nonces(1, sealer)
    sealer.take({1: OLD, 2: NEW}, 2)
    after = nonces(1, sealer)
    assert before[0][:8] == after[0][:8]
    assert before != after


def test_a_forked_process_uses_none_of_its_parents_nonces() -> None:
    sealer = vault()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, b"".join(nonces(10, sealer)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 120)
    assert len(theirs) == 120
    assert not {theirs[n : n + 12] for n in range(0, 120, 12)} & set(nonces(10, sealer))
    os.close(reading)
    os.close(writing)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_is_found_however_it_is_written(text: str) -> None:
    one = vault().lookup(text, "people.email")
    assert vault().lookup(f"  {text}\n", "people.email") == one
    assert vault().lookup(unicodedata.normalize("NFD", text), "people.email") == one
    if text.upper().lower() == text.lower():
        assert vault().lookup(text.upper(), "people.email") == one
    assert len(one) == 32


@given(st.text("ab1@"), st.text("ab1@"))
def test_different_values_have_different_hashes(one: str, other: str) -> None:
    same = vault().lookup(one, "people.email") == vault().lookup(other, "people.email")
    assert same == (one == other)


def test_a_hash_says_nothing_without_its_key_and_its_column() -> None:
    found = vault().lookup("anna@example.org", "people.email")
    assert found != vault().lookup("anna@example.org", "invitations.email")
    assert found != Vault({1: OLD}, 1, b"x" * 32).lookup("anna@example.org", "people.email")


def test_a_vault_shows_no_key() -> None:
    shown = repr(vault())
    assert shown == "Vault(keys=[1, 2], current=2)"
