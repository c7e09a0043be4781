"""One phone's line: a websocket with engine.io and Socket.IO on a bare transport (RFC 6455; PROTOCOL.md §2).

Ten thousand of them fit into one process: no task, no queue and no object for each message. What the server sends is
handed on as the undecoded bytes of each message.
"""

import asyncio
import base64
import os
from typing import Protocol, cast

import msgspec

MOST_BYTES = 64 * 1024 * 1024
_KEY = base64.b64encode(os.urandom(16)).decode()
_AGENT = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36"
)
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_MASK_BIT, _MASK = 0x80, b"\0\0\0\0"  # a mask of zeros leaves the text as it is


def upgrade_request(host: str) -> bytes:
    """As a browser asks for the socket."""
    lines = (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Origin: http://{host}",
        f"User-Agent: {_AGENT}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
        "Accept-Language: vi,en;q=0.9",
    )
    return "\r\n".join((*lines, "", "")).encode()


def text_frame(payload: bytes, kind: int = _TEXT) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = bytes((kind, _MASK_BIT | size))
    elif size < 65536:
        head = bytes((kind, _MASK_BIT | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((kind, _MASK_BIT | 127)) + size.to_bytes(8, "big")
    return head + _MASK + payload


PONG = text_frame(b"3")
CONNECT = text_frame(b"40")


class Listener(Protocol):
    """Whose line it is."""

    def connected(self) -> None:
        """Socket.IO is open: hello may be said."""

    def heard(self, payload: bytes) -> None:
        """An event: `42["name",body]`."""

    def answered(self, payload: bytes) -> None:
        """An acknowledgement: `43<id>[body]`."""

    def lost(self, line: "Line", reason: str) -> None:
        """The line is gone, once, whoever ended it."""


class Line(asyncio.Protocol):
    """Answers pings by itself."""

    __slots__ = ("_head", "_listener", "_rest", "_transport", "_upgraded", "reason")

    def __init__(self, listener: Listener, head: bytes) -> None:
        self._listener = listener
        self._head = head
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self.reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class
        self.write(self._head)

    def write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def abort(self, reason: str) -> None:
        """Cut it off without a word."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End it as a page does that is left."""
        self.reason = self.reason or "closed"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(text_frame((1001).to_bytes(2, "big"), _CLOSE))
            self._transport.close()

    def sleep(self) -> None:
        """Read nothing more until `wake`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def wake(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._listener.lost(self, self.reason or (type(error).__name__ if error else "closed by the server"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                return self.abort(f"HTTP {data[9:12].decode(errors='replace')}")
            self._upgraded = True
            data = data[end + 4 :]
        at, size = 0, len(data)
        while at + 2 <= size:
            length, body = data[at + 1], at + 2
            if length >= 126:
                width = 2 if length == 126 else 8
                body += width
                if body > size:
                    break
                length = int.from_bytes(data[body - width : body], "big")
            end = body + length
            if end > size:
                if length > MOST_BYTES:
                    return self.abort("too large a message")
                break
            self._take(data[at], data[body:end])
            at = end
        self._rest = data[at:]

    def _take(self, kind: int, payload: bytes) -> None:
        try:
            self._read(kind, payload)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            self.abort(f"cannot read what the server says: {error}")

    def _read(self, kind: int, payload: bytes) -> None:
        if kind == _TEXT:
            if payload.startswith(b"42"):
                self._listener.heard(payload)
            elif payload.startswith(b"43"):
                self._listener.answered(payload)
            elif payload == b"2":
                self.write(PONG)
            elif payload.startswith(b"40"):
                self._listener.connected()
            elif payload.startswith(b"0"):
                self.write(CONNECT)
            else:
                self.abort(f"engine.io said {payload[:8].decode(errors='replace')}")
        elif kind == _PING:
            self.write(text_frame(payload, _PONG))
        elif kind == _CLOSE:
            self.abort(f"closed with {int.from_bytes(payload[:2], 'big')}")
        elif kind != _PONG:
            self.abort("not a text frame")
