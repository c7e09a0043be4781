"""WCAG 2.2 AA as far as a program can tell (axe), and nothing wider than the screen, on every page."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

import clients
from tests.e2e.test_meeting import enter
from tests.support.browsers import DESKTOP, chromium
from tests.support.control_tap import tapped_node
from tests.support.crowd import crowded
from tests.support.databases import Backing
from tests.support.live import PASSWORD, Live, live

pytestmark = pytest.mark.slow
AXE = Path(clients.__file__).parent / "web" / "node_modules" / "axe-core" / "axe.min.js"
NARROW = {"width": 320, "height": 640}
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']"
Open = Callable[..., Coroutine[Any, Any, Page]]


async def faults(page: Page) -> list[Any]:
    """What axe objects to, and whether the page is wider than its window."""
    await page.evaluate(AXE.read_text())
    found: list[Any] = await page.evaluate(
        f"""async () => {{
          const {{violations}} = await axe.run(document, {{runOnly: {RULES}}})
          const wide = document.documentElement.scrollWidth > innerWidth ? ['wider than the window'] : []
          return [...wide, ...violations.map((one) => [one.id, one.nodes[0].html.slice(0, 200)])]
        }}"""
    )
    return found


@asynccontextmanager
async def scene(folder: Path, backing: Backing) -> AsyncIterator[tuple[Live, Open]]:
    """A server, and a way to open its pages without the policy that would keep axe out."""
    async with (
        async_playwright() as playwright,
        live(folder, **backing.settings) as server,
        chromium(playwright) as browser,
    ):

        async def page_at(path: str, size: dict[str, int] = DESKTOP) -> Page:
            return await _page(browser, f"http://localhost:{server.running.port}{path}", size)

        yield server, page_at


async def _page(browser: Browser, url: str, size: dict[str, int]) -> Page:
    viewport = {"width": size["width"], "height": size["height"]}
    context = await browser.new_context(viewport=viewport, bypass_csp=True, locale="vi-VN")  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(url)
    return page


async def test_the_phones_pages(tmp_path: Path, backing: Backing) -> None:
    async with scene(tmp_path, backing) as (server, page_at):
        assert await faults(await page_at("/", NARROW)) == []
        assert await faults(await page_at("/d", NARROW)) == []
        assert await faults(await page_at(f"/j/{server.seat_token()}", NARROW)) == []
        phone = await page_at(f"/d/{server.delegate_token()}", NARROW)
        await expect(phone.get_by_test_id("check-in")).to_be_visible()
        for tab in ("home", "agenda", "documents", "questions"):
            await phone.get_by_test_id(f"tab-{tab}").click()
            assert await faults(phone) == [], tab


async def test_a_phone_without_a_line(tmp_path: Path, backing: Backing) -> None:
    async with scene(tmp_path, backing) as (server, page_at):
        phone = await page_at("/d", NARROW)
        await phone.route("**/api/line/**", lambda route: route.abort())
        await phone.route_web_socket("**/*", lambda socket: socket.close())
        await phone.goto(f"http://localhost:{server.running.port}/d/{server.delegate_token()}")
        await expect(phone.get_by_test_id("no-line")).to_be_visible(timeout=15_000)
        assert await faults(phone) == []


async def test_the_console(tmp_path: Path, backing: Backing) -> None:
    async with scene(tmp_path, backing) as (_, page_at):
        host = await page_at("/host")
        assert await faults(host) == []
        await host.get_by_test_id("login-name").fill("host")
        await host.get_by_test_id("login-password").fill(PASSWORD)
        await host.get_by_test_id("login").click()
        await host.get_by_test_id("meeting").first.click()
        for section in ("control", "halls", "delegates", "roster", "documents", "questions", "votes"):
            await host.get_by_test_id(f"section-{section}").click()
            assert await faults(host) == [], section


async def test_the_wall(tmp_path: Path, backing: Backing) -> None:
    """With halls in every state, in each of its forms, and a hall's dialog; wide and narrow."""
    async with tapped_node(tmp_path) as tap, scene(tmp_path, backing) as (server, page_at):
        await tap.attached()
        async with crowded(server, tap) as _:
            for size in (DESKTOP, NARROW):
                host = await page_at("/host", size)
                await host.get_by_test_id("login-name").fill("host")
                await host.get_by_test_id("login-password").fill(PASSWORD)
                await host.get_by_test_id("login").click()
                await host.get_by_test_id("meeting").filter(has_text="mẫu").click()
                await host.get_by_test_id("section-halls").click()
                await host.get_by_test_id("hall-order").select_option("trouble")
                await expect(host.locator("[data-state=lost]").first).to_be_attached()
                for view in ("small", "list", "large"):
                    await host.get_by_test_id(f"hall-view-{view}").click()
                    assert await faults(host) == [], view
                await host.get_by_test_id("hall-detail").first.click()
                await expect(host.get_by_test_id("hall-stats")).to_be_visible()
                assert await faults(host) == [], "detail"


async def test_a_halls_screen(tmp_path: Path, backing: Backing) -> None:
    async with scene(tmp_path, backing) as (server, page_at):
        hall = await page_at(f"/hall/{server.hall_token()}")
        assert await faults(hall) == []
        await enter(hall)
        assert await faults(hall) == []
