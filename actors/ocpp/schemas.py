"""Validation against the official JSON schemas, and what is forgiven.

The schemas ship in the `ocpp` package and are compiled by jsonschema-rs on first use. Real stations break them; what
counts as harmless is the table HARMLESS: such a payload is repaired where a repair is needed, accepted, and the
violation is recorded. In strict mode nothing is forgiven.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import jsonschema_rs
import msgspec
import orjson

from actors.errors import FrameFault
from actors.ocpp.frames import Json, OcppVersion

_FOLDERS: Final = {OcppVersion.V16: "v16", OcppVersion.V201: "v201", OcppVersion.V21: "v21"}

# jsonschema's keyword -> the OCPP 2.x error code (2.1 part 4, table 9).
_CODES: Final = {
    "type": "TypeConstraintViolation",
    "required": "OccurrenceConstraintViolation",
    "minItems": "OccurrenceConstraintViolation",
    "maxItems": "OccurrenceConstraintViolation",
    "additionalProperties": "FormatViolation",
}


MAX_KEPT_TEXT: Final = 1000
"""The longest text that is kept where the standard allows less, in characters."""


class Violation(msgspec.Struct, frozen=True):
    """One way in which a payload breaks its schema: the keyword broken, the place, and the fault in words."""

    keyword: str
    path: str
    message: str


class _Fault(msgspec.Struct, frozen=True):
    """A schema error with what a repair needs to know."""

    keyword: str
    path: tuple[str | int, ...]
    value: object
    expected: object
    message: str

    def violation(self) -> Violation:
        return Violation(self.keyword, "/".join(map(str, self.path)) or "payload", self.message[:200])


Repair = Callable[[Json, _Fault], bool]


def _keep(_payload: Json, _fault: _Fault) -> bool:
    """Need no repair: whoever reads the value can take it as it is."""
    return True


def _keep_text(_payload: Json, fault: _Fault) -> bool:
    """Keep over-long text whole, within reason: names and ids are keys of the database, which cannot be endless."""
    return isinstance(fault.value, str) and len(fault.value) <= MAX_KEPT_TEXT


def _cast(payload: Json, fault: _Fault) -> bool:
    """Cast numbers and booleans that came as text, and the reverse; an optional null is as good as absent."""
    types = fault.expected if isinstance(fault.expected, list) else [fault.expected]
    value = fault.value
    if value is None:
        return _drop(payload, fault)
    if "string" in types and isinstance(value, int | float) and not isinstance(value, bool):
        return _set(payload, fault.path, str(value))
    if "integer" in types and isinstance(value, float):
        return _set(payload, fault.path, round(value))
    if isinstance(value, str):
        text = value.strip()
        if "boolean" in types and text.lower() in ("true", "false"):
            return _set(payload, fault.path, text.lower() == "true")
        if "integer" in types or "number" in types:
            try:
                number = float(text)
            except ValueError:
                return False
            if math.isfinite(number):
                return _set(payload, fault.path, number if "number" in types else round(number))
    return False


def _drop(payload: Json, fault: _Fault) -> bool:
    """Remove an optional null or empty list; where it is required the schema says so in the next pass."""
    parent = _parent(payload, fault.path)
    if isinstance(parent, dict):
        parent.pop(str(fault.path[-1]), None)
        return True
    return False


# Words that only describe: an unknown one is kept, because the reading or the event beside it must not be lost.
_OPEN_WORDS: Final = {
    "context",
    "measurand",
    "phase",
    "location",
    "unit",
    "errorCode",
    "format",
    "reason",
    "stoppedReason",
    "triggerReason",
}


def _recase(payload: Json, fault: _Fault) -> bool:
    """Correct an enum word in the wrong case or with stray blanks; keep an unknown word that only describes."""
    if fault.value is None:
        return _drop(payload, fault)
    if isinstance(fault.value, str) and isinstance(fault.expected, list):
        for word in fault.expected:
            if isinstance(word, str) and word.lower() == fault.value.strip().lower():
                return _set(payload, fault.path, word)
    return fault.path[-1] in _OPEN_WORDS or fault.path[-2:] == ("idToken", "type")


# Required fields that nothing depends on, with the value that stands for "not said".
_DEFAULTS: Final[dict[str, object]] = {
    "chargePointVendor": "",
    "chargePointModel": "",
    "vendorName": "",
    "model": "",
    "reason": "Unknown",
    "errorCode": "NoError",
    "connectorId": 1,
}


def _default(payload: Json, fault: _Fault) -> bool:
    """Add a missing field that nothing depends on."""
    name = str(fault.expected)
    if name not in _DEFAULTS or (name == "connectorId" and "connectorStatus" not in payload):
        return False
    return _set(payload, (*fault.path, name), _DEFAULTS[name])


def _retime(payload: Json, fault: _Fault) -> bool:
    """Complete a date-time: without zone it is UTC; a blank for the T and a zone without colon are understood."""
    try:
        moment = datetime.fromisoformat(str(fault.value).strip().upper())
        utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return False
    text = utc.isoformat()
    return re.match(_MOMENT, text) is not None and _set(payload, fault.path, text)


_MOMENT: Final = (
    r"^(0[1-9]|[1-8][0-9]|9[0-8])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]+)?(Z|[+-])"
)
"""Of RFC 3339 what Python and the database can hold, in UTC too: no leap seconds, no years at the ends of time."""


HARMLESS: Final[dict[str, tuple[Repair, str]]] = {
    "maxLength": (_keep_text, "over-long text is kept whole, up to MAX_KEPT_TEXT"),
    "maxItems": (_keep, "a longer list is kept whole"),
    "additionalProperties": (_keep, "unknown fields are ignored and kept in the stored frame"),
    "multipleOf": (_keep, "more decimals than allowed are kept"),
    "type": (_cast, "numbers and booleans as text, and the reverse, are cast; null counts as absent"),
    "minItems": (_drop, "an empty list counts as absent"),
    "enum": (_recase, "a word in the wrong case is corrected"),
    "required": (_default, "a missing field that nothing depends on gets its neutral value"),
    "format": (_retime, "a date-time without zone is UTC"),
}


def check(
    version: OcppVersion, action: str, payload: Json, *, answer: bool = False, strict: bool = False
) -> list[Violation]:
    """Validate `payload` in place and return the violations that were forgiven.

    `answer` chooses the schema of the CALLRESULT. Raises FrameFault with NotImplemented for an unknown action, or with
    the exact code and the place of a fault that is not harmless (or of any fault, when `strict`).
    """
    validator = _validator(version, action, answer)
    if validator is None:
        raise FrameFault("NotImplemented", f"{action[:50]} is not an action of {version}")
    if validator.is_valid(payload):
        return []
    forgiven: dict[Violation, None] = {}
    for _ in range(4):  # A repair may uncover the next fault; no schema needs more passes.
        faults = _faults(validator, payload)
        if not faults:
            break
        for fault in faults:
            if strict or not _forgive(payload, fault):
                code = _CODES.get(fault.keyword, "PropertyConstraintViolation")
                raise FrameFault(code, f"{fault.violation().path}: {fault.message}")
        found = dict.fromkeys(fault.violation() for fault in faults)
        if found.keys() <= forgiven.keys():
            break
        forgiven.update(found)
    return list(forgiven)


def _forgive(payload: Json, fault: _Fault) -> bool:
    """Repair a harmless fault; what stands in customData nobody reads."""
    if "customData" in fault.path:
        return True
    return fault.keyword in HARMLESS and HARMLESS[fault.keyword][0](payload, fault)


def known(version: OcppVersion, action: str) -> bool:
    """Tell whether the standard has this action in this version."""
    return _validator(version, action, False) is not None


def _validator(version: OcppVersion, action: str, answer: bool) -> jsonschema_rs.Validator | None:
    kind = "Response" if answer else ("" if version is OcppVersion.V16 else "Request")
    # Stations choose the action: only names of files are looked up, so that made-up ones fill no cache.
    return _compiled(version, action + kind) if action in _actions(version) else None


@cache
def _actions(version: OcppVersion) -> frozenset[str]:
    names = (file.name.removesuffix(".json") for file in _folder(version).iterdir())
    if version is OcppVersion.V16:
        return frozenset(name for name in names if not name.endswith("Response"))
    return frozenset(name.removesuffix("Request") for name in names if name.endswith("Request"))


@cache
def _compiled(version: OcppVersion, name: str) -> jsonschema_rs.Validator:
    schema = orjson.loads((_folder(version) / f"{name}.json").read_bytes().removeprefix(b"\xef\xbb\xbf"))
    _narrow_moments(schema)
    # Masked, because the text of a fault travels into logs and answers and the value may be a card number.
    return jsonschema_rs.validator_for(schema, validate_formats=True, mask="the value")


def _narrow_moments(schema: object) -> None:
    """Add to every date-time of a schema what else it must be."""
    if isinstance(schema, dict):
        if schema.get("format") == "date-time":
            schema["pattern"] = _MOMENT
        for part in schema.values():
            _narrow_moments(part)
    elif isinstance(schema, list):
        for part in schema:
            _narrow_moments(part)


def _folder(version: OcppVersion) -> Traversable:
    return resources.files("ocpp") / _FOLDERS[version] / "schemas"


def _faults(validator: jsonschema_rs.Validator, payload: Json) -> list[_Fault]:
    found: dict[tuple[object, ...], _Fault] = {}
    for error in validator.iter_errors(payload):
        details = error.kind.as_dict()
        expected = next((details[key] for key in ("options", "types", "property") if key in details), None)
        keyword, path = str(error.schema_path[-1]), tuple(error.instance_path)
        keyword = "format" if keyword == "pattern" else keyword  # only date-times have one: ours
        fault = _Fault(keyword, path, error.instance, expected, error.message)
        found.setdefault((keyword, path, expected if keyword == "required" else None), fault)
    return list(found.values())


def _parent(payload: Json, path: tuple[str | int, ...]) -> object:
    here: object = payload
    for step in path[:-1]:
        here = here[step]  # type: ignore[index]  # the path comes from the validator that walked this payload
    return here


def _set(payload: Json, path: tuple[str | int, ...], value: object) -> bool:
    parent = _parent(payload, path)
    parent[path[-1]] = value  # type: ignore[index]
    return True
