"""A hall on a bad line sees the stage: loss and delay, a narrow line, a network without UDP. Figures are printed (-s).

The speaking hall sends simulcast over a good line; the watching hall's Chromium sits in a namespace behind the line.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright

from tests.e2e.test_meeting import A, B, api, enter, first_run
from tests.support.bad_line import BadLine, bad_line
from tests.support.browsers import chromium, opened, write_busy_camera
from tests.support.media_browser import CHROMIUM
from tests.support.processes import Server, free_port, server_process
from tests.support.relay import running_relay
from tests.support.watching import Seen, Watch

pytestmark = pytest.mark.slow
FULL = 960
"""The width of what the speaking hall's camera gives, and so of the high layer."""
MOST_ATTEMPTS = 3


@dataclass
class Scene:
    """Hall A speaks, hall B watches from behind the line."""

    server: Server
    line: BadLine
    speaker: Page
    viewer: Page
    watch: Watch


@asynccontextmanager
async def scene(folder: Path, *, udp: bool = True) -> AsyncIterator[Scene]:
    """With `udp` false the viewer's network has blocked it from the start."""
    film = write_busy_camera(folder / "busy.y4m")
    async with (
        bad_line() as line,
        running_relay(folder, line.near, line.near) as relay,
        served(folder, line, "--turn", relay.url("tls"), "--turn-secret", relay.secret) as server,
        async_playwright() as playwright,
        chromium(playwright, f"--use-file-for-fake-video-capture={film}") as good,
        chromium_behind(playwright, folder, line, server) as bad,
    ):
        host = await opened(good, await server.link("first host"))
        meeting = await first_run(server, host)
        links = [(await api(host, f"{server.url}/api/meetings/{meeting}/halls/{hall}/card"))["link"] for hall in (A, B)]
        speaker = await opened(good, links[0])
        viewer = await opened(bad, links[1].replace("localhost", line.near))
        await enter(speaker)
        await host.get_by_test_id("section-halls").click()
        await host.locator(f'[data-hall="{A}"]').get_by_test_id("hall-give-floor").click()
        await host.close()
        line.down.no_udp = line.up.no_udp = not udp
        await enter(viewer)
        watch = Watch(viewer)
        await watch.start()
        await watch.begin()
        yield Scene(server, line, speaker, viewer, watch)


@asynccontextmanager
async def served(folder: Path, line: BadLine, *options: str) -> AsyncIterator[Server]:
    here = ("--host", "0.0.0.0", "--media-candidate", line.near)
    async with server_process(folder / "data", free_port(), free_port(), *here, *options) as server:
        yield server


@asynccontextmanager
async def chromium_behind(
    playwright: Playwright, folder: Path, line: BadLine, server: Server
) -> AsyncIterator[Browser]:
    """A browser in the line's namespace. There the server has no https and no name, but may use the camera."""
    secure = f"--unsafely-treat-insecure-origin-as-secure=http://{line.near}:{server.port}"
    program = line.program(folder, CHROMIUM)
    async with chromium(playwright, secure, "--ignore-certificate-errors", program=program) as browser:
        yield browser


def is_full(seen: Seen) -> bool:
    return seen.samples[-1].width == FULL


async def settled(scene: Scene) -> None:
    """Until the viewer has the high layer, and its rate has grown."""
    await scene.watch.until(is_full, 30)
    await asyncio.sleep(8)
    seen = await scene.watch.seen()
    print(seen.told("\nsettling"))
    assert is_full(seen), "the high layer did not come over the good line"


async def at_best(folder: Path, look: Callable[[Scene], Awaitable[None]], *, udp: bool = True) -> None:
    """The best of some attempts: other work on the machine can hold a decoder up, and never helps it. Each is told."""
    for attempt in range(1, MOST_ATTEMPTS + 1):
        here = folder / str(attempt)
        here.mkdir()
        try:
            async with scene(here, udp=udp) as at:
                await look(at)
            return
        except AssertionError as error:
            print(f"attempt {attempt}: {error}")
            if attempt == MOST_ATTEMPTS:
                raise


async def test_with_loss_and_delay_the_picture_keeps_moving(tmp_path: Path) -> None:
    async def look(at: Scene) -> None:
        await settled(at)
        good = await at.watch.during(10)
        print(good.told("good line"))
        for way in (at.line.down, at.line.up):
            way.loss, way.delay_s = 0.05, 0.05
        bad = await at.watch.during(30)
        print(bad.told("5 % loss each way, 100 ms there and back"))
        assert bad.frames > 0.7 * good.frames / good.took_s * bad.took_s
        assert bad.longest_still_s < 1.5
        assert bad.freeze_share < 0.2

    await at_best(tmp_path, look)


async def test_a_narrow_line_gets_the_low_layer_without_a_frozen_stage_and_then_climbs_back(tmp_path: Path) -> None:
    async def look(at: Scene) -> None:
        await settled(at)
        at.line.down.rate_bps = 400_000
        await at.watch.begin()
        fell = await at.watch.until(lambda seen: not is_full(seen), 5)
        print(fell.told("cut to 400 kbit/s"))
        assert not is_full(fell), "still the high layer after 5 s"
        await asyncio.sleep(15)
        narrow = await at.watch.seen()
        print(narrow.told("the cut and the 15 s after it"))
        assert narrow.longest_still_s < 1.5
        calm = await at.watch.during(10)
        print(calm.told("on the narrow line"))
        assert not is_full(calm) and calm.frames > 5 * calm.took_s
        at.line.restore()
        await at.watch.begin()
        back = await at.watch.until(is_full, 120)
        print(back.told("wide again"))
        assert is_full(back), "not back on the high layer after two minutes"
        assert back.longest_still_s < 1.5

    await at_best(tmp_path, look)


ROUTE = """async () => {
  const reports = [...(await window.__diemcau.pc.getStats()).values()]
  const pair = reports.find((one) => one.type === 'candidate-pair' && one.nominated && one.state === 'succeeded')
  const local = reports.find((one) => one.id === pair?.localCandidateId)
  return local ? [local.candidateType, local.relayProtocol] : null
}"""


async def test_where_udp_is_blocked_a_hall_comes_in_through_the_relay(tmp_path: Path) -> None:
    async def look(at: Scene) -> None:
        seen = await at.watch.during(10)
        print(seen.told("\nby TURN over TLS"))
        assert seen.frames > 10 * seen.took_s and seen.longest_still_s < 1.5
        assert await at.viewer.evaluate(ROUTE) == ["relay", "tls"]

    await at_best(tmp_path, look, udp=False)


async def test_where_udp_becomes_blocked_a_hall_comes_back_through_the_relay(tmp_path: Path) -> None:
    async def look(at: Scene) -> None:
        await settled(at)
        at.line.down.no_udp = at.line.up.no_udp = True
        await at.watch.begin()
        seen = await at.watch.until(lambda seen: seen.longest_still_s > 1 and moves(seen), 30)
        print(seen.told("UDP blocked while watching"))
        assert moves(seen), "no picture within 30 s"
        assert await at.viewer.evaluate(ROUTE) == ["relay", "tls"]

    await at_best(tmp_path, look)


def moves(seen: Seen) -> bool:
    """Whether new frames came in the last second."""
    last = [sample.frames for sample in seen.samples if sample.at > seen.samples[-1].at - 1]
    return last[-1] > last[0] + 3
