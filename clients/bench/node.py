"""Our media node as the subject: the real process, driven over its control socket."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from clients.bench.subject import SubjectFailed
from clients.rehearsal.endpoint import Endpoint, Setting
from clients.rehearsal.process import log_tail, running
from media.control import (
    Answer,
    AnyReply,
    AnyRequest,
    Attach,
    Offer,
    Reply,
    Request,
    SetStage,
    decode_from_node,
    encode_frame,
)

GROUP = "bench"
PUBLISHER = "publisher"
_READY_S = 20.0
_REPLY_S = 10.0


class Node:
    """One request at a time; events are read over."""

    name = "diemcau"

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader, self._writer = reader, writer
        self._seq = 0
        self._free = asyncio.Lock()

    def setting(self, setting: Setting) -> Setting:
        return setting

    async def request(self, body: AnyRequest) -> AnyReply:
        async with self._free, asyncio.timeout(_REPLY_S):
            self._seq += 1
            self._writer.write(encode_frame(Request(seq=self._seq, body=body)))
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                message = decode_from_node(await self._reader.readexactly(size))
                if isinstance(message, Reply) and message.seq == self._seq:
                    return message.body

    async def _offer(self, endpoint: Endpoint, name: str) -> None:
        reply = await self.request(Offer(group=GROUP, endpoint=name, sdp=endpoint.offer(), slots=endpoint.slots))
        if not isinstance(reply, Answer):
            raise SubjectFailed(f"the node refused an offer: {reply}")
        endpoint.accept(reply.sdp, time.monotonic())

    async def publish(self, endpoint: Endpoint) -> None:
        await self.request(SetStage(group=GROUP, video=(f"{PUBLISHER}/camera", None), audio=()))
        await self._offer(endpoint, PUBLISHER)

    async def subscribe(self, endpoint: Endpoint) -> None:
        await self._offer(endpoint, f"h{endpoint.number}")


@contextlib.asynccontextmanager
async def running_node(folder: Path) -> AsyncIterator[Node]:
    control, log = folder / "node.sock", folder / "node.log"
    options = ["--control", str(control), "--udp", "127.0.0.1:0", "--candidate", "127.0.0.1"]
    command = (sys.executable, "-m", "media.node", *options)
    async with running(*command, log=log, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            ready = await asyncio.wait_for(process.stdout.readline(), _READY_S)
        except TimeoutError:
            ready = b""
        if not ready:
            raise SubjectFailed(f"the media node did not start:\n{log_tail(log)}")
        reader, writer = await asyncio.open_unix_connection(str(control))
        try:
            node = Node(process.pid, reader, writer)
            await node.request(Attach())
            yield node
        finally:
            writer.close()
