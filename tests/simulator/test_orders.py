"""What a CSMS orders, the station does; every answer obeys the official schemas (the fake CSMS checks each)."""

import pytest

from actors.ocpp.frames import Json, OcppVersion
from tests.simulator.world import World

pytestmark = pytest.mark.pure
V16, V201 = OcppVersion.V16, OcppVersion.V201


def profile_201(limit: float, unit: str = "W", **more: object) -> Json:
    schedule: Json = {
        "id": 1,
        "chargingRateUnit": unit,
        "startSchedule": "2026-03-02T00:00:00Z",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    return {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
        **more,
    }


def profile_16(limit: float, **more: object) -> Json:
    schedule: Json = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
        **more,
    }


def last_events(world: World) -> list[tuple[object, object]]:
    return [(event["eventType"], event["triggerReason"]) for event in world.csms.calls("TransactionEvent")]


def test_2_0_1_remote_start_with_profile_and_stop() -> None:
    """F01, F03, K05."""
    world = World(V201)
    world.connect()
    world.plug_in()
    tx_profile = profile_201(4140, chargingProfilePurpose="TxProfile")
    token = {"idToken": "APP", "type": "Central"}
    order = {"remoteStartId": 7, "idToken": token, "evseId": 1, "chargingProfile": tx_profile}
    assert world.order("RequestStartTransaction", order) == {"status": "Accepted"}
    assert world.order("RequestStartTransaction", order) == {"status": "Rejected"}, "the EVSE is taken"
    world.wait(120)
    assert world.evse.power_w == pytest.approx(4140)
    [started] = [e for e in world.csms.calls("TransactionEvent") if e["eventType"] == "Started"]
    assert started["triggerReason"] == "RemoteStart"
    info = started["transactionInfo"]
    assert isinstance(info, dict)
    assert info["remoteStartId"] == 7
    assert world.order("RequestStopTransaction", {"transactionId": "no"}) == {"status": "Rejected"}
    assert world.order("RequestStopTransaction", {"transactionId": info["transactionId"]}) == {"status": "Accepted"}
    assert last_events(world)[-1] == ("Ended", "RemoteStop")


def test_1_6_remote_start_and_stop() -> None:
    world = World(V16)
    world.connect()
    world.plug_in()
    order = {"connectorId": 1, "idTag": "APP", "chargingProfile": profile_16(6)}
    assert world.order("RemoteStartTransaction", order) == {"status": "Accepted"}
    world.wait(120)
    assert world.evse.power_w == pytest.approx(6 * 230 * 3)
    assert world.order("RemoteStopTransaction", {"transactionId": 5}) == {"status": "Rejected"}
    assert world.order("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Accepted"}
    assert world.csms.calls("StopTransaction")[0]["reason"] == "Remote"


def test_the_station_really_follows_a_profile() -> None:
    """K01.FR.07: at once, mid-transaction; below 6 A an AC car must pause."""
    world = World(V201)
    world.charge()
    world.wait(60)
    assert world.evse.power_w == pytest.approx(11_000)
    assert (
        world.order("SetChargingProfile", {"evseId": 1, "chargingProfile": profile_201(8, "A")})["status"] == "Accepted"
    )
    world.wait(60)
    assert world.evse.power_w == pytest.approx(8 * 230 * 3)
    world.order("SetChargingProfile", {"evseId": 1, "chargingProfile": profile_201(1000)})
    before_wh = world.evse.meter_wh
    world.wait(60)
    assert (world.evse.power_w, world.evse.meter_wh) == (0.0, before_wh)
    info = world.csms.calls("TransactionEvent")[-1]["transactionInfo"]
    assert isinstance(info, dict)
    assert info["chargingState"] == "SuspendedEVSE"
    assert world.order("ClearChargingProfile", {"chargingProfileId": 1}) == {"status": "Accepted"}
    assert world.order("ClearChargingProfile", {"chargingProfileId": 1}) == {"status": "Unknown"}
    world.wait(60)
    assert world.evse.power_w == pytest.approx(11_000)


def test_a_1_6_profile_of_another_transaction_is_refused() -> None:
    world = World(V16)
    world.charge()
    order = {"connectorId": 1, "csChargingProfiles": profile_16(10, transactionId=99)}
    assert world.order("SetChargingProfile", order) == {"status": "Rejected"}
    order = {"connectorId": 1, "csChargingProfiles": profile_16(10, transactionId=1)}
    assert world.order("SetChargingProfile", order) == {"status": "Accepted"}
    maximum = profile_16(8, chargingProfilePurpose="ChargePointMaxProfile", chargingProfileKind="Absolute")
    maximum["chargingSchedule"]["startSchedule"] = "2026-03-02T00:00:00Z"  # type: ignore[index]
    assert world.order(
        "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": {**maximum, "chargingProfileId": 2}}
    )
    world.wait(60)
    assert world.evse.power_w == pytest.approx(8 * 230 * 3)
    assert (
        world.order("ClearChargingProfile", {"chargingProfilePurpose": "ChargePointMaxProfile"})["status"] == "Accepted"
    )


@pytest.mark.parametrize(("unit", "limit"), [("A", 10.4), ("W", 7176.0)])
def test_composite_schedule(unit: str, limit: float) -> None:
    """K08."""
    world = World(V201)
    world.charge()
    world.order("SetChargingProfile", {"evseId": 1, "chargingProfile": profile_201(10.4, "A")})
    answer = world.order("GetCompositeSchedule", {"evseId": 1, "duration": 600, "chargingRateUnit": unit})
    schedule = answer["schedule"]
    assert isinstance(schedule, dict)
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": limit}]
    assert world.order("GetCompositeSchedule", {"evseId": 9, "duration": 600}) == {"status": "Rejected"}


def test_1_6_composite_schedule() -> None:
    world = World(V16)
    world.charge()
    world.order("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile_16(10.4)})
    answer = world.order("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "A"})
    schedule = answer["chargingSchedule"]
    assert isinstance(schedule, dict)
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.4}]
    assert world.order("GetCompositeSchedule", {"connectorId": 0, "duration": 60})["status"] == "Accepted"


def variable(component: str, name: str, **more: object) -> Json:
    return {"component": {"name": component}, "variable": {"name": name}, **more}


def test_variables_are_read_and_written() -> None:
    """B05, B06."""
    world = World(V201)
    world.connect()
    wanted = [
        variable("SampledDataCtrlr", "TxUpdatedInterval"),
        variable("ChargingStation", "Model"),
        variable("SecurityCtrlr", "BasicAuthPassword"),
        variable("SampledDataCtrlr", "Nonsense"),
        variable("Nonsense", "Nonsense"),
        variable("SampledDataCtrlr", "TxUpdatedInterval", attributeType="Target"),
    ]
    results = world.order("GetVariables", {"getVariableData": wanted})["getVariableResult"]
    assert isinstance(results, list)
    assert [(r["attributeStatus"], r.get("attributeValue")) for r in results] == [
        ("Accepted", "60"),
        ("Accepted", "Virtual"),
        ("Rejected", None),
        ("UnknownVariable", None),
        ("UnknownComponent", None),
        ("NotSupportedAttributeType", None),
    ]
    changes = [
        variable("SampledDataCtrlr", "TxUpdatedInterval", attributeValue="10"),
        variable("SampledDataCtrlr", "TxUpdatedInterval", attributeValue="ten"),
        variable("ChargingStation", "Model", attributeValue="x"),
        variable("OCPPCommCtrlr", "WebSocketPingInterval", attributeValue="10"),
    ]
    results = world.order("SetVariables", {"setVariableData": changes})["setVariableResult"]
    assert isinstance(results, list)
    assert [r["attributeStatus"] for r in results] == ["Accepted", "Rejected", "Rejected", "RebootRequired"]
    world.plug_in()
    world.show_card()
    world.wait(60)
    assert last_events(world).count(("Updated", "MeterValuePeriodic")) == 6


def test_1_6_configuration_is_read_and_written() -> None:
    world = World(V16)
    world.connect()
    answer = world.order("GetConfiguration", {"key": ["MeterValueSampleInterval", "NumberOfConnectors", "Nonsense"]})
    assert answer["unknownKey"] == ["Nonsense"]
    assert answer["configurationKey"] == [
        {"key": "MeterValueSampleInterval", "readonly": False, "value": "60"},
        {"key": "NumberOfConnectors", "readonly": True, "value": "1"},
    ]
    assert len(str(world.order("GetConfiguration", {}))) > 500
    for key, value, status in [
        ("MeterValueSampleInterval", "10", "Accepted"),
        ("MeterValueSampleInterval", "ten", "Rejected"),
        ("NumberOfConnectors", "2", "Rejected"),
        ("Nonsense", "2", "NotSupported"),
        ("WebSocketPingInterval", "9", "RebootRequired"),
    ]:
        assert world.order("ChangeConfiguration", {"key": key, "value": value}) == {"status": status}


def test_a_base_report_comes_in_parts() -> None:
    """B07: seqNo from 0, tbc until the last."""
    world = World(V201)
    world.connect()
    assert world.order("GetBaseReport", {"requestId": 3, "reportBase": "FullInventory"}) == {"status": "Accepted"}
    parts = world.csms.calls("NotifyReport")
    assert [(part["requestId"], part["seqNo"], part["tbc"]) for part in parts] == [
        (3, n, n < len(parts) - 1) for n in range(len(parts))
    ]
    assert len(parts) > 1


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ("Heartbeat", "Heartbeat"),
        ("StatusNotification", "StatusNotification"),
        ("MeterValues", "MeterValues"),
        ("TransactionEvent", "TransactionEvent"),
    ],
)
def test_2_0_1_trigger_message(message: str, action: str) -> None:
    """F06."""
    world = World(V201)
    world.charge()
    before = len(world.csms.calls(action))
    assert world.order("TriggerMessage", {"requestedMessage": message}) == {"status": "Accepted"}
    assert len(world.csms.calls(action)) == before + 1


def test_trigger_message_that_cannot_be() -> None:
    world = World(V201)
    world.connect()
    for message, status in [
        ("TransactionEvent", "Rejected"),
        ("BootNotification", "Rejected"),
        ("FirmwareStatusNotification", "NotImplemented"),
    ]:
        assert world.order("TriggerMessage", {"requestedMessage": message}) == {"status": status}


@pytest.mark.parametrize("version", [V16, V201])
def test_a_pending_station_boots_when_triggered(version: OcppVersion) -> None:
    """B02.FR.09."""
    world = World(version)
    world.csms.boot_status = "Pending"
    world.connect()
    assert world.order("TriggerMessage", {"requestedMessage": "BootNotification"}) == {"status": "Accepted"}
    assert len(world.csms.calls("BootNotification")) == 2


def test_2_0_1_reset_ends_the_transaction_and_reboots() -> None:
    """B12; on idle it waits (B11)."""
    world = World(V201)
    world.charge()
    assert world.order("Reset", {"type": "OnIdle"}) == {"status": "Scheduled"}
    assert len(world.csms.calls("BootNotification")) == 1
    world.unplug()
    world.wait(15)
    assert [boot["reason"] for boot in world.csms.calls("BootNotification")] == ["PowerUp", "RemoteReset"]
    world.plug_in()
    world.show_card()
    assert world.order("Reset", {"type": "Immediate"}) == {"status": "Accepted"}
    assert last_events(world)[-1] == ("Ended", "ResetCommand")
    assert len(world.csms.calls("BootNotification")) == 3


@pytest.mark.parametrize(("kind", "reason"), [("Hard", "HardReset"), ("Soft", "SoftReset")])
def test_1_6_reset(kind: str, reason: str) -> None:
    world = World(V16)
    world.charge()
    assert world.order("Reset", {"type": kind}) == {"status": "Accepted"}
    assert world.csms.calls("StopTransaction")[0]["reason"] == reason
    assert len(world.csms.calls("BootNotification")) == 2


@pytest.mark.parametrize("version", [V16, V201])
def test_out_of_service_waits_for_the_transaction(version: OcppVersion) -> None:
    """G03."""
    world = World(version)
    world.charge()
    order: Json = {"operationalStatus": "Inoperative"} if version is V201 else {"connectorId": 0, "type": "Inoperative"}
    assert world.order("ChangeAvailability", order) == {"status": "Scheduled"}
    assert world.evse.operative
    world.unplug()
    status = world.csms.calls("StatusNotification")[-1]
    assert status.get("connectorStatus", status.get("status")) == "Unavailable"
    world.plug_in()
    world.show_card()
    assert world.evse.transaction is None


def test_unlock_spares_a_transaction_in_2_0_1_and_ends_it_in_1_6() -> None:
    """F05; 1.6 section 5.18."""
    world = World(V201)
    world.charge()
    assert world.order("UnlockConnector", {"evseId": 1, "connectorId": 1}) == {"status": "OngoingAuthorizedTransaction"}
    assert world.order("UnlockConnector", {"evseId": 8, "connectorId": 1}) == {"status": "UnknownConnector"}
    world = World(V16)
    world.charge()
    assert world.order("UnlockConnector", {"connectorId": 1}) == {"status": "Unlocked"}
    assert world.csms.calls("StopTransaction")[0]["reason"] == "UnlockCommand"


@pytest.mark.parametrize("version", [V16, V201])
def test_data_transfer(version: OcppVersion) -> None:
    world = World(version)
    world.connect()
    assert world.order("DataTransfer", {"vendorId": "Other"}) == {"status": "UnknownVendorId"}
    assert world.order("DataTransfer", {"vendorId": "CloudBay", "messageId": "x"}) == {"status": "UnknownMessageId"}
    echo: Json = {"vendorId": "CloudBay", "messageId": "Echo", "data": "hello"}
    assert world.order("DataTransfer", echo) == {"status": "Accepted", "data": "hello"}


@pytest.mark.parametrize("version", [V16, V201])
def test_an_unknown_order_is_not_implemented(version: OcppVersion) -> None:
    world = World(version)
    world.connect()
    assert world.order("ClearCache", {})["code"] == "NotImplemented"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'[2,"1","Reset",{}]', "OccurrenceConstraintViolation"),
        (b'[2,"1","Reset",{"type":5}]', "TypeConstraintViolation"),
        (b'[2,"1","GetVariables",{"getVariableData":["x"]}]', "TypeConstraintViolation"),
    ],
)
def test_a_broken_order_is_refused_by_name(data: bytes, code: str) -> None:
    world = World(V201)
    world.connect()
    world.station.receive(data, world.now)
    [frame] = world.station.take_frames()
    assert code.encode() in frame
