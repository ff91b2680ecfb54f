"""May this token charge (C01, C02, C16, E05; 1.6 4.1, 4.8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.domain.token import KnownToken, Purpose, TokenRules, decide, token_key
from actors.ocpp.messages import IdToken, IdTokenInfo

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PURPOSES: list[Purpose] = ["authorize", "start", "go on", "stop"]


def decided(purpose: Purpose = "authorize", own: str | None = None, **token: Any) -> IdTokenInfo:
    known = KnownToken("ANNA", **token)
    return decide(IdToken("Anna"), {"anna": known}, TokenRules("Invalid"), NOON, purpose, own)


def test_tokens_are_compared_without_regard_to_case() -> None:
    """IdTokenType is an identifierString, 1.6 IdToken a CiString."""
    assert token_key("AbC1") == token_key("aBc1")
    assert decided().status == "Accepted"


@pytest.mark.parametrize("rule", ["Accepted", "Invalid", "Unknown"])
def test_an_unknown_token_gets_what_the_platform_says(rule: str) -> None:
    assert decide(IdToken("x"), {"x": None}, TokenRules(rule), NOON, "start") == IdTokenInfo(rule)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_no_authorization_is_accepted(purpose: Purpose) -> None:
    """C02.FR.02."""
    nobody = IdToken("", "NoAuthorization")
    assert decide(nobody, {"": None}, TokenRules("Invalid"), NOON, purpose).status == "Accepted"


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("status", ["Blocked", "NoCredit", "NotAtThisLocation", "Invalid"])
def test_a_token_that_is_not_accepted_is_told_why(status: str, purpose: Purpose) -> None:
    assert decided(purpose, status=status).status == status


@pytest.mark.parametrize(("seconds", "status"), [(1, "Accepted"), (0, "Expired"), (-1, "Expired")])
def test_a_token_expires_at_its_moment(seconds: int, status: str) -> None:
    valid_until = NOON + timedelta(seconds=seconds)
    assert decided(valid_until=valid_until) == IdTokenInfo(status, valid_until)


def test_blocked_goes_before_expired() -> None:
    assert decided(status="Blocked", valid_until=NOON).status == "Blocked"


def test_the_group_is_told_when_there_is_one() -> None:
    """C09.FR.09, C09.FR.12."""
    assert decided(group_id="family").group_id_token == IdToken("family", "Central")
    assert decided().group_id_token is None


@pytest.mark.parametrize(
    ("purpose", "status"),
    [("authorize", "ConcurrentTx"), ("start", "ConcurrentTx"), ("go on", "Accepted"), ("stop", "Accepted")],
)
def test_a_token_for_one_transaction_starts_no_second_one_and_still_stops(purpose: Purpose, status: str) -> None:
    assert decided(purpose, own="t-2", concurrent=False, open_transactions=("t-1",)).status == status


def test_its_own_transaction_is_no_concurrency() -> None:
    """1.6 4.8: the repeat of a start is not a second transaction."""
    assert decided("start", own="t-1", concurrent=False, open_transactions=("t-1",)).status == "Accepted"


def test_a_token_may_charge_several_cars_when_it_is_allowed_to() -> None:
    assert decided("start", own="t-2", open_transactions=("t-1",)).status == "Accepted"


@pytest.mark.parametrize(
    ("purpose", "status"),
    [("start", "Invalid"), ("stop", "Accepted"), ("authorize", "Accepted"), ("go on", "Accepted")],
)
def test_a_master_pass_stops_and_never_starts(purpose: Purpose, status: str) -> None:
    """C16."""
    assert decided(purpose, master_pass=True).status == status
