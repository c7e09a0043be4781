"""A bad line: a network namespace whose only way out loses, delays and narrows packets as a test says, while it runs.

Between the namespace and the machine stand two TUN devices and this router, which carries each IP packet from one to
the other: what `tc netem` and `tbf` do, on kernels without them. The line needs root. Nothing of it outlives the test:
the devices end with their file descriptors, the namespace with its holder, and the holder with this process.
"""

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_MOST_PACKET = 65535
_BATCH = 64
_UDP = 17
PROGRAMS = ("ip", "nsenter", "unshare", "setpriv")


@dataclass
class Way:
    """One direction. Everything may be changed at any time; it holds for packets that come from then on.

    `loss` is the share of packets lost, each by itself; `rate_bps` (0: unlimited) counts IP packets, and what would
    have to wait longer than `queue_s` for its turn is dropped (tail drop); then `delay_s` passes. Order is kept.
    """

    dice: random.Random
    loss: float = 0.0
    delay_s: float = 0.0
    rate_bps: float = 0.0
    queue_s: float = 0.3
    udp: bool = True
    carried: int = 0
    lost: int = 0
    overflowed: int = 0
    _free_at: float = 0.0
    _last_at: float = 0.0

    def arrival(self, packet: bytes, now: float) -> float | None:
        """When a packet sent now arrives; None if it does not."""
        if (not self.udp and _protocol(packet) == _UDP) or (self.loss and self.dice.random() < self.loss):
            self.lost += 1
            return None
        out_at = now
        if self.rate_bps:
            begins_at = max(now, self._free_at)
            if begins_at - now > self.queue_s:
                self.overflowed += 1
                return None
            out_at = self._free_at = begins_at + len(packet) * 8 / self.rate_bps
        self.carried += 1
        self._last_at = max(self._last_at, out_at + self.delay_s)
        return self._last_at


def _protocol(packet: bytes) -> int:
    """The protocol number of an IPv4 packet; of IPv6 the first header's."""
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


class _Pipe:
    """Carries what is read from one device to the other, by its way."""

    def __init__(self, source: int, target: int, way: Way) -> None:
        self._source, self._target, self._way = source, target, way
        self._loop = asyncio.get_running_loop()
        self._travelling: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(source, self._read)

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                packet = os.read(self._source, _MOST_PACKET)
            except BlockingIOError:
                break
            at = self._way.arrival(packet, self._loop.time())
            if at is not None:
                self._travelling.append((at, packet))
        self._deliver()

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._travelling and self._travelling[0][0] <= self._loop.time() + 0.0005:
            with contextlib.suppress(OSError):  # the device is down already
                os.write(self._target, self._travelling.popleft()[1])
        if self._travelling:
            self._timer = self._loop.call_at(self._travelling[0][0], self._deliver)

    def close(self) -> None:
        self._loop.remove_reader(self._source)
        if self._timer is not None:
            self._timer.cancel()


@dataclass
class BadLine:
    """`far` is the namespace's address, `near` this machine's as seen from there. `down` leads to the namespace."""

    near: str
    far: str
    down: Way
    up: Way
    namespace: str

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command, to be run in the namespace."""
        return ("nsenter", f"--net={self.namespace}", "--", *command)

    def program(self, folder: Path, path: str) -> str:
        """A program that runs the one at `path` in the namespace, for whoever takes a path only."""
        script = folder / f"inside-{Path(path).name}"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self.inside(path))} "$@"\n')
        script.chmod(0o755)
        return str(script)

    def restore(self) -> None:
        """A good line again."""
        for way in (self.down, self.up):
            way.loss, way.delay_s, way.rate_bps, way.udp = 0.0, 0.0, 0.0, True


def _require() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    assert not missing, f"bad lines need {', '.join(missing)}: docker/debian-packages.sh test"
    assert os.geteuid() == 0, "bad lines need root, for a network namespace and its devices: run the tests as root"
    assert Path("/dev/net/tun").exists(), "bad lines need /dev/net/tun: modprobe tun (in a container: --device)"


def _tun(name: str) -> int:
    """A new TUN device; it ends when the descriptor is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {said.decode()}"


def _addresses() -> tuple[str, str]:
    """Two neighbours of RFC 2544's range for tests of networks, by the process."""
    block = (198 << 24 | 18 << 16) + 4 * (os.getpid() % 32768)
    near, far = (".".join(str(n) for n in (block + place).to_bytes(4, "big")) for place in (1, 2))
    return near, far


@contextlib.asynccontextmanager
async def _namespace() -> AsyncIterator[str]:
    """A network namespace, as the file that names it; it ends with its holder."""
    holder = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"ready\n", "no network namespace could be made"
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.kill()
        await holder.wait()


@contextlib.asynccontextmanager
async def bad_line(seed: int = 1) -> AsyncIterator[BadLine]:
    """A line that is good until its ways are changed. The dice of both ways come from the seed."""
    _require()
    near, far = _addresses()
    names = f"line{os.getpid() % 32768}n", f"line{os.getpid() % 32768}f"
    async with _namespace() as namespace, contextlib.AsyncExitStack() as stack:
        descriptors = []
        for name in names:
            descriptors.append(_tun(name))
            stack.callback(os.close, descriptors[-1])
        line = BadLine(near, far, Way(random.Random(seed)), Way(random.Random(seed + 1)), namespace)
        await _run("ip", "addr", "add", f"{near}/30", "dev", names[0])
        await _run("ip", "link", "set", names[0], "up")
        await _run("ip", "link", "set", names[1], "netns", namespace.split("/")[2])
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{far}/30", "dev", names[1]),
            ("link", "set", names[1], "up"),
            ("route", "add", "default", "via", near),
        ):
            await _run(*line.inside("ip", *words))
        for source, target, way in ((0, 1, line.down), (1, 0, line.up)):
            stack.callback(_Pipe(descriptors[source], descriptors[target], way).close)
        yield line
