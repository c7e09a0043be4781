"""A stock aiortc relay as the subject: RTCPeerConnection and MediaRelay, as aiortc's documentation shows them.

The relay is a process of its own (this module run as a program): one line of JSON with an offer in, one with an answer
out. It decodes the publisher's picture once and encodes it for every subscriber.
"""

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from clients.bench.subject import SubjectFailed, own_address
from clients.rehearsal.endpoint import Endpoint, Setting
from clients.rehearsal.process import log_tail, running

_ANSWER_S = 20.0


class Relay:
    name = "aiortc"

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._free = asyncio.Lock()

    def setting(self, setting: Setting) -> Setting:
        """aioice offers no loopback address, and pictures that were encoded anew cannot be compared."""
        return replace(setting, host=own_address(), setup="active", marked=False)

    async def _offer(self, endpoint: Endpoint, role: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        async with self._free, asyncio.timeout(_ANSWER_S):
            self._process.stdin.write(json.dumps({"role": role, "sdp": endpoint.offer()}).encode() + b"\n")
            line = await self._process.stdout.readline()
        if not line:
            raise SubjectFailed(f"the relay ended:\n{log_tail(self._log)}")
        endpoint.accept(json.loads(line)["sdp"], time.monotonic())

    async def publish(self, endpoint: Endpoint) -> None:
        await self._offer(endpoint, "publisher")

    async def subscribe(self, endpoint: Endpoint) -> None:
        await self._offer(endpoint, "subscriber")


@contextlib.asynccontextmanager
async def running_aiortc(folder: Path) -> AsyncIterator[Relay]:
    log = folder / "aiortc.log"
    async with running(sys.executable, "-m", "clients.bench.aiortc", log=log, stdout=PIPE) as process:
        yield Relay(process, log)


async def _relay() -> None:
    from aiortc import RTCPeerConnection, RTCSessionDescription
    from aiortc.contrib.media import MediaRelay

    relay, connections = MediaRelay(), []
    track: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        wanted = json.loads(line)
        connection = RTCPeerConnection()
        connections.append(connection)
        if wanted["role"] == "publisher":
            connection.on("track", track.set_result)
        await connection.setRemoteDescription(RTCSessionDescription(wanted["sdp"], "offer"))
        if wanted["role"] == "subscriber":
            connection.addTrack(relay.subscribe(await track))
        await connection.setLocalDescription(await connection.createAnswer())
        print(json.dumps({"sdp": connection.localDescription.sdp}), flush=True)


if __name__ == "__main__":
    asyncio.run(_relay())
