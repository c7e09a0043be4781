"""Endpoints in real headless Chromium: a page with one PeerConnection whose sources are colours and tones."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from tests.support.media_control import ControlClient

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

PAGE = r"""<!doctype html><meta charset="utf-8"><title>endpoint</title><script type="module">
const audio = new AudioContext({sampleRate: 48000});
let pc, codec, slots = new Map();

function colourTrack(colour, width, height) {
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  const context = canvas.getContext('2d');
  let tick = 0;
  setInterval(() => {
    context.fillStyle = colour;
    context.fillRect(0, 0, width, height);
    context.fillStyle = tick++ % 2 ? '#000' : '#fff';
    context.fillRect(0, 0, 16, 16);
  }, 33);
  return canvas.captureStream(30).getVideoTracks()[0];
}

function toneTrack(hertz) {
  const tone = new OscillatorNode(audio, {frequency: hertz});
  const sink = new MediaStreamAudioDestinationNode(audio);
  tone.connect(sink);
  tone.start();
  return sink.stream.getAudioTracks()[0];
}

async function trackOf(source) {
  if (source.hertz) return toneTrack(source.hertz);
  if (source.colour) return colourTrack(source.colour, source.width ?? 640, source.height ?? 360);
  const size = {width: {exact: 1280}, height: {exact: 720}, frameRate: 30};
  const wanted = source.kind === 'audio' ? {audio: true} : {video: size};
  return (await navigator.mediaDevices.getUserMedia(wanted)).getTracks()[0];
}

const layers = [
  {rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 120_000},
  {rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000},
  {rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 2_500_000},
];

window.offer = async ({sends, receives}) => {
  pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const places = [];
  for (const source of sends) {
    const init = {direction: 'sendonly'};
    if (source.simulcast) init.sendEncodings = structuredClone(layers);
    places.push([source.name, pc.addTransceiver(await trackOf(source), init)]);
  }
  for (const slot of receives) {
    const kind = slot.startsWith('audio') ? 'audio' : 'video';
    places.push([slot, pc.addTransceiver(kind, {direction: 'recvonly'})]);
  }
  if (codec) preferCodec(places, codec);
  await pc.setLocalDescription();
  slots = new Map(places);
  return {sdp: pc.localDescription.sdp, slots: Object.fromEntries(places.map(([name, each]) => [each.mid, name]))};
};

window.useCodec = (mime) => { codec = mime; };
function preferCodec(places, mime) {
  for (const [, place] of places) {
    if (place.receiver.track.kind !== 'video') continue;
    const codecs = RTCRtpReceiver.getCapabilities('video').codecs.filter((each) => each.mimeType === mime);
    if (codecs.length) place.setCodecPreferences(codecs);
  }
}

window.accept = async (sdp) => {
  await pc.setRemoteDescription({type: 'answer', sdp});
  for (const [name, place] of slots) {
    if (!name.includes('.')) continue;
    const track = place.receiver.track;
    const element = document.createElement(track.kind);
    element.srcObject = new MediaStream([track]);
    element.muted = true;
    element.play();
    place.element = element;
    if (track.kind === 'audio') {
      place.analyser = new AnalyserNode(audio, {fftSize: 8192});
      audio.createMediaStreamSource(element.srcObject).connect(place.analyser);
    }
  }
};

window.connectionState = () => pc.connectionState;
window.leave = () => pc.close();

window.colour = (slot) => {
  const video = slots.get(slot).element;
  if (!video.videoWidth) return null;
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d');
  context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  const bright = [r > 128, g > 90, b > 128].join();
  const names = {'true,false,false': 'red', 'false,true,false': 'green', 'false,false,true': 'blue'};
  return names[bright] ?? `${r},${g},${b}`;
};

window.loudest = (slot) => {
  const {analyser} = slots.get(slot);
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  const best = bins.indexOf(Math.max(...bins));
  return {hertz: best * audio.sampleRate / analyser.fftSize, decibels: bins[best]};
};

window.stats = async () => {
  const all = [...(await pc.getStats()).values()];
  const mids = new Map([...slots].map(([name, place]) => [place.mid, name]));
  const pick = (type) => all.filter((each) => each.type === type);
  return {
    srtp: pick('transport')[0]?.srtpCipher,
    inbound: Object.fromEntries(pick('inbound-rtp').map((each) => [mids.get(each.mid), {
      framesDecoded: each.framesDecoded, width: each.frameWidth, height: each.frameHeight, lost: each.packetsLost,
      packets: each.packetsReceived, energy: each.totalAudioEnergy, keyFrames: each.keyFramesDecoded,
      freezes: each.freezeCount, pli: each.pliCount, nack: each.nackCount, discarded: each.packetsDiscarded,
      concealed: each.concealedSamples, samples: each.totalSamplesReceived, dropped: each.framesDropped}])),
    outbound: pick('outbound-rtp').map((each) => ({
      slot: mids.get(each.mid), rid: each.rid, width: each.frameWidth, height: each.frameHeight,
      packets: each.packetsSent, target: each.targetBitrate, limited: each.qualityLimitationReason})),
    available: pick('candidate-pair').find((each) => each.nominated)?.availableOutgoingBitrate,
  };
};
window.slot = (name) => slots.get(name);
window.sendsHeight = async (rid, height) =>
  (await stats()).outbound.some((each) => each.rid === rid && each.height === height);
window.until = async (met, limit) => {
  const end = performance.now() + limit;
  while (!(await met())) {
    if (performance.now() > end) return false;
    await new Promise((resume) => setTimeout(resume, 30));
  }
  return true;
};
window.decoded = async (name) => (await stats()).inbound[name]?.framesDecoded ?? 0;
window.ready = true;
</script>"""


class BrowserEndpoint:
    """One page, hence one endpoint."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name

    async def join(
        self,
        control: ControlClient,
        group: str,
        sends: list[dict[str, Any]] | None = None,
        receives: list[str] | None = None,
        change: Callable[[str], str] = str,
    ) -> None:
        """Offers, takes the answer as `change` makes it, and waits until connected. See PAGE on `sends`."""
        plan = await self.page.evaluate("(plan) => offer(plan)", {"sends": sends or [], "receives": receives or []})
        answer = await control.offer(group, self.name, plan["sdp"], plan["slots"])
        await self.page.evaluate("(sdp) => accept(sdp)", change(answer))
        await self.until("connectionState() === 'connected'")

    async def until(self, condition: str, timeout_s: float = 10.0) -> None:
        """Until this JavaScript is true, or a promise of it (which Playwright's own waiting takes for true)."""
        met = await self.page.evaluate(f"(limit) => until(async () => {condition}, limit)", timeout_s * 1000)
        assert met, f"{self.name}: not within {timeout_s} s: {condition}"

    async def colour(self, slot: str, name: str, timeout_s: float = 10.0) -> None:
        await self.until(f"colour('{slot}') === '{name}'", timeout_s)

    async def frames(self, slot: str, goal: int, timeout_s: float) -> None:
        """Until so many frames in all were decoded in the slot."""
        await self.until(f"decoded('{slot}').then((count) => count >= {goal})", timeout_s)

    async def tone(self, slot: str, hertz: int, timeout_s: float = 10.0) -> None:
        """Until this tone is the loudest in the slot."""
        await self.until(
            f"Math.abs(loudest('{slot}').hertz - {hertz}) < 30 && loudest('{slot}').decibels > -50", timeout_s
        )

    async def stats(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.page.evaluate("() => stats()")
        return result


class Browsers:
    """Opens endpoints; every page is on a secure origin."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser = browser
        self._address = address

    async def endpoint(self, name: str) -> BrowserEndpoint:
        context = await self._browser.new_context(permissions=["camera", "microphone"])
        page = await context.new_page()
        await page.goto(self._address)
        await page.wait_for_function("window.ready === true")
        return BrowserEndpoint(page, name)


async def _page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browsers]:
    app = web.Application()
    app.router.add_get("/", _page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try:
                yield Browsers(browser, f"http://127.0.0.1:{port}/")
            finally:
                await browser.close()
    finally:
        await runner.cleanup()
