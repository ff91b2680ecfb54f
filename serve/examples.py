"""Examples made of schemas: a value of each kind, the schema's own example where it has one.

Must not know: which schemas there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MOMENT: Final = "2026-05-04T12:00:00Z"
_BY_FORMAT: Final = {"date-time": MOMENT, "uri": "https://example.org/", "uuid": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
_BY_TYPE: Final[Mapping[str, Any]] = {"boolean": True, "integer": 1, "number": 1.5, "string": "text", "null": None}
_KINDS: Final = {str: "string", dict: "object", type(None): "null"}
_BY_NAME: Final[Mapping[str, Any]] = {
    "_links": {"self": {"href": "/"}},
    "_templates": {},
    "action": "Reset",
    "attribute": "Actual",
    "bootReason": "PowerUp",
    "chargingState": "Charging",
    "component": "EVSE",
    "componentInstance": "",
    "connectors": {"1/1": {"status": "Occupied", "at": MOMENT, "vendorStatus": None, "errorCode": None}},
    "data": '[2,"19223201","Heartbeat",{}]',
    "direction": "in",
    "error": None,
    "eventKey": "0",
    "firmwareVersion": "1.4.2",
    "groupId": "family",
    "hostId": "host-0",
    "id": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "idToken": "******C3D4",
    "ifOffline": "wait",
    "kind": "SecurityEvent",
    "model": "Twin 22",
    "mutability": "ReadOnly",
    "name": "DEPOT-7",
    "ocppVersion": "2.0.1",
    "password": "0f6a31c4b7d85e92a0c1f3e45d6b7a8990ab12cd",
    "payload": {"type": "Immediate"},
    "ranges": "0-2047, 4000",
    "registration": "Accepted",
    "requestedBy": "ann",
    "response": {"status": "Accepted"},
    "serialNumber": "SN-00042",
    "siteId": "DEPOT-7",
    "stationId": "CP-1",
    "stoppedReason": "Local",
    "transaction": None,
    "transactionId": "T-17",
    "value": "11000",
    "variable": "Power",
    "variableInstance": "",
    "vendorName": "Acme",
    "vendorStatus": None,
    "violations": {"BootNotification model maxLength": 3},
}
"""What a field of this name may hold, if it is a text or has no fields of its own."""


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return a value that fits a schema; `schemas` are those that it may refer to by name."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][0]
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return example(schema[choices][0], schemas)
    return _by_type(schema, schemas)


def _by_type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "object")
    if kind == "object":
        named = {name: _field(name, part, schemas) for name, part in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        return {"name": example(others, schemas)} if isinstance(others, dict) and not named else named
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return [example(item, schemas) for item in items]
    if "minimum" in schema:
        return schema["minimum"]
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE[kind])


def _field(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    plain = not any(word in schema for word in ("const", "enum", "examples", "$ref"))
    if plain and name in _BY_NAME and _KINDS[type(_BY_NAME[name])] in _kinds(schema):
        return _BY_NAME[name]
    return example(schema, schemas)


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the types that a schema admits."""
    return {one["type"] for one in [schema, *schema.get("anyOf", [])] if "type" in one}
