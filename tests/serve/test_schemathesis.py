"""Whatever can be asked of an application, in words it knows and in others, is answered as it is described."""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from starlette.types import Receive, Scope, Send

from serve.admin import application as admin
from serve.app import application as app
from tests.serve.app.conftest import shared_platform
from tests.serve.conftest import bearer, furnished_platform

EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
UNKNOWABLE = (
    *("giveCommand", "listPeople", "createPerson", "registerClient"),
    *("createWebhook", "changeWebhook", "replayRange"),
)
CONFIG: dict[str, Any] = {
    "seed": 4,
    "generation": {"mode": "all", "with-security-parameters": False},  # every request has a token of the test
    "operations": [
        # Whether a command can be right is known to the core alone, which has its own schemas; and so is what a login
        # name becomes when it is spelled in the one way, where a browser may be sent, and what a URL or a range may be.
        {
            "include-operation-id": operation,
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", 404, 409, 422]}},
        }
        for operation in UNKNOWABLE
    ]
    + [
        {  # OpenAPI has no word for a stream; and a Last-Event-ID of its own making is not in our order
            "include-operation-id": "watchEvents",
            "checks": {
                "response_schema_conformance": {"enabled": False},
                "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 422]},
            },
        }
    ]
    + [
        # Its one parameter is a text, for which a wrong one is rarely found; others are passed over, as everywhere.
        {
            "include-operation-id": "verifyAuditEntries",
            "checks": {"negative_data_rejection": {"expected-statuses": [200, 401, 405, 422]}},
        }
    ],
}
numbers = count(1)


class Mounted:
    """An application under its prefix, as Ray Serve has it."""

    def __init__(self, app: FastAPI, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": self._prefix}, receive, send)


def schema_of(served: FastAPI, prefix: str) -> Any:
    """Load what an application says of itself."""
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi(f"{prefix}/openapi.json", Mounted(served, prefix), config=config)


ADMIN = schema_of(admin.build(furnished_platform().services_of_tests()), admin.PREFIX)
APP = schema_of(app.build(shared_platform().services_of_tests()), app.PREFIX)


@EXAMPLES
@ADMIN.parametrize()  # type: ignore[untyped-decorator]
def test_the_admin_application(case: schemathesis.Case[Any]) -> None:
    asked(case, bearer("admin"))


@EXAMPLES
@APP.parametrize()  # type: ignore[untyped-decorator]
def test_the_application_of_app_users(case: schemathesis.Case[Any]) -> None:
    asked(case, bearer(subject="olga"))


def asked(case: schemathesis.Case[Any], headers: dict[str, str]) -> None:
    """Send a case; what is to go well gets what no schema tells: a key of its own, a tag, and no made-up cursor."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.query.pop("cursor", None)
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f'"{next(numbers)}"'
        if "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
    case.call_and_validate(headers=headers)
