"""The server's side of a media node: stay connected to it, talk to it, notice when it is gone.

The node is a process of its own and outlives the server: a server that starts finds the node of the one before and
adopts it, so pictures keep flowing over a restart. Other servers may be connected to it too.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import msgspec

from media import control
from server.logs import logger
from server.media_doors import Door, Streams
from server.metrics import Metrics

ANSWER_S = 5.0
ATTACH_S = 2.0
RESTART_S, RESTART_MOST_S = 0.2, 5.0
STEADY_S = 10.0
PING_S = 0.25
SILENT_PINGS = 4
"""So many pings without a word from the node: it is stuck, or the line is. Counted, not timed: a server that was stuck
itself must not blame the node."""


class MediaDown(Exception):
    """No media node answers now."""


class MediaNode:
    """One node. `epoch` names the running process, None while there is none; `host` is where other nodes reach it,
    `district` the one that it stands in ("" in the centre), `load` the share of its core that it uses.

    `on_attach` is called whenever a connection to a node was made (tell it the stages), `on_event` for its events,
    `on_epoch` when the epoch changed, `on_refused` when it says that trunks are another server's business.
    """

    def __init__(self, name: str, host: str, door: Door, metrics: Metrics, district: str = "") -> None:
        self.name = name
        self.host = host
        self.district = district
        self.load = 0.0
        self.draining = False
        self.epoch: str | None = None
        self.port: int | None = None
        self.charge: int | None = None
        self.listens = True
        self.on_attach: Callable[[control.Attached], None] = lambda attached: None
        self.on_event: Callable[[control.AnyEvent], None] = lambda event: None
        self.on_epoch: Callable[[str | None], None] = lambda epoch: None
        self.on_refused: Callable[[], None] = lambda: None
        self._door = door
        self._metrics = metrics
        self._seq = itertools.count(1)
        self._pending: dict[int, asyncio.Future[control.AnyReply]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._unheard = 0
        self._pause_s = 0.0
        self._stopping = False
        self._logger = logger(part="media", node=name)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def request(self, body: control.AnyRequest, limit_s: float = ANSWER_S) -> control.AnyReply:
        """The node's reply. Raises `MediaDown` if there is no node, or it does not answer in time."""
        if self._writer is None:
            raise MediaDown
        seq = next(self._seq)
        future: asyncio.Future[control.AnyReply] = asyncio.get_running_loop().create_future()
        self._pending[seq] = future
        try:
            self._writer.write(control.encode_frame(control.Request(seq=seq, body=body)))
            async with asyncio.timeout(limit_s):
                return await future
        except (TimeoutError, OSError) as error:
            raise MediaDown from error
        finally:
            self._pending.pop(seq, None)

    def post(self, body: control.AnyRequest) -> None:
        """A request whose reply nobody waits for: a failure is logged. Raises `MediaDown` if there is no node."""
        if self._writer is None:
            raise MediaDown
        self._writer.write(control.encode_frame(control.Request(seq=next(self._seq), body=body)))

    @property
    def up(self) -> bool:
        return self.epoch is not None

    def take_charge(self, charge: int | None) -> None:
        """Whether and under which number the trunks are this server's business; see `media.control.Attach`."""
        self.charge = charge
        with contextlib.suppress(MediaDown):  # it is told when it is attached again
            self.post(self._attach())

    def _attach(self) -> control.Attach:
        return control.Attach(listens=self.listens, charge=self.charge)

    # -- the connection ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a node running and connected, until cancelled."""
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(await self._connect())
            except (OSError, TimeoutError, MediaDown, msgspec.MsgspecError) as error:
                self._logger.warning("media_node_unreachable", error=type(error).__name__)
            if asyncio.get_running_loop().time() - began > STEADY_S:
                self._pause_s = 0.0

    async def _connect(self) -> Streams:
        try:
            return await self._door.knock()  # also the node of an earlier server
        except (OSError, TimeoutError):
            self._lost()
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(max(2 * self._pause_s, RESTART_S), RESTART_MOST_S)
        return await self._door.open()

    def _lost(self) -> None:
        if self.epoch is not None:
            self._logger.warning("media_node_gone", epoch=self.epoch)
            self.epoch = None
            self.on_epoch(None)

    async def _serve(self, streams: Streams) -> None:
        """Stay connected until the connection ends or falls silent."""
        reader, self._writer = streams
        self._unheard = 0
        reading = asyncio.create_task(self._read(reader), name=f"media {self.name} reader")
        reading.add_done_callback(lambda ended: self._fail_pending())
        pinging = asyncio.create_task(self._ping(), name=f"media {self.name} pings")
        try:
            if not isinstance(await self.request(self._attach(), ATTACH_S), control.Attached):
                raise MediaDown
            await asyncio.wait((reading, pinging), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        except MediaDown:
            self._lost()  # it takes connections and does not answer
            raise
        finally:
            for task in (reading, pinging):
                task.cancel()
            await asyncio.gather(reading, pinging, return_exceptions=True)
            self._detached()

    async def _ping(self) -> None:
        """Until the node has been silent for too long."""
        while self._unheard < SILENT_PINGS:
            self._unheard += 1
            with contextlib.suppress(MediaDown):
                self.post(control.Ping())
            await asyncio.sleep(PING_S)
        self._logger.warning("media_node_silent")

    def _attached(self, attached: control.Attached) -> None:
        self._logger.info("media_node_attached", epoch=attached.epoch, endpoints=len(attached.endpoints))
        self._metrics.media_up.labels(self.name).set(1)
        self.port = attached.port
        self.draining = attached.draining
        changed = attached.epoch != self.epoch
        if changed and self.epoch is not None:
            self._lost()  # another process is in its place
        self.epoch = attached.epoch
        self.on_attach(attached)
        if changed:
            self.on_epoch(attached.epoch)

    def _detached(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = None
        self._metrics.media_up.labels(self.name).set(0)
        self._fail_pending()

    def _fail_pending(self) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(MediaDown())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand replies to whoever waits and events to `on_event`, until the connection ends."""
        while True:
            try:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > control.MAX_FRAME:
                    raise MediaDown
                frame = await reader.readexactly(size)
            except asyncio.IncompleteReadError:
                return
            self._unheard = 0
            try:
                message = control.decode_from_node(frame)
            except msgspec.DecodeError:  # a newer node tells what we do not know
                self._logger.info("message_passed_over", size=size)
                continue
            if isinstance(message, control.Event):
                if isinstance(message.body, control.DrainingChanged):
                    self.draining = message.body.draining
                self.on_event(message.body)
            else:
                self._answered(message)

    def _answered(self, reply: control.Reply) -> None:
        if isinstance(reply.body, control.Attached):
            self._attached(reply.body)  # here: the events behind it are newer
        future = self._pending.get(reply.seq)
        if future is not None and not future.done():
            future.set_result(reply.body)
        elif isinstance(reply.body, control.Failed) and reply.body.code == "not_in_charge":
            self.on_refused()
        elif future is None and isinstance(reply.body, control.Failed):
            self._logger.warning("order_failed", code=reply.body.code, detail=reply.body.detail)

    async def stop(self, *, if_last: bool = True) -> None:
        """End the node, `if_last` only when no other server has it."""
        self._stopping = True
        with contextlib.suppress(MediaDown):
            reply = await self.request(control.Shutdown(if_last=if_last))
            if isinstance(reply, control.Failed):
                self._logger.info("media_node_kept")
                return
        await self._door.close()

    def leave(self) -> None:
        """Let go of it: it goes on without this server."""
        self._stopping = True
        if self._writer is not None:
            self._writer.close()
