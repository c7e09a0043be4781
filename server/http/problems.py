"""Every way an HTTP request can fail, as one JSON body; and what goes with every answer."""

import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from rooms.refusal import Refusal, Refused
from server import wire
from server.database.log import LogUnavailable
from server.heavy import HeavyBusy
from server.http.service import SERVICE
from server.joining import Denial
from server.logs import logger
from server.media_node import MediaDown
from server.meetings import NoSuchMeeting
from server.papers.problem import PaperError
from server.runner import InternalError, Overloaded

_STATUS = {
    "bad_request": 400,
    "bad_sdp": 400,
    "bad_token": 401,
    "expired": 401,
    "unauthorised": 401,
    "login_failed": 401,
    "not_allowed": 403,
    "wrong_proof": 403,
    "not_found": 404,
    "not_acceptable": 406,
    "taken": 409,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_type": 415,
    "precondition_required": 428,
    "too_many": 429,
    "internal": 500,
    "unavailable": 503,
    "media_down": 503,
}
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self' ws: wss:; worker-src 'self'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), screen-wake-lock=(self)",
}
_MESSAGES: dict[type[Exception], str] = {
    NoSuchMeeting: "not_found",
    MediaDown: "media_down",
    Overloaded: "unavailable",
    LogUnavailable: "unavailable",
    InternalError: "internal",
    HeavyBusy: "unavailable",
}
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_answer(body: object, status: int = 200) -> web.Response:
    return encoded_answer(msgspec.json.encode(body), status)


def encoded_answer(body: bytes, status: int = 200) -> web.Response:
    """JSON that is encoded already. No cache on the way may keep what the API says."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(body=body, status=status, headers=headers)


def problem(code: str, field: str | None = None) -> web.Response:
    return json_answer(wire.Problem(code=code, field=field), _STATUS.get(code, 422))


def _caught(error: Exception) -> web.Response | None:
    match error:
        case Refused():
            code = "not_found" if error.code is Refusal.NOT_FOUND else error.code.value
            return problem(code, error.field)
        case Denial():
            return problem(error.code, error.field)
        case PaperError():
            return problem(error.code, "file")
        case msgspec.ValidationError() | msgspec.DecodeError():
            return problem("bad_request")
    known = _MESSAGES.get(type(error))
    return problem(known) if known else None


@web.middleware
async def answer_problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """Turn exceptions into problems, add the security headers, count and log by route."""
    began = time.perf_counter()
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = problem({404: "not_found", 413: "too_large"}.get(error.status, "bad_request"))
        answer.set_status(error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
    except Exception as error:
        caught = _caught(error)
        if caught is None:
            logger(route=_route(request)).exception("request_failed")
            caught = problem("internal")
        answer = caught
    if not answer.prepared:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
    request.app[SERVICE].metrics.requests.labels(_route(request), str(answer.status)).inc()
    if answer.status >= 400:
        logger(route=_route(request)).info(
            "request_refused", status=answer.status, ms=round(1000 * (time.perf_counter() - began))
        )
    return answer


def _route(request: web.Request) -> str:
    """The route's pattern, never the path: paths hold tokens."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"
