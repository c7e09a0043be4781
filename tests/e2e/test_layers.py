"""A hall's page in Chromium sends what is looked at and nothing else, and the console tells the difference."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from media.control import DownlinkChanged, FeedChanged, Rung, SourceWanted
from rooms.floor import GiveFloor, TakeFloor
from rooms.ids import HallId
from tests.e2e.test_meeting import enter
from tests.server.test_media import told
from tests.server.test_sockets import hall_presence
from tests.support.browsers import RED, chromium, errors_of, hall_browser, opened
from tests.support.control_tap import ControlTap, tapped_node
from tests.support.databases import Backing
from tests.support.live import PASSWORD, Live, client, live
from tests.support.meetings import HOST, make
from tests.support.processes import free_port

pytestmark = pytest.mark.slow
SHOTS = os.environ.get("DIEMCAU_SHOTS")

SENT = """async () => {
  const sent = {}
  for (const report of (await window.__diemcau.pc.getStats()).values())
    if (report.type === 'outbound-rtp') sent[report.rid ?? report.kind] = report.packetsSent
  return sent
}"""


ALL_ON = """async () => {
  const {sender} = window.__diemcau.slots.camera
  const parameters = sender.getParameters()
  for (const encoding of parameters.encodings) encoding.active = true
  await sender.setParameters(parameters)
}"""


async def growing(page: Page, over_s: float = 2.0) -> set[str]:
    """What of this page's sources is sent now: layers of the camera by rid, "audio" for the microphone."""
    before: dict[str, int] = await page.evaluate(SENT)
    await asyncio.sleep(over_s)
    after: dict[str, int] = await page.evaluate(SENT)
    return {name for name, sent in after.items() if sent > before.get(name, 0)}


async def becomes(page: Page, wanted: set[str], timeout_s: float = 40.0) -> None:
    """Until exactly this is sent."""
    found: set[str] = set()
    for _ in range(round(timeout_s / 2)):
        found = await growing(page)
        if found == wanted:
            return
    assert found == wanted


@asynccontextmanager
async def hall_under_orders(folder: Path) -> AsyncIterator[tuple[ControlTap, Live, Page]]:
    """A real hall page on a real node whose wishes about layers are the test's."""
    data = folder / "data"
    async with tapped_node(data) as tap, live(data) as server, async_playwright() as playwright:
        tap.withheld = (SourceWanted, DownlinkChanged)
        await tap.attached()
        async with chromium(playwright) as browser:
            page = await opened(browser, f"http://localhost:{server.running.port}/hall/{server.hall_token()}")
            await enter(page)
            yield tap, server, page
            assert errors_of(page) == []


def want(tap: ControlTap, server: Live, *rids: str, source: str = "camera") -> None:
    tap.say(SourceWanted(group=server.meeting, endpoint="h1", source=source, rids=rids))


async def test_layers_that_nobody_looks_at_are_not_sent(tmp_path: Path) -> None:
    async with hall_under_orders(tmp_path) as (tap, server, page):
        await becomes(page, {"q", "h", "f", "audio"})
        want(tap, server, "q")
        await becomes(page, {"q", "audio"})
        want(tap, server, "q", "h", "f")
        await becomes(page, {"q", "h", "f", "audio"})
        want(tap, server)
        want(tap, server, source="microphone")
        await becomes(page, {"audio"})  # its loudness is wanted, always
        want(tap, server, "f")
        await becomes(page, {"f", "audio"})
        await page.evaluate(
            "window.__diemcau.link.peer.pc.close(), window.__diemcau.link.peer.pc.onconnectionstatechange()"
        )
        await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=15_000)
        await becomes(page, {"q", "h", "f", "audio"})  # a new connection sends all until it is told


async def test_what_a_hall_switches_off_is_not_sent_and_not_called_lost(tmp_path: Path) -> None:
    async with (
        hall_under_orders(tmp_path) as (tap, server, page),
        client(server, await server.staff_token()) as host,
    ):
        await becomes(page, {"q", "h", "f", "audio"})
        await host.until(lambda c: hall_presence(c, "h1").get("camera") == "sending")
        await host.until(lambda c: hall_presence(c, "h1").get("level", -127) > -60)
        want(tap, server, "q")
        await page.get_by_test_id("own-microphone").click()
        await becomes(page, {"q"})
        await host.until(lambda c: hall_presence(c, "h1")["microphone"] == "off")
        await page.get_by_test_id("own-camera").click()
        await becomes(page, set())
        await asyncio.sleep(5)
        assert hall_presence(host, "h1")["camera"] == hall_presence(host, "h1")["microphone"] == "off"
        assert hall_presence(host, "h1")["trouble"] == "none"
        await page.get_by_test_id("own-camera").click()
        await page.get_by_test_id("own-microphone").click()
        await becomes(page, {"q", "audio"})
        await host.until(lambda c: hall_presence(c, "h1")["camera"] == "sending", 10.0)
        want(tap, server)
        await host.until(lambda c: hall_presence(c, "h1")["camera"] == "ready", 10.0)
        assert hall_presence(host, "h1")["trouble"] == "none"


async def test_a_silent_microphone_costs_next_to_nothing_and_stays_known(tmp_path: Path) -> None:
    async with (
        live(tmp_path) as server,
        async_playwright() as playwright,
        hall_browser(playwright, tmp_path, RED, 0.0) as browser,  # no tone at all
        client(server, await server.staff_token()) as host,
    ):
        page = await opened(browser, f"http://localhost:{server.running.port}/hall/{server.hall_token()}")
        await enter(page)
        await host.until(lambda c: hall_presence(c, "h1").get("microphone") == "sending")
        await asyncio.sleep(5)
        before = (await page.evaluate(SENT))["audio"]
        await asyncio.sleep(5)
        assert 5 <= (await page.evaluate(SENT))["audio"] - before < 60, "of 250 without DTX"
        assert hall_presence(host, "h1")["microphone"] == "sending"
        assert hall_presence(host, "h1")["level"] == -127


async def test_the_technician_is_told_of_a_narrow_line_and_stills_flow_while_looked_at(tmp_path: Path) -> None:
    async with (
        hall_under_orders(tmp_path) as (tap, server, page),
        client(server, await server.staff_token()) as host,
    ):
        lines: tuple[tuple[Rung, str], ...] = (("low", "low"), ("audio", "sound_only"), ("high", "good"))
        for rung, line in lines:
            tap.say(DownlinkChanged(group=server.meeting, endpoint="h1", rung=rung, estimate_bps=1))
            await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", line)
        await host.call("wall", {"halls": ["h1"]})
        await host.until(lambda c: len(told(c, "stills")) >= 3, 20.0)
        sizes = [len(still["jpeg"]) for body in told(host, "stills") for still in body["stills"]]
        assert max(sizes) <= 10 * 1024


async def test_the_node_asks_for_what_somebody_looks_at(tmp_path: Path) -> None:
    """Nothing is made up here: the node's wishes follow from a console's tiles and the floor."""
    async with (
        live(tmp_path) as server,
        async_playwright() as playwright,
        chromium(playwright) as browser,
        client(server, await server.staff_token()) as host,
    ):
        hall = await opened(browser, f"http://localhost:{server.running.port}/hall/{server.hall_token()}")
        await enter(hall)
        await becomes(hall, {"audio"})
        await host.until(lambda c: hall_presence(c, "h1").get("camera") == "ready")
        assert hall_presence(host, "h1")["trouble"] == "none"
        console = await console_at(browser, server)
        await console.get_by_test_id("section-halls").click()
        await expect(console.locator('[data-hall="h1"][data-picture=live]')).to_be_visible(timeout=10_000)
        await becomes(hall, {"q", "audio"})
        await host.until(lambda c: hall_presence(c, "h1")["camera"] == "sending")
        await server.runner.submit(HOST, make(GiveFloor, hall=HallId("h1")))
        await becomes(hall, {"q", "f", "audio"})
        await server.login()
        (peer,) = (await server.get(f"/api/meetings/{server.meeting}/media", hall="h1"))[1]["peers"]
        assert peer["wanted"]["camera"] == ["q", "f"] and peer["wanted"]["microphone"] == [""]
        await console.close()
        await server.runner.submit(HOST, make(TakeFloor))
        await becomes(hall, {"audio"})
        assert errors_of(hall) == []


async def test_a_server_that_starts_anew_learns_what_is_wanted(tmp_path: Path, backing: Backing) -> None:
    port = free_port()
    async with tapped_node(tmp_path) as tap, async_playwright() as playwright, chromium(playwright) as browser:
        async with live(tmp_path, port=port, **backing.settings) as server:
            page = await opened(browser, f"http://localhost:{port}/hall/{server.hall_token()}")
            await enter(page)
            await becomes(page, {"audio"})
        tap.withheld = (SourceWanted,)
        await page.evaluate(ALL_ON)
        await becomes(page, {"q", "h", "f", "audio"})
        async with live(tmp_path, port=port, **backing.settings):
            await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=15_000)
            await becomes(page, {"audio"})


async def test_the_figures_of_a_real_hall(tmp_path: Path) -> None:
    async with hall_under_orders(tmp_path) as (tap, server, page):
        await becomes(page, {"q", "h", "f", "audio"})
        tap.say(FeedChanged(group=server.meeting, feed="h1/camera", active=True))
        await server.login()
        status, told_ = await server.get(f"/api/meetings/{server.meeting}/media", hall="h1")
        assert status == 200 and [peer["endpoint"] for peer in told_["peers"]] == ["h1"]
        peer = told_["peers"][0]
        assert peer["state"] == "connected" and peer["packets_in"] > 50 and peer["bytes_in"] > 10_000
        assert {(feed["feed"], feed["rid"] or "") for feed in peer["feeds"]} >= {
            ("h1/camera", "q"),
            ("h1/camera", "f"),
            ("h1/microphone", ""),
        }
        status, text = await server.get("/metrics")
        figures = dict(re.findall(r"^(diemcau_media_\S+) (\S+)$", text.decode(), re.MULTILINE))
        labels = f'meeting="{server.meeting}"'
        assert float(figures[f"diemcau_media_packets_in_total{{{labels}}}"]) > 50
        assert float(figures[f'diemcau_media_peers{{{labels},state="connected"}}']) == 1
        assert float(figures['diemcau_media_cpu_seconds_total{node="node0"}']) > 0
        assert not [name for name in figures if "h1" in name], "no series for each hall"
        await a_host_reads_them(page, server)
        await page.close()
        await asyncio.sleep(1.2)
        _, text = await server.get("/metrics")
        figures = dict(re.findall(r"^(diemcau_media_\S+) (\S+)$", text.decode(), re.MULTILINE))
        assert float(figures[f"diemcau_media_packets_in_total{{{labels}}}"]) > 50, "a counter never falls"
        status, graph = await server.get("/api/media/dump")
        assert status == 200 and server.meeting in graph.decode()


async def console_at(browser: Browser, server: Live) -> Page:
    page = await opened(browser, f"http://localhost:{server.running.port}/host")
    await page.get_by_test_id("login-name").fill("host")
    await page.get_by_test_id("login-password").fill(PASSWORD)
    await page.get_by_test_id("login").click()
    await page.get_by_test_id("meeting").first.click()
    return page


async def a_host_reads_them(hall: Page, server: Live) -> None:
    """In the dialog of the hall on the console, in another window of the same browser."""
    assert hall.context.browser is not None
    page = await console_at(hall.context.browser, server)
    await page.get_by_test_id("section-halls").click()
    await expect(page.locator('[data-hall="h1"][data-picture=live]')).to_be_visible(timeout=10_000)
    await page.locator('[data-hall="h1"]').get_by_test_id("hall-detail").click()
    figures = page.get_by_test_id("hall-stats")
    for text in ("Máy ảnh (nhỏ)", "Micro", "stage.0", "Đang gửi"):
        await expect(figures).to_contain_text(text)
    await expect(figures).to_contain_text(re.compile(r"Điểm cầu gửi lên\s*[1-9]\d* kbit/s"), timeout=10_000)
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/wall-figures.png")
    assert errors_of(page) == []
    await page.close()
