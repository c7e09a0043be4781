"""A vote from end to end on the pages: opened at the console, cast on phones, its result on the hall's screen."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.test_accessibility import NARROW, faults, scene
from tests.e2e.test_meeting import enter
from tests.support.browsers import DESKTOP, PHONE
from tests.support.databases import Backing
from tests.support.live import PASSWORD

pytestmark = pytest.mark.slow
SHOTS = os.environ.get("DIEMCAU_SHOTS")
TITLE = "Thông qua Nghị quyết về phát triển hạ tầng giao thông nông thôn giai đoạn 2026–2030"


async def picture(name: str, **pages: Page) -> None:
    """Screenshots to look at, when asked for."""
    if SHOTS:
        for role, page in pages.items():
            await page.screenshot(path=f"{SHOTS}/vote-{name}-{role}.png")


async def logged_in(page: Page) -> None:
    await page.get_by_test_id("login-name").fill("secretary")
    await page.get_by_test_id("login-password").fill(PASSWORD)
    await page.get_by_test_id("login").click()
    await page.get_by_test_id("meeting").first.click()


async def confirmed(page: Page, button: str) -> None:
    await page.get_by_test_id(button).click()
    await page.get_by_test_id("confirm").click()


async def vote(phone: Page, choice: str) -> None:
    await confirmed(phone, f"vote-{choice}")
    await expect(phone.get_by_test_id("my-vote")).to_have_attribute("data-choice", choice)


async def sums(page: Page) -> dict[str, Any]:
    """The numbers of votes as the page shows them."""
    shown = {c: page.get_by_test_id(f"sum-{c}") for c in ("yes", "no", "abstain")}
    return {choice: await bar.get_attribute("data-votes") for choice, bar in shown.items()}


async def ballots_known(page: Page) -> int:
    return int(await page.evaluate("() => window.__diemcau.replica.select('ballot').length"))


class Cast:
    """The secretary, two delegates of two halls (the second on a narrow phone, not checked in), and one hall."""

    def __init__(self, host: Page, first: Page, second: Page, hall: Page) -> None:
        self.host, self.first, self.second, self.hall = host, first, second, hall
        self.public = (first, second, hall)

    async def stage(self, name: str) -> None:
        """All pages are as axe wants them."""
        for page in (self.host, *self.public):
            assert await faults(page) == [], name
        await picture(name, host=self.host, hall=self.hall, phone=self.first)


async def test_a_vote_from_end_to_end(tmp_path: Path, backing: Backing) -> None:
    async with scene(tmp_path, backing) as (server, page_at):
        host = await page_at("/host")
        await logged_in(host)
        first = await page_at(f"/d/{server.delegate_token('d1')}", PHONE)
        second = await page_at(f"/d/{server.delegate_token('d3')}", NARROW)
        hall = await page_at(f"/hall/{server.hall_token('h1')}", DESKTOP)
        await enter(hall)
        await first.get_by_test_id("check-in").click()
        await expect(first.get_by_test_id("checked-in")).to_be_visible()
        cast = Cast(host, first, second, hall)
        await it_is_prepared_and_opened(cast)
        await votes_are_cast(cast)
        await it_is_closed_and_published(cast)
        await it_is_taken_off_the_screens(cast)


async def it_is_prepared_and_opened(cast: Cast) -> None:
    host = cast.host
    await host.get_by_test_id("section-votes").click()
    await host.get_by_test_id("new-poll").click()
    await host.get_by_test_id("poll-title").fill(TITLE)
    assert await faults(host) == []
    await host.get_by_test_id("save-poll").click()
    await expect(host.get_by_test_id("poll")).to_contain_text(TITLE)
    for page in cast.public:
        await expect(page.get_by_test_id("vote")).to_have_count(0)
    await confirmed(host, "open-poll")
    for page in cast.public:
        await expect(page.get_by_test_id("vote")).to_have_attribute("data-state", "open")
    await cast.stage("open")


async def votes_are_cast(cast: Cast) -> None:
    first, second = cast.first, cast.second
    for choice in ("yes", "no", "abstain"):
        box = await first.get_by_test_id(f"vote-{choice}").bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= 44
    await expect(second.get_by_test_id("vote-yes")).to_have_count(0)  # not checked in yet
    await first.get_by_test_id("tab-questions").click()
    await first.get_by_test_id("vote-call").click()
    await first.get_by_test_id("vote-yes").focus()
    await first.keyboard.press("Enter")
    assert await faults(first) == []
    await picture("sure", phone=first)
    await first.keyboard.press("Escape")
    await expect(first.get_by_test_id("my-vote")).to_have_count(0)  # thought better of it
    await vote(first, "yes")
    await expect(first.get_by_test_id("vote-yes")).to_have_count(0)
    await expect(cast.host.get_by_test_id("turnout")).to_have_text("1")
    await second.get_by_test_id("check-in").click()
    await vote(second, "abstain")
    for page in (cast.host, cast.hall):
        await expect(page.get_by_test_id("turnout")).to_have_text("2")
        assert await ballots_known(page) == 0
    assert [await ballots_known(page) for page in (first, second)] == [1, 1]
    for hall in ("h1", "h2"):
        await expect(cast.host.locator(f'[data-testid=hall-turnout][data-hall="{hall}"]')).to_contain_text("1/1")
    await expect(cast.host.get_by_test_id("vote-bars")).to_have_count(0)
    await cast.stage("voted")


async def it_is_closed_and_published(cast: Cast) -> None:
    counted = {"yes": "1", "no": "0", "abstain": "1"}
    await confirmed(cast.host, "close-poll")
    for page in cast.public:
        await expect(page.get_by_test_id("vote")).to_have_attribute("data-state", "closed")
        await expect(page.get_by_test_id("vote-bars")).to_have_count(0)
    await expect(cast.host.get_by_test_id("vote-bars")).to_be_visible()
    assert await sums(cast.host) == counted
    await cast.stage("closed")
    await confirmed(cast.host, "publish-poll")
    for page in cast.public:
        await expect(page.get_by_test_id("vote-bars")).to_be_visible()
        assert await sums(page) == counted
    await cast.stage("published")
    if SHOTS:
        await cast.host.set_viewport_size({"width": 360, "height": 740})
        await cast.hall.set_viewport_size({"width": 1920, "height": 1080})
        await picture("sizes", host=cast.host, hall=cast.hall, phone=cast.second)
        await cast.hall.set_viewport_size({"width": 400, "height": 800})
        await picture("narrow", hall=cast.hall)


async def it_is_taken_off_the_screens(cast: Cast) -> None:
    await cast.first.reload()
    await expect(cast.first.get_by_test_id("my-vote")).to_have_attribute("data-choice", "yes")
    await cast.host.get_by_test_id("show-poll").click()
    for page in cast.public:
        await expect(page.get_by_test_id("vote")).to_have_count(0)
