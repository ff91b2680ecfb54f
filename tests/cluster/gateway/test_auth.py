"""Basic credentials: RFC 7617, A00.FR.204, A00.FR.207."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.gateway.auth import BadCredentials, basic_password


def header(username: bytes, password: bytes, scheme: str = "Basic") -> list[str]:
    return [f"{scheme} {b64encode(username + b':' + password).decode()}"]


@given(st.binary(max_size=64))
def test_any_bytes_can_be_a_password_colons_included(password: bytes) -> None:
    assert basic_password(header(b"CP-1", password), "CP-1") == password


def test_without_a_header_no_password_was_offered() -> None:
    assert basic_password([], "CP-1") is None


def test_scheme_and_identity_ignore_case() -> None:
    assert basic_password(header(b"cp-1", b"secret:word", "bAsIc"), "CP-1") == b"secret:word"


def test_the_example_of_the_16_specification_gives_the_raw_key() -> None:
    key = bytes.fromhex("0001020304050607FFFFFFCCCCCCCCCCCC")
    assert basic_password(header(b"AL1000", key), "AL1000") == key


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        (header(b"CP-2", b"secret"), "not the station identity"),
        (["Bearer abc"], "not Basic"),
        (["Basic"], "no ':'"),
        (["Basic c2VjcmV0"], "no ':'"),
        (["Basic %%%"], "not valid base64"),
        (["Basic zz"], "not valid base64"),
        (header(b"\xff", b"secret"), "not valid base64"),
        (header(b"CP-1", b"a") + header(b"CP-1", b"b"), "more than one"),
    ],
)
def test_a_header_that_cannot_be_this_stations_is_refused_without_repeating_it(
    headers: list[str], complaint: str
) -> None:
    with pytest.raises(BadCredentials, match=complaint) as refused:
        basic_password(headers, "CP-1")
    assert "secret" not in str(refused.value)
    assert "c2VjcmV0" not in str(refused.value)


@given(st.text())
def test_garbage_is_refused_or_read_but_never_breaks(garbage: str) -> None:
    with suppress(BadCredentials):
        assert basic_password([garbage], "CP-1") is not None
