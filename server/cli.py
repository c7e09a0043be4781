"""The command line."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import msgspec
import structlog
import typer
import uvloop

from media.cluster_tls import SECRET_LEAST
from rooms.actor import Role
from rooms.ids import MeetingId
from rooms.roster import Delegate, Hall
from server.app import Running, registry_of, serving
from server.backup import BackupFailed, back_up, restore
from server.bench import bench_log
from server.bench_writers import bench_writers
from server.cluster.nodes import RedisNodeRegistry
from server.cluster.redis_door import is_redis_url
from server.database.accounts import hash_password
from server.database.log import LogUnavailable
from server.http.accounts import add_account
from server.http.cards import delegate_link, hall_link, seat_link
from server.importing import import_file
from server.inspection import CannotDump, fetch_dump, replay_log, verify_all, verify_log
from server.joining import Denial
from server.logs import configure
from server.media_host import CannotHost, Host, Hosting, drain
from server.offline import offline
from server.runner import Runner
from server.sample import make_sample
from server.schema import write_schema
from server.settings import Settings
from server.turn import is_turn_url
from server.workers import CannotStart, Workers, read_order, supervise

cli = typer.Typer(
    help="Diemcau: hội nghị trực tuyến nhiều điểm cầu.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
account_cli = typer.Typer(help="Staff accounts.", no_args_is_help=True)
cli.add_typer(account_cli, name="account")
bench_cli = typer.Typer(help="Benchmarks.", no_args_is_help=True)
cli.add_typer(bench_cli, name="bench")

DataDir = Annotated[
    Path, typer.Option("--data", envvar="DIEMCAU_DATA", help="Folder for the database, papers and secrets.")
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="DATABASE_URL",
        help="postgresql://user:password@host/name, better in the environment; without it SQLite in the folder.",
        show_default=False,
    ),
]


def main() -> None:
    cli()


def _settings(data: Path, database: str) -> Settings:
    """What the offline commands need: where the database is."""
    return Settings(data_dir=data, database_url=database)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(work)
    except LogUnavailable as error:
        sys.exit(f"Không tới được cơ sở dữ liệu / no database [{type(error.__cause__).__name__}]")


@cli.command()
def run(  # noqa: PLR0913 - the options are the arguments
    data: DataDir = Path("data"),
    database: DatabaseUrl = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="HTTP port.")] = 8080,
    public_url: Annotated[str, typer.Option(help="What links and QR codes begin with.")] = "",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key, PEM.")] = None,
    media_port: Annotated[int, typer.Option(help="UDP port for pictures and sound.")] = 40000,
    media_workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Media processes of this server; each takes a UDP port, from --media-port up. "
            "0: only `diemcau media-node`s.",
        ),
    ] = 1,
    media_candidate: Annotated[
        list[str] | None,
        typer.Option(help="IP that halls reach this machine by, never 127.0.0.1; repeat for more."),
    ] = None,
    turn: Annotated[
        list[str] | None,
        typer.Option(
            envvar="DIEMCAU_TURN",
            help="TURN relay for halls without UDP, turns:turn.example.vn:443?transport=tcp; repeat for more.",
        ),
    ] = None,
    turn_secret: Annotated[
        str,
        typer.Option(envvar="DIEMCAU_TURN_SECRET", help="The relay's static-auth-secret; better in the environment."),
    ] = "",
    trusted_proxy: Annotated[bool, typer.Option(help="Believe X-Forwarded-For: a proxy of ours is in front.")] = False,
    metrics_token: Annotated[str, typer.Option(envvar="DIEMCAU_METRICS_TOKEN")] = "",
    cluster_secret: Annotated[
        str, typer.Option(envvar="DIEMCAU_CLUSTER_SECRET", help="For nodes of other machines; the same everywhere.")
    ] = "",
    sample: Annotated[bool, typer.Option(help="Make a sample meeting if there is none.")] = True,
    keep_media: Annotated[bool, typer.Option(help="Leave the media node running at the end.")] = False,
    redis_url: Annotated[
        str, typer.Option(envvar="REDIS_URL", help="Where several server processes hear of each other.")
    ] = "",
    workers: Annotated[
        int,
        typer.Option(min=1, max=32, help="Server processes on this port; more than one need Redis (REDIS_URL)."),
    ] = 1,
    metrics_port: Annotated[
        int,
        typer.Option(help="Process n also answers at this port + n, for Prometheus and health checks of one process."),
    ] = 0,
    drain: Annotated[
        float, typer.Option(help="Seconds for which a stopping server only says at /readyz that it is not ready.")
    ] = 0.0,
    log_level: str = "info",
) -> None:
    """Serve. The first start makes a sample meeting and prints the links to try it."""
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    if not all(is_turn_url(url) for url in turn or ()):
        raise typer.BadParameter("a relay is named as turns:host:443?transport=tcp", param_hint="--turn")
    if turn and not turn_secret:
        raise typer.BadParameter("--turn needs the relay's secret in DIEMCAU_TURN_SECRET")
    if workers > 1 and not redis_url:
        raise typer.BadParameter("several processes need Redis to hear of each other: set REDIS_URL")
    if redis_url and not is_redis_url(redis_url):
        raise typer.BadParameter("REDIS_URL is like redis://host:6379/0, rediss:// or unix://")
    scheme = "https" if tls_cert else "http"
    settings = Settings(
        data_dir=data,
        host=host,
        port=port,
        public_url=(public_url or f"{scheme}://localhost:{port}").rstrip("/"),
        tls_cert=tls_cert,
        tls_key=tls_key,
        media_port=media_port,
        media_workers=media_workers,
        media_candidates=tuple(media_candidate or ()),
        turn_urls=tuple(turn or ()),
        turn_secret=turn_secret,
        trusted_proxy=trusted_proxy,
        metrics_token=metrics_token,
        redis_url=redis_url,
        cluster_secret=cluster_secret,
        database_url=database,
        metrics_port=metrics_port,
        drain_s=max(0.0, drain),
    )
    if 0 < len(cluster_secret) < SECRET_LEAST:
        raise typer.BadParameter(f"the cluster's secret needs {SECRET_LEAST} characters at least")
    configure(log_level)
    if workers > 1:
        together = Workers(settings, workers, sample=sample, keep_media=keep_media, log_level=log_level)
        _run(_supervise(together, port))
        return
    _run(_serve(settings, sample=sample, keep_media=keep_media))


@cli.command()
def demo(port: int = 8080, media_port: int = 40000) -> None:
    """Serve a sample meeting from a folder that is thrown away at the end, with a host account ready to log in."""
    configure("warning")
    with tempfile.TemporaryDirectory(prefix="diemcau-demo-") as folder:
        settings = Settings(
            data_dir=Path(folder), port=port, public_url=f"http://localhost:{port}", media_port=media_port
        )
        _run(_serve(settings, sample=True, keep_media=False, demo_account=True))


async def _supervise(workers: Workers, port: int) -> None:
    try:
        await supervise(workers)
        _say("Đã dừng / stopped.")
    except (CannotStart, OSError) as error:
        _say(f"  Không chạy được / cannot serve on port {port}: {error}")
        raise typer.Exit(1) from None


@cli.command(hidden=True)
def worker() -> None:
    """One of the processes of `run --workers N`: it reads what it is to do from its standard input."""
    order = read_order(sys.stdin.buffer.readline())
    configure(order.log_level)
    structlog.contextvars.bind_contextvars(worker=order.settings.worker)

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def parent_gone() -> None:
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

        loop.add_reader(sys.stdin.fileno(), parent_gone)  # nothing more comes there but the end

        def ready() -> None:
            os.write(order.ready_fd, b"ready")
            os.close(order.ready_fd)

        await _serve(
            order.settings,
            sample=order.sample and order.announce,
            keep_media=order.keep_media,
            announce=order.announce,
            stop=stop,
            ready=ready,
        )

    _run(work())


async def _serve(
    settings: Settings,
    *,
    sample: bool,
    keep_media: bool,
    demo_account: bool = False,
    announce: bool = True,
    stop: asyncio.Event | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    problems: list[str] = []
    try:
        async with serving(settings, keep_media=keep_media) as running:
            if demo_account:
                password = secrets.token_urlsafe(8)
                await add_account(running.service.accounts, "demo", "Người dùng thử", "host", password)
                _say(f"\n  Đăng nhập / log in:  demo   {password}")
            rows = await running.service.listed.all()
            runner = await running.service.meetings.get(rows[0].id) if rows else None
            if runner is None and sample:
                runner = await make_sample(running.service)
            if announce:
                await _print_links(running, runner)
            ready()
            await stop.wait()
            if settings.worker is None:
                _say("Đang dừng / stopping …")
    except* OSError as group:
        problems.extend(f"{error.strerror or error} [{type(error).__name__}]" for error in leaves(group))
    if problems:
        _say(f"  Không chạy được / cannot serve on port {settings.port}: {'; '.join(problems)}")
        raise typer.Exit(1)


def leaves(group: BaseExceptionGroup[OSError]) -> list[OSError]:
    """The errors themselves, however deep they are nested."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _say(line: str) -> None:
    print(line, flush=True)


async def _print_links(running: Running, runner: Runner | None) -> None:
    """Where to go, for whoever started the server."""
    service = running.service
    url = service.settings.public_url
    first = await service.accounts.count() == 0
    _say(f"\n  Diemcau: {url}")
    if first:
        _say(f"  Lần đầu / first host:      {url}/host#first={service.first_run_secret}")
    else:
        _say(f"  Chủ trì / host:            {url}/host")
    if runner is not None:
        hall = next(iter(sorted(runner.meeting.select(Hall), key=lambda h: h.order)), None)
        person = next(iter(runner.meeting.select(Delegate)), None)
        if hall and person:
            codes = await service.codes.of(runner.id, "delegate", [person.id])
            _say(f"  Điểm cầu / one hall:       {hall_link(service, runner, hall)}")
            _say(f"  Đại biểu / one delegate:   {delegate_link(service, runner, person)}")
            _say(f"  … bằng mã / by code:       {url}/d   {codes[person.id]}")
            _say(f"  QR điểm cầu / hall's QR:   {seat_link(service, runner, hall)}")
    if not service.settings.secure:
        _say(
            "\n  Camera và micrô chỉ chạy qua https, trừ khi mở bằng localhost: trang /hall cần --tls-cert/--tls-key\n"
            "  (hoặc proxy https). Trang /host và /d chạy được qua http.\n"
            "  Browsers give camera and microphone to https pages only, unless on localhost: /hall needs\n"
            "  --tls-cert/--tls-key or an https proxy in front; /host and /d work over http."
        )
    _say("")


@cli.command("media-node")
def media_node(  # noqa: PLR0913 - the options are the arguments
    advertise: Annotated[str, typer.Option(help="Where servers and other nodes reach this machine.")],
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="Where nodes register.")],
    cluster_secret: Annotated[
        str, typer.Option(envvar="DIEMCAU_CLUSTER_SECRET", help="The same at all machines; better in the environment.")
    ],
    name: Annotated[str, typer.Option(help="Without it the machine's name and the port.")] = "",
    district: Annotated[str, typer.Option(help="Halls whose unit or name has this in it come here first.")] = "",
    listen: Annotated[str, typer.Option(help="Address that both ports are opened at.")] = "0.0.0.0",
    control_port: Annotated[int, typer.Option(help="TCP port for servers.")] = 40900,
    media_port: Annotated[int, typer.Option(help="UDP port for pictures and sound, and for other nodes.")] = 40000,
    candidate: Annotated[
        list[str] | None, typer.Option(help="IP that halls reach this machine by, if another; repeat for more.")
    ] = None,
    drain_s: Annotated[float, typer.Option(help="When told to end: at most so long for halls to go elsewhere.")] = 90.0,
    data: DataDir = Path("data"),
    log_level: Annotated[str, typer.Option()] = "info",
) -> None:
    """Run a media node for servers on other machines. At SIGTERM its halls are moved away first."""
    configure(log_level)
    hosting = Hosting(
        data_dir=data,
        secret=cluster_secret,
        advertise=advertise,
        name=name,
        district=district,
        listen=listen,
        control_port=control_port,
        media_port=media_port,
        candidates=tuple(candidate or ()),
        drain_s=drain_s,
    )

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await Host(hosting, RedisNodeRegistry(redis_url, cluster_secret)).run(stop)

    try:
        _run(work())
    except (CannotHost, ValueError) as error:
        sys.exit(str(error))


@cli.command("media-drain")
def media_drain(
    node: Annotated[str, typer.Argument(help="Its name; node0 is the first of this machine's server.")],
    undo: Annotated[bool, typer.Option("--undo", help="Halls may come to it again.")] = False,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL")] = "",
    cluster_secret: Annotated[str, typer.Option(envvar="DIEMCAU_CLUSTER_SECRET")] = "",
    data: DataDir = Path("data"),
) -> None:
    """Have halls leave a media node one by one, none without a picture, and no new ones come to it."""
    configure("warning")
    settings = Settings(data_dir=data, redis_url=redis_url, cluster_secret=cluster_secret)

    async def work() -> None:
        await drain(node, not undo, settings, registry_of(settings), _say)

    try:
        _run(work())
    except (CannotHost, ValueError) as error:
        sys.exit(str(error))


@cli.command("import")
def import_lists(
    file: Annotated[Path, typer.Argument(help="The workbook (.xlsx).", exists=True, dir_okay=False)],
    meeting: Annotated[str, typer.Option(help="The meeting's id; without it the newest one.")] = "",
    new: Annotated[str, typer.Option(help="Make a new meeting of this title.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Only show what would happen.")] = False,
    data: DataDir = Path("data"),
    database: DatabaseUrl = "",
) -> None:
    """Import halls and delegates from a workbook, and list every row that needs a look."""
    configure("warning")
    code = 0

    async def work() -> None:
        nonlocal code
        code = await import_file(_settings(data, database), file, MeetingId(meeting) if meeting else None, new, dry_run)

    _run(work())
    raise typer.Exit(code)


@cli.command()
def schema(path: Annotated[Path, typer.Argument()] = Path("clients/web/schema.json")) -> None:
    """Write the JSON Schema of everything on the wire."""
    write_schema(path)


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to be made (.tar).")],
    data: DataDir = Path("data"),
    database: DatabaseUrl = "",
) -> None:
    """Copy the record, the papers and the signing secret into one file; the server may be running."""
    _run(_or_exit(back_up(_settings(data, database), file, _say), "no backup"))


@cli.command("restore")
def restore_a_backup(
    file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)],
    data: DataDir = Path("data"),
    database: DatabaseUrl = "",
) -> None:
    """Bring a backup into an empty data folder or database (DATABASE_URL), and verify every log. No server may run."""
    _run(_or_exit(restore(_settings(data, database), file, _say), "not restored"))


async def _or_exit(work: Coroutine[Any, Any, object], failed: str) -> None:
    configure("warning")
    try:
        await work
    except (BackupFailed, OSError) as error:
        sys.exit(f"{failed}: {error}")


@cli.command()
def verify(
    meeting: Annotated[str, typer.Argument(help="A meeting's id; without it all.")] = "",
    data: DataDir = Path("data"),
    database: DatabaseUrl = "",
) -> None:
    """Check the hash chain of a meeting's log, or of all."""
    configure("warning")
    good = False

    async def work() -> None:
        nonlocal good
        settings = _settings(data, database)
        good = await (verify_log(settings, MeetingId(meeting), _say) if meeting else verify_all(settings, _say))

    _run(work())
    raise typer.Exit(0 if good else 1)


@cli.command()
def replay(meeting: str, data: DataDir = Path("data"), database: DatabaseUrl = "") -> None:
    """Replay a meeting's log and print every entry and what the meeting is at the end."""
    configure("warning")
    _run(replay_log(_settings(data, database), MeetingId(meeting), _say))


@cli.command()
def dump(
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:8080",
    token: Annotated[str, typer.Option(envvar="DIEMCAU_METRICS_TOKEN", help="Needed from another machine.")] = "",
) -> None:
    """Print the media node's graph: who is connected, which feed flows where."""

    async def work() -> None:
        try:
            _say(await fetch_dump(url, token))
        except CannotDump as error:
            sys.exit(str(error))

    _run(work())


@cli.command("rehearse")
def rehearse_a_meeting(  # noqa: PLR0913 - the options are the arguments
    halls: Annotated[
        int | None, typer.Option(help="How many halls take part; 187, or with --delegates none.", show_default=False)
    ] = None,
    delegates: Annotated[int, typer.Option(help="How many delegates take part with their phones.")] = 0,
    burst: Annotated[float, typer.Option(help="Within so many seconds all delegates check in, and vote.")] = 10.0,
    seconds: Annotated[float, typer.Option(help="How long the meeting is held.")] = 30.0,
    url: Annotated[str, typer.Option(help="A server that runs; without it one is started and thrown away.")] = "",
    login: Annotated[str, typer.Option(help="With --url: a host's login.")] = "",
    password: Annotated[str, typer.Option(envvar="DIEMCAU_PASSWORD", help="With --url; else it is asked for.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="With --url: its data folder on this machine, to measure the node.")
    ] = None,
    media_workers: Annotated[int, typer.Option(min=1, max=16, help="Without --url: media processes.")] = 1,
    only_wanted: Annotated[
        bool, typer.Option(help="Halls send only the layers that are looked at, not always the low one.")
    ] = False,
    english: Annotated[bool, typer.Option(help="The report in English.")] = False,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
) -> None:
    """Rehearse a whole meeting with synthetic halls and phones, before the day, on the machine itself.

    Ends with 1 if bad.
    """
    # Here, so that a server need not load the codecs.
    from clients.rehearsal.product import own_product, running_product
    from clients.rehearsal.rehearse import MOST_HALLS, MOST_PHONES, RehearsalFailed, RehearsalPlan, rehearse
    from clients.rehearsal.report import describe

    if halls is None:
        halls = 0 if delegates else 187
    if not 0 <= halls <= MOST_HALLS or not 0 < seconds <= 3600 or not 0 < burst <= 600:
        raise typer.BadParameter(f"up to {MOST_HALLS} halls, up to an hour")
    if not 0 <= delegates <= MOST_PHONES or not halls + delegates:
        raise typer.BadParameter(f"up to {MOST_PHONES} delegates")
    if url and not password:
        password = typer.prompt("Password", hide_input=True)
    product = running_product(url, login, password, data) if url else own_product(media_workers)
    plan = RehearsalPlan(halls=halls, delegates=delegates, seconds=seconds, burst_s=burst, all_low=not only_wanted)
    good = False

    async def work() -> None:
        nonlocal good
        try:
            report = await rehearse(plan, product, lambda line: print(line, file=sys.stderr))
        except RehearsalFailed as failure:
            sys.exit(str(failure))
        good = "bad" not in report.verdicts.values()
        if json:
            _say(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            _say(describe(report, "en" if english else "vi"))

    _run(work())
    raise typer.Exit(0 if good else 1)


@bench_cli.command("log")
def bench_the_log(
    commands: Annotated[int, typer.Option(help="Check-ins in the burst.")] = 10_000,
    writers: Annotated[
        int, typer.Option(min=0, max=32, help="Votes only, by so many processes into one meeting; 0: one, in all ways.")
    ] = 0,
    within: Annotated[
        float, typer.Option(min=0.0, help="With --writers: the votes come within so many seconds.")
    ] = 0.0,
    database: Annotated[str, typer.Option(help="postgresql://… of a database that is thrown away.")] = "",
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
) -> None:
    """Commands through the runner into the log: throughput, time to the durable answer, replay.

    With --database the bench's meetings stay in it; DATABASE_URL is not looked at.
    """
    configure("warning")

    async def work() -> None:
        report = await (
            bench_writers(commands, writers, within, database) if writers else bench_log(commands, database)
        )
        if json:
            _say(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            for name in report.__struct_fields__:
                _say(f"{name:>20}  {getattr(report, name)}")

    _run(work())


@bench_cli.command("fanout")
def bench_the_fanout(  # noqa: PLR0913 - the options are the arguments
    subscribers: Annotated[list[int] | None, typer.Option(help="How many receive; repeat for a series. 187.")] = None,
    scale: Annotated[str, typer.Option(help="The same as a list: 50,100,187,400.")] = "",
    pps: Annotated[int, typer.Option(help="Packets a second of the publisher.")] = 200,
    size: Annotated[int, typer.Option(help="Bytes of a full packet before encryption.")] = 1172,
    seconds: Annotated[float, typer.Option(help="The measured window.")] = 10.0,
    cut: Annotated[bool, typer.Option(help="Bursts are cut up before they reach the receivers' sockets.")] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="Also measure janus, janus-loops, aiortc; repeat for more.")
    ] = None,
    json: Annotated[bool, typer.Option(help="Print JSON; of a series a list.")] = False,
) -> None:
    """What a forwarded packet costs: our node, what kernel and cipher alone take, and other servers."""
    # Here, so that a server need not load the codecs.
    from clients.bench.fanout import MOST_SUBSCRIBERS, PEERS, FanoutPlan, SubjectFailed, bench_fanout, describe_fanout

    counts = [*(subscribers or ()), *(int(each) for each in scale.split(",") if each)] or [187]
    peers = tuple(peer or ())
    if unknown := set(peers) - set(PEERS):
        raise typer.BadParameter(f"no such peer: {', '.join(sorted(unknown))}")
    if not all(0 < count <= MOST_SUBSCRIBERS for count in counts):
        raise typer.BadParameter(f"1 to {MOST_SUBSCRIBERS} subscribers")

    async def work() -> None:
        reports = []
        for count in counts:
            plan = FanoutPlan(subscribers=count, pps=pps, size=size, seconds=seconds, bursts=not cut)
            try:
                reports.append(await bench_fanout(plan, peers, lambda line: print(line, file=sys.stderr)))
            except SubjectFailed as failure:
                sys.exit(str(failure))
        if json:
            _say(msgspec.json.format(msgspec.json.encode(reports if len(reports) > 1 else reports[0])).decode())
        else:
            for report in reports:
                _say(describe_fanout(report))

    _run(work())


@bench_cli.command("sockets")
def bench_the_sockets(
    clients: Annotated[int, typer.Option(help="How many phones are connected.")] = 10_000,
    changes: Annotated[int, typer.Option(help="Changes told to all, one at a time and at 20 a second.")] = 20,
    seconds: Annotated[float, typer.Option(help="Every phone gives a command within this time.")] = 10.0,
    peer: Annotated[list[str] | None, typer.Option(help="Also measure socketio: stock python-socketio.")] = None,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
) -> None:
    """What phones cost the server: connecting, being told, commands; beside stock python-socketio."""
    # Here, so that a server need not load the synthetic phones.
    from clients.bench.sockets import (
        MOST_PHONES,
        SOCKET_PEERS,
        SocketsPlan,
        SubjectFailed,
        bench_sockets,
        describe_sockets,
    )

    peers = tuple(peer or ())
    if unknown := set(peers) - set(SOCKET_PEERS):
        raise typer.BadParameter(f"no such peer: {', '.join(sorted(unknown))}")
    if not 0 < clients <= MOST_PHONES or not 0 < changes <= 60 or not 0 < seconds <= 600:
        raise typer.BadParameter(f"1 to {MOST_PHONES} clients, 1 to 60 changes, up to ten minutes")

    async def work() -> None:
        plan = SocketsPlan(clients=clients, changes=changes, seconds=seconds)
        try:
            report = await bench_sockets(plan, peers, lambda line: print(line, file=sys.stderr))
        except SubjectFailed as failure:
            sys.exit(str(failure))
        _say(msgspec.json.format(msgspec.json.encode(report)).decode() if json else describe_sockets(report))

    _run(work())


@account_cli.command("add")
def account_add(
    login: str, name: str, role: str = "host", data: DataDir = Path("data"), database: DatabaseUrl = ""
) -> None:
    """Make an account; the password is asked for."""
    if role not in get_args(Role):
        raise typer.BadParameter("role is host, secretary or technician")
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def work() -> None:
        async with offline(_settings(data, database)) as parts:
            try:
                await add_account(parts.accounts, login, name, cast(Role, role), password)
            except Denial as denial:
                sys.exit(denial.code)

    _run(work())


@account_cli.command("password")
def account_password(login: str, data: DataDir = Path("data"), database: DatabaseUrl = "") -> None:
    """Set a new password."""
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def work() -> None:
        async with offline(_settings(data, database)) as parts:
            if not await parts.accounts.set_password(login.strip().lower(), hash_password(password)):
                sys.exit(f"no account {login}")

    _run(work())
