"""QR codes and what is printed for a hall."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from rooms.agenda import FACTS, MeetingFacts
from rooms.ids import HallId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from server import wire
from server.addresses import delegate_link_path, encoder_path, hall_link_path, seat_link_path
from server.cards.qr import qr_png, qr_svg
from server.cards.sheet import DelegateCard, HallSheet, hall_sheet_pdf
from server.http.caller import bearer, meeting, staff
from server.http.exports import attachment
from server.http.join import delegate_token, hall_token, seat_token
from server.http.problems import json_answer
from server.http.service import Service
from server.joining import Denial, meeting_title
from server.runner import Runner

_PICTURES: dict[str, tuple[Callable[[str], bytes], str]] = {
    "svg": (qr_svg, "image/svg+xml"),
    "png": (qr_png, "image/png"),
}


def hall_link(service: Service, runner: Runner, hall: Hall) -> str:
    """What the hall's computer opens."""
    return service.settings.public_url + hall_link_path(hall_token(service, runner.id, hall))


def seat_link(service: Service, runner: Runner, hall: Hall) -> str:
    """What the phones of the hall's delegates open, to choose a name."""
    return service.settings.public_url + seat_link_path(seat_token(service, runner.id, hall))


def delegate_link(service: Service, runner: Runner, person: Delegate) -> str:
    return service.settings.public_url + delegate_link_path(delegate_token(service, runner.id, person))


async def _picture(request: web.Request, link: str) -> web.Response:
    draw, content_type = _PICTURES[request.match_info.get("format", "svg")]
    data = await asyncio.to_thread(draw, link)
    return web.Response(body=data, content_type=content_type, headers={"Cache-Control": "no-store"})


async def hall_card(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    hall = runner.meeting.require(Hall, request.match_info["h"])
    codes = await service.codes.of(runner.id, "hall", [hall.id])
    return json_answer(
        wire.HallCard(
            hall=HallId(hall.id),
            code=codes[hall.id],
            link=hall_link(service, runner, hall),
            delegates_link=seat_link(service, runner, hall),
            encoder_url=service.settings.public_url + encoder_path(runner.id, hall.id),
            encoder_token=hall_token(service, runner.id, hall),
        )
    )


async def hall_qr(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    hall = runner.meeting.require(Hall, request.match_info["h"])
    wanted = request.query.get("for", "hall")
    if wanted not in ("hall", "delegates"):
        raise Denial("bad_request", "for")
    link = hall_link if wanted == "hall" else seat_link
    return await _picture(request, link(service, runner, hall))


async def delegate_qr(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    person = runner.meeting.require(Delegate, request.match_info["d"])
    return await _picture(request, delegate_link(service, runner, person))


async def own_hall_qr(request: web.Request, service: Service) -> web.StreamResponse:
    """For the hall's own page: the QR code that its delegates scan."""
    admitted = await service.joining.admit(bearer(request) or "")
    if admitted.audience.kind != "hall":
        raise Denial("not_allowed")
    hall = admitted.runner.meeting.require(Hall, str(admitted.hall))
    return await _picture(request, seat_link(service, admitted.runner, hall))


async def hall_sheet(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    hall = runner.meeting.require(Hall, request.match_info["h"])
    data = await sheets_pdf(service, runner, [hall])
    return attachment(data, "application/pdf", f"the-{runner.id}-{hall.id}.pdf")


async def all_sheets(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service)
    runner = await meeting(request, service)
    halls = sorted(runner.meeting.select(Hall), key=lambda hall: hall.order)
    if not halls:
        raise Denial("not_found", "hall")
    data = await sheets_pdf(service, runner, halls)
    return attachment(data, "application/pdf", f"the-{runner.id}.pdf")


async def sheets_pdf(service: Service, runner: Runner, halls: list[Hall]) -> bytes:
    """The printable sheets of these halls."""
    state = runner.meeting.copy()
    people = {hall.id: sorted(state.select(Delegate, hall=hall.id), key=lambda p: p.order) for hall in halls}
    hall_codes = await service.codes.of(runner.id, "hall", (hall.id for hall in halls))
    codes = await service.codes.of(runner.id, "delegate", (p.id for group in people.values() for p in group))
    sheets = [
        HallSheet(
            hall=hall.name,
            unit=hall.unit,
            meeting=meeting_title(state),
            planned_at=_planned_at(state),
            code=hall_codes[hall.id],
            link=hall_link(service, runner, hall),
            delegates_link=seat_link(service, runner, hall),
            cards=tuple(
                DelegateCard(
                    number=person.order,
                    name=person.name,
                    position=person.position,
                    unit=person.unit,
                    code=codes[person.id],
                    link=delegate_link(service, runner, person),
                )
                for person in people[hall.id]
            ),
        )
        for hall in halls
    ]
    return await service.heavy.run(hall_sheet_pdf, sheets)


def _planned_at(meeting: Meeting) -> float | None:
    facts = meeting.get(MeetingFacts, FACTS)
    return facts.planned_at if facts else None
