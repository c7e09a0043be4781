"""A proxy before the server as some networks have one: it may refuse websockets. It counts what it carries."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BLOCK = 65_536


class WebProxy:
    """`down` and `up` are the bytes carried, HTTP included; `refused` counts the websockets not let through."""

    def __init__(self, server_port: int, websockets: bool) -> None:
        self._server_port = server_port
        self.websockets = websockets
        self.port = 0
        self.down = 0
        self.up = 0
        self.refused = 0
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End all connections."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, beyond = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, beyond}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry_up(reader, writer, beyond))
                tasks.create_task(self._carry_down(there, writer))
        except* OSError:
            pass
        finally:
            self._open -= {writer, beyond}
            beyond.close()
            writer.close()

    async def _carry_up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, beyond: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(BLOCK):
            if not self.websockets and b"\r\nupgrade: websocket\r\n" in data.lower():
                self.refused += 1
                writer.write(REFUSAL)
                break
            self.up += len(data)
            beyond.write(data)
            await beyond.drain()
        with contextlib.suppress(OSError):
            beyond.write_eof()

    async def _carry_down(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(BLOCK):
            self.down += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def web_proxy(server_port: int, *, websockets: bool = True) -> AsyncIterator[WebProxy]:
    proxy = WebProxy(server_port, websockets)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        proxy.cut()
