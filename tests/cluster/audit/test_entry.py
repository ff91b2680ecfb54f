"""What an entry keeps, and that nothing a caller sends can keep it from being stored or carry a secret into it."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.audit.entry import HIDDEN, MAX_DETAILS, Entry, Origin, Outcome, Target, canonical, decode, make_entry
from cluster.identity.caller import Caller
from tests.cluster.audit.deeds import ANN, NOON, deed

pytestmark = pytest.mark.pure

ANY_TEXT = st.text(max_size=700) | st.text(
    st.sampled_from("a\0\ud800\udfff\x7f\N{GRINNING FACE}"), max_size=5
)  # NUL, lone surrogates
ENTRIES = st.builds(
    make_entry,
    ANY_TEXT,
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.none() | st.builds(Caller, ANY_TEXT, ANY_TEXT, st.just(frozenset({"auditor", "admin"})), session_id=ANY_TEXT),
    ANY_TEXT,
    st.builds(Target, ANY_TEXT, ANY_TEXT),
    st.builds(Origin, st.none() | ANY_TEXT, st.none() | ANY_TEXT, st.none() | ANY_TEXT),
    st.builds(Outcome, st.integers(100, 599), st.none() | ANY_TEXT),
    st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.booleans() | st.none(), max_size=40),
)


def with_details(**details: str) -> dict[str, str]:
    entry = make_entry("1", NOON, ANN, "token.put", Target("token", "t"), Origin(), Outcome(204), details)
    return entry.details


def test_an_entry_says_who_what_on_what_when_from_where_and_how_it_ended() -> None:
    entry = deed(7)
    assert (entry.subject, entry.issuer, entry.roles, entry.session_id) == (
        "ann",
        "https://id.example",
        ("admin", "operator"),
        "s-1",
    )
    assert (entry.action, entry.target_kind, entry.target_id) == ("station.change", "station", "CP-1")
    assert entry.at == NOON + timedelta(seconds=7)
    assert (entry.address, entry.user_agent, entry.request_id) == ("192.0.2.7", "curl/8", "req-7")
    assert (entry.status, entry.problem, entry.details) == (200, None, {"number": "7"})


def test_a_failed_login_has_no_subject() -> None:
    assert deed(1, caller=None).subject is None


def test_times_are_kept_in_utc_and_a_time_without_a_zone_is_refused() -> None:
    there = timezone(timedelta(hours=2))
    entry = make_entry("1", NOON.astimezone(there), ANN, "a", Target("k", "i"), Origin(), Outcome(200))
    assert b'"at":"2026-05-04T12:00:00Z"' in canonical(entry)
    with pytest.raises(ValueError, match="aware"):
        make_entry("1", datetime(2026, 5, 4), ANN, "a", Target("k", "i"), Origin(), Outcome(200))


@given(ENTRIES)
def test_the_canonical_form_is_the_one_of_rfc_8785(entry: Entry) -> None:
    """Python's own encoder writes strings as ECMAScript does (RFC 8785 section 3.2.2.2); names are ASCII (3.2.3)."""
    text = canonical(entry)
    written = json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert text == written.encode()
    assert decode(text) == entry


@given(ENTRIES)
def test_no_text_of_a_caller_makes_an_entry_that_cannot_be_stored(entry: Entry) -> None:
    assert b"\\u0000" not in canonical(entry)
    assert len(canonical(entry)) < 200_000
    assert max(len(entry.target_id), len(entry.action), len(entry.id)) <= 200
    assert len(entry.details) <= MAX_DETAILS + 1


@pytest.mark.parametrize(
    "name", ["password", "newPassword", "client_secret", "idToken", "Authorization", "set-cookie", "api_key", "totp"]
)
def test_a_detail_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    assert with_details(**{name: "hunter2"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
        "Bearer 0123456789abcdef",
        "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "https://ann:hunter2@example.com/",
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    found = with_details(url=f"before {text}")["url"]
    assert found.startswith("before ")
    assert HIDDEN in found
    assert text.rpartition(" ")[2] not in found
    agent = make_entry("1", NOON, ANN, "a", Target("k", "i"), Origin(user_agent=text), Outcome(200)).user_agent
    assert agent is not None
    assert "hunter2" not in agent


def test_what_is_no_secret_is_kept() -> None:
    details = {"siteId": "DEPOT-7", "url": "https://example.com/hook", "admission": "Accepted"}
    assert with_details(**details) == details
