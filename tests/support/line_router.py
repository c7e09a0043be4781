"""The router of a bad line, a process of its own: `python -m tests.support.line_router NEAR FAR MEMORY SEED`.

NEAR and FAR are descriptors of TUN devices, MEMORY one of the two ways that both processes see. Its own process, before
others where the machine allows: a router that wakes late makes jitter, and browsers take jitter for a full line.
"""

import contextlib
import ctypes
import mmap
import os
import random
import select
import sys
import time
from collections import deque

_MOST_PACKET = 65535
_BATCH = 64
_UDP = 17


class Way(ctypes.Structure):
    """One direction. Everything may be changed at any time; it holds for packets that come from then on.

    `loss` is the share of packets lost, each by itself; `rate_bps` (0: unlimited) counts IP packets, and what would
    have to wait longer than `queue_s` for its turn is dropped (tail drop); then `delay_s` passes. `no_udp` blocks UDP.
    Order is kept. `carried`, `lost` (or blocked) and `overflowed` count packets.
    """

    loss: float
    delay_s: float
    rate_bps: float
    queue_s: float
    no_udp: bool
    carried: int
    lost: int
    overflowed: int
    _fields_ = (
        ("loss", ctypes.c_double),
        ("delay_s", ctypes.c_double),
        ("rate_bps", ctypes.c_double),
        ("queue_s", ctypes.c_double),
        ("no_udp", ctypes.c_bool),
        ("carried", ctypes.c_longlong),
        ("lost", ctypes.c_longlong),
        ("overflowed", ctypes.c_longlong),
    )

    def restore(self) -> None:
        """A good line again."""
        self.loss, self.delay_s, self.rate_bps, self.queue_s, self.no_udp = 0.0, 0.0, 0.0, 0.3, False


def shared_ways() -> tuple[int, tuple[Way, Way]]:
    """Memory for two ways, to be handed to the router, and the ways in it, good."""
    memory = os.memfd_create("ways")
    os.truncate(memory, mmap.PAGESIZE)
    ways = _ways_in(memory)
    for way in ways:
        way.restore()
    return memory, ways


def _ways_in(memory: int) -> tuple[Way, Way]:
    area = mmap.mmap(memory, mmap.PAGESIZE)
    return Way.from_buffer(area), Way.from_buffer(area, ctypes.sizeof(Way))


class Traffic:
    """What is on one way."""

    def __init__(self, way: Way, seed: int) -> None:
        self._way = way
        self._dice = random.Random(seed)
        self._free_at = 0.0
        self._last_at = 0.0

    def arrival(self, packet: bytes, now: float) -> float | None:
        """When a packet sent now arrives; None if it does not."""
        way = self._way
        if (way.no_udp and _protocol(packet) == _UDP) or (way.loss and self._dice.random() < way.loss):
            way.lost += 1
            return None
        out_at = now
        if way.rate_bps:
            begins_at = max(now, self._free_at)
            if begins_at - now > way.queue_s:
                way.overflowed += 1
                return None
            out_at = self._free_at = begins_at + len(packet) * 8 / way.rate_bps
        way.carried += 1
        self._last_at = max(self._last_at, out_at + way.delay_s)
        return self._last_at


def _protocol(packet: bytes) -> int:
    """The protocol number of an IPv4 packet; of IPv6 the first header's."""
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


class _Pipe:
    """Carries what is read from one device to the other."""

    def __init__(self, source: int, target: int, traffic: Traffic) -> None:
        self.source, self._target, self._traffic = source, target, traffic
        self._travelling: deque[tuple[float, bytes]] = deque()

    def read(self) -> None:
        for _ in range(_BATCH):
            try:
                packet = os.read(self.source, _MOST_PACKET)
            except BlockingIOError:
                return
            at = self._traffic.arrival(packet, time.monotonic())
            if at is not None:
                self._travelling.append((at, packet))

    def deliver(self, now: float) -> float | None:
        """Lets arrive what is due; when the next one is."""
        while self._travelling and self._travelling[0][0] <= now:
            with contextlib.suppress(OSError):  # the device is down already
                os.write(self._target, self._travelling.popleft()[1])
        return self._travelling[0][0] if self._travelling else None


def route(near: int, far: int, ways: tuple[Way, Way], seed: int) -> None:
    """For ever."""
    down, up = ways
    pipes = (_Pipe(near, far, Traffic(down, seed)), _Pipe(far, near, Traffic(up, seed + 1)))
    by_source = {pipe.source: pipe for pipe in pipes}
    while True:
        now = time.monotonic()
        due = [at for pipe in pipes if (at := pipe.deliver(now)) is not None]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        for source in select.select(list(by_source), (), (), wait_s)[0]:
            by_source[source].read()


def main() -> None:
    near, far, memory, seed = (int(word) for word in sys.argv[1:])
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    route(near, far, _ways_in(memory), seed)


if __name__ == "__main__":
    main()
