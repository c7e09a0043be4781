"""Hall pages in Chromium while their media node is left or dies: what the eye sees of it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from media.control import SetDraining
from rooms.floor import GiveFloor
from rooms.ids import HallId
from tests.e2e.test_meeting import enter
from tests.support.browsers import RED, errors_of, hall_browser, opened, shows
from tests.support.databases import Backing
from tests.support.live import Live, live
from tests.support.media_control import ControlClient
from tests.support.meetings import HOST, make

pytestmark = pytest.mark.slow
FREEZE_MS = 500
BACK_MS = 3000

WATCH = """() => {
  const video = document.querySelector('[data-testid=stage-large]')
  window.frames_seen = {last: performance.now(), worst: 0, black: 0}
  const seen = window.frames_seen
  const look = () => {
    const now = performance.now()
    seen.worst = Math.max(seen.worst, now - seen.last)
    seen.last = now
    video.requestVideoFrameCallback(look)
  }
  video.requestVideoFrameCallback(look)
  const canvas = new OffscreenCanvas(8, 8).getContext('2d', {willReadFrequently: true})
  setInterval(() => {
    canvas.clearRect(0, 0, 8, 8)
    canvas.drawImage(video, 0, 0, 8, 8)
    const [red, , , alpha] = canvas.getImageData(4, 4, 1, 1).data
    if (alpha === 0 || red < 60) seen.black++
  }, 20)
}"""
WORST = "() => Math.max(window.frames_seen.worst, performance.now() - window.frames_seen.last)"
RESET = (
    "() => {window.frames_seen.worst = 0; window.frames_seen.last = performance.now(); window.frames_seen.black = 0}"
)


async def on(server: Live, number: int) -> set[str]:
    async with ControlClient(server.service.settings.media_socket(number)) as client:
        return {each.endpoint for each in (await client.attach()).endpoints if each.state == "connected"}


async def seen(page: Page) -> tuple[float, int]:
    """The longest time without a new frame (ms), and how often there was none to see at all."""
    return float(await page.evaluate(WORST)), int(await page.evaluate("window.frames_seen.black"))


async def test_a_stage_goes_on_while_its_node_is_left_and_is_soon_back_when_it_dies(
    tmp_path: Path, backing: Backing
) -> None:
    async with live(tmp_path / "data", media_workers=2, **backing.settings) as server, async_playwright() as playwright:
        async with asyncio.timeout(15):
            while not all(node.up for node in server.running.nodes.each):
                await asyncio.sleep(0.05)
        await server.runner.submit(HOST, make(GiveFloor, hall=HallId("h1")))
        async with (
            hall_browser(playwright, tmp_path, RED, 440) as speaking,
            hall_browser(playwright, tmp_path, RED, 880) as listening,
        ):
            speaker = await opened(speaking, f"http://localhost:{server.running.port}/hall/{server.hall_token('h1')}")
            await enter(speaker)
            hall = await opened(listening, f"http://localhost:{server.running.port}/hall/{server.hall_token('h2')}")
            await enter(hall)
            assert await shows(hall, "red", 20) is not None
            await asyncio.sleep(4.0)
            await hall.evaluate(WATCH)
            await asyncio.sleep(2.0)
            usual, _ = await seen(hall)
            nodes = server.running.nodes.each
            assert await on(server, 0) == {"h1"} and await on(server, 1) == {"h2"}
            for left, other in ((1, 0), (0, 1)):
                await hall.evaluate(RESET)
                await nodes[left].request(SetDraining(draining=True))
                async with asyncio.timeout(30):
                    while await on(server, left) or await on(server, other) != {"h1", "h2"}:
                        await asyncio.sleep(0.2)
                await asyncio.sleep(7.0)
                worst, black = await seen(hall)
                print(f"left node{left}: longest {worst:.0f} ms between frames (usually {usual:.0f}), black {black}")
                assert worst < max(FREEZE_MS, 2 * usual) and black == 0
                await nodes[left].request(SetDraining(draining=False))
            async with ControlClient(server.service.settings.media_socket(1)) as client:
                pid = (await client.attach()).pid
            await hall.evaluate(RESET)
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while await on(server, 0) != {"h1", "h2"}:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(4.0)
            worst, black = await seen(hall)
            print(f"killed with both on it: longest {worst:.0f} ms between frames, black {black}")
            assert worst < BACK_MS
            assert errors_of(hall) == [] and errors_of(speaker) == []
