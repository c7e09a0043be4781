"""Make the seeds: `python -m tests.fuzz.capture`. Chromium, aiortc and GStreamer meet in a node within this process,
and of what each sends a few examples of every size are written into corpus/, decrypted.
"""

import argparse
import asyncio
import contextlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

import media.endpoints
import media.node
import media.publisher
from media.control import Offer
from media.port import Port
from media.rtp.header import parse_rtp
from media.srtp import GcmSrtp
from tests.fuzz.engine import CORPUS
from tests.support.media_browser import chromium
from tests.support.media_control import ControlClient
from tests.support.media_peers import ColourTrack, ToneTrack, joined
from tests.support.whip import gstreamer

GROUP = "g"
SLOTS = ["stage.0", "stage.1", "audio.0"]
MOST = 40
MOST_BYTES = 260


class Recorder:
    """Examples by target; at most a few of each length."""

    def __init__(self) -> None:
        self.found: defaultdict[str, dict[bytes, None]] = defaultdict(dict)
        self.offers: list[str] = []
        self._lengths: defaultdict[tuple[str, int, int], int] = defaultdict(int)

    def note(self, target: str, data: bytes, kind: int = 0) -> None:
        key = target, kind, min(len(data), MOST_BYTES) // 6
        if self._lengths[key] < 2:
            self._lengths[key] += 1
            self.found[target][data[:MOST_BYTES]] = None

    def rtp(self, data: bytes) -> None:
        packet = parse_rtp(data)
        self.note("rtp", data, packet.payload_type)
        if packet.payload and packet.payload_type not in (111,):
            self.note("vp8" if packet.payload[0] & 0x60 == 0 else "h264", packet.payload, packet.payload[0])
            start = 12 + 4 * (data[0] & 15)
            if data[0] & 16:
                size = 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
                self.note("extensions", data[start : start + 2] + data[start + 4 : start + size])

    def datagram(self, data: bytes) -> None:
        if data and data[0] < 4:
            self.note("stun", data)
        elif data and 19 < data[0] < 64:
            self.note("dtls", data, data[13] if len(data) > 13 else 0)
        elif data and 127 < data[0] < 192:
            self.note("srtp", data, data[1] & 0x7F)

    def write(self) -> None:
        for target, examples in self.found.items():
            lines = [data.hex() for data in sorted(examples, key=len)]
            step = max(1, len(lines) // MOST)
            (CORPUS / f"{target}.hex").write_text("\n".join(lines[::step]) + "\n", encoding="ascii")
        for name in ("rtp", "rtcp"):
            (CORPUS / f"hostile-{name}.hex").write_bytes((CORPUS / f"{name}.hex").read_bytes())
        (CORPUS / "sdp").mkdir(exist_ok=True)
        (CORPUS / "sdpfrag").mkdir(exist_ok=True)
        for number, offer in enumerate(dict.fromkeys(self.offers)):
            (CORPUS / "sdp" / f"captured-{number}.sdp").write_bytes(offer.encode())
            wanted = ("a=ice-", "m=", "a=mid", "a=candidate", "a=end-of")
            fragment = [line for line in offer.splitlines() if line.startswith(wanted)]
            (CORPUS / "sdpfrag" / f"captured-{number}.sdpfrag").write_bytes("\r\n".join(fragment).encode() + b"\r\n")


def record(recorder: Recorder) -> None:
    """Listen in on the node's inside."""
    unprotect, unprotect_rtcp, receive = GcmSrtp.unprotect, GcmSrtp.unprotect_rtcp, Port.receive
    endpoints: Any = media.endpoints
    publisher: Any = media.publisher
    parse_offer, encode_twcc = endpoints.parse_offer, publisher.encode_twcc

    def heard(note: Callable[[bytes], None], read: Callable[..., bytes]) -> Callable[..., bytes]:
        def listening(*arguments: Any) -> bytes:
            plain = read(*arguments)
            note(plain)
            return plain

        return listening

    def received(port: Port, datagram: bytes, address: Any, now: float) -> None:
        recorder.datagram(bytes(datagram))
        receive(port, datagram, address, now)

    def offered(text: str) -> Any:
        recorder.offers.append(text)
        return parse_offer(text)

    GcmSrtp.unprotect = heard(recorder.rtp, unprotect)  # type: ignore[method-assign]
    GcmSrtp.unprotect_rtcp = heard(  # type: ignore[method-assign]
        lambda plain: recorder.note("rtcp", plain, plain[1]), unprotect_rtcp
    )
    Port.receive = received  # type: ignore[method-assign, assignment]
    endpoints.parse_offer = offered
    publisher.encode_twcc = heard(lambda data: recorder.note("twcc", data), encode_twcc)


@contextlib.asynccontextmanager
async def node_here(folder: Path) -> AsyncIterator[ControlClient]:
    path = folder / "node.sock"
    options = argparse.Namespace(control=os.fspath(path), udp="0.0.0.0:0", candidate=None, orphan_s=60.0)
    running = asyncio.create_task(media.node.run(options))
    while not path.exists():
        await asyncio.sleep(0.05)
    async with ControlClient(path) as control:
        await control.attach()
        yield control
    running.cancel()
    await asyncio.wait([running])


@contextlib.asynccontextmanager
async def whip_endpoint(control: ControlClient) -> AsyncIterator[str]:
    """The least that a WHIP client needs; its URL."""

    async def publish(request: web.Request) -> web.Response:
        body = Offer(
            group=GROUP, endpoint="e", sdp=await request.text(), places=("camera", "microphone"), publish_as="h3"
        )
        reply: Any = await control.request(body)
        return web.Response(status=201, text=reply.sdp, headers={"Location": "/end"})

    app = web.Application()
    app.router.add_post("/whip", publish)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/whip"
    await runner.cleanup()


async def meet(folder: Path) -> None:
    camera = {"name": "camera", "kind": "video", "simulcast": True}
    microphone = {"name": "microphone", "kind": "audio", "hertz": 440}
    async with node_here(folder) as control, chromium() as browsers, whip_endpoint(control) as url:
        await control.stage(GROUP, ["h1/camera", "h2/camera"], ["h1/microphone"])
        page = await browsers.endpoint("h1")
        await page.join(control, GROUP, [camera, microphone], SLOTS)
        tracks = {"camera": ColourTrack("red"), "microphone": ToneTrack(440)}
        async with joined(control, GROUP, "h2", tracks, SLOTS):
            for codec in ("vp8", "h264"):
                async with gstreamer(url, "", codec) as encoder:
                    while await encoder.tells("state") != "connected":
                        pass
                    await control.stage(GROUP, ["h3/camera", "h1/camera"], ["h3/microphone"])
                    await asyncio.sleep(4)
            await control.stage(GROUP, ["h2/camera", "h1/camera"], ["h1/microphone"])
            await asyncio.sleep(4)
        await page.page.close()


def main() -> None:
    recorder = Recorder()
    record(recorder)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(meet(Path(folder)))
    recorder.offers = [re.sub(r"[0-9a-f-]{36}\.local", "page.local", offer) for offer in recorder.offers]
    recorder.write()


if __name__ == "__main__":
    main()
