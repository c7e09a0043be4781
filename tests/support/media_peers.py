"""Endpoints made of aiortc: pictures of one colour and tones go in, colours and tones come out."""

import asyncio
import contextlib
import math
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction

import av
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
    rtcdtlstransport,
)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from tests.support.media_control import ControlClient

RATE = 48000
YUV = {"red": (76, 85, 255), "green": (150, 44, 21), "blue": (29, 255, 107)}


class ColourTrack(VideoStreamTrack):
    """A picture of one colour, 30 a second."""

    def __init__(self, colour: str, width: int = 320, height: int = 240) -> None:
        super().__init__()
        self._size = width, height
        self._colour = YUV[colour]

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(*self._size, "yuv420p")
        for plane, value in zip(frame.planes, self._colour, strict=True):
            plane.update(bytes((value,)) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


class ToneTrack(AudioStreamTrack):
    """A sine at some hertz, 20 ms a frame."""

    def __init__(self, hertz: int) -> None:
        super().__init__()
        self._hertz = hertz
        self._at = 0
        self._began = 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if not self._began:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._at / RATE - loop.time()))
        step = 2 * math.pi * self._hertz / RATE
        samples = array("h", (int(12000 * math.sin(step * at)) for at in range(self._at, self._at + 960)))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += 960
        return frame


def colour_of(frame: av.VideoFrame) -> str:
    """Which colour of YUV the picture is nearest to, by its middle."""
    found = []
    for plane in frame.planes[:3]:
        middle = (plane.height // 2) * plane.line_size + plane.width // 2
        found.append(bytes(plane)[middle])
    return min(YUV, key=lambda name: sum(abs(a - b) for a, b in zip(YUV[name], found, strict=True)))


def sounds_like(frame: av.AudioFrame, hertz: int) -> bool:
    """Whether most of the sound is this tone (Goertzel's algorithm on the first channel)."""
    channels = frame.layout.nb_channels
    samples = array("h", bytes(frame.planes[0])[: 2 * channels * frame.samples])[::channels]
    energy = sum(sample * sample for sample in samples) / len(samples)
    if energy < 100_000:
        return False
    step = 2 * math.pi * hertz / frame.sample_rate
    real = sum(sample * math.cos(step * at) for at, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(step * at) for at, sample in enumerate(samples))
    return 2 * (real * real + imaginary * imaginary) / len(samples) ** 2 > 0.6 * energy


class Receiver:
    """Reads one track to its end; `last` is the newest frame, `count` how many came."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self.track = track
        self.count = 0
        self.last: av.VideoFrame | av.AudioFrame | None = None
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self.last = await self.track.recv()  # type: ignore[assignment]
                self.count += 1
                self.news.set()

    async def frames(self, more: int, timeout_s: float = 5.0) -> None:
        """Until so many more frames came."""
        goal = self.count + more
        async with asyncio.timeout(timeout_s):
            while self.count < goal:
                self.news.clear()
                await self.news.wait()

    async def colour(self, name: str, timeout_s: float = 5.0) -> None:
        """Until the picture has this colour."""
        async with asyncio.timeout(timeout_s):
            while not (isinstance(self.last, av.VideoFrame) and colour_of(self.last) == name):
                self.news.clear()
                await self.news.wait()

    async def tone(self, hertz: int, timeout_s: float = 5.0) -> None:
        """Until this frequency is heard."""
        async with asyncio.timeout(timeout_s):
            while not (isinstance(self.last, av.AudioFrame) and sounds_like(self.last, hertz)):
                self.news.clear()
                await self.news.wait()


class AiortcEndpoint:
    """One connection: `sends` are tracks by source, `receives` slot names."""

    def __init__(
        self,
        name: str,
        sends: dict[str, MediaStreamTrack],
        receives: list[str],
        relays: list[RTCIceServer] | None = None,
    ) -> None:
        """With `relays` it uses these only."""
        self.name = name
        policy = RTCIceTransportPolicy.RELAY if relays else RTCIceTransportPolicy.ALL
        self.connection = RTCPeerConnection(RTCConfiguration(relays or [], policy, RTCBundlePolicy.MAX_BUNDLE))
        self.receivers: dict[str, Receiver] = {}
        self._plan: list[tuple[str, object]] = []
        for source, track in sends.items():
            self._plan.append((source, self.connection.addTransceiver(track, direction="sendonly")))
        for slot in receives:
            kind = "audio" if slot.startswith("audio") else "video"
            self._plan.append((slot, self.connection.addTransceiver(kind, direction="recvonly")))

    def restrict_srtp(self, profiles: list[rtcdtlstransport.SRTPProtectionProfile]) -> None:
        """Before joining: the only SRTP profiles that this endpoint knows."""
        for transceiver in self.connection.getTransceivers():
            transceiver.sender.transport._srtp_profiles = profiles

    async def join(self, control: ControlClient, group: str) -> None:
        """Offers, takes the answer, and waits until connected."""
        await self.join_by(lambda sdp, slots: control.offer(group, self.name, sdp, slots))

    async def join_by(self, ask: Callable[[str, dict[str, str]], Awaitable[str]]) -> None:
        """The same where `ask` gets the answer to an offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        slots = {transceiver.mid: slot for slot, transceiver in self._plan}  # type: ignore[attr-defined]
        answer = await ask(self.connection.localDescription.sdp, slots)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        for slot, transceiver in self._plan:
            if "." in slot:
                self.receivers[slot] = Receiver(transceiver.receiver.track)  # type: ignore[attr-defined]
        await self.state("connected")

    async def state(self, wanted: str, timeout_s: float = 10.0) -> None:
        """Until the connection is in this state."""
        changed = asyncio.Event()
        self.connection.on("connectionstatechange", changed.set)
        async with asyncio.timeout(timeout_s):
            while self.connection.connectionState != wanted:
                await changed.wait()
                changed.clear()
        self.connection.remove_listener("connectionstatechange", changed.set)

    async def close(self) -> None:
        await self.connection.close()
        for receiver in self.receivers.values():
            receiver.task.cancel()
        await asyncio.gather(*(receiver.task for receiver in self.receivers.values()), return_exceptions=True)

    def vanish(self) -> None:
        """As if the cable was pulled: nothing goes out any more, no goodbye either."""
        for transceiver in self.connection.getTransceivers():
            for protocol in transceiver.sender.transport.transport._connection._protocols:
                protocol.transport.abort()


@contextlib.asynccontextmanager
async def joined(
    control: ControlClient,
    group: str,
    name: str,
    sends: dict[str, MediaStreamTrack] | None = None,
    receives: list[str] | None = None,
) -> AsyncIterator[AiortcEndpoint]:
    endpoint = AiortcEndpoint(name, sends or {}, receives or [])
    try:
        await endpoint.join(control, group)
        yield endpoint
    finally:
        await endpoint.close()
