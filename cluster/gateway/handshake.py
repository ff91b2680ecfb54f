"""The opening handshake of OCPP-J: URL to station identity, subprotocol, compression, HTTP refusals. No I/O.

Must not know: sockets, hosts, who is allowed in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from http import HTTPStatus
from logging import Logger
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from cluster.gateway.auth import BadCredentials, basic_password
from cluster.passwords import digest

SUBPROTOCOLS = frozenset({"ocpp2.1", "ocpp2.0.1", "ocpp1.6"})
STATION_ID_MAX_CHARS = 48
_PREFIX = "/ocpp/"
_REFUSALS = frozenset({400, 401, 403, 404, 408, 426, 429, 503})

# No context is kept between messages, so an idle compressed connection costs no zlib state; OCPP messages are short, so
# a 4 KB window and little working memory lose nothing.
_DEFLATE = (
    ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=12,
        compress_settings={"memLevel": 4, "level": 3},
    ),
)


class OcppServerProtocol(ServerProtocol):
    """The sans-I/O WebSocket core with OCPP's choice of subprotocol."""

    def __init__(self, *, max_frame_bytes: int, compression: bool, logger: Logger) -> None:
        super().__init__(max_size=max_frame_bytes, extensions=_DEFLATE if compression else None, logger=logger)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """Return the first of the client's offers that we speak, or None (OCPP 2.1 Part 4 section 3.1.2)."""
        return next((offered for offered in subprotocols if offered in SUBPROTOCOLS), None)


class Application(NamedTuple):
    """A request that is in order; `response` opens the WebSocket if the host lets the station in."""

    station_id: str
    subprotocol: str
    password_digest: str | None
    response: Response


class Rejection(NamedTuple):
    """A request that is answered without asking a host; with status 101 the WebSocket is to be closed at once."""

    response: Response
    counted_as: str


def examine(ws: ServerProtocol, request: Request, password_key: bytes) -> Application | Rejection:
    """Judge a request by its form: path, WebSocket headers, subprotocol, credentials."""
    station_id = station_id_of(request.path)
    if station_id is None:
        return Rejection(refusal(ws, 404, "stations connect to /ocpp/<station identity>"), "path")
    response = ws.accept(request)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return Rejection(response, "not a WebSocket handshake")
    if ws.subprotocol is None:  # Part 4 section 3.3: finish the handshake without the header, then close
        return Rejection(response, "subprotocol")
    try:
        password = basic_password(request.headers.get_all("Authorization"), station_id)
    except BadCredentials as error:
        return Rejection(refusal(ws, 401, str(error)), "credentials")
    password_digest = None if password is None else digest(password, password_key)
    return Application(station_id, str(ws.subprotocol), password_digest, response)


def station_id_of(target: str) -> str | None:
    """Return the percent-decoded station identity of a request target `/ocpp/<stationId>`, or None.

    1 to 48 printable characters without ':' (OCPP 2.1 Part 4 section 3.1.1); a query string is ignored.
    """
    path, _, _ = target.partition("?")
    segment = path.removeprefix(_PREFIX)
    if segment == path or "/" in segment:
        return None
    try:
        station_id = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
    if not 1 <= len(station_id) <= STATION_ID_MAX_CHARS or ":" in station_id or not station_id.isprintable():
        return None
    return station_id


def refusal(ws: ServerProtocol, status: int, reason: str, retry_after_s: float = 1.0) -> Response:
    """Build the HTTP answer that refuses a connection; a status that is no refusal becomes 503.

    401 asks for Basic credentials (RFC 7617). 503 carries a Retry-After of 0.5 to 1.5 times `retry_after_s`, so that a
    fleet that was cut off together does not come back together.
    """
    if status not in _REFUSALS:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    response = ws.reject(HTTPStatus(status), f"{reason}\n")
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(max(1, round(retry_after_s * random.uniform(0.5, 1.5))))
    return response
