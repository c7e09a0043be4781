"""The server's side of a media node: start or adopt the process, keep it running, talk to it.

The node is a process of its own and outlives the server: a server that starts finds the node of the one before by its
socket and adopts it, so pictures keep flowing over a restart.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from media import control
from server.logs import logger
from server.metrics import Metrics
from server.settings import Settings

CONNECT_TRIES = 100
CONNECT_PAUSE_S = 0.1
ANSWER_S = 5.0
RESTART_S = 0.2
RESTART_MOST_S = 5.0


class MediaDown(Exception):
    """No media node answers now."""


class MediaNode:
    """One supervised node. `epoch` names the running process, None while there is none.

    `on_attach` is called whenever a connection to a node was made (tell it the stages), `on_event` for its events,
    `on_epoch` when the epoch changed.
    """

    def __init__(self, settings: Settings, metrics: Metrics, number: int = 0) -> None:
        self.name = f"node{number}"
        self._settings = settings
        self._metrics = metrics
        self._path = settings.media_socket(number)
        self._udp_port = settings.media_port + number if settings.media_port else 0
        self._seq = itertools.count(1)
        self._pending: dict[int, asyncio.Future[control.AnyReply]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._logger = logger(part="media", node=self.name)
        self.epoch: str | None = None
        self.port: int | None = None
        self.on_attach: Callable[[control.Attached], None] = lambda attached: None
        self.on_event: Callable[[control.AnyEvent], None] = lambda event: None
        self.on_epoch: Callable[[str | None], None] = lambda epoch: None

    async def request(self, body: control.AnyRequest) -> control.AnyReply:
        """The node's reply. Raises `MediaDown` if there is no node, or it does not answer in time."""
        if self._writer is None:
            raise MediaDown
        seq = next(self._seq)
        future: asyncio.Future[control.AnyReply] = asyncio.get_running_loop().create_future()
        self._pending[seq] = future
        try:
            self._writer.write(control.encode_frame(control.Request(seq=seq, body=body)))
            async with asyncio.timeout(ANSWER_S):
                return await future
        except (TimeoutError, ConnectionError) as error:
            raise MediaDown from error
        finally:
            self._pending.pop(seq, None)

    def post(self, body: control.AnyRequest) -> None:
        """A request whose reply nobody waits for: a failure is logged. Raises `MediaDown` if there is no node."""
        if self._writer is None:
            raise MediaDown
        self._writer.write(control.encode_frame(control.Request(seq=next(self._seq), body=body)))

    async def run(self) -> None:
        """Keep a node running and connected, until cancelled."""
        pause = RESTART_S
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            try:
                await self._serve()
            except (OSError, MediaDown, msgspec.MsgspecError) as error:
                self._logger.warning("media_node_unreachable", error=type(error).__name__)
            lived = asyncio.get_running_loop().time() - began
            pause = RESTART_S if lived > 10 else min(pause * 2, RESTART_MOST_S)
            await asyncio.sleep(pause)

    async def _serve(self) -> None:
        """Adopt or start a node, and stay connected to it until the connection ends."""
        reader, writer = await self._connect()
        self._writer = writer
        reading = asyncio.create_task(self._read(reader), name="media node reader")
        try:
            attached = await self.request(control.Attach())
            if not isinstance(attached, control.Attached):
                raise MediaDown
            self._attached(attached)
            await reading
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await reading
            self._detached()
            writer.close()

    def _attached(self, attached: control.Attached) -> None:
        self._logger.info("media_node_attached", epoch=attached.epoch, endpoints=len(attached.endpoints))
        self._metrics.media_up.labels(self.name).set(1)
        self.port = attached.port
        changed = attached.epoch != self.epoch
        self.epoch = attached.epoch
        self.on_attach(attached)
        if changed:
            self.on_epoch(attached.epoch)

    def _detached(self) -> None:
        self._writer = None
        self._metrics.media_up.labels(self.name).set(0)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(MediaDown())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        path = self._path
        with contextlib.suppress(OSError):
            return await asyncio.open_unix_connection(str(path))  # the node of an earlier server
        if self.epoch is not None:
            self.epoch = None
            self.on_epoch(None)
        await self._start(path)
        for _ in range(CONNECT_TRIES):
            await asyncio.sleep(CONNECT_PAUSE_S)
            with contextlib.suppress(OSError):
                return await asyncio.open_unix_connection(str(path))
        raise MediaDown

    async def _start(self, path: Path) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        arguments = ["-m", "media.node", "--control", str(path)]
        arguments += ["--udp", f"{self._settings.media_host}:{self._udp_port}"]
        for candidate in self._settings.media_candidates:
            arguments += ["--candidate", candidate]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        self._metrics.media_restarts.inc()
        self._logger.info("media_node_started", pid=self._process.pid)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand replies to whoever waits and events to `on_event`, until the connection ends."""
        while True:
            try:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > control.MAX_FRAME:
                    raise MediaDown
                message = control.decode_from_node(await reader.readexactly(size))
            except asyncio.IncompleteReadError:
                return
            if isinstance(message, control.Event):
                self.on_event(message.body)
            else:
                future = self._pending.get(message.seq)
                if future is not None and not future.done():
                    future.set_result(message.body)
                elif future is None and isinstance(message.body, control.Failed):
                    self._logger.warning("order_failed", code=message.body.code, detail=message.body.detail)

    async def stop(self) -> None:
        """End the node, unless another server has it: the whole product is shutting down."""
        self._stopping = True
        with contextlib.suppress(MediaDown):
            await self.request(control.Shutdown(if_last=True))
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(3):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
