"""One station's socket: WebSocket bytes on one side, items for its host on the other. No task and no timer of its own.

Faults of the WebSocket protocol close the connection as RFC 6455 says (1002, 1007, 1009). OCPP travels as text;
a binary message is taken as text when it is valid UTF-8, because some stations send it so, and closes with 1003
otherwise. What an OCPP message says is never a reason to close: nothing here reads it.

Hard state: none. Must not know: OCPP messages, Ray, who is allowed in.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from websockets.frames import BINARY, CLOSE, PING, PONG, CloseCode
from websockets.frames import Frame as WsFrame
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, OPEN

from cluster.batch import Connect, Disconnect, Frame
from cluster.gateway.edge import Edge
from cluster.gateway.handshake import OcppServerProtocol, Rejection, examine, refusal
from cluster.gateway.link import Lane

log = logging.getLogger(__name__)

_REQUEST_BYTES_MAX = 16 * 1024
_CONNECTS_WAITING_MAX = 4

# Why reading is paused; it goes on when none is left.
_RATE, _QUEUE, _WRITE = 1, 2, 4


class StationSocket(asyncio.Protocol):
    """A TCP connection that is, or wants to be, a station's; `conn_epoch` is None until the host admits it."""

    __slots__ = (
        "_binary", "_credit", "_credited_at", "_edge", "_fragments", "_heard", "_heard_at", "_lane", "_paused",
        "_pinged_at", "_reason", "_request_bytes", "_response", "_since", "_transport", "_ws", "closed", "conn_epoch",
        "station_id",
    )  # fmt: skip

    def __init__(self, edge: Edge) -> None:
        self.station_id = ""
        self.conn_epoch: int | None = None
        self.closed = False
        self._edge = edge
        settings = edge.settings
        self._ws = OcppServerProtocol(
            max_frame_bytes=settings.max_frame_bytes, compression=settings.compression, logger=edge.wire_log
        )
        self._transport: asyncio.Transport
        self._lane: Lane | None = None
        self._response: Response | None = None
        self._request_bytes = 0
        self._fragments: bytearray | None = None
        self._binary = False
        self._paused = 0
        self._reason = ""
        self._since = self._credited_at = self._heard_at = edge.loop.time()
        self._credit = float(settings.frame_burst)
        self._heard = True
        self._pinged_at = 0.0

    # From the network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake time-out."""
        self._transport = cast("asyncio.Transport", transport)
        self._edge.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; complete messages go to the station's lane."""
        ws = self._ws
        edge = self._edge
        edge.bytes_in += len(data)
        self._heard = True
        if self.conn_epoch is None and not self._may_go_on(len(data)):
            return
        ws.receive_data(data)
        events = ws.events_received()
        for event in events:
            if type(event) is WsFrame:
                self._received(event)
            elif type(event) is Request:
                self._requested(event)
                if self._response is not None and not data.endswith(b"\n"):
                    self._refuse(400, "data after the request and before its answer", "early data")
        self._credit -= len(events)
        if self._credit < 0:
            self._limit_rate()
        self._flush()

    def eof_received(self) -> bool:
        """Close when it is this socket's turn, or at once after the WebSocket core has finished what it had begun."""
        if self._ws.state is OPEN:
            self._edge.end_soon(self._transport.close)
            return True
        self._ws.receive_eof()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop at once; what follows from it waits for this socket's turn."""
        self.closed = True
        self._response = None
        if exc is not None and not self._reason:
            self._reason = str(exc)
        self._edge.end_soon(self._ended)

    def _ended(self) -> None:
        """Tell the host, unless it never admitted this socket."""
        edge = self._edge
        edge.forget(self)
        edge.reading_paused -= bool(self._paused)
        self._paused = 0
        self._ws.parser.close()  # breaks the cycle parser - protocol, so that a storm leaves no garbage to collect
        if self._lane is None:
            return
        if self.conn_epoch is not None:
            close = self._ws.close_rcvd or self._ws.close_sent
            code = int(close.code if close else CloseCode.ABNORMAL_CLOSURE)
            reason = self._reason or (close.reason if close else "")
            self._lane.post(Disconnect(self.station_id, self.conn_epoch, code, reason), self)
            log.debug("station disconnected", extra={"station_id": self.station_id, "code": code, "reason": reason})
        edge.uplink.release(self._lane)

    def pause_writing(self) -> None:
        """Stop reading from a station that does not read: what it sends would only add to what it must read."""
        self._pause(_WRITE)

    def resume_writing(self) -> None:
        """Read again."""
        self._resume(_WRITE)

    # From the host

    def admitted(self, conn_epoch: int) -> None:
        """Finish the handshake; a socket that could not wait is reported as gone."""
        lane = self._lane
        response, self._response = self._response, None
        if response is None:
            if lane is not None:
                reason = "left before it was admitted"
                lane.post(Disconnect(self.station_id, conn_epoch, int(CloseCode.ABNORMAL_CLOSURE), reason), self)
            return
        self.conn_epoch = conn_epoch
        self._ws.send_response(response)
        self._flush()
        subprotocol = self._ws.subprotocol
        log.debug("station connected", extra={"station_id": self.station_id, "subprotocol": subprotocol})
        self._edge.admit(self, conn_epoch)

    def refused(self, status: int, reason: str) -> None:
        """Answer the handshake with an HTTP status and close."""
        if self._response is not None:
            self._refuse(status, reason, f"host {status}")

    def answered(self, frames: list[bytes]) -> None:
        """Send the host's frames, and read on if the lane has room again."""
        if frames and not self.closed and self._ws.state is OPEN:
            for data in frames:
                self._ws.send_text(data)
            self._edge.frames_out += len(frames)
            self._flush()
        if self._paused & _QUEUE and self._lane:
            # The answered frame is still in its lane.
            room = 1 if self._edge.full else max(1, self._edge.settings.max_queued_frames // 2)
            if len(self._lane.items) <= room:
                self._resume(_QUEUE)

    def send(self, data: bytes) -> bool:
        """Send one frame; tell whether the socket was open."""
        if self.closed or self._ws.state is not OPEN:
            return False
        self.answered([data])
        return True

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; without its end the sweep cuts the connection."""
        if not self.closed and self._ws.state is OPEN:
            self._ws.send_close(code, reason.encode()[:123].decode(errors="ignore"))
            self._since = self._edge.loop.time()
            self._flush()
            self._resume(_RATE | _QUEUE)  # else the station's half of the handshake would not be read
        elif self._response is not None:
            self._refuse(503, reason, "closing")
        elif self._ws.state is CONNECTING:
            self.abort(reason)

    def abort(self, reason: str) -> None:
        """Cut the connection without a closing handshake."""
        self._reason = reason
        self._transport.abort()

    # From the sweep

    def sweep(self, now: float) -> None:
        """Look for handshakes and closings that take too long and for silent peers; `now` is the loop's time in s."""
        settings = self._edge.settings
        if self.conn_epoch is None:
            if now - self._since > settings.handshake_timeout_s:
                self._since = now
                if self._response is None:
                    self.abort("handshake time-out")
                else:
                    self._refuse(503, "no answer from the platform in time; try again later", "admission time-out")
        elif self._ws.state is not OPEN:
            if now - self._since > settings.pong_timeout_s:
                self.abort("")
        elif self._heard or self._paused & ~_WRITE:  # while we do not listen, silence proves nothing
            self._heard = False
            self._heard_at = now
            self._pinged_at = 0.0
        elif self._pinged_at:
            if now - self._pinged_at >= settings.pong_timeout_s:
                self._edge.dead_peers += 1
                self.abort("no sign of life after a ping")
        elif now - self._heard_at >= settings.ping_interval_s:
            self._pinged_at = now
            self._ws.send_ping(b"")
            self._flush()

    # Inside

    def _may_go_on(self, size_bytes: int) -> bool:
        """Before admission a client sends one request of decent size and nothing after it."""
        self._request_bytes += size_bytes
        if self._response is not None:
            self._refuse(400, "data after the request and before its answer", "early data")
            return False
        if self._request_bytes > _REQUEST_BYTES_MAX and self._ws.state is CONNECTING:
            self._edge.refused["request too large"] += 1
            self.abort("")
            return False
        return True

    def _requested(self, request: Request) -> None:
        edge = self._edge
        verdict = examine(self._ws, request, edge.password_key)
        if isinstance(verdict, Rejection):
            self._reject(verdict)
            return
        self.station_id = verdict.station_id
        self._lane = lane = edge.uplink.open_lane(verdict.station_id)
        if sum(type(item) is Connect for item, _ in lane.items) >= _CONNECTS_WAITING_MAX:
            self._refuse(503, "too many connections of this station are waiting", "connects waiting")
            return
        self._response = verdict.response
        host, port = self._transport.get_extra_info("peername")[:2]
        remote = f"{host}:{port}"
        lane.post(
            Connect(verdict.station_id, edge.gateway_id, verdict.subprotocol, verdict.password_digest, remote), self
        )

    def _refuse(self, status: int, reason: str, counted_as: str) -> None:
        self._reject(Rejection(refusal(self._ws, status, reason, self._edge.settings.retry_after_s), counted_as))

    def _reject(self, rejection: Rejection) -> None:
        response, counted_as = rejection
        self._response = None
        self._edge.refused[counted_as] += 1
        self._since = self._edge.loop.time()
        log.info(
            "connection refused",
            extra={"station_id": self.station_id, "status": response.status_code, "cause": counted_as},
        )
        if self._ws.eof_sent:
            return
        self._ws.send_response(response)
        if self._ws.state is OPEN:
            self._ws.send_close(CloseCode.PROTOCOL_ERROR, "none of the offered subprotocols is spoken here")
        self._flush()

    def _received(self, frame: WsFrame) -> None:
        opcode = frame.opcode
        if opcode is PING or opcode is PONG or opcode is CLOSE or self.conn_epoch is None or self._lane is None:
            return
        data = bytes(frame.data)
        if self._fragments is not None:
            self._fragments += data
            if not frame.fin:
                return
            data, self._fragments = bytes(self._fragments), None
        else:
            self._binary = opcode is BINARY
            if not frame.fin:
                self._fragments = bytearray(data)
                return
        try:
            data.decode()
        except UnicodeDecodeError:
            code = CloseCode.UNSUPPORTED_DATA if self._binary else CloseCode.INVALID_DATA
            self._ws.fail(code, "OCPP messages are UTF-8 text")
            return
        self._edge.frames_in += 1
        self._lane.post(Frame(self.station_id, self.conn_epoch, data), self)
        if len(self._lane.items) >= self._edge.settings.max_queued_frames or self._edge.full:
            self._pause(_QUEUE)

    def _flush(self) -> None:
        writes = self._ws.data_to_send()
        if not writes or self.closed:
            return
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        self._edge.bytes_out += len(data)
        if data:
            self._transport.write(data)
        if not writes[-1]:  # the core's sign that this side is done
            self._since = self._edge.loop.time()
            self._transport.write_eof()

    def _limit_rate(self) -> None:
        settings = self._edge.settings
        now = self._edge.loop.time()
        earned = (now - self._credited_at) * settings.frames_per_s
        self._credit = min(settings.frame_burst, self._credit + earned)
        self._credited_at = now
        if self._credit < 0:
            self._pause(_RATE)
            self._edge.loop.call_later(-self._credit / settings.frames_per_s, self._resume, _RATE)

    def _pause(self, why: int) -> None:
        if not self._paused and not self.closed:
            self._edge.reading_paused += 1
            self._transport.pause_reading()
        self._paused |= why

    def _resume(self, why: int) -> None:
        if self.closed or not self._paused & why:
            return
        self._paused &= ~why
        if not self._paused:
            self._edge.reading_paused -= 1
            self._heard = True
            if not self._transport.is_closing():
                self._transport.resume_reading()
