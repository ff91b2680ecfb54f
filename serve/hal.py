"""HAL and HAL-FORMS: resources with links, and forms for what their reader may do with them now.

Sources: draft-kelly-json-hal-11; HAL-FORMS (rwcbook.github.io/hal-forms). Must not know: which resources there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Generic, NotRequired, TypeVar

import orjson
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict  # as pydantic asks for below Python 3.12

from serve.wire import Wire

T = TypeVar("T")

_MAX_DEPTH: Final = 3
_INPUTS: Final = {
    "integer": "number",
    "number": "number",
    "boolean": "checkbox",
    "date-time": "datetime-local",
    "time-local": "time",
}
_LIMITS: Final = {
    "min": "minimum", "max": "maximum", "minLength": "minLength", "maxLength": "maxLength", "regex": "pattern",
}  # fmt: skip


class _AsMade:
    """Says of a part of an answer that it goes out as it was made: only its description is the type's."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=handler(source),
            python_schema=core_schema.any_schema(),
            serialization=core_schema.simple_ser_schema("any"),
        )


AS_MADE: Final = _AsMade()


class HalResponse(JSONResponse):
    """An answer that can be walked."""

    media_type = "application/hal+json"

    def render(self, content: Any) -> bytes:
        """Return the JSON of an answer."""
        try:
            return orjson.dumps(content)
        except TypeError:  # numbers of more than 64 bits
            return super().render(content)


class Link(TypedDict):
    """Where something is; `templated` ones have variables to fill in (RFC 6570)."""

    href: str
    templated: NotRequired[bool]
    title: NotRequired[str]
    name: NotRequired[str]


class Property(TypedDict, total=False):
    """One input of a form."""

    name: str
    type: str
    prompt: str
    required: bool
    options: dict[str, list[str]]
    min: float
    max: float
    minLength: int
    maxLength: int
    regex: str
    value: object
    readOnly: bool


class Template(TypedDict):
    """A form: what to send where."""

    title: str
    method: str
    target: str
    contentType: NotRequired[str]
    properties: NotRequired[list[Property]]


Links = dict[str, Link | list[Link]]
Templates = dict[str, Template]


class Item(Wire):
    """Something in a list: what it is, and where all of it is."""

    links: Annotated[Links, AS_MADE] = Field(alias="_links")


class Resource(Item):
    """What every answer has: links, and the forms that can be sent now by who has asked."""

    templates: Annotated[Templates, AS_MADE] = Field(
        alias="_templates", description="Only what may be done now, by the caller."
    )


class ListOf(Resource, Generic[T]):
    """One page of a list; `next` and `prev` of its links lead to the others."""

    embedded: dict[str, list[T]] = Field(alias="_embedded")


def present(parts: Mapping[str, T | None]) -> dict[str, T]:
    """Return the parts that are there: a link or form that its reader may not use is None."""
    return {name: part for name, part in parts.items() if part is not None}


@cache
def properties(body: type[BaseModel]) -> list[Property]:
    """Return a form's inputs, read off the JSON Schema of the body that it sends."""
    schema = body.model_json_schema(by_alias=True)
    required = set(schema.get("required", []))
    return [_property(name, part, schema, name in required) for name, part in schema.get("properties", {}).items()]


def given(inputs: list[Property], values: Mapping[str, object]) -> list[Property]:
    """Return a form's inputs with those filled in that it is for; they are sent as they are."""
    return [{**one, "value": values[one["name"]], "readOnly": True} if one["name"] in values else one for one in inputs]


def _property(name: str, part: Mapping[str, Any], schema: Mapping[str, Any], required: bool) -> Property:
    part = _resolved(part, schema)
    made: Property = {"name": name, "required": required}
    kind = part.get("format", part.get("type", ""))
    if (chosen := _INPUTS.get(kind) or _INPUTS.get(part.get("type", ""))) is not None:
        made["type"] = chosen
    elif part.get("type") == "string":
        made["type"] = "text"
    if "description" in part:
        made["prompt"] = part["description"]
    choice = _resolved(part["items"], schema) if "items" in part else part  # of a list, what each of it may be
    if "enum" in choice:
        made["options"] = {"inline": choice["enum"]}
    elif "const" in part:
        made["options"] = {"inline": [part["const"]]}
    made |= {limit: part[word] for limit, word in _LIMITS.items() if word in part}  # type: ignore[typeddict-item]
    return made


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and take what may be left out or null for what it is otherwise."""
    for _ in range(_MAX_DEPTH):
        if "$ref" in part:
            part = {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part}
            part = {word: value for word, value in part.items() if word != "$ref"}
        elif choices := [one for one in part.get("anyOf", []) if one.get("type") != "null"]:
            part = {**choices[0], **{word: value for word, value in part.items() if word != "anyOf"}}
        else:
            break
    return part
