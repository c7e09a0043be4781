"""The wall of 187 halls on one console in Chromium: everything can be looked at, and the page stays smooth."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.browsers import DESKTOP, chromium, errors_of, opened
from tests.support.control_tap import tapped_node
from tests.support.crowd import STILL_S, Crowd, crowded
from tests.support.databases import Backing
from tests.support.live import PASSWORD, Live, live

pytestmark = pytest.mark.slow
SHOTS = os.environ.get("DIEMCAU_SHOTS")

HALLS = "(all) => all.map((one) => one.dataset.hall)"
STILL_MS = 3 * STILL_S * 1000
WATCH = """() => {
  window.tasks = []
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({type: 'longtask'})
}"""


@asynccontextmanager
async def wall(folder: Path, backing: Backing) -> AsyncIterator[tuple[Live, Crowd, Browser]]:
    data = folder / "data"
    async with tapped_node(data) as tap, live(data, **backing.settings) as server, async_playwright() as playwright:
        await tap.attached()
        async with crowded(server, tap) as (full, crowd), chromium(playwright) as browser:
            yield full, crowd, browser


async def console(browser: Browser, server: Live, size: dict[str, int]) -> Page:
    """The section of halls on a host's console."""
    page = await opened(browser, f"http://localhost:{server.running.port}/host", size)
    await page.get_by_test_id("login-name").fill("host")
    await page.get_by_test_id("login-password").fill(PASSWORD)
    await page.get_by_test_id("login").click()
    await page.get_by_test_id("meeting").filter(has_text="mẫu").click()
    await page.get_by_test_id("section-halls").click()
    await expect(page.get_by_test_id("hall-wall")).to_be_visible()
    return page


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png")


async def test_all_halls_can_be_looked_at_and_the_console_stays_smooth(tmp_path: Path, backing: Backing) -> None:
    async with wall(tmp_path, backing) as (server, crowd, browser):
        page = await console(browser, server, DESKTOP)
        await page.get_by_test_id("hall-live").uncheck()
        cells = page.get_by_test_id("hall-cell")
        await expect(cells).to_have_count(25)
        await expect(page.get_by_test_id("halls-found")).to_have_text("1–25 / 187 điểm cầu")
        seen: set[str] = set()
        first = ""
        for number in range(8):
            if number:
                await page.get_by_test_id("next-list-page").first.press("Enter")
            await expect(cells.first).not_to_have_attribute("data-hall", first)
            first = str(await cells.first.get_attribute("data-hall"))
            shown = set(await cells.evaluate_all(HALLS))
            for hall in shown & crowd.filmed:
                await expect(page.locator(f"[data-hall={hall}][data-picture=still]")).to_be_visible(timeout=STILL_MS)
            seen |= shown
        assert len(seen) == 187
        assert len(crowd.filmed) > 130
        await page.get_by_test_id("hall-view-small").click()
        await expect(cells).to_have_count(100)
        figures = await load(page, crowd, server)
        assert figures["long"] < 0.1 * figures["over_ms"], figures
        await shot(page, "wall-small")
        await page.get_by_test_id("hall-order").select_option("trouble")
        await page.get_by_test_id("hall-view-large").click()
        await expect(page.locator("[data-state=lost]").first).to_be_visible()
        await page.mouse.move(1, 1)
        await asyncio.sleep(2)
        await shot(page, "wall-trouble")
        await page.get_by_test_id("hall-order").select_option("list")
        await page.get_by_test_id("hall-search").fill("muong")
        await expect(cells).not_to_have_count(25)
        await page.get_by_test_id("hall-search").fill("")
        await page.get_by_test_id("hall-detail").nth(1).click()
        await expect(page.get_by_test_id("hall-stats")).to_be_visible()
        await asyncio.sleep(1)
        await shot(page, "wall-detail")
        assert errors_of(page) == []
        phone = await console(browser, server, {"width": 390, "height": 844})
        await asyncio.sleep(2)
        await shot(phone, "wall-phone")
        await phone.get_by_test_id("hall-view-small").click()
        await asyncio.sleep(2)
        await shot(phone, "wall-phone-small")


async def load(page: Page, crowd: Crowd, server: Live, over_s: float = 10.0) -> dict[str, Any]:
    """What the page does in some seconds of all halls' presence and stills, and what that is in bytes."""
    await page.evaluate(WATCH)
    before, sent = await page.evaluate("performance.now()"), crowd.bytes_sent
    await asyncio.sleep(over_s)
    tasks: list[float] = await page.evaluate("window.tasks")
    after = await page.evaluate("performance.now()")
    figures = {
        "over_ms": after - before,
        "long": sum(tasks),
        "longest": max(tasks, default=0.0),
        "stills_bytes_s": round((crowd.bytes_sent - sent) / over_s),
    }
    print("wall", figures)
    return figures
