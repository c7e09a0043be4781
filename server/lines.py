"""One WebSocket connection that speaks engine.io 4 (RFC 6455 framing, no extensions), without a task of its own.

A line takes its connection over from aiohttp once the handshake is answered: it reads through aiohttp's WebSocket
reader and writes whole, already framed messages to the transport. Every write is one synchronous call, so frames never
interleave and leave in the order they were written, whoever writes them. What the peer does not read stays in the
transport's buffer: its size is the line's `backlog`, and a line with more than `MOST_UNSENT` is cut.
"""

import asyncio
import base64
import hashlib
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.http_websocket import WSMsgType

from server.limits import Bucket, Caller

MOST_BYTES = 256 * 1024
"""The longest message taken: a console's offer with 25 tiles is the largest, some 70 KB from Chromium."""
MOST_UNREAD = 32 * 1024
"""What may wait for its handling before the line stops reading."""
MOST_UNSENT = 2 * 1024 * 1024
KERNEL_BUFFER = 64 * 1024
PING_INTERVAL_S = 25.0
PING_TIMEOUT_S = 20.0
CLOSE_S = 1.0
MOST_PINGS_AT_ONCE = 200
RATE_PER_S, RATE_BURST, RATE_DEBT = 20.0, 60.0, 240.0
"""Messages from one client, and how far it may go on asking before it is cut."""

OPEN, CLOSE, PING, PONG, MESSAGE = "0", "1", "2", "3", "4"
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PONG = 0x81, 0x88, 0x8A


def framed(payload: bytes, first: int = _TEXT) -> bytes:
    """The payload as one unmasked frame (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


_PING_FRAME = framed(PING.encode())
_CLOSE_FRAME = framed(CLOSE.encode()) + framed((1000).to_bytes(2, "big"), _CLOSE)


class Owner(Protocol):
    """Who deals with what comes by the lines."""

    async def received(self, line: "Line", text: str) -> None:
        """An engine.io message. The line's next one waits until this returns."""

    async def lost(self, line: "Line") -> None:
        """The connection has gone."""

    def malformed(self, where: str) -> None: ...

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it as a task that somebody owns. The work must not raise."""


class Line(asyncio.Protocol):
    """A connection. `name` is its engine.io session id; `limited` says that the message in work is one too many."""

    __slots__ = (
        "_left",
        "_owner",
        "_queue",
        "_reader",
        "_reading_paused",
        "_transport",
        "_work",
        "caller",
        "closed",
        "closing",
        "connected",
        "events",
        "greeted",
        "limited",
        "name",
        "pinged",
        "upgraded",
    )

    def __init__(self, owner: Owner, name: str, caller: Caller | None, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.caller = caller
        self.events = Bucket(RATE_PER_S, RATE_BURST, RATE_DEBT, loop.time())
        self.limited = False
        self.greeted = False
        self.pinged = False
        self.closing = self.closed = False
        self.connected = self.upgraded = True
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._work: asyncio.Task[None] | None = None
        self._reading_paused = False
        self._left = False
        self._queue = WebSocketDataQueue(self, MOST_UNREAD, loop=loop)  # type: ignore[arg-type]
        self._reader = WebSocketReader(self._queue, MOST_BYTES, compress=False, decode_text=True)

    # -- the transport's side ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        failed, _ = self._reader.feed_data(data)
        if self._work is None:
            self._take()
        if failed:
            self._fail("frame")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.closed = True
        self._take()
        self._leave()

    def _leave(self) -> None:
        """Say that the connection has gone, once what had come by it is dealt with: a vote counts all the same."""
        if self._transport is None and self._work is None and not self._left:
            self._left = True
            self._queue._protocol = None  # type: ignore[assignment]
            self._owner.start(self._owner.lost(self))

    def pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._transport.pause_reading()
        self._reading_paused = True

    def resume_reading(self) -> None:
        if self._transport is not None and self._reading_paused:
            self._transport.resume_reading()
        self._reading_paused = False

    # -- messages in ---------------------------------------------------------------------------------------------------

    def _next(self) -> Any:
        """The next WebSocket message; None when there is none yet."""
        if not self._queue._buffer:
            return None
        try:
            self._queue.read().send(None)
        except StopIteration as read:
            return read.value
        raise AssertionError("a filled queue does not wait")

    def _take(self) -> None:
        """Go through what has come until a message needs handling, which then goes on when it is done."""
        while self._work is None and not self.closing and (message := self._next()) is not None:
            if not self._allow():
                self._fail("flood")
            elif message.type is WSMsgType.TEXT and message.data[:1] == MESSAGE:
                self._work = self._owner.start(self._handle(message.data[1:]))
            elif message.type is WSMsgType.TEXT and message.data == PONG:
                self.pinged = False
            elif message.type is WSMsgType.PING:
                self.write(framed(message.data, _PONG))
            elif message.type is WSMsgType.CLOSE:
                self.write(framed((1000).to_bytes(2, "big"), _CLOSE))
                self._end()
            elif message.type is WSMsgType.TEXT and message.data == CLOSE:
                self._end()
            elif message.type is not WSMsgType.PONG:
                self._fail("packet")

    def _allow(self) -> bool:
        """Count a message; False when the client was told too often that it sends too many."""
        now = asyncio.get_running_loop().time()
        self.limited = not self.events.take(now)
        if self.limited:
            return not self.events.overdrawn
        if self.caller is not None and not self.caller.events.take(now):
            self.limited = True
            return not self.caller.events.overdrawn
        return True

    async def _handle(self, text: str) -> None:
        try:
            await self._owner.received(self, text)
        finally:
            self._work = None
        self._take()
        self._leave()

    def _fail(self, where: str) -> None:
        if not self.closed:
            self._owner.malformed(where)
            self._end()

    # -- messages out --------------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes written and not yet taken by the system."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, frame: bytes) -> None:
        """Send a frame behind those before it. On a line that is closed nothing happens."""
        transport = self._transport
        if transport is None or self.closing or transport.is_closing():
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > MOST_UNSENT:
            self.abort()

    async def send(self, packet: Any) -> None:
        """An engine.io packet, as python-engineio hands it over."""
        self.write(framed(packet.encode().encode()))

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """As python-engineio calls it. What was written before is still sent if the peer reads within `CLOSE_S`."""
        if not self.closing:
            self.write(_CLOSE_FRAME)
            self._end()

    def _end(self) -> None:
        """Close once all is sent, or after `CLOSE_S` in any case."""
        if self.closing or self._transport is None:
            return
        self.closing = self.closed = True
        self._transport.close()
        asyncio.get_running_loop().call_later(CLOSE_S, self.abort)

    def abort(self) -> None:
        """Close at once; what was not sent is thrown away."""
        self.closing = self.closed = True
        if self._transport is not None:
            self._transport.abort()


class Heartbeat:
    """Pings for all lines from one timer, in the order they fell due: engine.io pings from the server's side."""

    def __init__(self, greeting_s: float) -> None:
        self._greeting_s = greeting_s
        self._pings: deque[tuple[float, Line]] = deque()
        self._answers: deque[tuple[float, Line]] = deque()
        self._greetings: deque[tuple[float, Line]] = deque()
        self.not_greeted: Callable[[Line], None] = Line.abort

    def add(self, line: Line, now: float) -> None:
        self._pings.append((now + PING_INTERVAL_S, line))
        self._greetings.append((now + self._greeting_s, line))

    async def run(self) -> None:
        """Ping, and close what does not answer or never greeted, until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            now = asyncio.get_running_loop().time()
            for line in _due(self._greetings, now):
                if not line.greeted:
                    self.not_greeted(line)
            for line in _due(self._answers, now):
                if line.pinged:
                    line.abort()
            for line in _due(self._pings, now):
                line.pinged = True
                line.write(_PING_FRAME)
                self._pings.append((now + PING_INTERVAL_S, line))
                self._answers.append((now + PING_TIMEOUT_S, line))


def _due(waiting: "deque[tuple[float, Line]]", now: float) -> list[Line]:
    """Take those that are due and still open, `MOST_PINGS_AT_ONCE` at most: the loop must not stall."""
    due: list[Line] = []
    while waiting and len(due) < MOST_PINGS_AT_ONCE and (waiting[0][0] <= now or waiting[0][1].closed):
        line = waiting.popleft()[1]
        if not line.closed:
            due.append(line)
    return due


class _Tail:
    """What came behind the handshake."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None: ...


class TakenOver(web.Response):
    """What aiohttp is told in the end: the connection is not its own any more."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError


def is_upgrade(request: web.Request) -> bool:
    """Whether it is a WebSocket handshake (RFC 6455 section 4.2.1)."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Upgrade", "").strip().lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
        and headers.get("Sec-WebSocket-Version") == "13"
        and len(headers.get("Sec-WebSocket-Key", "")) == 24
    )


def has_left(request: web.Request) -> bool:
    """Whoever asked is not there any more."""
    return request.transport is None or request.transport.is_closing()


def take_over(request: web.Request, line: Line) -> TakenOver:
    """Answer the handshake of one who has not left; from now on the line has the connection. To be returned."""
    key = request.headers["Sec-WebSocket-Key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest())
    protocol, transport = request.protocol, request.transport
    assert transport is not None, "see `has_left`"
    tail = _Tail()
    protocol.set_parser(tail)  # type: ignore[arg-type]
    protocol.transport = None
    transport.set_protocol(line)
    line.connection_made(transport)
    protocol.connection_lost(None)  # aiohttp lets go of all it keeps for a connection
    if (raw := transport.get_extra_info("socket")) is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )
    if tail.data:
        asyncio.get_running_loop().call_soon(line.data_received, tail.data)
    return TakenOver()
