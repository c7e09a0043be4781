"""HTTP instead of the socket, for delegates: hello, patches by long poll, commands. Same types, same meaning."""

import zlib

import msgspec
from aiohttp import web

from rooms.codec import decode_command
from rooms.rules import UPLOADED
from server import wire
from server.http.caller import bearer, body, json_body
from server.http.problems import encoded_answer, json_answer
from server.http.service import Service
from server.joining import Admitted, Denial, check_protocol
from server.polling import WAIT_S
from server.room import Room


async def _delegate(service: Service, token: str | None) -> Admitted:
    """Raises `Denial`: halls and consoles have media, and so need the socket."""
    admitted = await service.joining.admit(token or "")
    if admitted.audience.kind != "delegate":
        raise Denial("not_allowed")
    if not service.lines.take(f"{admitted.runner.id} {admitted.actor.key}"):
        raise Denial("too_many")
    return admitted


async def hello(request: web.Request, service: Service) -> web.StreamResponse:
    said = await body(request, wire.Hello)
    check_protocol(said.protocol)
    admitted = await _delegate(service, said.token)
    welcome = msgspec.json.encode(_welcome(admitted, service.room_of(admitted.runner), said))
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return encoded_answer(welcome)
    answer = encoded_answer(_gzipped(welcome))
    answer.headers["Content-Encoding"] = "gzip"
    return answer


def _gzipped(body: bytes) -> bytes:
    """The fastest level: on a thin line a tenth of the bytes are worth 50 µs, the rest is not worth more."""
    packing = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=16 + zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def _welcome(admitted: Admitted, room: Room, said: wire.Hello) -> wire.Welcome:
    told = room.views.joining(admitted.audience, said.log_id, said.since)
    return wire.Welcome(
        protocol=said.protocol,
        log_id=admitted.runner.log_id,
        rev=admitted.runner.meeting.rev,
        reset=told.reset,
        put=msgspec.Raw(told.put),  # type: ignore[arg-type]
        drop=msgspec.Raw(told.drop),  # type: ignore[arg-type]
        me=wire.Me(
            kind="delegate", id=str(admitted.audience.id), name=admitted.name, meeting=room.id, hall=admitted.hall
        ),
        now=admitted.runner.now(),
        media_epoch=None,
    )


async def patches(request: web.Request, service: Service) -> web.StreamResponse:
    admitted = await _delegate(service, bearer(request))
    log_id, since = request.query.get("log_id", ""), _number(request, "since")
    wait_s = min(float(_number(request, "wait", int(WAIT_S))), WAIT_S)
    room = service.room_of(admitted.runner)
    told = await service.long_polls.next(room, admitted.audience, admitted.hall, (log_id, since), wait_s)
    return encoded_answer(told)


def _number(request: web.Request, name: str, default: int | None = None) -> int:
    text = request.query.get(name, "" if default is None else str(default))
    if not text.isdecimal() or len(text) > 15:
        raise Denial("bad_request", name)
    return int(text)


async def command(request: web.Request, service: Service) -> web.StreamResponse:
    admitted = await _delegate(service, bearer(request))
    wanted = decode_command(await json_body(request))
    if type(wanted) in UPLOADED:
        raise Denial("not_allowed")
    return json_answer(wire.Accepted(rev=await admitted.runner.submit(admitted.actor, wanted)))
