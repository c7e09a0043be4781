"""The delegate list for staff: paged and searchable, never replicated to a page."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from rooms.attendance import Attendance
from rooms.documents import Reading
from rooms.enrolment import DelegateLine
from rooms.ids import DelegateId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from server import wire
from server.http.caller import meeting, page_number, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.joining import Denial
from server.search import found_in

PAGE = 50
_STATES = ("", "present", "absent", "excused")


async def delegates(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    page, state = page_number(request), request.query.get("state", "")
    if state not in _STATES:
        raise Denial("bad_request", "state")
    search, hall = request.query.get("search", "")[:100], request.query.get("hall", "")
    # in a thread and on a copy: comparing ten thousand names takes up to 0.1 s
    found = await asyncio.to_thread(_found, runner.meeting.copy(), search, hall, state)
    shown = found[(page - 1) * PAGE : page * PAGE]
    codes = await service.codes.of(runner.id, "delegate", (person.id for person in shown))
    rows = tuple(_row(runner.meeting, person, codes[person.id]) for person in shown)
    return json_answer(wire.DelegatePage(total=len(found), page=page, pages=max(1, -(-len(found) // PAGE)), rows=rows))


def _found(meeting: Meeting, search: str, hall: str, state: str) -> list[Delegate]:
    """The delegates asked for, by hall and number."""
    return sorted(_matching(meeting, search, hall, state), key=lambda person: _place(meeting, person))


def _place(meeting: Meeting, person: Delegate) -> tuple[int, int, str]:
    hall = meeting.get(Hall, person.hall)
    return (hall.order if hall else 0, person.order, person.id)


def _matching(meeting: Meeting, search: str, hall: str, state: str) -> Iterator[Delegate]:
    for person in meeting.select(Delegate):
        if hall and person.hall != hall:
            continue
        if search and not found_in(search, f"{person.name} {person.unit} {person.phone}"):
            continue
        if state and _state(meeting.get(Attendance, person.id)) != state:
            continue
        yield person


def _state(attendance: Attendance | None) -> str:
    if attendance is None:
        return "absent"
    if attendance.present:
        return "present"
    return "excused" if attendance.excused is not None else "absent"


def line_of(meeting: Meeting, person: Delegate) -> DelegateLine:
    """The delegate as a line of a list, the hall by name."""
    hall = meeting.get(Hall, person.hall)
    return DelegateLine(
        hall=hall.name if hall else "",
        name=person.name,
        position=person.position,
        unit=person.unit,
        phone=person.phone,
        role=person.role,
        note=person.note,
        order=person.order,
    )


def _row(meeting: Meeting, person: Delegate, code: str) -> wire.DelegateRow:
    attendance = meeting.get(Attendance, person.id)
    return wire.DelegateRow(
        id=DelegateId(person.id),
        hall=person.hall,
        line=line_of(meeting, person),
        code=code,
        present=attendance.present if attendance else False,
        intervals=attendance.intervals if attendance else (),
        excused=attendance.excused if attendance else None,
    )


async def readers(request: web.Request, service: Service) -> web.StreamResponse:
    """Who has opened a document, the first first."""
    await staff(request, service)
    runner = await meeting(request, service)
    page = page_number(request)
    found = sorted(
        runner.meeting.select(Reading, document=request.match_info["d"]), key=lambda reading: reading.opened_at
    )
    rows = tuple(_reader(runner.meeting, reading) for reading in found[(page - 1) * PAGE : page * PAGE])
    return json_answer(wire.ReaderPage(total=len(found), page=page, pages=max(1, -(-len(found) // PAGE)), rows=rows))


def _reader(meeting: Meeting, reading: Reading) -> wire.ReaderRow:
    person = meeting.get(Delegate, reading.delegate) if reading.delegate else None
    hall = meeting.get(Hall, person.hall if person else reading.hall or "")
    hall_name = hall.name if hall else ""
    return wire.ReaderRow(name=person.name if person else hall_name, hall=hall_name, opened_at=reading.opened_at)
