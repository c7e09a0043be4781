"""Who makes a request: staff by session cookie, others by bearer token; and the reading of bodies."""

from typing import TypeVar

import msgspec
from aiohttp import web

from rooms.actor import Role, Staff
from rooms.ids import MeetingId
from server import wire
from server.http.service import Service
from server.joining import Admitted, Denial, staff_actor
from server.origins import caller_address, is_own_page
from server.runner import Runner
from server.tokens import SESSION_S, BadToken

COOKIE = "diemcau_session"
DESK: frozenset[Role] = frozenset({"host", "secretary"})
STAFF: frozenset[Role] = frozenset({"host", "secretary", "technician"})
HOST: frozenset[Role] = frozenset({"host"})
MOST_JSON = 1024 * 1024

T = TypeVar("T", bound=msgspec.Struct)


def address(request: web.Request, service: Service) -> str:
    """Where the request comes from, for limits only."""
    return caller_address(request, service.settings)


def require_same_origin(request: web.Request, service: Service) -> None:
    """A page of another site may not use our cookie. Raises `Denial`."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_own_page(origin, request.host, service.settings.public_url):
        raise Denial("not_allowed")


async def staff(request: web.Request, service: Service, roles: frozenset[Role] = STAFF) -> Staff:
    """The account behind the session cookie. Raises `Denial`."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise Denial("unauthorised")
    if request.method not in ("GET", "HEAD"):
        require_same_origin(request, service)
    try:
        account = await service.accounts.by_id(service.tokens.read_session(cookie))
    except BadToken as error:
        raise Denial("unauthorised") from error
    if account is None:
        raise Denial("unauthorised")
    if account.role not in roles:
        raise Denial("not_allowed")
    return staff_actor(account)


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


async def meeting(request: web.Request, service: Service) -> Runner:
    """The meeting of the path. Raises `NoSuchMeeting`."""
    return await service.meetings.get(MeetingId(request.match_info["m"]))


async def reader(request: web.Request, service: Service) -> Runner:
    """The meeting of the path, for anyone who takes part in it. Raises `Denial`."""
    token = bearer(request)
    if token is None:
        await staff(request, service)
        return await meeting(request, service)
    admitted: Admitted = await service.joining.admit(token)
    if admitted.runner.id != request.match_info["m"]:
        raise Denial("not_allowed")
    return admitted.runner


async def body(request: web.Request, kind: type[T]) -> T:
    """The JSON body. Raises `Denial` or `msgspec.ValidationError`."""
    return msgspec.json.decode(await json_body(request), type=kind)


async def json_body(request: web.Request) -> bytes:
    """The JSON body as it came. Raises `Denial`."""
    if request.content_type != "application/json":
        raise Denial("bad_request")
    data = await request.content.read(MOST_JSON + 1)
    while not request.content.at_eof() and len(data) <= MOST_JSON:
        data += await request.content.read(MOST_JSON + 1)
    if len(data) > MOST_JSON:
        raise Denial("too_large")
    return data


def set_session(answer: web.Response, account: wire.Account, service: Service) -> None:
    answer.set_cookie(
        COOKIE,
        service.tokens.session(account.id),
        max_age=SESSION_S,
        httponly=True,
        samesite="Strict",
        secure=service.settings.secure,
        path="/",
    )


def page_number(request: web.Request) -> int:
    """The `page` of the query, from 1."""
    text = request.query.get("page", "1")
    if not text.isdecimal() or not 0 < int(text[:6]) < 100_000:
        raise Denial("bad_request", "page")
    return int(text[:6])
