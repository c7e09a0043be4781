"""A synthetic hall: its page's socket and its media, and what it sends when."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import aiohttp
import msgspec

from clients.rehearsal.arrivals import Arrivals
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.desk import Invited, command
from clients.rehearsal.endpoint import HALL_SLOTS, Camera, Endpoint, Setting
from clients.rehearsal.offer import BadDescription
from clients.rehearsal.recording import RIDS, Recording
from clients.rehearsal.transport import TransportFailed
from clients.rehearsal.wire import Refused, Socket

TILES = 25
_REPORT_S, _STILL_S = 10.0, 4.0
_CONNECT_S, _NO_PICTURE_S, _AGAIN_S, _ANSWERS_S = 8.0, 2.5, 0.3, 20.0


JOIN_ERRORS = (Refused, BadDescription, TransportFailed, aiohttp.ClientError, TimeoutError, OSError)


class Hall:
    """Sends its lowest layer always (`low`), the others and the microphone while it is on the stage.

    A server that tells what is `wanted` of a source is obeyed instead, as a page does. Told of another media node it
    makes a second connection there, and ends the first when the second shows a picture.
    """

    def __init__(
        self, crowd: Crowd, setting: Setting, number: int, invited: Invited, camera: Camera, tone: Recording, low: bool
    ) -> None:
        self.number = number
        self.id = invited.id
        self.arrivals = Arrivals() if setting.timed else None
        self._make: Callable[[], Endpoint] = partial(Endpoint, setting, number, HALL_SLOTS, camera, tone, self.arrivals)
        self.endpoint = self._make()
        self.coming: Endpoint | None = None
        self.moves = 0
        self._epoch: str | None = None  # of the node that it is connected to
        self._goal: str | None = None  # of the one that it moves to
        self._moving: asyncio.Task[None] | None = None
        self.socket = Socket(self._heard)
        self._crowd, self._token, self._low = crowd, invited.token, low
        self._on_stage: frozenset[str] = frozenset()
        self._wanted: dict[str, tuple[str, ...]] = {}

    async def join(self, http: aiohttp.ClientSession, url: str, tasks: asyncio.TaskGroup) -> None:
        """Raises Refused, BadDescription, TransportFailed, or what a network raises."""
        await self.socket.open(http, url)
        tasks.create_task(self.socket.read(), name=f"hall {self.id}")
        welcome = await self.socket.hello(self._token)
        self._take(welcome)
        self._epoch = self._epoch or welcome["media_epoch"]
        await connect_media(self._crowd, self.endpoint, self.socket)
        self._arrange()

    async def stay(self, http: aiohttp.ClientSession, urls: Sequence[str], tasks: asyncio.TaskGroup) -> None:
        """Come back to one of these servers whenever the socket ends, as a page does; the picture goes on meanwhile."""
        while True:
            while not self.socket.gone:
                if self.endpoint.transport.closed and self._epoch is not None:
                    self._go_to(self._epoch)
                await asyncio.sleep(0.05)
            await asyncio.sleep(random.uniform(0.5, 1.5))
            self.socket = Socket(self._heard)
            try:
                await self.socket.open(http, random.choice(urls))
                tasks.create_task(self.socket.read(), name=f"hall {self.id}")
                welcome = await self.socket.hello(self._token)
            except JOIN_ERRORS:
                self.socket.gone = self.socket.gone or "not welcomed"
                await self.socket.close()  # or it would be read from for ever
                continue
            self._take(welcome)
            self._arrange()
            self._media(welcome["media_epoch"])

    async def report(self, still: str) -> None:
        """What the page tells of itself, every ten seconds; every four and with a still while one is wanted."""
        state = {"camera": True, "microphone": True, "viewing": True}
        while not self.socket.gone:
            wanted = bool(self._wanted.get("still"))
            try:
                await self.socket.tell("report", {**state, "still": still} if wanted else state)
            except ConnectionError:
                return
            await asyncio.sleep(_STILL_S if wanted else _REPORT_S)

    def _heard(self, event: str, body: str) -> None:
        if event == "patch" and '"kind":"stage"' in body:
            self._take(msgspec.json.decode(body))
            self._arrange()
        elif event == "wanted":
            told = msgspec.json.decode(body)
            self._wanted[told["source"]] = tuple(told["rids"])
            self._arrange()
        elif event == "media":
            self._media(msgspec.json.decode(body)["epoch"])
        elif event == "goodbye":
            self.socket.gone = msgspec.json.decode(body)["code"]

    def _media(self, epoch: str | None) -> None:
        """The node is another one, or the same started anew; not the first that this hall hears of."""
        if epoch is None or epoch == (self._goal or self._epoch):
            return
        if self._epoch is None or self.endpoint.joined_at is None:
            self._epoch = epoch
        else:
            self._go_to(epoch)

    def _go_to(self, epoch: str) -> None:
        if self._goal == epoch:
            return
        if self._moving is not None:
            self._moving.cancel()
        self._goal = epoch
        self._moving = asyncio.create_task(self._move(epoch), name=f"hall {self.id} moves")

    async def _move(self, epoch: str) -> None:
        """Until it is there, as a page does; when its socket goes meanwhile, the next welcome tells where to."""
        try:
            while not self.socket.gone:
                if await self._moved():
                    self._epoch = epoch
                    return
                await asyncio.sleep(_AGAIN_S)
        finally:
            if self._goal == epoch:
                self._goal = None

    async def _moved(self) -> bool:
        """Whether the second connection has become the only one."""
        coming = self.coming = self._make()
        try:
            await connect_media(self._crowd, coming, self.socket, _CONNECT_S)
            self._arrange()
            await self._crowd.until(lambda: _shows(coming) or not _shows(self.endpoint), _NO_PICTURE_S)
        except JOIN_ERRORS:
            self.coming = None
            self._crowd.remove(coming)
            return False
        except asyncio.CancelledError:
            self.coming = None
            self._crowd.remove(coming)
            raise
        old, self.endpoint, self.coming = self.endpoint, coming, None
        self._crowd.remove(old)
        self.moves += 1
        self._arrange()
        return True

    def _take(self, patch: dict[str, Any]) -> None:
        for record in patch["put"]:
            if record["kind"] == "stage":
                self._on_stage = frozenset(feed for feed in (*record["video"], *record["audio"]) if feed)

    def _arrange(self) -> None:
        """Starts and stops what is sent, once there is a connection. While there are two, nothing is stopped."""
        for endpoint in (self.endpoint, self.coming):
            if endpoint is None or endpoint.joined_at is None:
                continue
            for source, streams in endpoint.sends.items():
                rids = RIDS[: len(streams)] if len(streams) > 1 else ("",)
                for rid, stream in zip(rids, streams, strict=True):
                    if self._sends(source, rid):
                        self._crowd.start(endpoint, stream)
                    elif self.coming is None:
                        stream.stop()

    def _sends(self, source: str, rid: str) -> bool:
        if self._low and source == "camera" and rid in ("q", ""):
            return True
        wanted = self._wanted.get(source)
        return f"{self.id}/{source}" in self._on_stage if wanted is None else rid in wanted


def _shows(endpoint: Endpoint) -> bool:
    """Whether it gets a picture of the stage."""
    track = endpoint.track_of("stage.0")
    return track is not None and track.packets > 0


async def connect_media(crowd: Crowd, endpoint: Endpoint, socket: Socket, limit_s: float = _ANSWERS_S) -> None:
    """Offers, takes the answer, and waits until connected."""
    crowd.add(endpoint)
    end = time.monotonic() + limit_s
    endpoint.accept(await _offer(endpoint, socket, end), time.monotonic())
    await crowd.until(lambda: endpoint.joined_at is not None or endpoint not in crowd.endpoints, limit_s)
    if endpoint.joined_at is None:
        raise TransportFailed("not connected")


async def _offer(endpoint: Endpoint, socket: Socket, end: float) -> str:
    """The answer."""
    answer = await _until_up(lambda: socket.call("offer", {"sdp": endpoint.offer(), "slots": endpoint.slots}), end)
    return str(answer["sdp"])


async def _until_up(ask: Callable[[], Awaitable[dict[str, Any]]], end: float) -> dict[str, Any]:
    """The answer; while the server has no media node, again and again."""
    while True:
        try:
            return await ask()
        except Refused as refused:
            if str(refused) != "media_down" or time.monotonic() > end:
                raise
        await asyncio.sleep(0.2)


class Console:
    """The host's console with its tiles."""

    def __init__(self, crowd: Crowd, setting: Setting) -> None:
        self.endpoint = Endpoint(setting, 0, (*HALL_SLOTS, *(f"tile.{place}" for place in range(TILES))))
        self.socket = Socket(lambda event, body: None)
        self._crowd = crowd

    async def join(self, http: aiohttp.ClientSession, url: str, token: str, tasks: asyncio.TaskGroup) -> None:
        await self.socket.open(http, url)
        tasks.create_task(self.socket.read(), name="console")
        await self.socket.hello(token)
        await connect_media(self._crowd, self.endpoint, self.socket)

    async def show(self, halls: list[str]) -> None:
        end = time.monotonic() + _ANSWERS_S
        await _until_up(lambda: self.socket.call("tiles", {"halls": halls[:TILES]}), end)

    async def give_floor(self, hall: str) -> None:
        await self.socket.call("command", command("floor.give", hall=hall))

    async def end_meeting(self) -> None:
        await self.socket.call("command", command("meeting.close"))
