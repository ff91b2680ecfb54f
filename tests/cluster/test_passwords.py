"""Station passwords: A00.FR.205 and the two ways a 1.6 station may send its AuthorizationKey."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.passwords import digest, make_password

KEY = b"0123456789abcdef"


def test_a_made_password_fits_every_ocpp_version() -> None:
    """A00.FR.205: 16 to 40 characters; OCPP-J 1.6: up to 40 hexadecimal digits for 20 bytes."""
    password = make_password()
    assert re.fullmatch(r"[0-9a-f]{40}", password)
    assert make_password() != password


@given(st.binary(min_size=16, max_size=20))
def test_a_16_key_is_the_same_password_as_raw_bytes_and_as_hexadecimal_text(raw: bytes) -> None:
    assert digest(raw, KEY) == digest(raw.hex().encode(), KEY) == digest(raw.hex().upper().encode(), KEY)


@given(st.text(min_size=16, max_size=64), st.text(min_size=16, max_size=64))
def test_different_passwords_have_different_digests(one: str, other: str) -> None:
    same = digest(one.encode(), KEY) == digest(other.encode(), KEY)
    assert same == (one == other)


def test_the_digest_depends_on_the_key() -> None:
    assert digest(b"correct horse battery", KEY) != digest(b"correct horse battery", b"fedcba9876543210")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="the password key has 3 bytes"):
        digest(b"correct horse battery", b"abc")
