"""Attendance as files for the office."""

import asyncio
from datetime import UTC, datetime, timedelta

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


def stamp(now: float) -> str:
    """The time in a file's name, in Vietnam."""
    return (datetime.fromtimestamp(now, UTC) + timedelta(hours=7)).strftime("%Y%m%d-%H%M")


async def attendance_workbook(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    now = runner.now()
    data = await asyncio.to_thread(attendance_xlsx, runner.meeting.copy(), now)
    return attachment(data, XLSX, f"diem-danh-{runner.id}-{stamp(now)}.xlsx")


async def attendance_table(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    per = request.query.get("per", "delegate")
    if per not in ("delegate", "hall"):
        raise Denial("bad_request", "per")
    now = runner.now()
    kind = "hall" if per == "hall" else "delegate"
    data = await asyncio.to_thread(attendance_csv, runner.meeting.copy(), kind, now)
    name = "diem-cau" if per == "hall" else "dai-bieu"
    return attachment(data, "text/csv", f"diem-danh-{name}-{runner.id}-{stamp(now)}.csv")
