"""A vote from end to end on the pages: the host opens it, phones vote, the hall shows the result once it is published."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.test_accessibility import NARROW, faults, scene
from tests.e2e.test_meeting import enter
from tests.support.browsers import DESKTOP, PHONE
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


async def test_a_vote_from_end_to_end(tmp_path: Path) -> None:
    async with scene(tmp_path) as (server, page_at):
        host = await page_at("/host")
        await logged_in(host)
        first = await page_at(f"/d/{server.delegate_token('d1')}", PHONE)
        second = await page_at(f"/d/{server.delegate_token('d3')}", NARROW)
        hall = await page_at(f"/hall/{server.hall_token('h1')}", DESKTOP)
        await enter(hall)
        await first.get_by_test_id("check-in").click()
        await expect(first.get_by_test_id("checked-in")).to_be_visible()

        await host.get_by_test_id("section-votes").click()
        await host.get_by_test_id("new-poll").click()
        await host.get_by_test_id("poll-title").fill(TITLE)
        assert await faults(host) == []
        await host.get_by_test_id("save-poll").click()
        await expect(host.get_by_test_id("poll")).to_contain_text(TITLE)
        for page in (first, second, hall):
            await expect(page.get_by_test_id("vote")).to_have_count(0)
        await confirmed(host, "open-poll")
        for page in (first, second, hall):
            await expect(page.get_by_test_id("vote")).to_have_attribute("data-state", "open")
            assert await faults(page) == []
        assert await faults(host) == []
        await picture("open", host=host, hall=hall, phone=first)
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
        await expect(host.get_by_test_id("turnout")).to_have_text("1")
        await second.get_by_test_id("check-in").click()
        await vote(second, "abstain")
        for page in (host, hall):
            await expect(page.get_by_test_id("turnout")).to_have_text("2")
            assert await ballots_known(page) == 0
        assert [await ballots_known(page) for page in (first, second)] == [1, 1]
        await expect(host.locator('[data-testid=hall-turnout][data-hall="h1"]')).to_contain_text("1/1")
        await expect(host.get_by_test_id("vote-bars")).to_have_count(0)
        await picture("voted", host=host, hall=hall, phone=first)

        await confirmed(host, "close-poll")
        for page in (first, second, hall):
            await expect(page.get_by_test_id("vote")).to_have_attribute("data-state", "closed")
            await expect(page.get_by_test_id("vote-bars")).to_have_count(0)
        counted = {"yes": "1", "no": "0", "abstain": "1"}
        await expect(host.get_by_test_id("vote-bars")).to_be_visible()
        assert await sums(host) == counted
        await picture("closed", host=host, hall=hall, phone=first)
        await confirmed(host, "publish-poll")
        for page in (first, second, hall):
            await expect(page.get_by_test_id("vote-bars")).to_be_visible()
            assert await sums(page) == counted
            assert await faults(page) == []
        assert await faults(host) == []
        await picture("published", host=host, hall=hall, phone=first)
        if SHOTS:
            await host.set_viewport_size({"width": 360, "height": 740})
            await hall.set_viewport_size({"width": 1920, "height": 1080})
            await picture("sizes", host=host, hall=hall, phone=second)

        await first.reload()
        await expect(first.get_by_test_id("my-vote")).to_have_attribute("data-choice", "yes")
        await host.get_by_test_id("show-poll").click()
        for page in (first, second, hall):
            await expect(page.get_by_test_id("vote")).to_have_count(0)
