"""Attendance as files for the office."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from aiohttp import web

from server.exports.attendance import attendance_csv, attendance_xlsx
from server.http.caller import meeting, staff
from server.http.service import Service
from server.joining import Denial

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def attachment(data: bytes, content_type: str, filename: str) -> web.Response:
    """A file to save, never to be kept by a cache."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"', "Cache-Control": "no-store"}
    return web.Response(body=data, content_type=content_type, headers=headers)


async def names(service: Service) -> dict[str, str]:
    """What to print for the staff in a report."""
    return {f"staff:{account.id}": account.name for account in await service.accounts.all()}


def stamp(now: float) -> str:
    """The time in a file's name, in Vietnam."""
    return (datetime.fromtimestamp(now, UTC) + timedelta(hours=7)).strftime("%Y%m%d-%H%M")


async def attendance_workbook(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    now = runner.now()
    data = await asyncio.to_thread(attendance_xlsx, runner.meeting.copy(), now, await names(service))
    return attachment(data, XLSX, f"diem-danh-{runner.id}-{stamp(now)}.xlsx")


async def attendance_table(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    try:
        per = msgspec.convert(request.query.get("per", "delegate"), Literal["delegate", "hall"])
    except msgspec.ValidationError as error:
        raise Denial("bad_request", "per") from error
    now = runner.now()
    data = await asyncio.to_thread(attendance_csv, runner.meeting.copy(), per, now, await names(service))
    name = "diem-cau" if per == "hall" else "dai-bieu"
    return attachment(data, "text/csv", f"diem-danh-{name}-{runner.id}-{stamp(now)}.csv")
