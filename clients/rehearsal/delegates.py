"""The delegates of a rehearsal: put onto the meeting's list as a clerk does, with a workbook; in by their codes."""

import asyncio
import io
from collections.abc import Iterable
from typing import Any

import aiohttp
import xlsxwriter

from clients.rehearsal.desk import HALL, RehearsalFailed, Site
from clients.rehearsal.phone import Seat, hall_address

SEATS = 60
"""Delegates of a hall, where the rehearsal has no halls of its own."""
_AT_ONCE = 8


def _workbook(delegates: int, halls: int) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Điểm cầu")
        sheet.write_row(0, 0, ("STT", "Tên điểm cầu", "Đơn vị"))
        for n in range(halls):
            sheet.write_row(n + 1, 0, (n + 1, HALL.format(n + 1), f"Huyện {n + 1}"))
        sheet = book.add_worksheet("Đại biểu")
        sheet.write_row(0, 0, ("STT", "Họ và tên", "Chức vụ", "Đơn vị công tác", "Điểm cầu", "Điện thoại"))
        for n in range(delegates):
            phone = f"09{n:08d}"
            cells = (
                n + 1,
                f"Đại biểu số {n + 1}",
                "Đại biểu",
                f"Huyện {n % halls + 1}",
                HALL.format(n % halls + 1),
                phone,
            )
            sheet.write_row(n + 1, 0, cells)
    return out.getvalue()


async def enrol(site: Site, meeting: str, delegates: int, halls: int) -> None:
    """Puts them onto the meeting's list. Raises RehearsalFailed."""
    base = f"/api/meetings/{meeting}/roster"
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", await asyncio.to_thread(_workbook, delegates, halls), filename="roster.xlsx")
    preview = await site.upload(base + "/preview", form)
    done = await site.request("POST", base + "/import", {"upload": preview["upload"]})
    if done["new_delegates"] != delegates:
        raise RehearsalFailed(f"{done['new_delegates']} of {delegates} delegates came onto the list")


async def seats_of(site: Site, meeting: str, halls: Iterable[str]) -> tuple[Seat, ...]:
    """Every delegate of these halls gets in by the code of the card. Raises RehearsalFailed."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def hall(place: int, id: str) -> list[Seat]:
        async with gate:
            return await _seats(site, await _rows(site, f"/api/meetings/{meeting}", id), place)

    seats = await asyncio.gather(*(hall(place, id) for place, id in enumerate(halls)))
    return tuple(seat for each in seats for seat in each)


async def _rows(site: Site, base: str, hall: str) -> list[dict[str, Any]]:
    """A hall's part of the delegate list, as the console reads it."""
    rows: list[dict[str, Any]] = []
    page = {"pages": 1}
    number = 0
    while number < page["pages"]:
        number += 1
        page = await site.request("GET", f"{base}/delegates?hall={hall}&page={number}")
        rows += page["rows"]
    return rows


async def _seats(site: Site, rows: list[dict[str, Any]], place: int) -> list[Seat]:
    """Each types the code on a phone behind the hall's address."""
    local = (hall_address(place), 0) if site.url.startswith("http://127.") else None
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=local)) as http:
        phones = Site(http, site.url)
        return [
            Seat(str((await phones.request("POST", "/api/join", {"code": row["code"]}))["token"]), place)
            for row in rows
        ]
