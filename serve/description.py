"""An application's OpenAPI 3.1 description: what FastAPI knows of it, and what all operations have in common.

To that belong who may do an operation, every problem it may answer with, and an example of each body and answer.
Must not know: which operations there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve.access import Rule
from serve.examples import example
from serve.hal import HalResponse

Json = dict[str, Any]

_PROBLEM_TYPE: Final = "application/problem+json"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_VALUES: Final = ("const", "default", "enum", "example", "examples")
_FRAMEWORK: Final = ("HTTPValidationError", "ValidationError")


class _Known(NamedTuple):
    """A problem that operations answer with: its name here, its kind, and what it means."""

    name: str
    kind: str
    meaning: str


_PROBLEMS: Final[Mapping[int, _Known]] = {
    401: _Known(
        "NotAuthenticated", "bad-token", "No bearer token, or one that is not taken, or not without a fresh login."
    ),
    403: _Known("NotAllowed", "not-allowed", "The caller is known and may not do this."),
    404: _Known("NotFound", "not-found", "What the address names does not exist, or not for the caller."),
    409: _Known("Conflict", "conflict", "It does not fit the present state; or the first request with the key runs."),
    412: _Known("ChangedMeanwhile", "changed", "It is another one than If-Match names."),
    413: _Known("TooLarge", "content-too-large", "The body is larger than `api.max_body_kb`."),
    415: _Known("WrongMediaType", "wrong-media-type", "The body is no `application/json`."),
    422: _Known("Invalid", "invalid-request", "The input cannot be right; `errors` names what is wrong with fields."),
    429: _Known("TooMany", "too-many", "A bounded queue is full, or the caller asks too often."),
    431: _Known(
        "HeadersTooLarge", "request-header-fields-too-large", "The headers are larger than `api.max_header_kb`."
    ),
    500: _Known("InternalError", "internal-error", "Nobody expected this; the log has more under the `requestId`."),
    503: _Known("Unavailable", "unavailable", "A part of the platform does not answer now; it may later."),
}
_ALWAYS: Final = (401, 403, 422, 431, 500, 503)
_OF_PATH: Final = (404,)
_OF_BODY: Final = (413, 415)
_OF_CHANGE: Final = (409, 429)

_PROBLEM_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `type` tells problems apart for programs, `detail` says it to people.",
    "required": ["type", "title", "status", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Stable, as `urn:cloudbay:problem:not-found`."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "requestId": {"type": "string", "description": "Also in the header X-Request-Id, and in the platform's log."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
_FAULT_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "A part of the request that is wrong; its value is not repeated.",
    "required": ["in", "field", "message"],
    "properties": {"in": {"type": "string"}, "field": {"type": "string"}, "message": {"type": "string"}},
}
_BEARER: Final = "HTTPBearer"
_SCHEME: Final[Json] = {
    "type": "http",
    "description": "An access token of an issuer, or of `cloudbay token`.",
    "scheme": "bearer",
}
_ETAG: Final[Json] = {
    "description": "Another one whenever the resource is (RFC 9110 section 8.8.3).",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: Final[Json] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETags that the client has; if it is still one of them, the answer is 304.",
    "schema": {"type": "string"},
}
_LOCATION: Final[Json] = {
    "description": "Where it is from now on, if it can be read by itself.",
    "schema": {"type": "string", "format": "uri-reference"},
}
_HEADERS: Final[Mapping[int, Mapping[str, Json]]] = {
    401: {"WWW-Authenticate": {"description": "RFC 6750, RFC 9470.", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}


def describe(app: FastAPI, table: Mapping[str, Rule], deprecated: Mapping[str, object]) -> Json:
    """Return the description of an application whose operations are those of `table`."""
    made: Json = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=app.description.strip(),
        routes=app.routes,
        servers=app.servers,
        separate_input_output_schemas=False,
    )
    schemas = made["components"]["schemas"]
    for name in _FRAMEWORK:
        schemas.pop(name, None)
    _untitle(schemas)
    schemas |= {"Problem": _PROBLEM_SCHEMA, "Fault": _FAULT_SCHEMA}
    made["components"]["securitySchemes"] = {_BEARER: _SCHEME}
    made["components"]["responses"] = {known.name: _problem(status, known) for status, known in _PROBLEMS.items()}
    for operation, described in _operations(made):
        _complete(described, operation, table[operation], schemas)
        if operation in deprecated:
            described["deprecated"] = True
    return made


def _operations(made: Json) -> Iterator[tuple[str, Json]]:
    for path, item in made["paths"].items():
        for method in _METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _complete(described: Json, operation: str, rule: Rule, schemas: Json) -> None:
    """Say of an operation what its function does not."""
    method = operation.partition(" ")[0]
    described["security"] = [{_BEARER: []}]
    if rule.scope:
        described["x-scope"] = rule.scope
    if rule.roles:
        described["x-roles"] = sorted(rule.roles)
    if rule.relations is not None:
        described["x-relations"] = sorted(rule.relations)
    if rule.fresh:
        described["x-fresh-login"] = True
    if rule.people_only:
        described["x-people-only"] = True
    for parameter in described.get("parameters", []):
        parameter["schema"] = _not_null(parameter["schema"])
        _untitle(parameter)
        parameter["schema"].pop("description", None)  # it is the parameter's
    for media in described.get("requestBody", {}).get("content", {}).values():
        media["example"] = example(media["schema"], schemas)
    answers = {status: answer for status, answer in described["responses"].items() if not _is_frameworks(answer)}
    for status, answer in answers.items():
        _complete_answer(answer, method, int(status), schemas)
    for status in {*_problems_of(described, operation), *(int(each) for each in answers if int(each) in _PROBLEMS)}:
        answers[str(status)] = {"$ref": f"#/components/responses/{_PROBLEMS[status].name}"}
    if method == "GET" and HalResponse.media_type in answers.get("200", {}).get("content", {}):
        answers["304"] = {"description": "The client has it already.", "headers": {"ETag": _ETAG}}
        described.setdefault("parameters", []).append(_IF_NONE_MATCH)
    described["responses"] = dict(sorted(answers.items()))


def _complete_answer(answer: Json, method: str, status: int, schemas: Json) -> None:
    for media in _media(answer):
        if media.get("schema"):
            media["example"] = example(media["schema"], schemas)
    if status in (200, 201, 202) and HalResponse.media_type in answer.get("content", {}):
        if method == "GET":
            answer.setdefault("headers", {})["ETag"] = _ETAG
        elif method == "POST" and status != 200:
            answer.setdefault("headers", {})["Location"] = _LOCATION


def _problems_of(described: Json, operation: str) -> Iterator[int]:
    """Tell which problems an operation may answer with, by what it has."""
    method, _, path = operation.partition(" ")
    headers = {parameter["name"].lower() for parameter in described.get("parameters", [])}
    yield from _ALWAYS
    if "{" in path or "requestBody" in described:
        yield from _OF_PATH
    if "requestBody" in described:
        yield from _OF_BODY
    if method != "GET":
        yield from _OF_CHANGE
    if "if-match" in headers:
        yield 412


def _problem(status: int, known: _Known) -> Json:
    shown: Json = {
        "type": f"urn:cloudbay:problem:{known.kind}",
        "title": known.meaning.partition(",")[0].rstrip("."),
        "status": status,
        "detail": known.meaning,
        "requestId": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    }
    content = {_PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}}
    headers = {"headers": dict(_HEADERS[status])} if status in _HEADERS else {}
    return {"description": known.meaning, **headers, "content": content}


def _is_frameworks(answer: Json) -> bool:
    return any(str(media.get("schema", {}).get("$ref")).endswith(_FRAMEWORK) for media in _media(answer))


def _media(answer: Json) -> Iterable[Json]:
    found: Iterable[Json] = answer.get("content", {}).values()
    return found


def _not_null(schema: Json) -> Json:
    """A parameter is left out, never null."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if len(choices) != 1:
        return schema
    return {**choices[0], **{word: value for word, value in schema.items() if word not in ("anyOf", "default")}}


def _untitle(part: Any) -> None:
    """Take away titles that only spell a name again."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        for word, inner in part.items():
            if word not in _VALUES:
                _untitle(inner)
    elif isinstance(part, list):
        for inner in part:
            _untitle(inner)
