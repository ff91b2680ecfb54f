"""Signatures are those of the Standard Webhooks specification 1.0.0."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.webhooks.signing import new_secret, shown_secret, signed_headers

pytestmark = pytest.mark.pure

AT = datetime(2023, 1, 19, 0, 13, 51, 999_000, tzinfo=UTC)


def test_the_signature_is_that_of_another_implementation() -> None:
    """Computed with `openssl dgst -sha256 -hmac`: the specification prints no secret with its examples."""
    key = b"0123456789abcdef01234567"
    headers = signed_headers("msg_1", AT, b'{"test": 1}', [key])
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": "v1,uYLvpd/bSDYYzzFgVdLwrYHXIhrGuOiOe4U5CX1rT0Q=",
    }


def test_a_secret_is_shown_as_the_specification_writes_it_and_long_enough() -> None:
    """ "Signature scheme": base64 behind `whsec_`, 24 to 64 bytes."""
    secret = new_secret()
    assert shown_secret(secret).startswith("whsec_")
    assert base64.b64decode(shown_secret(secret).removeprefix("whsec_"), validate=True) == secret
    assert 24 <= len(secret) <= 64
    assert new_secret() != secret


@given(st.text("abc0", min_size=1), st.binary(), st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3))
def test_there_is_a_signature_for_every_key(message_id: str, body: bytes, keys: list[bytes]) -> None:
    """ "Webhook headers": signatures are separated by blanks, for a secret to be changed without a break."""
    headers = signed_headers(message_id, AT, body, keys)
    signatures = headers["webhook-signature"].split(" ")
    assert len(signatures) == len(keys)
    signed = f"{message_id}.1674087231.".encode() + body
    for signature, key in zip(signatures, keys, strict=True):
        version, _, digest = signature.partition(",")
        assert version == "v1"
        assert base64.b64decode(digest) == hmac.digest(key, signed, hashlib.sha256)


def test_an_id_that_would_make_the_signed_text_ambiguous_is_refused() -> None:
    with pytest.raises(ValueError, match="full stop"):
        signed_headers("a.1", AT, b"", [b"k" * 24])
