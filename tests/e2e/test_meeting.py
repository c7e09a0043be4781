"""A meeting from end to end as its users meet it: the product's own process, its pages in Chromium."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from server.demo import PAPER, ROSTER
from tests.support.browsers import (
    BLUE,
    PHONE,
    RED,
    chromium,
    colour,
    errors_of,
    hall_browser,
    inbound,
    opened,
    shows,
    tones_settle,
)
from tests.support.databases import Backing
from tests.support.hold_ups import HoldUps
from tests.support.processes import Server, free_port, kill_media_node, media_node_pid, server_process

pytestmark = pytest.mark.slow
A, B = "h2", "h3"
TONE_A, TONE_B = 750.0, 1500.0
PASSWORD = "mật khẩu dài"
SHOTS = os.environ.get("DIEMCAU_SHOTS")


class Cast:
    """Everybody on the day: the host, two halls, one delegate of hall A."""

    def __init__(self, server: Server, host: Page, a: Page, b: Page, phone: Page) -> None:
        self.server, self.host, self.a, self.b, self.phone = server, host, a, b, phone

    @property
    def pages(self) -> dict[str, Page]:
        return {"host": self.host, "hall": self.b, "hall-speaking": self.a, "delegate": self.phone}

    async def section(self, name: str) -> None:
        await self.host.get_by_test_id(f"section-{name}").click()

    async def give(self, hall: str) -> None:
        """The host finds the hall on the wall and gives it the floor."""
        await self.host.locator(f'[data-hall="{hall}"]').get_by_test_id("hall-give-floor").click()


async def api(page: Page, path: str) -> Any:
    answer = await page.request.get(path)
    assert answer.ok, await answer.text()
    return await answer.json()


async def first_run(server: Server, page: Page) -> str:
    """The printed link makes the first host, who opens the sample meeting; the meeting's id."""
    await page.get_by_test_id("first-name").fill("Nguyễn Thị Chủ Trì")
    await page.get_by_test_id("first-login").fill("chutri")
    await page.get_by_test_id("first-password").fill(PASSWORD)
    await page.get_by_test_id("first-run").click()
    await page.get_by_test_id("meeting").first.click()
    await expect(page.get_by_test_id("line")).to_have_attribute("data-line", "online")
    meetings = await api(page, f"{server.url}/api/meetings")
    return str(meetings[0]["id"])


async def enter(page: Page) -> None:
    """The hall's technician looks at the preview and enters."""
    await page.get_by_test_id("enter-hall").click()
    await expect(page.get_by_test_id("hall-room")).to_be_visible()
    await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=15_000)


async def shots(cast: Cast, name: str) -> None:
    """Screenshots for the README, when asked for."""
    if SHOTS:
        for role, page in cast.pages.items():
            await page.screenshot(path=f"{SHOTS}/{name}-{role}.png")


async def test_a_meeting_from_end_to_end(tmp_path: Path, backing: Backing) -> None:
    data = tmp_path / "data"
    async with (
        async_playwright() as playwright,
        server_process(data, free_port(), free_port(), environment=backing.environment) as server,
        chromium(playwright) as desk,
        hall_browser(playwright, tmp_path, RED, TONE_A) as browser_a,
        hall_browser(playwright, tmp_path, BLUE, TONE_B) as browser_b,
    ):
        host = await opened(desk, await server.link("first host"))
        meeting = await first_run(server, host)
        cards = {hall: await api(host, f"{server.url}/api/meetings/{meeting}/halls/{hall}/card") for hall in (A, B)}
        a, b = await opened(browser_a, cards[A]["link"]), await opened(browser_b, cards[B]["link"])
        people = await api(host, f"{server.url}/api/meetings/{meeting}/delegates?hall={A}")
        phone = await opened(desk, f"{server.url}/d", PHONE)
        cast = Cast(server, host, a, b, phone)

        await enter(a)
        await enter(b)
        await the_floor_moves(cast)
        await the_delegate_checks_in_by_code(cast, people["rows"][0]["code"])
        await the_paper_is_published_and_read(cast)
        await a_question_is_approved_and_shown(cast)
        await a_reload_recovers(cast)
        await a_killed_media_node_recovers(cast, data)
        await the_export_says_the_same(cast, meeting)
        await a_killed_server_leaves_the_pictures_flowing(cast, backing)
        await shots(cast, "end")
        assert {role: errors_of(page) for role, page in cast.pages.items()} == {role: [] for role in cast.pages}


async def the_floor_moves(cast: Cast) -> None:
    """A speaks and B sees and hears A, and only A; then B; then A again."""
    await cast.section("halls")
    for hall in (A, B):
        await expect(cast.host.locator(f'[data-hall="{hall}"]').get_by_test_id("hall-give-floor")).to_be_enabled()
    for speaker, watcher, picture, tone, silent in (
        (A, cast.b, "red", TONE_A, TONE_B),
        (B, cast.a, "blue", TONE_B, TONE_A),
        (A, cast.b, "red", TONE_A, TONE_B),
    ):
        watching = asyncio.create_task(shows(watcher, picture, 20))
        before = (await inbound(watcher, "stage.0")).get("framesDecoded", 0)
        await note_clicks(cast.host)
        async with HoldUps() as held:
            await cast.give(speaker)
            seen_at = await watching
        assert seen_at is not None, f"{speaker}'s picture did not come"
        took_s = seen_at - await last_click(cast.host)
        print(
            f"floor to {speaker}: its picture on the other hall's screen after {took_s:.2f} s, "
            f"of which the machine stood still {held.total_s:.2f} s"
        )
        assert took_s - held.total_s <= 1.0, await inbound(watcher, "stage.0")
        await asyncio.sleep(0.5)
        assert (await inbound(watcher, "stage.0"))["framesDecoded"] > before + 3
        assert await tones_settle(watcher, {tone: True, silent: False}) == {tone: True, silent: False}
        await expect(cast.phone.locator("body")).to_be_visible()
    await shots(cast, "floor")


async def note_clicks(page: Page) -> None:
    """Have the page remember when it was clicked last: the drive's own slowness is not the product's."""
    await page.evaluate("addEventListener('click', () => { window.clickedAt = Date.now() }, {capture: true})")


async def last_click(page: Page) -> float:
    return float(await page.evaluate("window.clickedAt")) / 1000


async def the_delegate_checks_in_by_code(cast: Cast, code: str) -> None:
    await cast.phone.get_by_test_id("join-code").fill(code.lower())
    await cast.phone.get_by_test_id("join").click()
    await expect(cast.phone.get_by_test_id("speaking")).to_be_visible()
    await cast.section("delegates")
    await expect(cast.host.get_by_test_id("total-in_hall")).to_have_text("0")
    await cast.phone.get_by_test_id("check-in").click()
    await expect(cast.phone.get_by_test_id("checked-in")).to_be_visible()
    await expect(cast.host.get_by_test_id("total-in_hall")).to_have_text("1")


async def the_paper_is_published_and_read(cast: Cast) -> None:
    await cast.section("documents")
    await cast.host.get_by_test_id("document-file").set_input_files(PAPER)
    await cast.host.get_by_test_id("document-title").fill("Dự thảo nghị quyết")
    await cast.host.get_by_test_id("publish").click()
    row = cast.host.get_by_test_id("document-row").filter(has_text="Dự thảo nghị quyết")
    await expect(row).to_be_visible()
    await cast.phone.get_by_test_id("tab-documents").click()
    await cast.phone.get_by_test_id("document").filter(has_text="Dự thảo nghị quyết").click()
    await expect(cast.phone.get_by_test_id("paper-page")).to_be_visible()
    await cast.phone.get_by_test_id("next-page").click()
    await expect(row.get_by_test_id("readers")).to_contain_text("1")
    await shots(cast, "paper")
    await cast.phone.get_by_test_id("reader-close").click()


async def a_question_is_approved_and_shown(cast: Cast) -> None:
    words = "Bao giờ bản Nà Tăm có đường bê tông?"
    await cast.phone.get_by_test_id("tab-questions").click()
    await cast.phone.get_by_test_id("question-text").fill(words)
    await cast.phone.get_by_test_id("ask").click()
    await expect(cast.phone.get_by_test_id("my-question")).to_contain_text(words)
    await cast.section("questions")
    card = cast.host.get_by_test_id("question").filter(has_text=words)
    await expect(card).to_be_visible()
    for hall in (cast.a, cast.b):
        questions = await hall.evaluate("() => window.__diemcau.replica.select('question').length")
        assert questions == 0, "a pending question is for its author and the secretary only"
        await expect(hall.get_by_test_id("shown-question")).to_have_count(0)
    await card.get_by_test_id("approve").click()
    await cast.host.get_by_test_id("box-approved").click()
    await cast.host.get_by_test_id("question").filter(has_text=words).get_by_test_id("show-question").click()
    for hall in (cast.a, cast.b):
        await expect(hall.get_by_test_id("shown-question")).to_contain_text(words)
    await shots(cast, "question")


async def a_reload_recovers(cast: Cast) -> None:
    """Hall B's page is reloaded: without a click it sees and hears A again. The host's and the phone's as well."""
    await cast.b.reload()
    assert await shows(cast.b, "red", 15) is not None, "hall B is back without a click"
    assert (await tones_settle(cast.b, {TONE_A: True, TONE_B: False}))[TONE_A]
    await cast.phone.reload()
    await cast.phone.get_by_test_id("tab-home").click()
    await expect(cast.phone.get_by_test_id("checked-in")).to_be_visible()
    await cast.host.reload()
    await expect(cast.host.get_by_test_id("line")).to_have_attribute("data-line", "online")
    await cast.section("halls")
    await cast.give(B)
    assert await shows(cast.a, "blue", 15) is not None, "B, reloaded, is seen"
    await cast.give(A)
    assert await shows(cast.b, "red", 15) is not None


async def a_killed_media_node_recovers(cast: Cast, data: Path) -> None:
    before = media_node_pid(data)
    assert kill_media_node(data)
    await asyncio.sleep(1)
    assert await shows(cast.b, "red", 20) is not None
    await asyncio.sleep(2)
    frames = (await inbound(cast.b, "stage.0"))["framesDecoded"]
    await asyncio.sleep(1)
    assert (await inbound(cast.b, "stage.0"))["framesDecoded"] > frames
    assert media_node_pid(data) not in (None, before)
    assert await tones_settle(cast.b, {TONE_A: True, TONE_B: False}) == {TONE_A: True, TONE_B: False}
    assert await colour(cast.b) == "red"


async def the_export_says_the_same(cast: Cast, meeting: str) -> None:
    answer = await cast.host.request.get(f"{cast.server.url}/api/meetings/{meeting}/export/attendance.csv?per=delegate")
    lines = (await answer.body()).decode("utf-8-sig").splitlines()
    assert sum("Có mặt trực tiếp" in line for line in lines) == 1


async def a_killed_server_leaves_the_pictures_flowing(cast: Cast, backing: Backing) -> None:
    """kill -9 of the server: B goes on seeing A; a new server adopts the media node, and the pages come back to it."""
    node = media_node_pid(cast.server.data)
    await cast.server.kill()
    before = (await inbound(cast.b, "stage.0"))["framesDecoded"]
    await asyncio.sleep(2)
    between = (await inbound(cast.b, "stage.0"))["framesDecoded"]
    assert between > before + 10, "the picture flows without a server"
    here, environment = cast.server, backing.environment
    async with server_process(here.data, here.port, here.media_port, environment=environment):
        assert media_node_pid(cast.server.data) == node
        await expect(cast.host.get_by_test_id("line")).to_have_attribute("data-line", "online", timeout=20_000)
        await cast.section("halls")
        await expect(cast.host.locator(f'[data-hall="{B}"]').get_by_test_id("hall-give-floor")).to_be_enabled()
        await cast.give(B)
        assert await shows(cast.a, "blue", 15) is not None
        await cast.give(A)
        assert await shows(cast.b, "red", 15) is not None
        async with asyncio.timeout(10):  # red may be the picture from before it had the floor itself
            while (await inbound(cast.b, "stage.0"))["framesDecoded"] <= between:
                await asyncio.sleep(0.2)


async def test_a_clerk_imports_the_roster_on_the_page(tmp_path: Path, backing: Backing) -> None:
    async with (
        async_playwright() as playwright,
        server_process(tmp_path, free_port(), free_port(), "--no-sample", environment=backing.environment) as server,
        chromium(playwright) as desk,
    ):
        page = await opened(desk, await server.link("first host"))
        for field in ("first-name", "first-login", "first-password"):
            await page.get_by_test_id(field).fill(PASSWORD)
        await page.get_by_test_id("first-run").click()
        await page.get_by_test_id("new-meeting").click()
        await page.get_by_test_id("meeting-title").fill("Hội nghị toàn tỉnh")
        await page.get_by_test_id("save-meeting").click()
        await page.get_by_test_id("section-roster").click()
        await page.get_by_test_id("roster-file").set_input_files(ROSTER)
        preview = page.get_by_test_id("roster-preview")
        await expect(preview).to_contain_text("187", timeout=60_000)
        assert await page.get_by_test_id("doubtful").count() > 0
        if SHOTS:
            await page.screenshot(path=f"{SHOTS}/import.png", full_page=False)
        await page.get_by_test_id("import").click()
        await expect(page.get_by_test_id("roster-imported")).to_contain_text("187", timeout=60_000)
        await page.get_by_test_id("section-halls").click()
        await expect(page.get_by_test_id("halls-found")).to_contain_text("187")
        assert errors_of(page) == []
