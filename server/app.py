"""The server process put together: the only file that knows every part."""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from media import control
from media.memory import keep_collections_short
from rooms.ids import MeetingId
from server.cluster.cluster import Cluster, cluster_of
from server.cluster.messages import wrote
from server.cluster.nodes import RedisNodeRegistry
from server.database.accounts import FIRST_RUN, Accounts
from server.database.codes import Codes
from server.database.engine import open_database
from server.database.files import Files
from server.database.log import Log
from server.database.meetings import Meetings
from server.database.secrets import Secrets
from server.heavy import Heavy
from server.http.pages import add_pages
from server.http.problems import answer_problems
from server.http.routes import add_routes
from server.http.service import SERVICE, Service
from server.joining import Joining
from server.limits import Attempts, Rates
from server.lines import RATE_BURST, RATE_PER_S
from server.logs import logger
from server.media_node import MediaNode
from server.media_nodes import MediaNodes
from server.media_placement import Endpoint
from server.media_registry import NodeRegistry, OwnRegistry
from server.media_stats import MediaStats
from server.meetings import OpenMeetings
from server.metrics import Metrics
from server.papers.library import PaperLibrary
from server.papers.pages import PaperPages
from server.papers.store import PaperStore
from server.papers.workers import PaperWorkers
from server.polling import LongPolls
from server.room import Room
from server.runner import Runner
from server.settings import Settings
from server.sockets import Sockets, frame
from server.tokens import Tokens, fresh_secret, load_secret
from server.views import Views
from server.whip import WhipSessions

IDLE_S = 15.0
"""How long a connection may stay without a whole request: half-open handshakes must not pile up, nor what browsers keep
open for the next request, up to six for each of ten thousand phones."""
BACKLOG = 256
"""Connections that wait to be accepted; beyond it the system has the client ask again."""
UNFINISHED_S = 3600.0
"""An upload that nobody has written to for so long is not finished any more."""
DIST = Path(__file__).parent.parent / "clients" / "web" / "dist"


class Rooms:
    """The rooms of this process, one for each open meeting."""

    def __init__(self, metrics: Metrics, nodes: MediaNodes, cluster: Cluster, tasks: asyncio.TaskGroup) -> None:
        self._metrics = metrics
        self._cluster = cluster
        self._nodes = nodes
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self._views: dict[MeetingId, Views] = {}
        self._rooms: dict[MeetingId, Room] = {}

    def prepare(self, runner: Runner) -> None:
        self._views[runner.id] = Views(runner)

    def open(self, runner: Runner) -> None:
        if self._cluster.shared:
            runner.on_append = lambda after, drafts: self._cluster.send(wrote(runner.id, after, drafts))
        room = Room(runner, self._views.pop(runner.id), frame, self._metrics, self._nodes, self._cluster)
        self._rooms[runner.id] = room
        for work in (
            room.fanout.run,
            room.presence.run,
            room.keep_stage_told,
            room.keep_media_known,
            room.keep_lines_right,
        ):
            self._running.append(self._tasks.create_task(kept_going(work), name=f"room {runner.id}"))

    def of(self, runner: Runner) -> Room:
        return self._rooms[runner.id]

    def close(self) -> None:
        for task in self._running:
            task.cancel()

    def attached(self) -> None:
        for room in self._rooms.values():
            room.tell_stage()
            room.learn_media()

    def gone(self, lost: tuple[Endpoint, ...]) -> None:
        for room in self._rooms.values():
            room.node_gone([endpoint for group, endpoint in lost if group == room.id])

    def has_line(self, group: str, endpoint: str) -> bool:
        room = self._rooms.get(MeetingId(group))
        return room is not None and room.has_line(endpoint)

    def stands_in(self, group: str, hall: str) -> str:
        room = self._rooms.get(MeetingId(group))
        return "" if room is None else room.stands_in(hall)

    def event(self, event: control.AnyEvent) -> None:
        if isinstance(event, control.DrainingChanged):
            return
        room = self._rooms.get(MeetingId(event.group))
        if room is None:
            return
        match event:
            case control.PeerChanged():
                room.peer_changed(event.endpoint, event.state)
            case control.FeedChanged():
                room.feed_changed(event.feed, event.active)
            case control.Levels():
                room.levels(event.levels)
            case control.SourceWanted():
                room.source_wanted(event.endpoint, event.source, event.rids)
            case control.DownlinkChanged():
                room.downlink_changed(event.endpoint, event.rung, event.estimate_bps)


async def kept_going(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work for ever: an error in one part is logged and must not end the others."""
    while True:
        try:
            await work()
            return
        except Exception:
            logger(part="app").exception("background_work_failed")
            await asyncio.sleep(1.0)


class Running(msgspec.Struct, frozen=True):
    """A server that serves."""

    service: Service
    port: int
    nodes: MediaNodes
    sockets: Sockets
    engine: AsyncEngine


async def token_secret(settings: Settings, kept: Secrets) -> bytes:
    """What tokens are signed with: a file, or the same for all machines that share a database.

    A machine that had a file before brings it along, so links that were printed go on being good.
    """
    file = settings.data_dir / "secret"
    if not settings.shares_database:
        return load_secret(file)
    return await kept.shared("tokens", file.read_bytes() if file.exists() else fresh_secret())


@asynccontextmanager
async def serving(
    settings: Settings, *, keep_media: bool = False, registry: NodeRegistry | None = None
) -> AsyncIterator[Running]:
    """Serve until the block is left. With `keep_media` the media nodes stay for the next server.

    `registry`: where nodes of other machines are found, if not in the Redis of the settings.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    metrics = Metrics()
    engine = await open_database(settings.url)
    try:
        kept = Secrets(engine)
        secret = await token_secret(settings, kept)
        async with (
            cluster_of(settings.redis_url, secret, time.time_ns() // 1_000) as cluster,
            asyncio.TaskGroup() as tasks,
        ):
            metrics.count_neighbours(cluster)
            charge = cluster.leases.lease("media")
            nodes = MediaNodes(settings, metrics, registry or registry_of(settings), charge)
            media_stats = MediaStats(nodes)
            metrics.registry.register(media_stats)
            rooms = Rooms(metrics, nodes, cluster, tasks)
            listed = Meetings(engine)
            meetings = OpenMeetings(Log(engine), listed, metrics, tasks, has_halls=not cluster.shared)
            meetings.on_replay.append(rooms.prepare)
            meetings.on_open.append(rooms.open)
            accounts = Accounts(engine)
            tokens = Tokens(secret)
            first_run_secret = await kept.shared(FIRST_RUN, secrets.token_urlsafe(16).encode())
            joining = Joining(tokens, accounts, meetings)
            sockets = Sockets(joining, rooms.of, nodes, metrics, tasks, settings)
            whip = WhipSessions(rooms.of, tasks)
            meetings.on_open.append(whip.watch)
            _connect_nodes(nodes, rooms, sockets, whip)
            shared_files = Files(engine) if settings.shares_database else None
            papers = PaperLibrary(_paper_store(settings), shared_files)
            async with PaperWorkers() as workers, Heavy() as heavy:
                pages = PaperPages(papers, workers, settings.pages_dir)
                service = Service(
                    settings=settings,
                    tokens=tokens,
                    accounts=accounts,
                    codes=Codes(engine),
                    listed=listed,
                    meetings=meetings,
                    joining=joining,
                    room_of=rooms.of,
                    nodes=nodes,
                    media_stats=media_stats,
                    metrics=metrics,
                    papers=papers,
                    shared_files=shared_files,
                    workers=workers,
                    pages=pages,
                    heavy=heavy,
                    first_run_secret=first_run_secret.decode(),
                    logins=Attempts(10, 300),
                    guesses=Attempts(60, 600),
                    proofs=Attempts(5, 600),
                    streams=Attempts(60, 600),
                    lines=Rates(RATE_PER_S, RATE_BURST),
                    long_polls=LongPolls(metrics),
                    whip=whip,
                    stopping=asyncio.Event(),
                )
                cluster.share(
                    logins=service.logins, guesses=service.guesses, proofs=service.proofs, streams=service.streams
                )

                def spawn(work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
                    return tasks.create_task(kept_going(work), name=name)

                background = [
                    spawn(work, name)
                    for name, work in (
                        ("media nodes", lambda: nodes.run(spawn)),
                        ("media charge", charge.run),
                        ("memory", lambda: keep_collections_short(lambda: len(sockets.connected))),
                        ("heartbeat", sockets.heartbeat.run),
                        ("relay credentials", sockets.keep_relays_usable),
                        ("loop lag", metrics.watch_loop),
                        ("summaries", meetings.keep_summaries),
                    )
                ]
                runner, site, port = await _listen(settings, service, sockets)
                try:
                    yield Running(service, port, nodes, sockets, engine)
                finally:
                    await _stop_serving(service, sockets, runner, site)
                    await pages.close()
                    await papers.close()
                    await nodes.stop(keep=keep_media)
                    for task in background:
                        task.cancel()
                    rooms.close()
                    await meetings.close()
    finally:
        await engine.dispose()


def registry_of(settings: Settings) -> NodeRegistry:
    """Raises `ValueError` for a bad URL of Redis."""
    return RedisNodeRegistry(settings.redis_url, settings.cluster_secret) if settings.redis_url else OwnRegistry()


def _paper_store(settings: Settings) -> PaperStore:
    store = PaperStore(settings.documents_dir)
    store.clear_incoming(UNFINISHED_S)
    return store


async def _stop_serving(service: Service, sockets: Sockets, runner: web.AppRunner, site: web.BaseSite) -> None:
    """Be ready for nobody new, answer who has asked, send away who is here; in that order."""
    service.stopping.set()
    await asyncio.sleep(service.settings.drain_s)
    if service.settings.worker is not None:
        await site.stop()  # from now on the system gives new connections to the other processes on this port
    service.long_polls.close()
    await sockets.close()
    await runner.cleanup()


def _connect_nodes(nodes: MediaNodes, rooms: Rooms, sockets: Sockets, whip: WhipSessions) -> None:
    def gone(lost: tuple[Endpoint, ...]) -> None:
        rooms.gone(lost)
        whip.node_gone(lambda meeting, endpoint: (meeting, endpoint) in lost)

    def attached(node: MediaNode, told: control.Attached) -> None:
        rooms.attached()
        whip.node_attached(told, lambda meeting, endpoint: nodes.is_on(node, meeting, endpoint))

    def event(told: control.AnyEvent) -> None:
        rooms.event(told)
        if isinstance(told, control.PeerChanged):
            whip.peer_changed(told)

    nodes.on_attach = attached
    nodes.on_event = event
    nodes.on_gone = gone
    nodes.on_change = sockets.media_changed
    nodes.stands_in = rooms.stands_in
    nodes.moves.has_line = rooms.has_line


async def _listen(settings: Settings, service: Service, sockets: Sockets) -> tuple[web.AppRunner, web.BaseSite, int]:
    """Open the HTTP port; the port taken when 0 was asked for."""
    app = web.Application(middlewares=[answer_problems], client_max_size=2 * 1024 * 1024)
    app[SERVICE] = service
    add_routes(app)
    add_pages(app, DIST)
    sockets.attach(app)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=3.0, keepalive_timeout=IDLE_S)
    await runner.setup()
    shared = settings.worker is not None
    tls = _tls(settings)
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls, backlog=BACKLOG, reuse_port=shared)
    await site.start()
    port = int(runner.addresses[0][1])
    if settings.metrics_port:
        host = settings.host if settings.metrics_token else "127.0.0.1"
        await web.TCPSite(runner, host, settings.metrics_port + (settings.worker or 0), ssl_context=tls).start()
    return runner, site, port


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
