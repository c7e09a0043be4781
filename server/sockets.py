"""Socket.IO: the only file that knows python-socketio and engine.io.

python-socketio does the handshake, events and acknowledgements, one client's in their order; `server.lines` is its
engine.io connection, without tasks and queues. What goes to many is encoded and framed once and written to each line.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import engineio
import msgspec
import socketio
from aiohttp import web

from media import control
from rooms.codec import command_of
from rooms.refusal import Refused
from rooms.rules import UPLOADED
from rooms.visibility import Audience
from server import wire
from server.database.log import LogUnavailable
from server.fanout import Frame
from server.joining import Admitted, Denial, Joining, check_protocol
from server.limits import Admission, Callers, TooMany, raise_open_files
from server.lines import (
    MOST_BYTES,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    Heartbeat,
    Line,
    TakenOver,
    framed,
    has_left,
    is_upgrade,
    take_over,
)
from server.logs import logger
from server.media_node import MediaDown
from server.media_nodes import MediaNodes
from server.metrics import Metrics
from server.origins import caller_address, is_own_page
from server.room import Room
from server.runner import InternalError, Overloaded, Runner
from server.settings import Settings
from server.turn import RENEW_S, ice_servers

HELLO_S = 10.0
GOODBYE_S = 0.2
ANSWERING_S = 3.0
LEAVING_S = 3.0
MOST_STILL = 10 * 1024
MOST_ON_WALL = 1_000
MOST_CLIENTS = 20_000
SPARE_FILES = 500
"""Files and sockets for other things than clients."""
GOODBYES_AT_ONCE = 250

T = TypeVar("T")
Answer = msgspec.Raw
"""Encoded once; python-socketio splices it into the acknowledgement."""


class Json:
    """The JSON that python-socketio uses."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        return msgspec.json.decode(text)


class Places(socketio.AsyncManager):  # type: ignore[misc]
    """Who is connected, without a room of their own for each: nobody is sent to by room, and whoever leaves would be
    looked for in all ten thousand."""

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        if room != sid:
            super().basic_enter_room(sid, namespace, room, eio_sid)


def frame(event: str, body: bytes) -> Frame:
    """A Socket.IO event, encoded and framed once however many lines it goes to."""
    return Frame(event, body, framed(b'42["' + event.encode() + b'",' + body + b"]"))


class Client:
    """A connection that has said hello: a fan-out subscriber."""

    __slots__ = ("_sockets", "actor", "audience", "endpoint", "hall", "line", "media_epoch", "room", "seen")

    def __init__(self, sockets: "Sockets", line: Line, admitted: Admitted, room: Room) -> None:
        self._sockets = sockets
        self.line = line
        self.room = room
        self.actor = admitted.actor
        self.audience: Audience = admitted.audience
        self.hall = admitted.hall
        self.seen = 0
        self.endpoint = endpoint_of(admitted.audience)
        self.media_epoch: str | None = None

    @property
    def backlog(self) -> int:
        return self.line.backlog

    def push(self, frame: Frame) -> None:
        self.line.write(frame.wire)

    def send_away(self, code: str, retry: bool) -> None:
        self.push(frame("goodbye", msgspec.json.encode(wire.Goodbye(code=code, retry=retry))))
        self._sockets.close_soon(self.line)


def endpoint_of(audience: Audience) -> str | None:
    """The name under which a client has media: a hall its id, each console one of its own, phones none."""
    if audience.kind == "hall":
        return audience.id
    return f"console-{secrets.token_hex(4)}" if audience.kind == "staff" else None


class Sockets:
    """All sockets of this process."""

    def __init__(
        self,
        joining: Joining,
        room_of: Callable[[Runner], Room],
        nodes: MediaNodes,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
        settings: Settings,
    ) -> None:
        self._joining = joining
        self._room_of = room_of
        self._nodes = nodes
        self._metrics = metrics
        self._tasks = tasks
        self._settings = settings
        self._clients: dict[str, Client] = {}
        self._lines: dict[str, Line] = {}
        self._open_lines: dict[str, Line] = {}
        self._most_open = min(MOST_CLIENTS, raise_open_files() - SPARE_FILES)
        self._callers = Callers()
        self._admission = Admission()
        self.heartbeat = Heartbeat(HELLO_S)
        self.heartbeat.not_greeted = self._not_greeted
        self._closing = self._closed = False
        self._running: set[asyncio.Task[None]] = set()
        self._logger = logger(part="sockets")
        quiet = logging.getLogger("diemcau.engineio")
        quiet.setLevel(logging.CRITICAL)
        self._sio = socketio.AsyncServer(
            client_manager=Places(),
            async_mode="aiohttp",
            transports=["websocket"],
            async_handlers=False,
            http_compression=False,
            cors_allowed_origins=lambda origin, environ: is_own_page(
                origin or "", environ.get("HTTP_HOST", ""), settings.public_url
            ),
            max_http_buffer_size=MOST_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            monitor_clients=False,
            json=Json,
            logger=quiet,
            engineio_logger=quiet,
        )
        self._eio: engineio.AsyncServer = self._sio.eio
        for name, handler in (
            ("connect", self._connect),
            ("disconnect", self._disconnect),
            ("hello", self._hello),
            ("command", self._command),
            ("offer", self._offer),
            ("tiles", self._tiles),
            ("wall", self._wall),
            ("report", self._report),
            ("*", self._unknown),
        ):
            self._sio.on(name, handler)

    def attach(self, app: web.Application) -> None:
        app.router.add_get("/socket.io/", self._open)

    async def close(self) -> None:
        """Tell every client to come again, and end."""
        self._closing = True
        goodbye = frame("goodbye", msgspec.json.encode(wire.Goodbye(code="restart", retry=True)))
        for number, client in enumerate(list(self._clients.values()), 1):
            client.push(goodbye)
            if number % GOODBYES_AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(GOODBYE_S)
        if self._running:
            await asyncio.wait(self._running, timeout=ANSWERING_S)  # what was asked before is answered
        for number, line in enumerate(list(self._open_lines.values()), 1):
            await line.close()
            if number % GOODBYES_AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # the transports report their end
        if self._running:
            await asyncio.wait(self._running, timeout=LEAVING_S)
        self._closed = True
        for line in list(self._open_lines.values()):
            line.abort()
        for task in self._running:
            task.cancel()
        await self._sio.shutdown()

    @property
    def connected(self) -> frozenset[str]:
        """The sockets open now, greeted or not."""
        return frozenset(self._open_lines)

    def close_soon(self, line: Line) -> None:
        """Close the connection once what was written has had a moment to arrive."""
        asyncio.get_running_loop().call_later(GOODBYE_S, lambda: self.start(line.close()))

    # -- lines ---------------------------------------------------------------------------------------------------------

    async def _open(self, request: web.Request) -> web.StreamResponse:
        """A new connection. Whatever is not a WebSocket of ours gets python-engineio's answer."""
        query = request.query
        if (
            not is_upgrade(request)
            or query.get("transport") != "websocket"
            or query.get("EIO") != "4"
            or "sid" in query
        ):
            refused: web.Response = await self._sio.handle_request(request)
            return refused
        origin = request.headers.get("Origin")
        if origin is not None and not is_own_page(origin, request.host, self._settings.public_url):
            raise web.HTTPBadRequest(text="not an accepted origin")
        loop = asyncio.get_running_loop()
        try:
            caller = self._callers.admit(caller_address(request, self._settings), loop.time())
        except TooMany:
            self._metrics.turned_away.labels("address").inc()
            raise web.HTTPTooManyRequests(headers={"Retry-After": "10"}) from None
        if self._closing or len(self._open_lines) >= self._most_open or not await self._admission.enter():
            self._metrics.turned_away.labels("busy").inc()
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        if has_left(request):
            self._metrics.turned_away.labels("left").inc()
            return TakenOver()
        line = Line(self, self._eio.generate_id(), caller, loop)
        answer = take_over(request, line)
        if not line.closed:
            await self._opened(line)
        return answer

    async def _opened(self, line: Line) -> None:
        if line.caller is not None:
            line.caller.open += 1
        self._open_lines[line.name] = self._eio.sockets[line.name] = line
        self.heartbeat.add(line, asyncio.get_running_loop().time())
        line.write(framed(b"0" + msgspec.json.encode({"sid": line.name, **_OPEN})))
        await self._eio._trigger_event("connect", line.name, line, run_async=False)

    async def received(self, line: Line, text: str) -> None:
        try:
            if text[:1] in ("5", "6"):
                raise ValueError("binary events are not spoken here")
            await self._sio._handle_eio_message(line.name, text)
        except asyncio.CancelledError:
            raise
        except Exception:  # python-socketio's parser has no exception of its own; handlers let none out
            self.malformed("packet")
            line.abort()

    async def lost(self, line: Line) -> None:
        if self._open_lines.pop(line.name, None) is None:
            return
        self._eio.sockets.pop(line.name, None)
        if line.caller is not None:
            line.caller.open -= 1
        try:
            await self._sio._handle_eio_disconnect(line.name, self._eio.reason.TRANSPORT_CLOSE)
        except Exception:
            self._logger.exception("leaving_failed")

    def malformed(self, where: str) -> None:
        self._metrics.malformed.labels(where).inc()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name="socket")
        if self._closed:
            task.cancel()
        else:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return task

    def _not_greeted(self, line: Line) -> None:
        self.malformed("no_hello")
        line.abort()

    def media_changed(self) -> None:
        """Tell everybody with media whose node is another one, (re)started or is gone."""
        for client in self._clients.values():
            if client.endpoint is None:
                continue
            epoch = self._nodes.epoch_of(client.room.id, client.endpoint)
            if epoch != client.media_epoch:
                client.media_epoch = epoch
                client.push(frame("media", msgspec.json.encode(wire.MediaReset(epoch=epoch))))

    async def keep_relays_usable(self) -> None:
        """Give everybody with media new credentials for the relay before theirs pass, until cancelled."""
        while self._settings.turn_urls:
            await asyncio.sleep(RENEW_S)
            self.renew_relay_credentials()

    def renew_relay_credentials(self) -> None:
        for client in self._clients.values():
            if client.endpoint is not None:
                servers = wire.IceServers(servers=self._ice_servers(client))
                client.push(frame("ice_servers", msgspec.json.encode(servers)))

    def _ice_servers(self, client: Client) -> tuple[wire.IceServer, ...]:
        return ice_servers(self._settings, client.endpoint, time.time()) if client.endpoint is not None else ()

    # -- events --------------------------------------------------------------------------------------------------------

    async def _connect(self, sid: str, line: Line, auth: object = None) -> bool:
        self._lines[sid] = line
        return True

    async def _disconnect(self, sid: str, reason: object = None) -> None:
        line = self._lines.pop(sid, None)
        if line is not None and not line.closed:  # it left the namespace, and there is no other
            self.close_soon(line)
        client = self._clients.pop(sid, None)
        if client is None:
            return
        self._metrics.clients.labels(client.audience.kind).dec()
        if client.room.leave(client):
            assert client.hall is not None
            await client.room.note_line(client.hall, up=False)
        if client.audience.kind == "delegate" and client.hall:
            client.room.presence.phone(client.hall, -1)
        if client.audience.kind == "staff" and client.endpoint:
            await client.room.close_endpoint(client.endpoint)

    async def _hello(self, sid: str, *args: object) -> Answer:
        async def hello() -> Answer:
            if sid in self._clients:
                raise Denial("bad_request")
            said = _one(args, wire.Hello)
            check_protocol(said.protocol)
            return await self._welcome(sid, said)

        answer = await self._answer(sid, hello)
        if sid not in self._clients and sid in self._lines:
            self.close_soon(self._lines[sid])
        return answer

    async def _welcome(self, sid: str, said: wire.Hello) -> Answer:
        admitted = await self._joining.admit(said.token)
        room = self._room_of(admitted.runner)
        line = self._lines.get(sid)
        if line is None or line.closed:
            raise Denial("bad_request")
        line.greeted = True
        client = Client(self, line, admitted, room)
        told = room.views.joining(client.audience, said.log_id, said.since)
        client.seen = admitted.runner.meeting.rev
        if client.endpoint is not None:
            client.media_epoch = self._nodes.epoch_of(room.id, client.endpoint)
        self._clients[sid] = client
        self._metrics.clients.labels(client.audience.kind).inc()
        older = room.arrive(client)
        if isinstance(older, Client):
            older.send_away("replaced", retry=False)
        asyncio.get_running_loop().call_soon(self._after_welcome, client)  # behind the welcome itself
        welcome = wire.Welcome(
            protocol=said.protocol,
            log_id=admitted.runner.log_id,
            rev=client.seen,
            reset=told.reset,
            put=msgspec.Raw(told.put),  # type: ignore[arg-type]
            drop=msgspec.Raw(told.drop),  # type: ignore[arg-type]
            me=_me(client, admitted),
            now=admitted.runner.now(),
            media_epoch=client.media_epoch,
            ice_servers=self._ice_servers(client),
        )
        return msgspec.Raw(msgspec.json.encode(welcome))

    def _after_welcome(self, client: Client) -> None:
        """What follows once the welcome is on its way."""
        client.room.greet(client)
        if client.audience.kind == "hall" and client.hall:
            self.start(client.room.note_line(client.hall, up=True))
        elif client.hall:
            client.room.presence.phone(client.hall, 1)

    async def _command(self, sid: str, *args: object) -> Answer:
        async def command() -> msgspec.Struct:
            client = self._known(sid)
            wanted = command_of(args[0] if args else None)
            if type(wanted) in UPLOADED:
                raise Denial("not_allowed")
            return wire.Accepted(rev=await client.room.runner.submit(client.actor, wanted))

        return await self._answer(sid, command)

    async def _offer(self, sid: str, *args: object) -> Answer:
        async def offer() -> wire.MediaAnswer:
            client = self._known(sid)
            wanted = _one(args, wire.MediaOffer)
            if client.endpoint is None:
                raise Denial("not_allowed")
            reply = await client.room.offer(client.endpoint, wanted.sdp, allowed_slots(client.audience, wanted.slots))
            if isinstance(reply, control.Failed):
                self._logger.warning("offer_failed", endpoint=client.endpoint, code=reply.code, detail=reply.detail)
                raise Denial("bad_sdp" if reply.code in ("bad_sdp", "unsupported", "bad_slots") else "internal")
            return wire.MediaAnswer(sdp=reply.sdp)

        return await self._answer(sid, offer)

    async def _tiles(self, sid: str, *args: object) -> Answer:
        async def tiles() -> wire.Accepted:
            client = self._known(sid)
            wanted = _one(args, wire.Tiles)
            if client.audience.kind != "staff" or client.endpoint is None:
                raise Denial("not_allowed")
            await client.room.tiles(client.endpoint, wanted.halls)
            return wire.Accepted(rev=client.seen)

        return await self._answer(sid, tiles)

    async def _wall(self, sid: str, *args: object) -> Answer:
        async def wall() -> wire.Accepted:
            client = self._known(sid)
            wanted = _one(args, wire.Wall)
            if client.audience.kind != "staff":
                raise Denial("not_allowed")
            client.room.wall(client, wanted.halls[:MOST_ON_WALL])
            return wire.Accepted(rev=client.seen)

        return await self._answer(sid, wall)

    async def _report(self, sid: str, *args: object) -> Answer:
        async def report() -> wire.Accepted:
            client = self._known(sid)
            told = _one(args, wire.Report)
            if client.audience.kind != "hall" or client.hall is None:
                raise Denial("not_allowed")
            if told.still is not None and (len(told.still) > MOST_STILL or not told.still.startswith("/9j/")):
                raise Denial("bad_request", "still")
            client.room.presence.report(client.hall, told)
            return wire.Accepted(rev=client.seen)

        return await self._answer(sid, report)

    async def _unknown(self, event: str, sid: str, *args: object) -> Answer:
        self._metrics.malformed.labels("event").inc()
        return _denied("bad_request")

    def _known(self, sid: str) -> Client:
        """The client behind the socket. Raises `Denial` before its hello."""
        client = self._clients.get(sid)
        if client is None:
            raise Denial("unauthorised")
        return client

    async def _answer(self, sid: str, handle: Callable[[], Awaitable[msgspec.Struct | Answer]]) -> Answer:
        """The handler's answer, or why there is none: every way in ends here."""
        line = self._lines.get(sid)
        if line is None or line.limited:
            return _denied("too_many")
        try:
            answer = await handle()
            return answer if isinstance(answer, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(answer))
        except Refused as refused:
            return _denied(refused.code.value, refused.field)
        except Denial as denial:
            return _denied(denial.code, denial.field)
        except msgspec.ValidationError:
            self._metrics.malformed.labels("body").inc()
            return _denied("bad_request")
        except MediaDown:
            return _denied("media_down")
        except (Overloaded, LogUnavailable):
            return _denied("unavailable")
        except InternalError:
            return _denied("internal")
        except Exception:
            self._logger.exception("event_failed")
            return _denied("internal")


_OPEN = {
    "upgrades": [],
    "pingTimeout": int(PING_TIMEOUT_S * 1000),
    "pingInterval": int(PING_INTERVAL_S * 1000),
    "maxPayload": MOST_BYTES,
}
"""Engine.IO's open packet, beside the session id."""


def _denied(code: str, field: str | None = None) -> Answer:
    return msgspec.Raw(msgspec.json.encode(wire.Denied(code=code, field=field)))


def _one(args: tuple[object, ...], body: type[T]) -> T:
    """The event's single argument. Raises `msgspec.ValidationError`."""
    return msgspec.convert(args[0] if args else None, body)


_SOURCES = frozenset({"camera", "microphone", "content"})


def allowed_slots(audience: Audience, slots: dict[str, str]) -> dict[str, str]:
    """The places this kind of client may have; others are left out, and so inactive. Only halls send."""
    if audience.kind == "hall":
        return {mid: slot for mid, slot in slots.items() if not slot.startswith("tile.")}
    return {mid: slot for mid, slot in slots.items() if slot not in _SOURCES}


def _me(client: Client, admitted: Admitted) -> wire.Me:
    role = getattr(admitted.actor, "role", None)
    id = getattr(admitted.actor, "id", "")
    return wire.Me(
        kind=client.audience.kind,
        id=id,
        name=admitted.name,
        role=role,
        meeting=client.room.id,
        hall=client.hall,
        endpoint=client.endpoint,
    )
