"""Importing lists: a preview of what a workbook would do, then the import with the clerk's corrections."""

import asyncio
import re
from pathlib import Path

from aiohttp import web

from rooms.meeting import Meeting
from rooms.refusal import Refused
from server import wire
from server.http.caller import DESK, body, meeting, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.http.uploads import receive
from server.joining import Denial
from server.meetings import new_command_id
from server.papers.library import read_pieces
from server.roster.plan import Plan, plan_workbook
from server.roster.workbook import MOST_BYTES, WorkbookError
from server.runner import Runner

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _stored(service: Service, upload: str) -> Path:
    """Where an uploaded workbook waits. Raises `Denial` for a name that is none."""
    if not _SHA256.fullmatch(upload):
        raise Denial("bad_request", "upload")
    return service.settings.uploads_dir / f"{upload}.xlsx"


async def _uploaded(service: Service, upload: str) -> bytes:
    """The workbook that was previewed, here or on another machine. Raises `Denial`."""
    path = _stored(service, upload)
    try:
        return await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError as error:
        if service.shared_files is not None:
            data = b"".join([piece async for piece in service.shared_files.pieces(f"roster/{upload}")])
            if data:
                return data
        raise Denial("expired", "upload") from error


async def plan_import(
    service: Service, runner: Runner, data: bytes, corrections: tuple[wire.RowCorrection, ...] = ()
) -> Plan:
    """Raises `Denial` for a file that is no roster, `HeavyBusy` when too many are being read."""
    plan = await service.heavy.run(plan_or_code, data, runner.meeting, corrections, runner.now())
    if isinstance(plan, Plan):
        return plan
    raise Denial(*plan)


def plan_or_code(
    data: bytes, meeting: Meeting, corrections: tuple[wire.RowCorrection, ...], now: float
) -> Plan | tuple[str, str | None]:
    """The plan, or the code and field of why there is none. Runs in a child process."""
    try:
        return plan_workbook(data, meeting, corrections, now)
    except WorkbookError as error:
        return error.code, "file"
    except Refused as refused:
        return refused.code.value, refused.field


async def preview(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service, DESK)
    runner = await meeting(request, service)
    upload = await receive(request, service.settings.uploads_dir, MOST_BYTES)
    try:
        data = await asyncio.to_thread(upload.path.read_bytes)
        plan = await plan_import(service, runner, data)
        path = _stored(service, upload.sha256)
        await asyncio.to_thread(upload.path.replace, path)
        if service.shared_files is not None:
            await service.shared_files.put(f"roster/{upload.sha256}", read_pieces(path))
    finally:
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
    return json_answer(plan.preview(upload.sha256))


async def import_roster(request: web.Request, service: Service) -> web.StreamResponse:
    caller = await staff(request, service, DESK)
    runner = await meeting(request, service)
    wanted = await body(request, wire.RosterImport)
    data = await _uploaded(service, wanted.upload)
    plan = await plan_import(service, runner, data, wanted.corrections)
    if plan.unused:
        raise Denial("bad_request", "corrections")
    rev = await runner.submit(caller, plan.command(new_command_id()))
    return json_answer(
        wire.RosterImported(
            rev=rev,
            halls=len(plan.halls),
            delegates=len(plan.delegates),
            new_halls=plan.new_halls,
            new_delegates=plan.new_delegates,
            changed=plan.changed,
            skipped=len(plan.left_out),
        )
    )
