"""What gateways and hosts say to each other: batches of small messages, as msgpack.

Must not know: OCPP, sockets, Ray. A batch is one Ray argument or return value, so it stays small and opaque to Ray.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Connect(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A station has asked for a WebSocket; the host decides."""

    station_id: str
    gateway_id: str
    subprotocol: str
    password_digest: str | None
    """Keyed hash of the Basic password, or None when none was offered (security profile 0)."""
    remote: str


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One WebSocket text frame as received from a station."""

    station_id: str
    conn_epoch: int
    data: bytes


class Disconnect(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The socket of `conn_epoch` is gone."""

    station_id: str
    conn_epoch: int
    code: int
    reason: str


class Admitted(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The connection is this station's newest; its frames carry `conn_epoch`."""

    conn_epoch: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The connection is refused with this HTTP status (401, 404, 503) and one safe sentence."""

    status: int
    reason: str


class Answers(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Frames to send, in order, on the socket the item came from; their rows are committed."""

    frames: list[bytes]


class NotOwner(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """This host does not own the station (any more): refresh the partition map and send the item again."""


class Send(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Send `data` on the socket of `conn_epoch`, if it is still open."""

    station_id: str
    conn_epoch: int
    data: bytes


class Close(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Close the socket of `conn_epoch` (a newer one has replaced it, or an operator asked)."""

    station_id: str
    conn_epoch: int
    code: int
    reason: str


Item = Connect | Frame | Disconnect
Result = Admitted | Refused | Answers | NotOwner
Push = Send | Close

_encoder = msgspec.msgpack.Encoder()
_items = msgspec.msgpack.Decoder(list[Item])
_results = msgspec.msgpack.Decoder(list[Result])
_pushes = msgspec.msgpack.Decoder(list[Push])
_delivered = msgspec.msgpack.Decoder(list[bool])


def encode(messages: Sequence[Item] | Sequence[Result] | Sequence[Push] | Sequence[bool]) -> bytes:
    """Pack one batch."""
    return _encoder.encode(messages)


def decode_items(data: bytes) -> list[Item]:
    """Unpack a batch for a host."""
    return _items.decode(data)


def decode_results(data: bytes) -> list[Result]:
    """Unpack a host's results: one for each item of the batch, in the same order."""
    return _results.decode(data)


def decode_pushes(data: bytes) -> list[Push]:
    """Unpack a batch for a gateway."""
    return _pushes.decode(data)


def decode_delivered(data: bytes) -> list[bool]:
    """Unpack a gateway's word, for each push of a batch in order, whether its socket was there."""
    return _delivered.decode(data)
