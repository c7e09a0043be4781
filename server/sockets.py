"""Socket.IO: the only file that knows python-socketio and engine.io.

Websocket only, without compression (it would cost ten times the memory), one client's events in their order. Patches
are encoded and framed once and queued to many sockets; a client's queue is bounded by the fan-out's lag rule.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import engineio
import engineio.async_drivers.aiohttp as driver
import msgspec
import socketio
from aiohttp import web
from engineio.packet import MESSAGE, Packet

from media import control
from rooms.actor import SERVER
from rooms.codec import command_of
from rooms.ids import HallId
from rooms.links import LinkDown, LinkUp
from rooms.refusal import Refused
from rooms.rules import UPLOADED
from rooms.visibility import Audience
from server import wire
from server.database.log import LogUnavailable
from server.joining import Admitted, Denial, Joining
from server.logs import logger
from server.media_node import MediaDown, MediaNode
from server.media_nodes import MediaNodes
from server.meetings import new_command_id
from server.metrics import Metrics
from server.origins import is_own_page
from server.room import Room
from server.runner import InternalError, Overloaded, Runner
from server.settings import Settings
from server.turn import RENEW_S, ice_servers

HELLO_S = 10.0
PING_INTERVAL_S = 25
PING_TIMEOUT_S = 20
MOST_BYTES = 256 * 1024
MOST_STILL = 10 * 1024
MOST_ON_WALL = 1_000
MOST_CLIENTS = 20_000
RATE_PER_S = 20.0
RATE_BURST = 60.0

T = TypeVar("T")
Answer = dict[str, Any]
_ENGINE_TYPES = "0123456"


class PlainWebSocket(driver.WebSocket):  # type: ignore[misc]
    """engine.io's websocket without permessage-deflate; nonsense ends the connection instead of leaving a ghost."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(environ["aiohttp.request"])
        self.environ = environ
        await self.handler(self)
        return self._sock

    async def wait(self) -> str:
        message = await self._sock.receive()
        if not isinstance(message.data, str) or message.data[:1] not in _ENGINE_TYPES or not message.data:
            raise OSError("not an engine.io text packet")
        return message.data


class Json:
    """The JSON that python-socketio uses."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        return msgspec.json.decode(text)


class Bucket:
    """How many events a client may still send: `RATE_PER_S` in the long run, `RATE_BURST` at once."""

    def __init__(self, now: float) -> None:
        self._left = RATE_BURST
        self._at = now

    def take(self, now: float) -> bool:
        self._left = min(RATE_BURST, self._left + (now - self._at) * RATE_PER_S)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def frame(event: str, body: bytes) -> Packet:
    """A Socket.IO event as an engine.io packet that is encoded once however many sockets it goes to."""
    packet = Packet(MESSAGE, data=f'2["{event}",{body.decode()}]')
    packet.encode()
    return packet


class Client:
    """A connection that has said hello: a fan-out subscriber."""

    def __init__(self, sockets: "Sockets", sid: str, admitted: Admitted, room: Room) -> None:
        self._sockets = sockets
        self._queue = sockets.queue_of(sid)
        self.sid = sid
        self.room = room
        self.actor = admitted.actor
        self.audience: Audience = admitted.audience
        self.hall = admitted.hall
        self.seen = 0
        self.endpoint = endpoint_of(admitted.audience)

    @property
    def backlog(self) -> int:
        return self._queue.qsize()

    def push(self, frame: Any) -> None:
        self._queue.put_nowait(frame)

    def send_away(self, code: str, retry: bool) -> None:
        self.push(frame("goodbye", msgspec.json.encode(wire.Goodbye(code=code, retry=retry))))
        self._sockets.close_soon(self.sid)


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
        self._buckets: dict[str, Bucket] = {}
        self._logger = logger(part="sockets")
        quiet = logging.getLogger("diemcau.engineio")
        quiet.setLevel(logging.CRITICAL)
        self._sio = socketio.AsyncServer(
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
            json=Json,
            logger=quiet,
            engineio_logger=quiet,
        )
        eio: engineio.AsyncServer = self._sio.eio
        eio._async = {**eio._async, "websocket": PlainWebSocket}
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
        self._sio.attach(app)

    async def close(self) -> None:
        """Tell every client to come again, and end."""
        for client in list(self._clients.values()):
            client.push(frame("goodbye", msgspec.json.encode(wire.Goodbye(code="restart", retry=True))))
        await asyncio.sleep(0.2)
        await self._sio.shutdown()

    @property
    def connected(self) -> frozenset[str]:
        """The sockets open now, greeted or not."""
        return frozenset(self._buckets)

    def queue_of(self, sid: str) -> "asyncio.Queue[Any]":
        """The frames on their way to a socket. Raises `Denial` if it has gone meanwhile."""
        eio_sid = self._sio.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is None or eio_sid not in self._sio.eio.sockets or sid not in self._buckets:
            raise Denial("bad_request")
        queue: asyncio.Queue[Any] = self._sio.eio.sockets[eio_sid].queue
        return queue

    def close_soon(self, sid: str) -> None:
        """Close the connection once what is queued has had a moment to be written."""
        self._tasks.create_task(self._close(sid), name="close socket")

    async def _close(self, sid: str) -> None:
        await asyncio.sleep(0.2)
        await self._sio.disconnect(sid)

    def media_epoch(self, node: MediaNode, epoch: str | None) -> None:
        """Tell everybody with media on this node that it (re)started or is gone."""
        packet = frame("media", msgspec.json.encode(wire.MediaReset(epoch=epoch)))
        for client in self._clients.values():
            if client.endpoint is not None and self._nodes.place(client.room.id, client.endpoint) is node:
                client.push(packet)

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

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> bool:
        if len(self._buckets) >= MOST_CLIENTS:
            return False
        loop = asyncio.get_running_loop()
        self._buckets[sid] = Bucket(loop.time())
        loop.call_later(HELLO_S, self._expect_hello, sid)
        return True

    def _expect_hello(self, sid: str) -> None:
        if sid in self._buckets and sid not in self._clients:
            self._metrics.malformed.labels("no_hello").inc()
            self.close_soon(sid)

    async def _disconnect(self, sid: str, reason: object = None) -> None:
        self._buckets.pop(sid, None)
        client = self._clients.pop(sid, None)
        if client is None:
            return
        self._metrics.clients.labels(client.audience.kind).dec()
        if client.room.leave(client):
            await self._link(client, LinkDown)
        if client.audience.kind == "delegate" and client.hall:
            client.room.presence.phone(client.hall, -1)
        if client.audience.kind == "staff" and client.endpoint:
            await client.room.close_endpoint(client.endpoint)

    async def _hello(self, sid: str, *args: object) -> Answer:
        async def hello() -> wire.Welcome:
            if sid in self._clients:
                raise Denial("bad_request")
            said = _one(args, wire.Hello)
            if said.protocol != wire.PROTOCOL:
                raise Denial("wrong_protocol")
            return await self._welcome(sid, said)

        answer = await self._answer(sid, hello)
        if not answer.get("ok"):
            self.close_soon(sid)
        return answer

    async def _welcome(self, sid: str, said: wire.Hello) -> wire.Welcome:
        admitted = await self._joining.admit(said.token)
        room = self._room_of(admitted.runner)
        client = Client(self, sid, admitted, room)
        reset, patch = room.views.joining(client.audience, said.log_id, said.since)
        client.seen = admitted.runner.meeting.rev
        self._clients[sid] = client
        self._metrics.clients.labels(client.audience.kind).inc()
        older = room.arrive(client)
        if isinstance(older, Client):
            older.send_away("replaced", retry=False)
        asyncio.get_running_loop().call_soon(self._after_welcome, client)  # behind the welcome itself
        return wire.Welcome(
            protocol=wire.PROTOCOL,
            log_id=admitted.runner.log_id,
            rev=client.seen,
            reset=reset,
            put=patch.put,  # type: ignore[arg-type]
            drop=patch.drop,
            me=_me(client, admitted),
            now=admitted.runner.now(),
            media_epoch=None if client.endpoint is None else self._nodes.epoch_of(room.id, client.endpoint),
            ice_servers=self._ice_servers(client),
        )

    def _after_welcome(self, client: Client) -> None:
        """What follows once the welcome is on its way."""
        client.room.greet(client)
        if client.audience.kind == "hall":
            self._tasks.create_task(self._link(client, LinkUp), name="link up")
        elif client.hall:
            client.room.presence.phone(client.hall, 1)

    async def _link(self, client: Client, command: type[LinkUp] | type[LinkDown]) -> None:
        assert client.hall is not None
        try:
            await client.room.runner.submit(SERVER, command(id=new_command_id(), hall=HallId(client.hall)))
        except (Refused, Overloaded, LogUnavailable, InternalError) as error:
            self._logger.warning("link_not_noted", hall=client.hall, error=type(error).__name__)

    async def _command(self, sid: str, *args: object) -> Answer:
        async def command() -> wire.Accepted:
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
        return msgspec.to_builtins(wire.Denied(code="bad_request"))  # type: ignore[no-any-return]

    def _known(self, sid: str) -> Client:
        """The client behind the socket. Raises `Denial` before its hello."""
        client = self._clients.get(sid)
        if client is None:
            raise Denial("unauthorised")
        return client

    async def _answer(self, sid: str, handle: Callable[[], Awaitable[msgspec.Struct]]) -> Answer:
        """The handler's answer, or why there is none: every way in ends here."""
        bucket = self._buckets.get(sid)
        if bucket is None or not bucket.take(asyncio.get_running_loop().time()):
            return _denied("too_many")
        try:
            return msgspec.to_builtins(await handle())  # type: ignore[no-any-return]
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


def _denied(code: str, field: str | None = None) -> Answer:
    return msgspec.to_builtins(wire.Denied(code=code, field=field))  # type: ignore[no-any-return]


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
