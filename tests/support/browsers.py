"""Chromium as the users' browsers: each hall with a camera of its own colour and a microphone of its own tone."""

import math
import random
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Playwright

from tests.support.media_browser import CHROMIUM, FLAGS

WIDTH, HEIGHT, FRAMES = 640, 360, 15
RED, BLUE = (81, 90, 240), (41, 240, 110)
"""Colours as Y, Cb, Cr."""
DESKTOP, PHONE = {"width": 1366, "height": 768}, {"width": 360, "height": 740}


def write_camera(path: Path, colour: tuple[int, int, int]) -> Path:
    """A Y4M film of one colour with a bar moving across it, for --use-file-for-fake-video-capture."""
    luma, blue, red = colour
    chroma = bytes([blue]) * (WIDTH * HEIGHT // 4) + bytes([red]) * (WIDTH * HEIGHT // 4)
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F15:1 Ip A1:1 C420jpeg\n".encode())
        for n in range(FRAMES):
            row = bytearray([luma]) * WIDTH
            start = n * WIDTH // FRAMES
            row[start : start + 8] = b"\xeb" * len(row[start : start + 8])
            film.write(b"FRAME\n" + bytes(row) * HEIGHT + chroma)
    return path


def write_busy_camera(path: Path, width: int = 960, height: int = 540, fps: int = 15) -> Path:
    """A film that keeps an encoder busy, as a full hall does: patches move, and some are new in every frame."""
    dice = random.Random(1)
    size = 30
    patches = [[dice.randrange(60, 190) for _ in range(width // size)] for _ in range(height // size)]
    chroma = bytes([120]) * (width * height // 4) + bytes([136]) * (width * height // 4)
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for n in range(fps * 2):
            for _ in range(40):
                patches[dice.randrange(height // size)][dice.randrange(width // size)] = dice.randrange(60, 190)
            film.write(b"FRAME\n")
            for line in patches:
                row = b"".join(bytes([luma]) * size for luma in line)
                film.write((row[4 * n :] + row[: 4 * n]) * size)
            film.write(chroma)
    return path


def write_microphone(path: Path, hertz: float) -> Path:
    """A WAV of one tone that loops without a click, for --use-file-for-fake-audio-capture."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48_000)
        samples = (int(9_000 * math.sin(2 * math.pi * hertz * n / 48_000)) for n in range(48_000 * 2))
        sound.writeframes(b"".join(struct.pack("<h", s) for s in samples))
    return path


@asynccontextmanager
async def chromium(playwright: Playwright, *more: str, program: str = CHROMIUM) -> AsyncIterator[Browser]:
    flags = [*FLAGS, "--disable-dev-shm-usage", *more]
    browser = await playwright.chromium.launch(executable_path=program, args=flags)
    try:
        yield browser
    finally:
        await browser.close()


@asynccontextmanager
async def hall_browser(
    playwright: Playwright, folder: Path, colour: tuple[int, int, int], hertz: float
) -> AsyncIterator[Browser]:
    """A browser whose camera shows the colour and whose microphone sounds the tone."""
    film = write_camera(folder / f"camera-{hertz:.0f}.y4m", colour)
    sound = write_microphone(folder / f"microphone-{hertz:.0f}.wav", hertz)
    files = (f"--use-file-for-fake-video-capture={film}", f"--use-file-for-fake-audio-capture={sound}")
    async with chromium(playwright, *files) as browser:
        yield browser


async def opened(browser: Browser, url: str, size: dict[str, int] = DESKTOP) -> Page:
    """A page in a profile of its own; errors it throws are kept in `page.errors`."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        locale="vi-VN",
        timezone_id="Asia/Ho_Chi_Minh",
        has_touch=size is PHONE,
    )
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.errors = errors  # type: ignore[attr-defined]
    await page.goto(url)
    return page


def errors_of(page: Page) -> list[str]:
    found: list[str] = page.errors  # type: ignore[attr-defined]
    return found


WATCH = """(test) => {
  const video = document.querySelector(`[data-testid="${test}"]`)
  if (!(video instanceof HTMLVideoElement) || !video.videoWidth) return null
  const canvas = Object.assign(document.createElement('canvas'), {width: 16, height: 9})
  const context = canvas.getContext('2d', {willReadFrequently: true})
  context.drawImage(video, 0, 0, 16, 9)
  const pixels = context.getImageData(0, 0, 16, 9).data
  const sum = [0, 0, 0]
  for (let n = 0; n < pixels.length; n += 4) for (let c = 0; c < 3; c++) sum[c] += pixels[n + c]
  const [red, , blue] = sum.map((total) => total / (pixels.length / 4))
  return red > blue + 60 ? 'red' : blue > red + 60 ? 'blue' : 'other'
}"""


async def colour(page: Page, test: str = "stage-large") -> str | None:
    """What a video element shows: red, blue, other; None without a picture."""
    found: str | None = await page.evaluate(WATCH, test)
    return found


UNTIL = (
    """async ([test, wanted, limit]) => {
  const look = """
    + WATCH
    + """
  const began = performance.now()
  while (performance.now() - began < limit) {
    if (look(test) === wanted) return Date.now()
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  return null
}"""
)


async def shows(page: Page, wanted: str, limit_s: float, test: str = "stage-large") -> float | None:
    """When the element shows the colour (seconds since 1970); None if not within the limit."""
    ms: float | None = await page.evaluate(UNTIL, [test, wanted, limit_s * 1000])
    return None if ms is None else ms / 1000


async def inbound(page: Page, slot: str) -> dict[str, Any]:
    """The getStats report of what comes in on a slot."""
    found: dict[str, Any] = await page.evaluate(
        """async (slot) => {
          const receiver = window.__diemcau.slots[slot].receiver
          for (const report of (await receiver.getStats()).values()) if (report.type === 'inbound-rtp') return report
          return {}
        }""",
        slot,
    )
    return found


HEAR = """async () => {
  const audio = new AudioContext()
  const mix = new GainNode(audio)
  const analyser = new AnalyserNode(audio, {fftSize: 8192, smoothingTimeConstant: 0})
  mix.connect(analyser)
  for (const slot of ['audio.0', 'audio.1', 'audio.2']) {
    const track = window.__diemcau.slots[slot].receiver.track
    audio.createMediaStreamSource(new MediaStream([track])).connect(mix)
  }
  await audio.resume()
  await new Promise((resolve) => setTimeout(resolve, 700))
  const bins = new Float32Array(analyser.frequencyBinCount)
  analyser.getFloatFrequencyData(bins)
  const width = audio.sampleRate / 8192
  await audio.close()
  return (hertz) => bins[Math.round(hertz / width)]
}"""


async def tones(page: Page, *hertz: float) -> dict[float, bool]:
    """Which of the tones the page's three audio slots sound together: 40 dB above the spectrum's median."""
    levels: list[float] = await page.evaluate(
        f"""async (wanted) => {{
          const listen = {HEAR}
          const at = await listen()
          const around = (hertz) => Math.max(at(hertz), at(hertz - 6), at(hertz + 6))
          return wanted.map(around)
        }}""",
        list(hertz),
    )
    return {tone: level is not None and level > -60 for tone, level in zip(hertz, levels, strict=True)}


async def tones_settle(page: Page, wanted: dict[float, bool], tries: int = 8) -> dict[float, bool]:
    """Listen until it sounds as wanted, or tries are used up; what was heard last."""
    heard: dict[float, bool] = {}
    for _ in range(tries):
        heard = await tones(page, *wanted)
        if heard == wanted:
            break
    return heard
