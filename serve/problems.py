"""Errors as application/problem+json (RFC 9457): ours with their own words, everybody else's without internals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from actors.errors import CloudBayError
from cluster.approvals import ApprovalNeeded, Wish
from serve.challenge import carries_token, challenge

_APPROVALS = "/admin/v1/approvals"
_NOTHING_HERE = "there is nothing at this address; begin at /admin/v1/ or /app/v1/ and follow links, as /docs explains"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")

Fault = dict[str, str]


class Problem(JSONResponse):
    """A problem document. `kind` tells problems apart for programs, `detail` says what is wrong here."""

    media_type = "application/problem+json"

    def __init__(
        self,
        kind: str,
        title: str,
        status: int,
        detail: str,
        request_id: str,
        errors: list[Fault] | None = None,
        headers: dict[str, str] | None = None,
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        content: dict[str, object] = {
            "type": f"urn:cloudbay:problem:{kind}",
            "title": title,
            "status": status,
            "detail": detail,
            "requestId": request_id,
        }
        faults = {} if errors is None else {"errors": errors}
        super().__init__({**content, **faults, **more}, status, headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every expected error with a problem; what nobody expects is `serve.requests`' to answer."""
    app.add_exception_handler(CloudBayError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def internal_problem(request_id: str) -> Problem:
    """Return the problem for an error that nobody expected."""
    detail = "the request could not be served; the platform's log has more under this requestId"
    return Problem("internal-error", "Internal error", 500, detail, request_id)


def http_problem(status: int, detail: str, request_id: str, headers: dict[str, str] | None = None) -> Problem:
    """Return the problem of a status that says all there is to say."""
    title = HTTPStatus(status).phrase
    return Problem(title.lower().replace(" ", "-"), title, status, detail, request_id, headers=headers)


def problem_of(error: CloudBayError, request_id: str, *, has_token: bool) -> Problem:
    """Return the problem for an error of ours; `has_token` tells whether the request has carried one."""
    headers = challenge(error, has_token=has_token)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    kind = _WORD.sub("-", type(error).__name__).lower()
    more = _what_to_ask(error.wish) if isinstance(error, ApprovalNeeded) else {}
    return Problem(kind, error.title, error.http_status, str(error), request_id, headers=headers, more=more)


async def _ours(request: Request, error: Exception) -> Problem:
    assert isinstance(error, CloudBayError)  # noqa: S101 - registered for it
    return problem_of(error, _request_id(request), has_token=carries_token(request))


def _what_to_ask(wish: Wish) -> dict[str, object]:
    """Say what approval is needed, and where it is asked for."""
    needed = {"kind": wish.kind, "target": wish.target, "payload": wish.payload}
    return {"approval": needed, "_links": {"cb:approvals": {"href": _APPROVALS}}}


async def _validation(request: Request, error: Exception) -> Problem:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return _invalid([_found(fault) for fault in error.errors()], _request_id(request))


def _found(fault: Mapping[str, Any]) -> Fault:
    """Say what the framework has found, in words that do not tell of it."""
    location, message = fault["loc"], str(fault["msg"])
    if fault["type"] == "json_invalid":
        return _fault(("body",), f"it cannot be read as JSON: {fault['ctx']['error']} at character {location[-1]}")
    if fault["type"] == "missing" and location == ("body",):
        return _fault(location, "a JSON body is needed")
    if fault["type"] == "union_tag_not_found":
        return _fault((*location, "kind"), "Field required")
    if fault["type"] == "union_tag_invalid":  # the framework's own words repeat the value
        return _fault((*location, "kind"), f"Input should be {fault['ctx']['expected_tags'].replace(', ', ' or ')}")
    return _fault(location, message.removeprefix("Value error, "))


def _invalid(faults: list[Fault], request_id: str) -> Problem:
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return Problem("invalid-request", "Invalid request", 422, detail, request_id, faults)


async def _http(request: Request, error: Exception) -> Problem:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == HTTPStatus.BAD_REQUEST:  # the framework's word for a body that cannot be decoded
        fault = _fault(("body",), "it cannot be read as JSON")
        return _invalid([fault], _request_id(request))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= _allow(request)
    told = _NOTHING_HERE if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
    return http_problem(error.status_code, told, _request_id(request), headers)


def _allow(request: Request) -> dict[str, str]:
    """Name all methods of an address; the router knows those of its first route alone (RFC 9110 section 15.5.6)."""
    path = getattr(request.scope.get("route"), "path", None)
    operations: Iterable[str] = getattr(request.app.state, "access", ())
    methods = [operation.partition(" ")[0] for operation in operations if operation.endswith(f" {path}")]
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def _fault(location: tuple[int | str, ...], message: str) -> Fault:
    """Name the field and where it is; the value itself is not repeated, it may be a secret."""
    where, *path = location
    return {"in": str(where), "field": ".".join(map(str, path)) or str(where), "message": message}


def _request_id(request: Request) -> str:
    return str(request.state.request_id)
