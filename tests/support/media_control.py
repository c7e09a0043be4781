"""A media node as its server sees it: the process, and a client of the control channel."""

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from media.cluster_tls import client_context
from media.control import (
    Answer,
    AnyEvent,
    AnyReply,
    AnyRequest,
    Attach,
    Attached,
    Event,
    GetStats,
    Offer,
    PeerStats,
    Reply,
    Request,
    SetStage,
    Stats,
    decode_from_node,
    encode_frame,
)

REPLY_S = 10.0
ROOT = Path(__file__).parents[2]
E = TypeVar("E", bound=AnyEvent)


class ControlClient:
    """One connection to a node. Used as a context; `events` holds every event that came."""

    def __init__(self, path: Path, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        """By the Unix socket, or with `context` by the TCP port of this machine."""
        self.path = path
        self._port, self._context = port, context
        self.events: list[AnyEvent] = []
        self._replies: dict[int, asyncio.Future[AnyReply]] = {}
        self._news = asyncio.Event()
        self._seq = 0

    async def __aenter__(self) -> "ControlClient":
        if self._context is None:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self.path))
        else:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._task
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                message = decode_from_node(await self._reader.readexactly(size))
                if isinstance(message, Reply):
                    self._replies.pop(message.seq).set_result(message.body)
                else:
                    assert isinstance(message, Event)
                    self.events.append(message.body)
                    self._news.set()
        except asyncio.IncompleteReadError:
            for future in self._replies.values():
                future.cancel()

    async def request(self, body: AnyRequest) -> AnyReply:
        self._seq += 1
        future: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        self._replies[self._seq] = future
        self._writer.write(encode_frame(Request(seq=self._seq, body=body)))
        return await asyncio.wait_for(future, REPLY_S)

    async def send_raw(self, frame: bytes) -> None:
        """A frame with any contents, without waiting for a reply."""
        self._writer.write(len(frame).to_bytes(4, "big") + frame)
        await self._writer.drain()

    async def ended(self, timeout_s: float = 5.0) -> None:
        """Until the node has closed this connection."""
        await asyncio.wait_for(asyncio.shield(self._task), timeout_s)

    async def attach(self) -> Attached:
        reply = await self.request(Attach())
        assert isinstance(reply, Attached), reply
        return reply

    async def offer(self, group: str, endpoint: str, sdp: str, slots: dict[str, str]) -> str:
        reply = await self.request(Offer(group=group, endpoint=endpoint, sdp=sdp, slots=slots))
        assert isinstance(reply, Answer), reply
        return reply.sdp

    async def stage(self, group: str, video: list[str | None], audio: list[str | None] | None = None) -> None:
        await self.request(SetStage(group=group, video=tuple(video), audio=tuple(audio or ())))

    async def stats(self) -> Stats:
        reply = await self.request(GetStats())
        assert isinstance(reply, Stats), reply
        return reply

    async def peer_stats(self, endpoint: str) -> PeerStats:
        return next(peer for peer in (await self.stats()).peers if peer.endpoint == endpoint)

    async def event(self, kind: type[E], fits: Callable[[E], bool] = lambda _: True, timeout_s: float = 10.0) -> E:
        """The first event of this kind that fits, from those that came already or are still to come."""
        async with asyncio.timeout(timeout_s):
            while True:
                self._news.clear()
                for event in self.events:
                    if isinstance(event, kind) and fits(event):
                        return event
                await self._news.wait()


class Ready(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line that a node prints."""

    port: int
    epoch: str
    pid: int
    control_port: int | None = None


@dataclass
class NodeProcess:
    process: Process
    ready: Ready
    control: Path
    log: Path

    def client(self) -> ControlClient:
        return ControlClient(self.control)

    def client_by_tcp(self, secret: str) -> ControlClient:
        assert self.ready.control_port is not None
        return ControlClient(self.control, self.ready.control_port, client_context(secret))

    async def terminate(self, timeout_s: float = 5.0) -> int:
        """SIGTERM; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), timeout_s)


@contextlib.asynccontextmanager
async def running_node(folder: Path, *options: str, secret: str = "") -> AsyncIterator[NodeProcess]:
    """A node on a free loopback port, with a `secret` also reached by TCP at one.

    It is ended with the context, and must not have logged a traceback.
    """
    control, log = folder / "node.sock", folder / "node.log"
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "media.node",
            "--control",
            str(control),
            *(options or ("--udp", "127.0.0.1:0", "--candidate", "127.0.0.1")),
            *(("--control-tcp", "127.0.0.1:0") if secret else ()),
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error", "DIEMCAU_CLUSTER_SECRET": secret},
            stdout=PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line, log.read_text()
        yield NodeProcess(process, msgspec.json.decode(line, type=Ready), control, log)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()
    assert "Traceback" not in log.read_text() and "request_failed" not in log.read_text(), log.read_text()
