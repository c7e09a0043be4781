"""A control socket between a server and a real media node: it passes everything on, and can say more to the server.

So a test makes the node "say" what is hard to bring about, while peers, packets and statistics stay real.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from media import control
from tests.support.media_control import NodeProcess, running_node


class ControlTap:
    """`withheld`: types of the node's own events that the server is not to see. `asked` counts requests by type.

    A server that shuts the node down loses its connection only: the next server finds the node as it was.
    """

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.withheld: tuple[type[control.ControlMessage], ...] = ()
        self.asked: dict[str, int] = {}
        self._server: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._attached = asyncio.Event()

    def say(self, body: control.AnyEvent) -> None:
        """Send the server an event as if the node had."""
        assert self._server is not None, "no server is connected"
        self._server.write(control.encode_frame(control.Event(body=body)))

    async def attached(self) -> None:
        """Until a server is connected."""
        async with asyncio.timeout(10):
            await self._attached.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a server, until either side ends it."""
        node_reader, node_writer = await asyncio.open_unix_connection(str(self.node.control))
        self._server = writer
        self._attached.set()
        down = asyncio.create_task(self._to_server(node_reader, writer))
        self._tasks.add(down)
        try:
            while True:
                frame = await _frame(reader)
                request = control.decode_request(frame).body
                if isinstance(request, control.Shutdown):
                    break
                kind = type(request).__name__
                self.asked[kind] = self.asked.get(kind, 0) + 1
                node_writer.write(len(frame).to_bytes(4, "big") + frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            node_writer.close()
            down.cancel()
            writer.close()

    async def _to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _frame(reader)
                message = control.decode_from_node(frame)
                if not (isinstance(message, control.Event) and isinstance(message.body, self.withheld)):
                    writer.write(len(frame).to_bytes(4, "big") + frame)
        writer.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return await reader.readexactly(size)


@contextlib.asynccontextmanager
async def tapped_node(data: Path) -> AsyncIterator[ControlTap]:
    """A real node that a server with this data folder adopts through the tap."""
    data.mkdir(parents=True, exist_ok=True)
    async with running_node(data) as node:
        tap = ControlTap(node)
        listening = await asyncio.start_unix_server(tap.serve, str(data / "media.sock"))
        try:
            yield tap
        finally:
            listening.close()
