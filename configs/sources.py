"""Reads settings from files, variables and flags, and remembers where each value came from, so an error can name it.

Must not know: any single setting. Keys are dotted ("gateway.port") everywhere here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ValidationError

PREFIX = "CLOUDBAY_"
_CREDENTIALS = re.compile(r"//.*@")

Model = TypeVar("Model", bound=BaseModel)


class SettingsError(ValueError):
    """A setting is wrong; the message names the key, the value, its source and what is allowed."""


class Value(NamedTuple):
    """One value and the file or variable it was read from."""

    key: str
    value: object
    source: str


class Values:
    """Values collected so far, the latest per key; refuses keys that the model does not have."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._known = dict(dotted_keys(model))
        self._values: dict[str, Value] = {}

    def update(self, values: Iterator[Value]) -> None:
        """Take over `values`; raises SettingsError for an unknown key, naming the nearest known one."""
        for value in values:
            if value.key not in self._known:
                raise SettingsError(_unknown_key(value, self._known))
            self._values[value.key] = value

    def source(self, key: str) -> str | None:
        """Return where the value of `key` came from, None when nothing set it."""
        return self._values[key].source if key in self._values else None

    def tree(self) -> dict[str, object]:
        """Return the values nested by section."""
        tree: dict[str, object] = {}
        for key, value, _ in self._values.values():
            *sections, name = key.split(".")
            node = tree
            for section in sections:
                child = node.setdefault(section, {})
                assert isinstance(child, dict)  # noqa: S101 - a known key is never a section
                node = child
            node[name] = value
        return tree


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted key, annotation) of every leaf of `model`."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from dotted_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.annotation


def from_file(path: Path, model: type[BaseModel]) -> Iterator[Value]:
    """Yield the values of a YAML file of nested sections; raises SettingsError when it cannot be read as one."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not YAML: {error}") from error
    if not isinstance(content, dict | None):
        raise SettingsError(f"settings file {path} must hold sections of keys, not a {type(content).__name__}")
    leaves = {key for key, _ in dotted_keys(model)}
    yield from _flattened(content or {}, str(path), leaves)


def _flattened(
    section: Mapping[object, object], source: str, leaves: Collection[str], prefix: str = ""
) -> Iterator[Value]:
    for name, value in section.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in leaves:  # a leaf may be a map itself
            yield from _flattened(value, source, leaves, f"{key}.")
        else:
            yield Value(key, value, source)


def from_variables(env: Mapping[str, str], model: type[BaseModel], reserved: Collection[str]) -> Iterator[Value]:
    """Yield the values of `CLOUDBAY_SECTION__KEY` variables; text keys are taken literally, empty means none."""
    annotations = dict(dotted_keys(model))
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in reserved:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield Value(key, _parsed(env[name], annotations.get(key)), name)


def _parsed(text: str, annotation: object) -> object:
    if not text:
        return None
    if "str" in re.findall(r"\w+", str(annotation)) and get_origin(annotation) is not dict:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def from_overrides(overrides: Mapping[str, object]) -> Iterator[Value]:
    """Yield values given in code or by flags, by dotted key."""
    for key, value in overrides.items():
        yield Value(key, value, "command line")


def validated(model: type[Model], values: Values) -> Model:
    """Return `model` built from `values`; raises SettingsError with one line per wrong value."""
    try:
        return model.model_validate(values.tree())
    except ValidationError as error:
        raise SettingsError("\n".join(_wrong_value(dict(item), values) for item in error.errors())) from None


def _wrong_value(error: Mapping[str, object], values: Values) -> str:
    location = error["loc"]
    assert isinstance(location, tuple)  # noqa: S101 - pydantic's contract
    path = [str(part) for part in location]
    key = next((key for key in (".".join(path[:2]), ".".join(path[:1])) if values.source(key)), None)
    allowed = re.sub(r"^(Value error, |Input )", "", str(error["msg"]))
    allowed = allowed[:1].lower() + allowed[1:]
    if key is None:
        missing = error["type"] == "missing"
        return f"{'.'.join(path)} is missing from base.yaml" if missing else f"settings do not fit together: {allowed}"
    shown = _CREDENTIALS.sub("//***@", repr(error["input"]))
    is_in_a_list = any(isinstance(part, int) for part in location)
    return f"{'.'.join(path) if is_in_a_list else key} = {shown} (from {values.source(key)}) is wrong: {allowed}"


def _unknown_key(value: Value, known: Collection[str]) -> str:
    sections = {key.partition(".")[0] for key in known if "." in key}
    if value.key in sections:
        return f"{value.key} (from {value.source}) is a section and needs keys below it"
    section, _, name = value.key.rpartition(".")
    same_name = [key for key in known if key.rpartition(".")[2] == (name or section)]
    near = difflib.get_close_matches(value.key, known, n=1, cutoff=0.6) or same_name[:1]
    hint = f"did you mean {near[0]}?" if near else f"known sections: {', '.join(sorted(sections))}"
    return f"unknown setting {value.key} (from {value.source}); {hint}"
