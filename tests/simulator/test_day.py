"""A simulated day in both dialects: every message of it obeys the official schemas (the fake CSMS checks each)."""

import pytest

from actors.ocpp.frames import OcppVersion
from simulator.driver import SCENARIOS, Driver
from tests.simulator.world import BEGIN, CARD, World

pytestmark = pytest.mark.pure
VERSIONS = [OcppVersion.V16, OcppVersion.V201]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dc", [False, True])
def test_a_day_of_visitors_is_told_whole_and_valid(version: OcppVersion, dc: bool) -> None:
    world = World(version, dc=dc)
    driver = Driver(SCENARIOS["repeat"], 1, CARD, BEGIN, seed=7)
    world.connect()
    world.wait(24 * 3600, driver)
    said = {call.action for call in world.csms.heard}
    common = {"BootNotification", "Heartbeat", "StatusNotification", "Authorize"}
    own = (
        {"TransactionEvent"} if version is OcppVersion.V201 else {"StartTransaction", "MeterValues", "StopTransaction"}
    )
    assert said == common | own
    assert driver.sessions > 5
    assert driver.turned_away == 0
    assert world.station.errors == world.station.timeouts == world.station.outbox.discarded == 0
    assert _told_energy_wh(world) == pytest.approx(world.evse.meter_wh, rel=0.01)


def _told_energy_wh(world: World) -> float:
    """Sum the energy of all transactions as the CSMS heard it; the last one may still go on."""
    heard: dict[object, list[float]] = {}
    for event in world.csms.calls("TransactionEvent"):
        for value in event.get("meterValue", []):  # type: ignore[attr-defined]
            energy = next(v for v in value["sampledValue"] if v["measurand"] == "Energy.Active.Import.Register")
            heard.setdefault(event["transactionInfo"]["transactionId"], []).append(energy["value"])  # type: ignore[index]
    starts = [start["meterStart"] for start in world.csms.calls("StartTransaction")]
    stops = [stop["meterStop"] for stop in world.csms.calls("StopTransaction")]
    for number, (start, stop) in enumerate(zip(starts, [*stops, world.evse.meter_wh], strict=False)):
        heard[number] = [float(str(start)), float(str(stop))]
    return sum(max(values) - min(values) for values in heard.values())


def test_2_0_1_events_of_a_transaction_are_numbered_without_gaps() -> None:
    world = World(OcppVersion.V201)
    world.charge()
    world.wait(3600)
    world.unplug()
    events = world.csms.calls("TransactionEvent")
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    assert [events[0]["eventType"], events[-1]["eventType"]] == ["Started", "Ended"]
    assert {event["eventType"] for event in events[1:-1]} == {"Updated"}
    assert events[0]["idToken"] == {"idToken": "CARD-1", "type": "ISO14443"}


def test_1_6_uses_the_transaction_id_of_the_csms() -> None:
    world = World(OcppVersion.V16)
    world.charge()
    world.wait(600)
    world.show_card()
    assert {values["transactionId"] for values in world.csms.calls("MeterValues")} == {1}
    [stop] = world.csms.calls("StopTransaction")
    assert (stop["transactionId"], stop["reason"], stop["idTag"]) == (1, "Local", "CARD-1")


def test_1_6_connector_statuses_tell_the_way_of_a_session() -> None:
    world = World(OcppVersion.V16)
    world.charge()
    world.wait(60)
    world.show_card()
    world.wait(15)
    world.unplug()
    statuses = [status["status"] for status in world.csms.calls("StatusNotification") if status["connectorId"] == 1]
    assert statuses == ["Available", "Preparing", "Charging", "Finishing", "Available"]


def test_2_0_1_connector_statuses_tell_the_way_of_a_session() -> None:
    world = World(OcppVersion.V201)
    world.charge()
    world.wait(60)
    world.unplug()
    statuses = [status["connectorStatus"] for status in world.csms.calls("StatusNotification")]
    assert statuses == ["Available", "Occupied", "Available"]
