"""The product under rehearsal: one started for it in a throw-away folder, or one that runs already."""

import asyncio
import contextlib
import os
import re
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from clients.rehearsal.desk import RehearsalFailed, Site
from clients.rehearsal.process import log_tail, running

_START_S = 40.0
_HOST = re.compile(r"/host(?:#first=(\S+))?$")
_READY = re.compile(r"Diemcau: (http\S+)")


@dataclass(frozen=True, slots=True)
class Product:
    """`nodes` and `server` are process ids; none and None where they run elsewhere."""

    site: Site
    nodes: tuple[int, ...]
    server: int | None


def nodes_of(data: Path) -> tuple[int, ...]:
    """The media nodes of a server with this data folder, if they run on this machine."""
    folders = os.fsencode(data.resolve() / "media"), os.fsencode(data / "media")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"media.node" in words and any(word.startswith(folders) for word in words):
                    found.append(int(entry.name))
    return tuple(found)


@contextlib.asynccontextmanager
async def own_product(media_workers: int = 1) -> AsyncIterator[Product]:
    """A server and its nodes on free loopback ports, with a folder that is thrown away; ended with the context."""
    with tempfile.TemporaryDirectory(prefix="diemcau-rehearsal-") as name:
        async with host_http() as http, product_in(Path(name), http, media_workers) as product:
            yield product


@contextlib.asynccontextmanager
async def product_in(folder: Path, http: aiohttp.ClientSession, media_workers: int = 1) -> AsyncIterator[Product]:
    """The same in a given folder; started there again, it goes on, and `http` is still its host."""
    data, log = folder / "data", folder / "server.log"
    options = ["--data", str(data), "--host", "127.0.0.1", "--port", str(_free_port()), "--media-port", "0"]
    options += ["--media-candidate", "127.0.0.1", "--no-sample", "--log-level", "warning"]
    options += ["--media-workers", str(media_workers)]
    options += ["--database", ""]  # the folder's own, whatever the environment names
    async with running(sys.executable, "-m", "server", "run", *options, log=log, stdout=PIPE) as process:
        url, secret = await _read_links(process, log)
        site = Site(http, url)
        if secret is not None:
            await site.first_run(secret)
        nodes = await _until_nodes(data, media_workers, log)
        yield Product(site, nodes, process.pid)


@contextlib.asynccontextmanager
async def running_product(url: str, login: str, password: str, data: Path | None) -> AsyncIterator[Product]:
    """A server that runs already; with its data folder on this machine the node is measured too."""
    async with host_http() as http:
        site = Site(http, url)
        await site.login(login, password)
        yield Product(site, nodes_of(data) if data else (), None)


def host_http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(30),
    )


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _read_links(process: asyncio.subprocess.Process, log: Path) -> tuple[str, str | None]:
    """The address, and before there is any account the secret of the first host, which the server prints."""
    assert process.stdout is not None
    url = said = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            while line := (await process.stdout.readline()).decode():
                said += line
                if found := _READY.search(line):
                    url = found[1]
                if found := _HOST.search(line.rstrip()):
                    return url, found[1]
    raise RehearsalFailed(f"the server did not start:\n{said.strip()}\n{log_tail(log)}")


async def _until_nodes(data: Path, count: int, log: Path) -> tuple[int, ...]:
    end = time.monotonic() + _START_S
    while len(nodes := nodes_of(data)) < count:
        if time.monotonic() > end:
            raise RehearsalFailed(f"the media nodes did not start:\n{log_tail(log)}")
        await asyncio.sleep(0.1)
    return nodes
