"""A real Redis on a free port of the loopback, that can be stopped, started again, and made slow."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.processes import free_port


class RedisServer:
    """`url` stays the same whether it runs or not. It keeps nothing over a restart."""

    def __init__(self, folder: Path, port: int, bind: str = "127.0.0.1") -> None:
        self.port = port
        self.url = f"redis://{bind}:{port}/0"
        self._bind = bind
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: docker/debian-packages.sh test"
        self._process = await asyncio.create_subprocess_exec(
            *(
                program,
                "--port",
                str(self.port),
                "--bind",
                self._bind,
                "--protected-mode",
                "no",
                "--dir",
                str(self._folder),
            ),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            while not await self._answers():
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(self._bind, self.port)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
                await writer.wait_closed()
        return False

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def redis_server(folder: Path, bind: str = "127.0.0.1") -> AsyncIterator[RedisServer]:
    server = RedisServer(folder, free_port(), bind)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class SlowWay:
    """A way to a server on this machine that holds everything up by `delay_s`, in both directions.

    With `stuck` nothing passes, and nobody is told: the connections stay open.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.stuck = False
        self._to_port = to_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
            try:
                await asyncio.gather(self._carry(reader, onward), self._carry(there, writer))
            finally:
                onward.transport.abort()
        except OSError:
            pass  # the server is not there
        finally:
            writer.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(source, queue))
            tasks.create_task(self._pass_on(queue, sink))

    async def _take(self, source: asyncio.StreamReader, queue: "asyncio.Queue[tuple[float, bytes]]") -> None:
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = await source.read(65536)
            queue.put_nowait((loop.time() + self.delay_s, data))

    async def _pass_on(self, queue: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            while self.stuck:
                await asyncio.sleep(0.05)
            if not data:
                sink.close()
                return
            sink.write(data)

    async def __aenter__(self) -> "SlowWay":
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the transports report their end
