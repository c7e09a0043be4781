"""Debian's coturn as the relay, run from the configuration that we ship for it."""

import asyncio
import contextlib
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import write_certificate
from tests.support.processes import free_port

SHIPPED = Path(__file__).parents[2] / "docker" / "turnserver.conf"


@dataclass
class Relay:
    """A running relay. `certificate` is what its TLS shows, in localhost's name."""

    address: str
    port: int
    tls_port: int
    secret: str
    certificate: Path
    log: Path
    process: Process

    def url(self, transport: str) -> str:
        """Its address for `udp`, `tcp` or `tls`."""
        if transport == "tls":
            return f"turns:{self.address}:{self.tls_port}?transport=tcp"
        return f"turn:{self.address}:{self.port}?transport={transport}"


def configuration(values: dict[str, str]) -> str:
    """The shipped file with these values changed; every one of them must be in it."""
    lines = []
    left = dict(values)
    for line in SHIPPED.read_text("utf-8").splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    assert not left, f"not in the shipped file: {left}"
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def running_relay(
    folder: Path, address: str = "127.0.0.1", media_address: str = "127.0.0.1", options: tuple[str, ...] = ()
) -> AsyncIterator[Relay]:
    """A relay on free ports that reaches `media_address` only."""
    program = shutil.which("turnserver")
    assert program, "coturn is missing: docker/debian-packages.sh test"
    certificate, key = write_certificate(folder)
    port, tls_port, secret = free_port(), free_port(), "bí mật của trạm"
    changed = {
        "realm": "localhost",
        "static-auth-secret": secret,
        "listening-ip": address,
        "listening-port": str(port),
        "tls-listening-port": str(tls_port),
        "cert": str(certificate),
        "pkey": str(key),
        "allowed-peer-ip": media_address,
        "log-file": str(folder / "turnserver.log"),
    }
    (folder / "turnserver.conf").write_text(configuration(changed), "utf-8")
    loopback = ("--allow-loopback-peers",) if media_address.startswith("127.") else ()
    arguments = (
        "-c",
        str(folder / "turnserver.conf"),
        "--pidfile=",
        f"--userdb={folder / 'turndb'}",
        *loopback,
        *options,
    )
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=DEVNULL, stderr=DEVNULL)
    relay = Relay(address, port, tls_port, secret, certificate, folder / "turnserver.log", process)
    try:
        await _answers(relay)
        yield relay
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(relay: Relay) -> None:
    async with asyncio.timeout(10):
        for port in (relay.port, relay.tls_port):
            while True:
                assert relay.process.returncode is None, relay.log.read_text()
                with contextlib.suppress(OSError), socket.create_connection((relay.address, port), 1):
                    break
                await asyncio.sleep(0.05)
