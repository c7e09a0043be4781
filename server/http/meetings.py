"""The list of meetings, new ones, and the token that opens a meeting's console."""

import msgspec
from aiohttp import web

from rooms.ids import MeetingId
from server import wire
from server.database.meetings import Summary
from server.http.caller import HOST, body, meeting, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.meetings import summary
from server.tokens import Grant


def _shown(id: MeetingId, told: Summary, created_at: float) -> wire.MeetingSummary:
    return wire.MeetingSummary(id=id, created_at=created_at, **msgspec.structs.asdict(told))


async def list_meetings(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    live = {runner.id: summary(runner) for runner in service.meetings.runners}
    rows = await service.listed.all()
    return json_answer([_shown(row.id, live.get(row.id, row.summary), row.created_at) for row in rows])


async def create_meeting(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service, HOST)
    wanted = await body(request, wire.NewMeeting)
    runner = await service.meetings.create(wanted.title, wanted.place, wanted.planned_at)
    return json_answer(_shown(runner.id, summary(runner), runner.now()))


async def staff_token(request: web.Request, service: Service) -> web.StreamResponse:
    caller = await staff(request, service)
    runner = await meeting(request, service)
    token = service.tokens.join(Grant("staff", runner.id, caller.id))
    return json_answer(wire.JoinToken(token=token, kind="staff", page="/host"))
