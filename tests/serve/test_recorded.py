"""Who did what is recorded before the answer leaves."""

from __future__ import annotations

import httpx
import pytest

from serve.origin import network_of
from tests.serve.conftest import bearer
from tests.serve.fakes import MemoryPlatform

PASSWORD = "/admin/v1/stations/CP-1/password"


async def test_what_changes_something_is_recorded_with_who_where_and_how_it_ended(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    answer = await admin.post(PASSWORD, headers={"User-Agent": "test"})
    (entry,) = platform.audit_log.recorded
    assert (entry.subject, entry.roles) == ("ann", ("admin",))
    assert (entry.action, entry.target_kind, entry.target_id) == (
        "POST /admin/v1/stations/{station_id}/password",
        "stations",
        "CP-1",
    )
    assert (entry.status, entry.user_agent, entry.request_id) == (200, "test", answer.headers["x-request-id"])


async def test_what_was_refused_is_recorded_too(anonymous: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await anonymous.post(PASSWORD, headers=bearer("auditor"))
    await anonymous.post(PASSWORD)
    assert [(entry.subject, entry.status) for entry in platform.audit_log.recorded] == [("ann", 403), (None, 401)]


async def test_of_an_app_user_no_more_is_kept_than_an_id_and_a_network(
    anonymous: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    """Entries cannot be taken out of the chain when somebody is erased."""
    headers = {"User-Agent": "Pia's telephone", "X-Forwarded-For": "198.51.100.77", **bearer(subject="pia")}
    await anonymous.delete("/app/v1/invitations/x", headers=headers)
    (entry,) = platform.audit_log.recorded
    assert (entry.subject, entry.address, entry.user_agent) == ("pia", "198.51.100.0/24", None)


async def test_no_entry_holds_an_id_token(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.delete("/admin/v1/tokens/04A2B3C4D5E680")
    (entry,) = platform.audit_log.recorded
    assert (entry.target_kind, entry.target_id) == ("tokens", "**********E680")
    assert "04A2B3C4D5E680" not in str(entry)


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.9", "203.0.113.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("testclient", None)],
)
def test_a_network_is_too_large_to_know_a_person_by(address: str, network: str | None) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    "path", ["/admin/v1/stations/CP-1/log", "/admin/v1/stations/CP-1/log.jsonl", "/admin/v1/audit-entries.jsonl"]
)
async def test_who_takes_much_away_is_recorded(admin: httpx.AsyncClient, platform: MemoryPlatform, path: str) -> None:
    answer = await admin.get(path)
    (entry,) = platform.audit_log.recorded
    assert (entry.subject, entry.action.partition(" ")[0], entry.status) == ("ann", "GET", answer.status_code)


async def test_who_may_not_take_it_away_is_recorded_too(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    assert (await auditor.get("/admin/v1/stations/CP-1/log.jsonl")).status_code == 403
    assert [entry.status for entry in platform.audit_log.recorded] == [403]


async def test_other_reading_is_not(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await auditor.get("/admin/v1/stations")
    assert not platform.audit_log.recorded


async def test_the_answer_leaves_even_if_nothing_can_be_recorded(
    admin: httpx.AsyncClient, platform: MemoryPlatform
) -> None:
    """The deed is done, and the password is shown this once."""
    platform.audit_log.down = True
    assert (await admin.post(PASSWORD)).json()["password"]
