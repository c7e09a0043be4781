"""A bad line: a network namespace whose only way out loses, delays and narrows packets as a test says, while it runs.

Between the namespace and the machine stand two TUN devices and a router of ours (tests.support.line_router), which
carries each IP packet from one to the other: what `tc netem` and `tbf` do, on kernels without them. The line needs
root. Nothing of it outlives the test: the devices end with their descriptors, namespace and router with this process.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.line_router import Way, shared_ways

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
PROGRAMS = ("ip", "nsenter", "unshare", "setpriv")


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
        self.down.restore()
        self.up.restore()


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
async def _router(near: int, far: int, memory: int, seed: int) -> AsyncIterator[None]:
    router = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.support.line_router"),
        *(str(number) for number in (near, far, memory, seed)),
        pass_fds=(near, far, memory),
        cwd=Path(__file__).parents[2],
    )
    try:
        yield
        assert router.returncode is None, "the router ended"
    finally:
        if router.returncode is None:
            router.kill()
        await router.wait()


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
        memory, (down, up) = shared_ways()
        stack.callback(os.close, memory)
        line = BadLine(near, far, down, up, namespace)
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
        async with _router(descriptors[0], descriptors[1], memory, seed):
            yield line
