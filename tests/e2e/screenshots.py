"""The README's pictures, taken from the running product: `python -m tests.e2e.screenshots [folder]`.

The halls' cameras show drawn rooms; everything else is the real server, media node and pages.
"""

import asyncio
import math
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter
from playwright.async_api import Page, Playwright, async_playwright, expect

from tests.e2e.test_meeting import api, enter, first_run
from tests.support.browsers import DESKTOP, PHONE, chromium, opened, write_microphone
from tests.support.processes import free_port, server_process

WIDTH, HEIGHT, FRAMES = 1280, 720, 6
HALLS = ("h1", "h2", "h3", "h5")
ROOMS = {
    "h1": ((122, 28, 32), (246, 226, 190)),
    "h2": ((34, 74, 96), (226, 214, 196)),
    "h3": ((58, 88, 62), (236, 222, 200)),
    "h5": ((88, 66, 104), (228, 218, 210)),
}


def room(curtain: tuple[int, int, int], wall: tuple[int, int, int], tick: int) -> Image.Image:
    """A hall as a camera at its back sees it: a curtain, a table with three people, heads in front."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), wall)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((90, 40, WIDTH - 90, 430), fill=curtain)
    for x in range(90, WIDTH - 90, 36):
        draw.line((x, 40, x, 430), fill=tuple(max(0, c - 14) for c in curtain), width=10)
    for n, x in enumerate((400, 640, 880)):
        nod = round(6 * math.sin(tick / FRAMES * 2 * math.pi + n))
        draw.ellipse((x - 52, 200 + nod, x + 52, 318 + nod), fill=(206, 164, 134))
        draw.pieslice((x - 56, 188 + nod, x + 56, 300 + nod), 180, 360, fill=(42, 34, 30))
        draw.rounded_rectangle((x - 100, 318, x + 100, 470), 46, fill=(240, 240, 244) if n != 1 else (40, 52, 74))
        draw.polygon(((x - 20, 318), (x + 20, 318), (x, 372)), fill=(214, 190, 170))
    draw.rounded_rectangle((180, 420, WIDTH - 180, 560), 12, fill=(120, 78, 46))
    draw.rectangle((180, 420, WIDTH - 180, 446), fill=(150, 100, 62))
    for x in range(60, WIDTH, 150):
        draw.ellipse((x - 50, 600, x + 50, 710), fill=(36, 32, 34))
        draw.rounded_rectangle((x - 84, 690, x + 84, 800), 30, fill=(54, 60, 74))
    return picture.filter(ImageFilter.GaussianBlur(1.2))


def write_film(path: Path, curtain: tuple[int, int, int], wall: tuple[int, int, int]) -> Path:
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F6:1 Ip A1:1 C420jpeg\n".encode())
        for tick in range(FRAMES):
            luma, blue, red = room(curtain, wall, tick).convert("YCbCr").split()
            small = (WIDTH // 2, HEIGHT // 2)
            planes = (luma, blue.resize(small), red.resize(small))
            film.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes))
    return path


async def hall_page(playwright: Playwright, folder: Path, hall: str, link: str, stack: AsyncExitStack) -> Page:
    film = write_film(folder / f"{hall}.y4m", *ROOMS[hall])
    sound = write_microphone(folder / f"{hall}.wav", 220.0 + 55 * HALLS.index(hall))
    flags = (f"--use-file-for-fake-video-capture={film}", f"--use-file-for-fake-audio-capture={sound}")
    browser = await stack.enter_async_context(chromium(playwright, *flags))
    page = await opened(browser, link, {"width": 1280, "height": 720})
    await enter(page)
    return page


async def agenda_and_paper(host: Page) -> None:
    await host.get_by_test_id("section-control").click()
    await host.get_by_test_id("set-current").nth(1).click()


async def take(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = await stack.enter_async_context(async_playwright())
        server = await stack.enter_async_context(server_process(work / "data", free_port(), free_port()))
        desk = await stack.enter_async_context(chromium(playwright))
        host = await opened(desk, await server.link("first host"), DESKTOP)
        meeting = await first_run(server, host)
        base = f"{server.url}/api/meetings/{meeting}"
        pages: dict[str, Page] = {}
        for hall in HALLS:
            card = await api(host, f"{base}/halls/{hall}/card")
            pages[hall] = await hall_page(playwright, work, hall, card["link"], stack)
        phones = []
        for hall, many in (("h1", 3), ("h2", 2), ("h3", 3)):
            rows = (await api(host, f"{base}/delegates?hall={hall}"))["rows"]
            for row in rows[:many]:
                phone = await opened(desk, f"{server.url}/d", PHONE)
                await phone.get_by_test_id("join-code").fill(row["code"])
                await phone.get_by_test_id("join").click()
                await phone.get_by_test_id("check-in").click()
                await expect(phone.get_by_test_id("checked-in")).to_be_visible()
                phones.append(phone)
        await agenda_and_paper(host)
        await phones[0].get_by_test_id("topic").fill("Đường vào bản Nà Tăm")
        await phones[0].get_by_test_id("request-floor").click()
        await host.get_by_test_id("section-halls").click()
        await host.locator('[data-hall="h2"]').get_by_test_id("hall-give-floor").click()
        await asyncio.sleep(12)
        await host.screenshot(path=folder / "host.png")
        await pages["h3"].screenshot(path=folder / "hall.png")
        await phones[0].evaluate("scrollTo(0, 0)")
        await phones[0].screenshot(path=folder / "delegate.png")
        await host.get_by_test_id("section-control").click()
        await asyncio.sleep(2)
        await host.screenshot(path=folder / "control.png")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1] if len(sys.argv) > 1 else "clients/pictures")))
