"""Commands through a host: pushed, waited for, asked again after a lost reply, and closed by time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import orjson
import pytest

from actors.domain.station import Configuration
from actors.errors import Conflict, NotFound, StationOffline
from cluster.batch import (
    Disconnect,
    Frame,
)
from tests.cluster.one_host import Fixture, command


async def test_a_command_is_pushed_and_its_answer_reaches_who_waits() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = command("CP-1")
    waiting = asyncio.create_task(it.host.submit(order, wait_s=30))
    await it.link.has_sent.wait()
    (_, call) = it.link.sent[0]
    assert call[1:3] == [order.id, "ClearChargingProfile"]
    await it.ingest(Frame("CP-1", 1, orjson.dumps([3, order.id, {"status": "Accepted"}])))
    assert (await asyncio.wait_for(waiting, 5)).status == "accepted"
    assert it.database.commands[order.id].status == "accepted"


async def test_a_command_waits_for_an_offline_station_or_fails_as_its_caller_says() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1000, ""))
    with pytest.raises(StationOffline):
        await it.host.submit(command("CP-1", if_offline="fail"))
    assert (await it.host.submit(command("CP-1"))).status == "queued"
    with pytest.raises(NotFound):
        await it.host.submit(command("CP-2"))


async def test_a_socket_that_its_gateway_does_not_have_is_noted_as_gone() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    it.link.open.clear()
    order = await it.host.submit(command("CP-1"))
    assert not it.database.stations["CP-1"].connected
    assert it.database.commands[order.id].status == "timed out"


async def test_time_closes_a_command_that_is_not_answered() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    it.now += timedelta(minutes=1)
    await it.host.tick()
    assert it.database.commands[order.id].status == "timed out"


async def test_a_command_that_was_finished_before_its_reply_was_lost_is_not_done_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    await it.ingest(Frame("CP-1", 1, orjson.dumps([3, order.id, {"status": "Accepted"}])))
    asked_before = len(it.link.sent)
    again = msgspec.structs.replace(order, status="queued", sent_at=None, finished_at=None, response=None)
    assert (await it.host.submit(again, again=True)).status == "accepted"
    assert len(it.link.sent) == asked_before
    assert it.database.commands[order.id].status == "accepted"


async def test_a_cancel_whose_reply_was_lost_is_answered_when_it_is_asked_again() -> None:
    it = Fixture()
    await it.connect("CP-1", "CP-2")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    order = await it.host.submit(command("CP-1"))
    assert (await it.host.cancel("CP-1", order.id)).status == "cancelled"
    it.host = it.next_host()
    told_before = len(it.database.outbox)
    assert (await it.host.cancel("CP-1", order.id, again=True)).status == "cancelled"
    assert len(it.database.outbox) == told_before, "told once"
    with pytest.raises(NotFound):
        await it.host.cancel("CP-1", order.id)
    with pytest.raises(NotFound):
        await it.host.cancel("CP-2", order.id, again=True)


async def test_a_cancel_that_was_never_executed_is_when_it_is_asked_again() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    order = await it.host.submit(command("CP-1"))
    assert (await it.host.cancel("CP-1", order.id, again=True)).status == "cancelled"
    assert it.database.commands[order.id].status == "cancelled"


async def test_a_command_that_was_sent_is_not_cancelled_however_often_one_asks() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(it.event("CP-1", 0))
    order = await it.host.submit(command("CP-1"))
    for again in (False, True):
        with pytest.raises(Conflict):
            await it.host.cancel("CP-1", order.id, again=again)


async def test_a_registration_whose_reply_was_lost_is_answered_when_it_is_asked_again() -> None:
    it = Fixture()
    decisions = Configuration(admission="Accepted", password_digest="a digest")
    await it.host.configure("CP-1", decisions, create=True)
    it.host = it.next_host()
    station = await it.host.configure("CP-1", decisions, create=True, again=True)
    assert (station.admission, station.password_digest) == ("Accepted", "a digest")
    assert [event.kind for event in it.database.outbox] == ["StationRegistered"], "registered once"


async def test_a_registration_of_a_station_that_another_has_registered_is_refused_however_often_one_asks() -> None:
    it = Fixture()
    await it.host.configure("CP-1", Configuration(password_digest="a digest"), create=True)
    for other in (Configuration(password_digest="another"), Configuration()):
        for again in (False, True):
            with pytest.raises(Conflict):
                await it.host.configure("CP-1", other, create=True, again=again)
    assert it.database.stations["CP-1"].password_digest == "a digest"


async def test_a_command_of_a_sleeping_charger_expires_in_time() -> None:
    it = Fixture()
    await it.connect("CP-1")
    await it.ingest(Disconnect("CP-1", 1, 1006, ""))
    late = command("CP-1")
    it.database.store(late)
    it.host = it.next_host()
    await it.host.tick()
    assert it.database.commands[late.id].status == "queued"
    it.now += timedelta(minutes=6)
    it.host = it.next_host()
    await it.host.tick()
    assert it.database.commands[late.id].status == "expired"
