"""The list of meetings, new ones, and the token that opens a meeting's console."""

from aiohttp import web

from server import wire
from server.http.caller import HOST, body, meeting, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.meetings import summary
from server.tokens import Grant


async def list_meetings(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    live = {runner.id: summary(runner) for runner in service.meetings.runners}
    rows = []
    for row in await service.listed.all():
        told = live.get(row.id, row.summary)
        rows.append(
            wire.MeetingSummary(
                id=row.id,
                title=told.title,
                place=told.place,
                planned_at=told.planned_at,
                state=told.state,
                halls=told.halls,
                delegates=told.delegates,
                created_at=row.created_at,
            )
        )
    return json_answer(rows)


async def create_meeting(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service, HOST)
    wanted = await body(request, wire.NewMeeting)
    runner = await service.meetings.create(wanted.title, wanted.place, wanted.planned_at)
    told = summary(runner)
    return json_answer(
        wire.MeetingSummary(
            id=runner.id,
            title=told.title,
            place=told.place,
            planned_at=told.planned_at,
            state=told.state,
            halls=0,
            delegates=0,
            created_at=runner.now(),
        )
    )


async def staff_token(request: web.Request, service: Service) -> web.StreamResponse:
    caller = await staff(request, service)
    runner = await meeting(request, service)
    token = service.tokens.join(Grant("staff", runner.id, caller.id))
    return json_answer(wire.JoinToken(token=token, kind="staff", page="/host"))
