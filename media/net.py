"""The UDP socket and the timer: where the node touches the event loop.

Datagrams are read in batches as they come and handed on in the same call, without a task or an await; sending happens
at once, and what the kernel does not take is dropped and counted, as a network would.
"""

import asyncio
import socket
import time
from collections.abc import Callable

from media.peer import Address

_BATCH = 128
_MAX_DATAGRAM = 2048
_BUFFER = 16 * 1024 * 1024
TICK_S = 0.05


class UdpSocket:
    """One bound UDP socket of either family. `close` it in the end."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self.unsent = 0
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]

    def send(self, datagram: bytes, address: Address) -> None:
        try:
            self._socket.sendto(datagram, address)
        except OSError:  # the buffer is full, or there is no way there (any more)
            self.unsent += 1

    def start(self, receive: Callable[[bytes, Address, float], None]) -> None:
        """From now on every datagram goes to `receive` with its source and the time."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read, receive)

    def _read(self, receive: Callable[[bytes, Address, float], None]) -> None:
        recvfrom = self._socket.recvfrom
        for _ in range(_BATCH):
            try:
                datagram, address = recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # a report of an earlier send that failed
                continue
            receive(datagram, address[:2], time.monotonic())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()


async def every_tick(tick: Callable[[float], None]) -> None:
    """Calls `tick` some twenty times a second until cancelled; what it raises ends it."""
    while True:
        tick(time.monotonic())
        await asyncio.sleep(TICK_S)
