"""The delegates of a rehearsal: put onto the meeting's list as a clerk does, with a workbook; in by their codes."""

import asyncio
import io
from typing import Any

import aiohttp
import xlsxwriter

from clients.rehearsal.desk import HALL, Desk, RehearsalFailed, Site
from clients.rehearsal.phone import Seat, hall_address

SEATS = 60
"""Delegates of a hall, where the rehearsal has no halls of its own."""
_KNOWN_S = 60.0
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


async def enrol(site: Site, meeting: str, desk: Desk, delegates: int, halls: int) -> tuple[Seat, ...]:
    """Puts them onto the list, and gets every phone its token. Raises RehearsalFailed."""
    base = f"/api/meetings/{meeting}"
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", await asyncio.to_thread(_workbook, delegates, halls), filename="roster.xlsx")
    preview = await site.upload(base + "/roster/preview", form)
    done = await site.request("POST", base + "/roster/import", {"upload": preview["upload"]})
    if done["new_delegates"] != delegates:
        raise RehearsalFailed(f"{done['new_delegates']} of {delegates} delegates came onto the list")
    async with asyncio.timeout(_KNOWN_S):
        await desk.until_known(halls)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def hall(place: int, id: str) -> list[Seat]:
        async with gate:
            return await _seats(site, await _rows(site, base, id), place)

    seats = await asyncio.gather(*(hall(place, id) for place, id in enumerate(desk.halls)))
    found = tuple(seat for each in seats for seat in each)
    if len(found) != delegates:
        raise RehearsalFailed(f"{len(found)} of {delegates} delegates are on the list")
    return found


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
    """Every delegate types the card's code, on a phone behind the hall's address."""
    local = (hall_address(place), 0) if site.url.startswith("http://127.") else None
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=local)) as http:
        phones = Site(http, site.url)
        return [
            Seat(str((await phones.request("POST", "/api/join", {"code": row["code"]}))["token"]), place)
            for row in rows
        ]
