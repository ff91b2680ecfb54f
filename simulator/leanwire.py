"""WebSocket bytes for the lean load generator: the handshake, client frames, a frame splitter (RFC 6455).

The masking key is constantly zero, which is legal on the wire and makes masking free. RFC 6455 5.3 wants an
unpredictable key so that a script in a browser cannot choose the bytes a proxy sees; a load generator runs no
foreign script, so nothing is lost. The ordinary client (client.py) masks at random.

Must not know: OCPP.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ZERO_MASK: Final = b"\0\0\0\0"


def handshake(host: str, path: str, subprotocol: str, user: str, password: str | None) -> tuple[bytes, bytes]:
    """Return the upgrade request and the accept key its answer must carry."""
    key = base64.b64encode(secrets.token_bytes(16))
    basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password is not None else ""
    authorization = f"Authorization: Basic {basic}\r\n" if basic else ""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {subprotocol}\r\n{authorization}\r\n"
    )
    return request.encode(), base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def refusal(head: bytes, accept: bytes, subprotocol: str) -> str | None:
    """Say why the head of a handshake answer does not open the connection; None when it does."""
    lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if lines[0].split(b" ")[1:2] != [b"101"]:
        return f"the server answered the upgrade with {lines[0].decode(errors='replace')!r}"
    if headers.get(b"sec-websocket-accept") != accept:
        return "the server's Sec-WebSocket-Accept is wrong"
    if headers.get(b"sec-websocket-protocol") != subprotocol.encode():
        return f"the server does not speak {subprotocol}"
    return None


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one whole client frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0xFE, size >> 8, size & 0xFF))
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + _ZERO_MASK + payload


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the whole server frames at the start of `data` as (opcode, payload), and the rest.

    Fragmented messages (which no CSMS needs for its short answers) come out as their separate frames.
    """
    frames: list[tuple[int, bytes]] = []
    start, end = 0, len(data)
    while end - start >= 2:
        size, body = data[start + 1] & 0x7F, start + 2
        if size == 126:
            size, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
        elif size == 127:
            size, body = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
        if body > end or body + size > end:
            break
        frames.append((data[start] & 0x0F, data[body : body + size]))
        start = body + size
    return frames, data[start:]
