"""Where servers come in: a Unix socket of this machine, and a TCP port for others of the cluster.

At the port anybody may knock: handshakes are few at a time and short, the oldest unfinished one makes way, and nobody
is heard before TLS has shown that it knows the cluster's secret (media.cluster_tls).
"""

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from media.control import MAX_FRAME

HANDSHAKE_S = 3.0
MOST_HANDSHAKES = 32
_BACKLOG = 64

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TcpDoor:
    """Listens from the start. `run` serves until it is cancelled; `close` at the end."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, serve: Serve) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._context = context
        self._serve = serve
        self._shaking: dict[asyncio.Task[None], None] = {}
        self.port: int = self._listener.getsockname()[1]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError:  # it was gone before it was taken, or there are too many files
                await asyncio.sleep(0.1)
                continue
            if len(self._shaking) >= MOST_HANDSHAKES:
                next(iter(self._shaking)).cancel()
            task = asyncio.create_task(self._shake(accepted), name="control handshake")
            self._shaking[task] = None
            task.add_done_callback(lambda done: self._shaking.pop(done, None))

    async def _shake(self, accepted: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=MAX_FRAME)
        protocol = asyncio.StreamReaderProtocol(reader, self._serve)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(HANDSHAKE_S):
                    await asyncio.get_running_loop().connect_accepted_socket(
                        lambda: protocol, accepted, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                    )
        except asyncio.CancelledError:
            accepted.close()
            raise

    def close(self) -> None:
        for task in self._shaking:
            task.cancel()
        self._listener.close()


def remove_stale(path: Path) -> None:
    """A socket file that nobody listens on any more. Raises OSError when somebody does, or when it is no socket."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise FileExistsError(f"{path} is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(f"{path} is in use")
