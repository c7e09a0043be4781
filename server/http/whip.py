"""WHIP in (RFC 9725) and WHEP out: an SDP offer by POST, a session to restart ICE on (PATCH) or to end (DELETE).

Who may: a hall's link token publishes as this hall and plays the stage; a staff token does so for any hall. Delegates
may not: a player is as dear as a hall. Only bearer tokens count here and no cookies, so pages of any origin may ask.
"""

import re
import time

from aiohttp import web

from media import control
from rooms.ids import MeetingId
from rooms.roster import Hall
from server import wire
from server.http.caller import address, bearer
from server.http.service import Service
from server.joining import Admitted, Denial
from server.logs import logger
from server.runner import Runner
from server.turn import ice_servers
from server.whip import PLACES, STAFF, STAGE_PLACES, OfferFailed, Session, TooManySessions, Way

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MOST_SDP = 256 * 1024
PREFIXES = ("/whip/", "/whep/")
_FAILURES: dict[control.FailureCode, str] = {
    "bad_sdp": "bad_sdp",
    "unsupported": "unsupported",
    "bad_slots": "not_acceptable",
    "unknown_endpoint": "not_found",
    "bad_request": "unavailable",
    "internal": "internal",
}


async def publish(request: web.Request, service: Service) -> web.StreamResponse:
    """WHIP: an encoder publishes as a hall."""
    admitted = await _admit(request, service)
    hall = _hall_of(admitted.runner, request.match_info["h"])
    _require_owner(admitted, hall)
    places = PLACES.get(request.query.get("source", "camera"))
    if places is None:
        raise Denial("bad_request", "source")
    return await _begin(request, service, admitted.runner, (hall, "in"), places)


async def play(request: web.Request, service: Service) -> web.StreamResponse:
    """WHEP: a player receives the stage."""
    admitted = await _admit(request, service)
    owner = STAFF if admitted.audience.kind == "staff" else str(admitted.hall)
    return await _begin(request, service, admitted.runner, (owner, "out"), STAGE_PLACES)


async def change(request: web.Request, service: Service) -> web.StreamResponse:
    """Trickled candidates (nothing to do: the node is ICE-lite), or with If-Match "*" an ICE restart."""
    session = await _session(request, service)
    if request.content_type != FRAGMENT:
        raise Denial("unsupported_type")
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in request.headers.get("If-Match", "").split(",")]
    if tags == [""]:
        raise Denial("precondition_required")
    fragment = await _text(request, FRAGMENT)
    if "*" in tags:
        return await _restart(request, service, session, fragment)
    if session.tag not in tags:
        raise Denial("precondition_failed")
    if not all(re.match(r"[a-z]=", line) for line in fragment.splitlines() if line):
        raise Denial("bad_sdp")
    return web.Response(status=204)


async def end(request: web.Request, service: Service) -> web.StreamResponse:
    await service.whip.end(await _session(request, service))
    return web.Response()


async def preflight(request: web.Request, service: Service) -> web.StreamResponse:
    """OPTIONS on an endpoint or a session, without a token (RFC 9725 §4.2)."""
    at_session = "s" in request.match_info
    headers = {
        "Access-Control-Allow-Methods": "PATCH, DELETE, OPTIONS" if at_session else "POST, OPTIONS",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Max-Age": "7200",
    }
    headers |= {"Accept-Patch": FRAGMENT} if at_session else {"Accept-Post": SDP}
    return web.Response(headers=headers)


async def share(request: web.Request, answer: web.StreamResponse) -> None:
    """What goes with every answer here, errors too: pages of other origins may read it."""
    if not request.path.startswith(PREFIXES):
        return
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Accept-Patch, Retry-After"
    if answer.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if answer.status == 503:
        answer.headers["Retry-After"] = "2"


# -- who ---------------------------------------------------------------------------------------------------------------


async def _admit(request: web.Request, service: Service) -> Admitted:
    """A hall or staff of the meeting of the path. Raises `Denial`; wrong tokens are limited by address."""
    key = address(request, service)
    if service.streams.exhausted(key):
        raise Denial("too_many")
    token = bearer(request)
    if token is None:
        raise Denial("unauthorised")
    try:
        admitted = await service.joining.admit(token)
    except Denial:
        service.streams.failed(key)
        raise
    if admitted.runner.id != request.match_info["m"] or admitted.audience.kind not in ("staff", "hall"):
        raise Denial("not_allowed")
    return admitted


def _require_owner(admitted: Admitted, owner: str) -> None:
    if admitted.audience.kind != "staff" and admitted.hall != owner:
        raise Denial("not_allowed")


def _hall_of(runner: Runner, id: str) -> str:
    if runner.meeting.get(Hall, id) is None:
        raise Denial("not_found")
    return id


async def _session(request: web.Request, service: Service) -> Session:
    """The session of the path, for whoever may have it. Raises `Denial`."""
    admitted = await _admit(request, service)
    session = service.whip.of(MeetingId(request.match_info["m"]), request.match_info["s"])
    way: Way = "in" if request.path.startswith("/whip/") else "out"
    if session is None or session.way != way or request.match_info.get("h", session.owner) != session.owner:
        raise Denial("not_found")
    _require_owner(admitted, session.owner)
    return session


# -- what --------------------------------------------------------------------------------------------------------------


async def _text(request: web.Request, kind: str) -> str:
    """The body, of this media type. Raises `Denial`."""
    if request.content_type != kind:
        raise Denial("unsupported_type")
    data = bytearray()
    while len(data) <= MOST_SDP and (chunk := await request.content.readany()):
        data += chunk
    if len(data) > MOST_SDP:
        raise Denial("too_large")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Denial("bad_sdp") from error


async def _begin(
    request: web.Request, service: Service, runner: Runner, who: tuple[str, Way], places: tuple[str, ...]
) -> web.Response:
    owner, way = who
    sdp = await _text(request, SDP)
    try:
        session, answer = await service.whip.begin(runner, owner, way, sdp, places)
    except OfferFailed as failed:
        service.streams.failed(address(request, service))
        logger(part="whip").warning("offer_failed", owner=owner, way=way, code=failed.code, detail=failed.detail)
        raise Denial(_FAILURES[failed.code]) from failed
    except TooManySessions as error:
        raise Denial("unavailable") from error
    logger(part="whip").info("session_began", meeting=runner.id, endpoint=session.endpoint)
    response = web.Response(status=201, body=answer.encode(), content_type=SDP)
    response.headers["Location"] = f"{request.path}/{session.endpoint}"
    response.headers["ETag"] = f'"{session.tag}"'
    response.headers["Accept-Patch"] = FRAGMENT
    for server in ice_servers(service.settings, session.endpoint, time.time()):
        for url in server.urls:
            response.headers.add("Link", link(url, server))
    return response


async def _restart(request: web.Request, service: Service, session: Session, fragment: str) -> web.Response:
    try:
        answer = await service.whip.restart(session, fragment)
    except OfferFailed as failed:
        raise Denial(_FAILURES[failed.code]) from failed
    return web.Response(body=answer.encode(), content_type=FRAGMENT, headers={"ETag": f'"{session.tag}"'})


def link(url: str, server: wire.IceServer) -> str:
    """A relay as a Link header (RFC 9725 §4.6)."""
    credentials = f'username="{_quoted(server.username)}"; credential="{_quoted(server.credential)}"'
    return f'<{url}>; rel="ice-server"; {credentials}; credential-type="password"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
