"""What the handlers work with, and the shape of a route."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web

from server.database.accounts import Accounts
from server.database.codes import Codes
from server.database.files import Files
from server.database.meetings import Meetings
from server.heavy import Heavy
from server.joining import Joining
from server.limits import Attempts, Rates
from server.media_nodes import MediaNodes
from server.media_stats import MediaStats
from server.meetings import OpenMeetings
from server.metrics import Metrics
from server.papers.library import PaperLibrary
from server.papers.pages import PaperPages
from server.papers.workers import PaperWorkers
from server.polling import LongPolls
from server.room import Room
from server.runner import Runner
from server.settings import Settings
from server.tokens import Tokens
from server.whip import WhipSessions


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one running server.

    `shared_files` is where several machines have no disk in common. `stopping` is set once it is to end.
    """

    settings: Settings
    tokens: Tokens
    accounts: Accounts
    codes: Codes
    listed: Meetings
    meetings: OpenMeetings
    joining: Joining
    room_of: Callable[[Runner], Room]
    nodes: MediaNodes
    media_stats: MediaStats
    metrics: Metrics
    papers: PaperLibrary
    shared_files: Files | None
    workers: PaperWorkers
    pages: PaperPages
    first_run_secret: str
    logins: Attempts
    guesses: Attempts
    proofs: Attempts
    streams: Attempts
    lines: Rates
    long_polls: LongPolls
    heavy: Heavy
    whip: WhipSessions
    stopping: asyncio.Event


SERVICE: web.AppKey[Service] = web.AppKey("service", Service)

Handler = Callable[[web.Request, Service], Awaitable[web.StreamResponse]]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the API. `body` and `answer` are wire types, or a media type as text; `status` is the good one."""

    method: Method
    path: str
    handler: Handler
    summary: str
    body: type[msgspec.Struct] | str | None = None
    answer: type | str | None = None
    query: tuple[str, ...] = ()
    who: str = "staff"
    status: int = 200
