"""What every request gets: an id, a count, and an answer even when nobody expected the error.

Plain ASGI, so that streams pass through untouched.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.services import Answered
from serve.headers import sent
from serve.problems import internal_problem

log = logging.getLogger(__name__)

_SERVER_ERROR: Final = 500
_HEADER: Final = b"x-request-id"
_GIVEN: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id as Ray Serve gives one to each request; it answers with it itself, and HAProxy lets no client choose it."""
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Requests:
    """Wraps the application. Counters of this process by operation are in `registry`, its totals in `answered`."""

    def __init__(
        self, app: ASGIApp, new_id: Callable[[], str], registry: CollectorRegistry, answered: Answered
    ) -> None:
        self._app = app
        self._answered = answered
        self._life = new_id()
        self._numbers = itertools.count(1)
        names = ("method", "route")
        self._counters = cache(self._counted)
        self._answers = Counter("cloudbay_api_requests", "Answered requests", (*names, "status"), registry=registry)
        self._seconds = Histogram(
            "cloudbay_api_request_seconds", "Time to the end of an answer", names, registry=registry, buckets=_BUCKETS_S
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection get an id and pass."""
        given = b"" if scope["type"] == "lifespan" else sent(scope, _HEADER)
        is_given = _GIVEN.fullmatch(given) is not None
        request_id = given.decode() if is_given else f"{self._life}-{next(self._numbers)}"
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()
        self._answered.under_way += 1

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not is_given:
                    message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:  # the last resort: whatever it is, the caller gets an answer and the log gets the cause
            log.exception("request failed", extra={"request_id": request_id, "method": scope["method"]})
            if status:
                raise  # the answer has begun; the server cuts it off
            await internal_problem(request_id)(scope, receive, send_with_id)
        finally:
            self._answered.under_way -= 1
            self._answered.answers += 1
            self._answered.failures += status >= _SERVER_ERROR
            route = getattr(scope.get("route"), "path", "none")
            answers, seconds = self._counters(scope["method"], route, status)
            answers.inc()
            seconds.observe(time.monotonic() - began)

    def _counted(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._answers.labels(method, route, status), self._seconds.labels(method, route)
