"""Every type of event has a schema that says what is really sent."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import jsonschema_rs
import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain import events
from actors.domain.events import DATASCHEMAS, EVENTS, FACTS, Event, Fact, Tick, envelope, schemas
from tests.actors.stations import Station
from tests.actors.world import NOON, World


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return anything that a field's annotation allows; what is no number is not in JSON."""
    if get_origin(annotation) is Annotated:
        return values(get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is Union:
        return st.one_of([values(part) for part in get_args(annotation)])
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if annotation is datetime:
        return st.datetimes(timezones=st.just(UTC))
    return st.from_type(annotation)


def any_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Return any event of a type."""
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})


ANY_EVENT = st.sampled_from(list(EVENTS.values())).flatmap(any_of)


def below(kind: type[Event]) -> Iterator[type[Event]]:
    """Yield all classes that are derived from `kind`."""
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of a type, whole."""
    components = schemas("#/$defs/{name}")
    return {"$ref": f"#/$defs/{kind}", "$defs": components}


def test_every_type_that_is_defined_is_in_the_table_under_its_name() -> None:
    assert {kind.__name__: kind for kind in below(Event) if kind not in (Fact, Tick)} == EVENTS
    assert {"TransactionUpdated", "MeterValues"} == EVENTS.keys() - FACTS


def test_every_schema_tells_what_its_event_means_and_what_its_fields_are_called() -> None:
    components = schemas("#/$defs/{name}")
    assert components.keys() == EVENTS.keys()
    assert all(schema["description"] for schema in components.values())
    assert list(components["TransactionUpdated"]["properties"]) == [
        "transaction", "transactionId", "evseId", "chargingState", "energyWh", "powerW", "socPercent",
    ]  # fmt: skip


@given(ANY_EVENT)
def test_what_is_sent_is_what_its_schema_says(event: Event) -> None:
    """JSON Schema 2020-12."""
    jsonschema_rs.validate(schema_of(type(event).__name__), orjson.loads(msgspec.json.encode(event)))


def test_a_schema_refuses_what_is_not_its_event() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema_of("TransactionUpdated"), {"energyWh": 1.0})


def test_an_envelope_is_a_cloud_event() -> None:
    """CloudEvents 1.0.2, section 3.1: its required attributes; 3.2: dataschema, subject and time."""
    data = msgspec.json.encode(events.StationDisconnected(7))
    assert orjson.loads(envelope("/live", "1-0-1", "StationDisconnected", "CP-1", NOON, data)) == {
        "specversion": "1.0",
        "id": "1-0-1",
        "source": "/live",
        "type": "StationDisconnected",
        "subject": "CP-1",
        "time": "2026-05-04T12:00:00Z",
        "dataschema": "urn:cloudbay:event:StationDisconnected:1",
        "data": {"connEpoch": 7},
    }


def test_a_type_of_a_newer_version_goes_through_without_a_schema() -> None:
    """In a rolling restart newer hosts publish already."""
    sent = orjson.loads(envelope("/live", "1-0-1", "TomorrowsEvent", "CP-1", NOON, b'{"a":1}'))
    assert "TomorrowsEvent" not in DATASCHEMAS
    assert (sent["type"], sent["data"], "dataschema" in sent) == ("TomorrowsEvent", {"a": 1}, False)


def test_each_message_of_a_transaction_is_shown_to_who_watches_with_its_site() -> None:
    world = World()
    station = Station(world)
    station.boot()
    world.charger("CP-1").station.site_id = "depot"
    world.live.clear()
    station.started(wh=1000, at=world.now)
    station.updated(wh=1500, at=world.now)
    station.ended(wh=1900, at=world.now)
    assert [event.kind for event in world.live] == [
        "TransactionStarted", "TransactionUpdated", "TransactionUpdated", "TransactionEnded",
    ]  # fmt: skip
    assert {event.site_id for event in world.live} == {"depot"}
    assert [shown.energy_wh for shown in world.shown(events.TransactionUpdated)] == [0, 500]


def test_values_outside_a_transaction_are_shown_in_base_units() -> None:
    """J01; values that say nothing of energy are stored and shown to nobody."""
    world = World()
    station = Station(world)
    energy = {"value": 12.5, "measurand": "Energy.Active.Import.Register", "unitOfMeasure": {"unit": "kWh"}}
    voltage = {"value": 230, "measurand": "Voltage"}
    for sample in (energy, voltage):
        values = [{"timestamp": world.now.isoformat(), "sampledValue": [sample]}]
        station.call("MeterValues", {"evseId": 2, "meterValue": values})
    (shown,) = world.shown(events.MeterValues)
    assert (shown.evse_id, shown.register_wh, shown.power_w) == (2, 12_500, None)
