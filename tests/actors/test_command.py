"""A command's status only moves forward, along one table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.command import TRANSITIONS, Command, CommandStatus
from actors.errors import Conflict

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
STATUSES: tuple[CommandStatus, ...] = get_args(CommandStatus)


def command(status: CommandStatus = "queued") -> Command:
    return Command("c-1", "CP-1", "Reset", {}, NOON, NOON + timedelta(minutes=1), status=status)


def test_the_table_has_every_status() -> None:
    assert set(TRANSITIONS) == set(STATUSES)


def test_the_way_of_a_command_that_succeeds() -> None:
    way = command()
    way.move("sent", NOON)
    assert (way.sent_at, way.finished_at, way.finished) == (NOON, None, False)
    way.move("accepted", NOON + timedelta(seconds=1))
    assert (way.sent_at, way.finished_at, way.finished) == (NOON, NOON + timedelta(seconds=1), True)


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in ("queued", "sent")])
def test_what_is_finished_stays_as_it_is(status: CommandStatus) -> None:
    over = command(status)
    assert over.finished
    for other in STATUSES:
        with pytest.raises(Conflict, match=status):
            over.move(other, NOON)
    assert over == command(status)


@given(st.lists(st.sampled_from(STATUSES), max_size=8))
def test_no_way_leads_through_two_ends_or_back(wanted: list[CommandStatus]) -> None:
    way, gone = command(), list[CommandStatus]()
    for status in wanted:
        try:
            way.move(status, NOON)
        except Conflict:
            continue
        gone.append(status)
    assert "queued" not in gone
    assert len(gone) <= 2
    assert gone == sorted(gone, key=lambda status: status != "sent")


def test_why_it_failed_is_said_for_a_person() -> None:
    lost = command()
    lost.move("failed", NOON, "the station refused")
    assert lost.error == "the station refused"
