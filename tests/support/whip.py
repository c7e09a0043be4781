"""Encoders and players that come by HTTP: aiortc behind WHIP and WHEP, and GStreamer's webrtcbin in a process."""

import asyncio
import contextlib
import os
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiortc import MediaStreamTrack, RTCSessionDescription

from tests.support.media_peers import AiortcEndpoint, Receiver

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
FFMPEG = Path(__file__).with_name("ffmpeg_whip.py")
GSTREAMER = Path(__file__).with_name("gstreamer_whip.py")
DEBIANS_PYTHON = "/usr/bin/python3"


@dataclass
class Answered:
    status: int
    headers: Mapping[str, str]
    text: str


class HttpPeer:
    """One connection by HTTP. What it `sends` are tracks, what it `receives` kinds ("video", "audio")."""

    def __init__(self, http: aiohttp.ClientSession, base: str, token: str) -> None:
        self._http = http
        self._base = base
        self._token = token
        self.session = ""
        self.tag = ""
        self.receivers: list[Receiver] = []
        self.endpoint = AiortcEndpoint("", {}, [])

    async def request(self, method: str, path: str, body: str = "", **headers: str) -> Answered:
        headers = {"Authorization": f"Bearer {self._token}", **headers}
        async with self._http.request(method, self._base + path, data=body.encode(), headers=headers) as answer:
            return Answered(answer.status, answer.headers, await answer.text())

    async def begin(
        self,
        path: str,
        sends: tuple[MediaStreamTrack, ...] = (),
        receives: tuple[str, ...] = (),
        setup: str = "actpass",
    ) -> None:
        """Offers, takes the answer, and waits until connected."""
        pc = self.endpoint.connection
        for track in sends:
            pc.addTransceiver(track, direction="sendonly")
        receiving = [pc.addTransceiver(kind, direction="recvonly") for kind in receives]
        await pc.setLocalDescription(await pc.createOffer())
        sdp = pc.localDescription.sdp.replace("a=setup:actpass", f"a=setup:{setup}")
        answer = await self.request("POST", path, sdp, **{"Content-Type": SDP})
        assert answer.status == 201, (answer.status, answer.text)
        self.session, self.tag = answer.headers["Location"], answer.headers["ETag"]
        await pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        self.receivers = [Receiver(transceiver.receiver.track) for transceiver in receiving]
        await self.endpoint.state("connected")

    async def restart(self) -> None:
        """An ICE restart (RFC 9725 §4.3.3) on the path in use: its checks are under new credentials from now on."""
        ufrag, password = secrets.token_hex(4), secrets.token_hex(12)
        fragment = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
        answer = await self.request("PATCH", self.session, fragment, **{"Content-Type": FRAGMENT, "If-Match": '"*"'})
        assert answer.status == 200, (answer.status, answer.text)
        assert answer.headers["Content-Type"].startswith(FRAGMENT) and answer.headers["ETag"] != self.tag
        self.tag = answer.headers["ETag"]
        told = dict(line[2:].partition(":")[::2] for line in answer.text.splitlines() if line.startswith("a="))
        assert {"candidate", "end-of-candidates", "ice-lite"} <= set(told)
        [ice] = {id(t.sender.transport.transport): t.sender.transport.transport for t in self._transceivers}.values()
        connection = ice._connection  # aiortc has no ICE restart of its own
        connection._local_username, connection._local_password = ufrag, password
        connection.remote_username, connection.remote_password = told["ice-ufrag"], told["ice-pwd"]

    @property
    def _transceivers(self) -> list[Any]:
        return self.endpoint.connection.getTransceivers()

    async def end(self) -> int:
        return (await self.request("DELETE", self.session)).status

    async def close(self) -> None:
        await self.endpoint.close()
        for receiver in self.receivers:
            receiver.task.cancel()
        await asyncio.gather(*(receiver.task for receiver in self.receivers), return_exceptions=True)


@contextlib.asynccontextmanager
async def http_peer(http: aiohttp.ClientSession, base: str, token: str) -> AsyncIterator[HttpPeer]:
    peer = HttpPeer(http, base, token)
    try:
        yield peer
    finally:
        await peer.close()


class GStreamer:
    """webrtcbin publishing by WHIP; its standard output tells how far it is, its standard input what to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[str] = []

    async def tells(self, word: str, timeout_s: float = 20.0) -> str:
        """The next line that begins with this word."""
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout_s):
            while True:
                line = (await self._process.stdout.readline()).decode().strip()
                assert line, self.told
                self.told.append(line)
                if line.split(" ", 1)[0] == word:
                    return line.partition(" ")[2]

    def do(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())


@contextlib.asynccontextmanager
async def gstreamer(url: str, token: str, codec: str) -> AsyncIterator[GStreamer]:
    """Publishes a red picture in `codec` (vp8, h264) and a tone of 440 Hz."""
    process = await asyncio.create_subprocess_exec(
        DEBIANS_PYTHON,
        "-W",
        "ignore",
        os.fspath(GSTREAMER),
        url,
        token,
        codec,
        stdin=PIPE,
        stdout=PIPE,
        stderr=sys.stderr,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        yield GStreamer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def ffmpeg(url: str, **options: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Publishes a red picture in H.264 and a tone of 440 Hz; says goodbye when its standard input ends."""
    named = [f"{name}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(sys.executable, os.fspath(FFMPEG), url, *named, stdin=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
