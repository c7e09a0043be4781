"""Coming in by a card's code, or by the QR code of a hall."""

import hmac

from aiohttp import web

from rooms.ids import DelegateId, MeetingId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from server import wire
from server.addresses import delegate_link_path, hall_link_path
from server.database.codes import read_code
from server.http.caller import address, bearer, body
from server.http.problems import json_answer
from server.http.service import Service
from server.joining import Denial, current_hall, meeting_title
from server.meetings import NoSuchMeeting
from server.runner import Runner
from server.search import found_in
from server.tokens import BadToken, Grant

MOST_SEATS = 30
PROOF_DIGITS = 3


def hall_token(service: Service, meeting: MeetingId, hall: Hall) -> str:
    return service.tokens.join(Grant("hall", meeting, hall.id, hall.epoch))


def seat_token(service: Service, meeting: MeetingId, hall: Hall) -> str:
    return service.tokens.join(Grant("seat", meeting, hall.id, hall.epoch))


def delegate_token(service: Service, meeting: MeetingId, person: Delegate) -> str:
    return service.tokens.join(Grant("delegate", meeting, person.id, person.epoch))


async def join_by_code(request: web.Request, service: Service) -> web.StreamResponse:
    wanted = await body(request, wire.JoinCode)
    key = address(request, service)
    if service.guesses.exhausted(key):
        raise Denial("too_many")
    owner = await service.codes.owner(read_code(wanted.code))
    if owner is None:
        service.guesses.failed(key)
        raise Denial("not_found", "code")
    runner = await service.meetings.get(owner.meeting)
    if owner.kind == "hall":
        token = hall_token(service, runner.id, runner.meeting.require(Hall, owner.subject))
        return json_answer(wire.JoinToken(token=token, kind="hall", page=hall_link_path(token)))
    token = delegate_token(service, runner.id, runner.meeting.require(Delegate, owner.subject))
    return json_answer(wire.JoinToken(token=token, kind="delegate", page=delegate_link_path(token)))


async def _hall_of_seats(service: Service, token: str | None) -> tuple[Runner, Hall]:
    try:
        grant = service.tokens.read_join(token or "")
        runner = await service.meetings.get(grant.meeting)
    except (BadToken, NoSuchMeeting) as error:
        raise Denial("bad_token") from error
    if grant.kind != "seat":
        raise Denial("bad_token")
    return runner, current_hall(runner.meeting, grant)


async def seats(request: web.Request, service: Service) -> web.StreamResponse:
    runner, hall = await _hall_of_seats(service, bearer(request))
    wanted = request.query.get("search", "")[:100]
    return json_answer(
        wire.HallSeats(
            hall=hall.name, meeting=meeting_title(runner.meeting), seats=tuple(_seats(runner.meeting, hall, wanted))
        )
    )


def _seats(meeting: Meeting, hall: Hall, wanted: str) -> list[wire.HallSeat]:
    found = [p for p in meeting.select(Delegate, hall=hall.id) if found_in(wanted, p.name)]
    found.sort(key=lambda p: p.order)
    return [
        wire.HallSeat(id=DelegateId(p.id), name=p.name, unit=p.unit, proof=len(p.phone) >= PROOF_DIGITS)
        for p in found[:MOST_SEATS]
    ]


async def join_by_hall(request: web.Request, service: Service) -> web.StreamResponse:
    wanted = await body(request, wire.HallJoin)
    runner, hall = await _hall_of_seats(service, wanted.token)
    person = runner.meeting.get(Delegate, wanted.delegate)
    if person is None or person.hall != hall.id:
        raise Denial("not_found", "delegate")
    key = f"{runner.id} {person.id}"
    if service.proofs.exhausted(key):
        raise Denial("too_many")
    expected = person.phone[-PROOF_DIGITS:]
    if len(expected) < PROOF_DIGITS or not hmac.compare_digest(expected.encode(), wanted.proof.strip().encode()):
        service.proofs.failed(key)
        raise Denial("wrong_proof", "proof")
    token = delegate_token(service, runner.id, person)
    return json_answer(wire.JoinToken(token=token, kind="delegate", page=delegate_link_path(token)))
