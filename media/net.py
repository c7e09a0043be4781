"""The UDP socket and the timer: where the node touches the event loop.

Datagrams are read in batches as they come and handed on in the same call, without a task or an await; after each batch
what came of it is flushed. Datagrams to one address go out as one run where the kernel segments them (UDP_SEGMENT,
since Linux 4.18). What the kernel does not take is dropped and counted, as a network would.
"""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable, Generator

from media.lane import Address, SendRun

_BATCH = 16
_MAX_DATAGRAM = 2048
_BUFFER = 16 * 1024 * 1024
TICK_S = 0.05
_PAUSE_S = 0.003
FLUSH_S = 0.002
_UDP_SEGMENT = 103
_UNABLE = frozenset((errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP))
_MOST_REFUSED = 8


class UdpSocket:
    """One bound UDP socket of either family. `close` it in the end."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self.unsent = 0
        self._segmenting: dict[int, list[tuple[int, int, bytes]]] = {}
        self._refused = 0
        self._cutting = False
        self._late: asyncio.TimerHandle | None = None
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

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        """Datagrams in a row, each `segment` bytes long, the last perhaps shorter. Whether the kernel took them all."""
        try:
            if len(data) <= segment:
                self._socket.sendto(data, address)
            elif self._refused < _MOST_REFUSED:
                ancillary = self._segmenting.get(segment)
                if ancillary is None:
                    ancillary = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("H", segment))]
                    self._segmenting[segment] = ancillary
                self._socket.sendmsg((data,), ancillary, 0, address)
                self._refused = 0
            else:
                return self._send_each(data, segment, address)
        except OSError as error:  # the buffer is full, or there is no way there (any more)
            if error.errno in _UNABLE and len(data) > segment:
                taken = self._send_each(data, segment, address)
                if taken:  # a kernel or a device that cannot segment, if it is so each time; a narrow path is not
                    self._refused += 1
                return taken
            self.unsent += -(-len(data) // segment)
            return False
        return True

    def begin_runs(self, segment: int) -> SendRun | None:
        """See media.lane.Outlet. Until `end_runs` the socket cuts up whatever is longer than a segment."""
        if segment:
            if self._refused >= _MOST_REFUSED:
                return None
            try:
                self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, segment)
            except OSError:
                self._refused = _MOST_REFUSED
                return None
            self._cutting = True
        return self._socket.sendto

    def end_runs(self, *, worked: bool) -> None:
        if self._cutting:
            self._cutting = False
            if worked:
                self._refused = 0
            self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)

    def _send_each(self, data: bytes, segment: int, address: Address) -> bool:
        for start in range(0, len(data), segment):
            try:
                self._socket.sendto(data[start : start + segment], address)
            except OSError:
                self.unsent += -(-(len(data) - start) // segment)
                return False
        return True

    def start(self, receive: Callable[[bytes, Address, float], None], flush: Callable[[float], bool]) -> None:
        """From now on every datagram goes to `receive` with its source and the time.

        `flush` is called after each batch; while it says that something is held still, again two milliseconds later.
        """
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read, receive, flush)

    def _read(self, receive: Callable[[bytes, Address, float], None], flush: Callable[[float], bool]) -> None:
        recvfrom, clock = self._socket.recvfrom, time.monotonic
        for _ in range(_BATCH):
            try:
                datagram, address = recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:  # a report of an earlier send that failed
                continue
            receive(datagram, address[:2], clock())
        self._flush(flush)

    def _flush(self, flush: Callable[[float], bool]) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if flush(time.monotonic()):
            self._late = asyncio.get_running_loop().call_later(FLUSH_S, self._flush, flush)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()


Ticking = Generator[None, float, None]
"""What is done at a tick, with pauses in which packets are served; it is sent the time after each."""


async def every_tick(tick: Callable[[float], Ticking]) -> None:
    """Runs `tick` some twenty times a second until cancelled; what it raises ends it."""
    while True:
        began = time.monotonic()
        steps = tick(began)
        try:
            next(steps)
            while True:
                await asyncio.sleep(_PAUSE_S)
                steps.send(time.monotonic())
        except StopIteration:
            await asyncio.sleep(max(0.0, began + TICK_S - time.monotonic()))
