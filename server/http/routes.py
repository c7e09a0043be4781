"""The table of the API: every request, what it takes and gives, and who may make it."""

from typing import Any

from aiohttp import web

from rooms.codec import AnyCommand
from rooms.documents import Document
from server import wire
from server.http import accounts, cards, documents, exports, health, join, line, lists, media, meetings, roster, whip
from server.http.openapi import describe, docs_handler, openapi_handler
from server.http.service import SERVICE, Handler, Route

M = "/api/meetings/{m}"
_PDF, _XLSX = "application/pdf", exports.XLSX
_HALL_QR = M + "/halls/{h}/qr.{format:svg|png}"
_DELEGATE_QR = M + "/delegates/{d}/qr.{format:svg|png}"
_DESK = "host, secretary"
_WHIP, _WHEP = "/whip/{m}/{h}", "/whep/{m}/stage"
_STREAMS = "hall, staff (bearer token)"


def _get(path: str, handler: Handler, summary: str, answer: type | str, **more: object) -> Route:
    return Route(method="GET", path=path, handler=handler, summary=summary, answer=answer, **more)  # type: ignore[arg-type]


def _post(path: str, handler: Handler, summary: str, answer: type | str | None, **more: object) -> Route:
    return Route(method="POST", path=path, handler=handler, summary=summary, answer=answer, **more)  # type: ignore[arg-type]


def _session_routes(path: str) -> tuple[Route, Route]:
    restart = Route(
        method="PATCH",
        path=path,
        handler=whip.change,
        summary="Trickle a candidate (204), or with If-Match: * restart ICE",
        body=whip.FRAGMENT,
        answer=whip.FRAGMENT,
        who=_STREAMS,
    )
    return restart, Route(method="DELETE", path=path, handler=whip.end, summary="End the session", who=_STREAMS)


ROUTES: tuple[Route, ...] = (
    _post(
        "/api/first-run",
        accounts.first_run,
        "Make the first host's account",
        wire.Account,
        body=wire.FirstRun,
        who="anyone",
    ),
    _post("/api/login", accounts.login, "Log in", wire.Account, body=wire.Login, who="anyone"),
    _post("/api/logout", accounts.logout, "Log out", None, who="anyone"),
    _get("/api/me", accounts.me, "The account logged in", wire.Account),
    _get("/api/accounts", accounts.list_accounts, "All accounts", list[wire.Account], who="host"),
    _post("/api/accounts", accounts.new_account, "Make an account", wire.Account, body=wire.NewAccount, who="host"),
    _get("/api/meetings", meetings.list_meetings, "All meetings, newest first", list[wire.MeetingSummary]),
    _post(
        "/api/meetings",
        meetings.create_meeting,
        "Make a meeting",
        wire.MeetingSummary,
        body=wire.NewMeeting,
        who="host",
    ),
    _post(M + "/token", meetings.staff_token, "A token for the socket", wire.JoinToken),
    _post(
        M + "/roster/preview",
        roster.preview,
        "What a workbook's import would do",
        wire.RosterPreview,
        body="multipart/form-data",
        who=_DESK,
    ),
    _post(
        M + "/roster/import",
        roster.import_roster,
        "Import a previewed workbook",
        wire.RosterImported,
        body=wire.RosterImport,
        who=_DESK,
    ),
    _get(
        M + "/delegates",
        lists.delegates,
        "The delegate list",
        wire.DelegatePage,
        query=("search", "hall", "state", "page"),
    ),
    _get(M + "/halls/{h}/card", cards.hall_card, "A hall's code and links", wire.HallCard),
    _get(_HALL_QR, cards.hall_qr, "A hall's QR code", "image/svg+xml", query=("for",)),
    _get(_DELEGATE_QR, cards.delegate_qr, "A delegate's QR code", "image/svg+xml"),
    _get(M + "/halls/{h}/sheet.pdf", cards.hall_sheet, "A hall's printable cards", _PDF),
    _get(M + "/sheets.pdf", cards.all_sheets, "All halls' printable cards", _PDF),
    _get(M + "/export/attendance.xlsx", exports.attendance_workbook, "Attendance as a workbook", _XLSX),
    _get(M + "/export/attendance.csv", exports.attendance_table, "Attendance as a table", "text/csv", query=("per",)),
    _post(M + "/documents", documents.publish, "Publish a paper", Document, body="multipart/form-data", who=_DESK),
    _get(M + "/documents/{d}/file", documents.file, "The paper's file", _PDF, who="whoever takes part"),
    _get(
        M + "/documents/{d}/pages/{n}.webp",
        documents.page_image,
        "A page as an image",
        "image/webp",
        query=("width",),
        who="whoever takes part",
    ),
    _get(
        M + "/documents/{d}/pages/{n}.txt", documents.page_text, "A page's text", "text/plain", who="whoever takes part"
    ),
    _get(M + "/documents/{d}/readers", lists.readers, "Who has opened the paper", wire.ReaderPage, query=("page",)),
    _get(M + "/media", media.stats, "What the media node counts of its endpoints", wire.MediaStats, query=("hall",)),
    _post("/api/join", join.join_by_code, "Join by a card's code", wire.JoinToken, body=wire.JoinCode, who="anyone"),
    _get(
        "/api/hall-join/seats",
        join.seats,
        "The names of a hall's delegates",
        wire.HallSeats,
        query=("search",),
        who="the hall's QR code",
    ),
    _post("/api/hall-join", join.join_by_hall, "Join as one of them", wire.JoinToken, body=wire.HallJoin, who="anyone"),
    _post(
        "/api/line/hello", line.hello, "Hello without the socket", wire.Welcome, body=wire.Hello, who="delegate (token)"
    ),
    _get(
        "/api/line/patches",
        line.patches,
        "The next patch, once there is one; at most `wait` seconds (25)",
        wire.NextPatch,
        query=("log_id", "since", "wait"),
        who="delegate (bearer token)",
    ),
    _post(
        "/api/line/command",
        line.command,
        "A command without the socket",
        wire.Accepted,
        body=AnyCommand,
        who="delegate (bearer token)",
    ),
    _get("/api/hall/qr.svg", cards.own_hall_qr, "The QR code for a hall's delegates", "image/svg+xml", who="hall"),
    _get("/api/media/dump", media.dump, "The media node's graph", "text/plain", who="this machine"),
    _post(
        _WHIP,
        whip.publish,
        "Publish as a hall by WHIP (source: camera with microphone, content, microphone)",
        whip.SDP,
        body=whip.SDP,
        query=("source",),
        who=_STREAMS,
        status=201,
    ),
    _post(_WHEP, whip.play, "Receive the stage by WHEP", whip.SDP, body=whip.SDP, who=_STREAMS, status=201),
    *_session_routes(_WHIP + "/{s}"),
    *_session_routes(_WHEP + "/{s}"),
    _get("/healthz", health.alive, "The process lives", wire.Health, who="anyone"),
    _get("/readyz", health.ready, "The server can work", wire.Health, who="anyone"),
    _get("/metrics", health.metrics, "Counts for Prometheus", "text/plain", who="this machine"),
)


def add_routes(app: web.Application) -> None:
    """Add the API and its own description to the application."""
    described = (*ROUTES, _get("/api/openapi.json", _nothing, "This description", dict[str, Any], who="anyone"))
    document = describe(described)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _with_service(route.handler))
    for path in (_WHIP, _WHEP, _WHIP + "/{s}", _WHEP + "/{s}"):
        app.router.add_route("OPTIONS", path, _with_service(whip.preflight))
    app.on_response_prepare.append(whip.share)
    app.router.add_get("/api/openapi.json", _with_service(openapi_handler(document)))
    app.router.add_get("/api/docs", _with_service(docs_handler(document)))


async def _nothing(request: web.Request, service: object) -> web.StreamResponse:
    raise web.HTTPNotFound


def _with_service(handler: Handler):  # type: ignore[no-untyped-def]
    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request, request.app[SERVICE])

    return handle
