"""How the server comes to a media node: one of this machine, adopted or started, or one that runs elsewhere."""

import asyncio
import contextlib
import fcntl
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from media import compiled, control
from server.logs import logger
from server.metrics import Metrics
from server.settings import Settings

CONNECT_TRIES = 100
CONNECT_PAUSE_S = 0.1
REACH_S = 0.8
"""A node of another machine that does not take a connection within this time is gone."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door(Protocol):
    async def knock(self) -> Streams:
        """A connection to a node that runs. Raises OSError or TimeoutError when none answers there."""

    async def open(self) -> Streams:
        """Have one run, where that is this server's business, and connect. Raises OSError or TimeoutError."""

    async def close(self) -> None:
        """The node was asked to end: see that it does."""


class LocalDoor:
    """A node on this machine, behind a Unix socket: it outlives the server, and the next one adopts it.

    Several server processes may share it. `more` are further arguments, `secrets` further environment of the node.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        number: int,
        more: tuple[str, ...] = (),
        secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._path = settings.media_socket(number)
        self._udp_port = settings.media_port + number if settings.media_port else 0
        self._more, self._secrets = more, secrets
        self._process: asyncio.subprocess.Process | None = None
        self._logger = logger(part="media", node=f"node{number}")

    async def knock(self) -> Streams:
        return await asyncio.open_unix_connection(str(self._path), limit=control.MAX_FRAME)

    async def open(self) -> Streams:
        with _alone(self._path.with_suffix(".lock")) as alone:
            if alone:  # else another server process is at it
                await self._start()
            for _ in range(CONNECT_TRIES):
                await asyncio.sleep(CONNECT_PAUSE_S)
                with contextlib.suppress(OSError):
                    return await self.knock()
        raise TimeoutError

    async def _start(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        arguments = ["-m", "media.node", "--control", str(self._path)]
        arguments += ["--udp", f"{self._settings.media_host}:{self._udp_port}", *self._more]
        for candidate in self._settings.media_candidates:
            arguments += ["--candidate", candidate]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **self._secrets},
        )
        self._metrics.media_restarts.inc()
        self._logger.info("media_node_started", pid=self._process.pid, compiled=compiled.in_use())

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(3):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process of this machine is in this block."""
    held = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(held)


class RemoteDoor:
    """A node of another machine, behind TLS under the cluster's secret."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._host, self._port, self._context = host, port, context

    async def knock(self) -> Streams:
        async with asyncio.timeout(REACH_S):
            return await asyncio.open_connection(
                self._host, self._port, ssl=self._context, limit=control.MAX_FRAME, ssl_handshake_timeout=REACH_S
            )

    async def open(self) -> Streams:
        return await self.knock()  # whoever runs it starts it again

    async def close(self) -> None:
        """It is not this server's."""
