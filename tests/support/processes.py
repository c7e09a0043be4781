"""The product as a process of its own, started and killed as an operator would."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running `diemcau run`. `lines` is what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, media_port: int, data: Path) -> None:
        self.process = process
        self.port = port
        self.media_port = media_port
        self.data = data
        self.url = f"http://localhost:{port}"
        self.lines: list[str] = []

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())

    async def ready(self) -> None:
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            while True:
                assert self.process.returncode is None, "the server ended"
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)

    async def link(self, label: str) -> str:
        """The address printed on the line with this label."""
        for _ in range(1200):
            for line in self.lines:
                if label in line:
                    return line.split()[-1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no line with {label!r} was printed")

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            async with asyncio.timeout(20):
                await self.process.wait()


@asynccontextmanager
async def server_process(
    data: Path, port: int, media_port: int, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """Started, ready, and stopped at the end with its media node."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server", "run", "--data", str(data), "--host", "127.0.0.1", "--port", str(port)),
        *("--media-port", str(media_port), *options),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
    server = Server(process, port, media_port, data)
    reading = asyncio.create_task(server.read())
    try:
        await server.ready()
        yield server
    finally:
        await server.stop()
        await reading
        kill_media_node(data)


def kill_media_node(data: Path) -> bool:
    """Kill the media node whose socket is in this folder, if one runs; whether it did."""
    pid = media_node_pid(data)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def media_node_pid(data: Path) -> int | None:
    wanted = str(data / "media.sock").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"media.node" in words and wanted in words:
                    return int(entry.name)
    return None
