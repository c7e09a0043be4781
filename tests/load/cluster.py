"""A cluster through its faults: `python -m tests.load.cluster [--halls 187] [--phones 5000] [--only server-1,redis]`.

PostgreSQL, Redis, three servers and two media nodes, with synthetic halls and phones, all in a network namespace of its
own. For each fault every phone votes once in a poll of its own while it happens: acknowledged votes must be what the
poll counts, and afterwards all replicas must be what a fresh welcome says. How long each hall was without a packet of
the stage is told. One namespace with an address for each machine, because kernels without veth have no other way at
this rate; of a media node that is cut off the routes lead all that is to it, from it or of its user into a bridge
without an end.

Needs root. Ends with 1 if anything was lost, done twice or differs, or a picture was away for longer than it may.
"""

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from clients.rehearsal.crowd import Crowd
from clients.rehearsal.delegates import enrol, seats_of
from clients.rehearsal.desk import Site, command, invite
from clients.rehearsal.endpoint import Setting
from clients.rehearsal.hall import Hall
from clients.rehearsal.phone import Phone
from clients.rehearsal.phones import Phones, allow_open_files
from clients.rehearsal.process import log_tail
from clients.rehearsal.product import host_http
from clients.rehearsal.recording import STAGE_LAYERS, Studio
from clients.rehearsal.wire import Refused, Socket
from tests.support.postgres import Postgres, postgres
from tests.support.redis_server import RedisServer, redis_server
from tests.support.synthetic_halls import Pictures

INSIDE = "DIEMCAU_CLUSTER_NAMESPACE"
SERVERS = tuple(f"127.77.1.{n}" for n in (1, 2, 3))
NODES = tuple(f"10.77.2.{n}" for n in (1, 2))
CROWD = "10.77.3.1"
PORT, CONTROL_PORT, MEDIA_PORT = 8080, 40900, 40000
NODE_USER = 20_000
AWAY = "200"
"""The table of routes that lead nowhere."""
RESTART_S = 1.0
"""After so long a process that was killed is started again, as an engine does."""
BEFORE_S, VOTE_S, ANSWERED_S = 2.0, 12.0, 60.0
MEDIA_GAP_S, OTHER_GAP_S = 3.0, 0.5
"""How long a hall may be without a packet: where a media node is at fault, and where nothing of the media is."""
_CHOICES = ("yes", "no", "abstain")


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


def make_network() -> None:
    """In the new namespace: every machine's address, and a way into nowhere."""
    ip("link", "set", "lo", "up")
    for address in (*NODES, CROWD):
        ip("addr", "add", f"{address}/32", "dev", "lo")
    ip("link", "add", "nowhere", "type", "bridge")
    ip("link", "set", "nowhere", "up")
    ip("addr", "add", "10.99.0.1/24", "dev", "nowhere")
    Path("/proc/sys/net/ipv4/conf/nowhere/route_localnet").write_text("1")
    ip("neigh", "add", "10.99.0.2", "lladdr", "02:00:00:00:00:01", "dev", "nowhere")
    ip("route", "add", "default", "via", "10.99.0.2", "dev", "nowhere", "table", AWAY)
    ip("rule", "add", "pref", "100", "lookup", "local")  # rules of ours go before it
    ip("rule", "del", "pref", "0")


def cut_off(node: str, how: str) -> None:
    """A node's machine from all others (`add`), and back (`del`): nothing is refused, everything is silent."""
    user = NODE_USER + NODES.index(node)
    for pref, what in (("10", ("to", node)), ("11", ("from", node)), ("12", ("uidrange", f"{user}-{user}"))):
        ip("rule", how, "pref", pref, *what, "lookup", AWAY)


def _processes_of(user: int) -> list[int]:
    """By their status: the folder of one with capabilities belongs to root."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if f"\nUid:\t{user}\t" in (entry / "status").read_text():
                    found.append(int(entry.name))
    return found


class Part:
    """A process of the cluster that is started again when it has been killed."""

    def __init__(self, name: str, words: Sequence[str], env: dict[str, str], folder: Path, user: int = 0) -> None:
        self.name, self._words, self.env, self._user = name, words, env, user
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._words, stdout=log, stderr=log, env={**os.environ, **self.env}, start_new_session=True
            )

    def kill(self) -> None:
        """The whole machine's processes at once: a node is two, and the one that forwards has a session of its own."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._user:
            for pid in _processes_of(self._user):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def fail(self, node: str) -> None:
        self.kill()
        await asyncio.sleep(RESTART_S)
        self.start()


@dataclass(slots=True)
class Fault:
    """`nodes`: media nodes' addresses, of which the one with most halls is at fault, and told to `happen`.

    Its halls may be without a picture for a while.
    """

    name: str
    happen: Callable[[str], Awaitable[None]]
    nodes: tuple[str, ...] = ()


class Found(msgspec.Struct, kw_only=True):
    """What one fault did. Gaps in seconds by hall; votes as the phones know them and as the poll counts them.

    `there`: halls on the node at fault when it happened, None where it was no node; `moved`: halls that changed nodes.
    """

    fault: str
    given: int
    acknowledged: int
    counted: int
    sums_right: bool
    again: int
    p99_ms: float
    gap_worst_s: float
    gap_middle_s: float
    over: int
    halls: int
    there: int | None
    moved: int
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return (
            self.given == self.acknowledged == self.counted
            and self.sums_right
            and not self.over
            and not self.faults
            and self.there != 0
        )


@dataclass
class Cluster:
    database: Postgres
    redis: RedisServer
    servers: list[Part]
    nodes: list[Part]
    urls: tuple[str, ...] = tuple(f"http://{address}:{PORT}" for address in SERVERS)

    def faults(self) -> list[Fault]:
        async def redis_away(node: str) -> None:
            await self.redis.stop()
            await asyncio.sleep(20)
            await self.redis.start()

        async def database_restarts(node: str) -> None:
            await asyncio.to_thread(self.database.stop)
            await asyncio.to_thread(self.database.start)

        async def database_crashes(node: str) -> None:
            await asyncio.to_thread(self.database.stop, signal.SIGQUIT)
            await asyncio.to_thread(self.database.start)

        async def node_cut_off(node: str) -> None:
            cut_off(node, "add")
            try:
                await asyncio.sleep(10)
            finally:
                cut_off(node, "del")

        async def nothing(node: str) -> None:
            await asyncio.sleep(1)

        return [
            Fault("nothing", nothing),
            *(Fault(part.name, part.fail) for part in self.servers),
            *(Fault(part.name, part.fail, (address,)) for part, address in zip(self.nodes, NODES, strict=True)),
            Fault("redis", redis_away),
            Fault("postgresql", database_restarts),
            Fault("postgresql-crash", database_crashes),
            Fault("partition", node_cut_off, NODES),
        ]


@contextlib.asynccontextmanager
async def cluster_in(folder: Path) -> AsyncIterator[Cluster]:
    with postgres(durable=True) as database:
        async with redis_server(folder) as redis:
            env = {
                "DATABASE_URL": database.fresh(),
                "REDIS_URL": redis.url,
                "DIEMCAU_CLUSTER_SECRET": secrets.token_hex(32),
                "PYTHONUNBUFFERED": "1",
            }
            run = (sys.executable, "-m", "server")
            servers = [
                Part(
                    f"server-{n}",
                    (
                        *(*run, "run", "--host", address, "--port", str(PORT), "--media-workers", "0", "--no-sample"),
                        *("--data", str(folder / f"server-{n}")),
                    ),
                    env,
                    folder,
                )
                for n, address in enumerate(SERVERS, 1)
            ]
            capable = "+dac_override,+dac_read_search,+sys_nice"
            nodes = [
                Part(
                    f"node-{n + 1}",
                    (
                        *("setpriv", "--reuid", str(NODE_USER + n), "--regid", str(NODE_USER + n), "--clear-groups"),
                        *("--inh-caps", capable, "--ambient-caps", capable, *run, "media-node"),
                        *("--name", f"node-{n + 1}", "--data", str(folder / f"node-{n + 1}")),
                        *("--advertise", address, "--listen", address, "--candidate", address),
                        *("--control-port", str(CONTROL_PORT), "--media-port", str(MEDIA_PORT)),
                    ),
                    env,
                    folder,
                    NODE_USER + n,
                )
                for n, address in enumerate(NODES)
            ]
            made = Cluster(database, redis, servers, nodes)
            try:
                for part in (*nodes, *servers):
                    part.start()
                await _ready(made)
                yield made
            finally:
                for part in (*servers, *nodes):
                    part.kill()


async def _ready(made: Cluster) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(90):
        for url, part in zip(made.urls, made.servers, strict=True):
            while True:
                assert part.process is not None and part.process.poll() is None, log_tail(part.log)
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.2)


class Host:
    """The host, at whichever server answers."""

    def __init__(self, urls: Sequence[str], token: str) -> None:
        self._urls, self._token = urls, token

    async def give(self, kind: str, **fields: Any) -> str:
        """The command's id; sent again under it until it is answered."""
        wanted = command(kind, **fields)
        await self._at_some(lambda socket: socket.call("command", wanted))
        return str(wanted["id"])

    async def records(self) -> dict[str, Any]:
        told = await self._at_some(None)
        return {f"{record['kind']}/{record['id']}": record for record in told["put"]}

    async def _at_some(self, work: Callable[[Socket], Awaitable[Any]] | None) -> Any:
        end = time.monotonic() + ANSWERED_S
        while True:
            socket = Socket(lambda event, body: None)
            try:
                async with aiohttp.ClientSession() as http, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
                    await socket.open(http, random.choice(self._urls))
                    reading = tasks.create_task(socket.read())
                    try:
                        welcome = await socket.hello(self._token)
                        return welcome if work is None else await work(socket)
                    finally:
                        reading.cancel()
                        await socket.close()
            except (aiohttp.ClientError, OSError, TimeoutError, Refused, BaseExceptionGroup):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.3)


def _node_of(hall: Hall) -> str:
    """The address that its media goes to; none while it has no connection."""
    try:
        return str(hall.endpoint.transport.socket.getpeername()[0])
    except OSError:
        return ""


class Faults:
    """One fault after the other, with everybody voting."""

    def __init__(self, host: Host, phones: Phones, pictures: Pictures) -> None:
        self._host, self._phones, self._pictures = host, phones, pictures
        self._sums: Counter[str] = Counter()
        self._poll = ""

    async def through(self, fault: Fault) -> Found:
        phones, tally = self._phones, self._phones.tally
        self._poll = await self._host.give("vote.make", title=fault.name)
        await self._host.give("vote.open", poll=self._poll)
        await asyncio.sleep(1)
        self._sums.clear()
        given, acks, late = tally.given, len(tally.acks_s), len(tally.late_acks_s)
        wrong = tally.faults + tally.refused
        halls_on = Counter(_node_of(hall) for hall in self._pictures.halls)
        node = max(fault.nodes, key=lambda each: halls_on[each], default="")
        there = halls_on[node] if node else None
        moves = sum(hall.moves for hall in self._pictures.halls)
        self._pictures.begin()
        happening = asyncio.create_task(self._happen(fault, node))
        await phones.burst(phones.all, VOTE_S, self._vote)
        await happening
        await phones.until(lambda: not phones.waiting and all(phone.online for phone in phones.all), ANSWERED_S)
        await asyncio.sleep(2)
        gaps = sorted(self._pictures.worst_s().values())
        await self._host.give("vote.close", poll=self._poll)
        await self._host.give("vote.publish", poll=self._poll)
        result = await self._result()
        answered = sorted(tally.acks_s[acks:])
        limit_s = MEDIA_GAP_S if fault.nodes else OTHER_GAP_S
        return Found(
            fault=fault.name,
            given=tally.given - given,
            acknowledged=len(tally.acks_s) - acks + len(tally.late_acks_s) - late,
            counted=result["cast"],
            sums_right={**dict.fromkeys(_CHOICES, 0), **result["sums"]}
            == {choice: self._sums[choice] for choice in _CHOICES},
            again=len(tally.late_acks_s) - late,
            p99_ms=round(1e3 * answered[int(0.99 * (len(answered) - 1))], 1) if answered else 0.0,
            gap_worst_s=round(gaps[-1], 2),
            gap_middle_s=round(gaps[len(gaps) // 2], 2),
            over=sum(gap > limit_s for gap in gaps),
            halls=len(gaps),
            there=there,
            moved=sum(hall.moves for hall in self._pictures.halls) - moves,
            faults=dict(tally.faults + tally.refused - wrong),
        )

    async def _result(self) -> dict[str, Any]:
        """As any server tells it: one that was just without Redis may look at the log a second later."""
        async with asyncio.timeout(ANSWERED_S):
            while (found := (await self._host.records())[f"poll/{self._poll}"].get("result")) is None:
                await asyncio.sleep(0.3)
        assert isinstance(found, dict)
        return found

    @staticmethod
    async def _happen(fault: Fault, node: str) -> None:
        await asyncio.sleep(BEFORE_S)
        await fault.happen(node)

    def _vote(self, phone: Phone) -> None:
        choice = self._phones.dice.choice(_CHOICES)
        self._sums[choice] += 1
        phone.give("vote.cast", poll=self._poll, choice=choice)


async def go(halls: int, phones: int, only: set[str]) -> bool:
    make_network()
    allow_open_files()
    with tempfile.TemporaryDirectory(prefix="diemcau-cluster-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with cluster_in(folder) as made, host_http() as http, Crowd() as crowd, asyncio.TaskGroup() as tasks:
            site = Site(http, made.urls[0])
            await site.first_run(_first_run_secret(made))
            meeting = await site.new_meeting("Cụm máy chủ")
            token = await site.staff_token(meeting)
            invited = await invite(site, meeting, token, halls, tasks)
            await enrol(site, meeting, phones, halls)
            seats = await seats_of(site, meeting, [each.id for each in invited])
            others = [(address, PORT) for address in SERVERS[1:]]
            people = Phones(made.urls[0], seats, others=others)
            assert await people.storm(max(2.0, phones / 300), 120), "not all phones came"
            await people.burst(people.all, 5, lambda phone: phone.give("attendance.check_in", mode="in_hall"))
            assert await people.until(lambda: not people.waiting, ANSWERED_S), "not all have checked in"
            studio = Studio()
            layers = tuple(studio.record(each) for each in STAGE_LAYERS)
            setting = Setting(studio, host=CROWD, others=NODES, marked=False)
            tone = studio.record_tone()
            joined = [Hall(crowd, setting, n, one, layers, tone, False) for n, one in enumerate(invited, 1)]
            for number, hall in enumerate(joined):
                await hall.join(http, made.urls[number % len(made.urls)], tasks)
            staying = [tasks.create_task(hall.stay(http, made.urls, tasks)) for hall in joined]
            host = Host(made.urls, token)
            await host.give("floor.give", hall=joined[min(1, halls - 1)].id)
            pictures = Pictures([hall for number, hall in enumerate(joined) if number != 1 or halls == 1])
            pictures.begin()
            looking = tasks.create_task(pictures.run())
            assert await crowd.until(lambda: not pictures.blind(), 30), f"{len(pictures.blind())} halls see nothing"
            print(f"{len(joined)} halls see the stage, {len(people.all)} phones are in", flush=True)
            through = Faults(host, people, pictures)
            good = True
            for fault in made.faults():
                if not only or fault.name in only:
                    found = await through.through(fault)
                    good &= found.good
                    print(_line(found), flush=True)
                    await asyncio.sleep(5)
            compared, differing = await people.differing()
            print(f"replicas: {differing} of {compared} differ from a fresh welcome", flush=True)
            good &= not differing
            verified = await asyncio.to_thread(_verify, made, folder)
            print(f"log: {verified}", flush=True)
            for task in (*staying, looking):
                task.cancel()
            await people.leave()
            for hall in joined:
                await hall.socket.close()
            return good and "all fit" in verified


def _first_run_secret(made: Cluster) -> str:
    text = made.servers[0].log.read_text()
    return text.split("/host#first=", 1)[1].split()[0]


def _verify(made: Cluster, folder: Path) -> str:
    words = (sys.executable, "-m", "server", "verify", "--data", str(folder / "verify"))
    done = subprocess.run(words, env={**os.environ, **made.servers[0].env}, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _line(found: Found) -> str:
    return (
        f"{'ok ' if found.good else 'BAD'} {found.fault:<17} "
        f"votes {found.given} given, {found.acknowledged} acknowledged, {found.counted} counted"
        f"{'' if found.sums_right else ', SUMS WRONG'}; {found.again} sent again, p99 {found.p99_ms} ms; "
        f"picture away {found.gap_middle_s} s in the middle, {found.gap_worst_s} s at worst, "
        f"{found.over} of {found.halls} halls too long; "
        f"{'' if found.there is None else f'{found.there} were there, '}{found.moved} moved {found.faults or ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.cluster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--halls", type=int, default=187)
    parser.add_argument("--phones", type=int, default=5000)
    parser.add_argument("--only", default="", help="names of faults, with commas between")
    options = parser.parse_args()
    if os.environ.get(INSIDE) != "yes":
        os.environ[INSIDE] = "yes"
        words = (sys.executable, "-m", "tests.load.cluster", *sys.argv[1:])
        os.execvp("unshare", ("unshare", "--net", "--", *words))
    only = {name for name in options.only.split(",") if name}
    sys.exit(0 if asyncio.run(go(options.halls, options.phones, only)) else 1)


if __name__ == "__main__":
    main()
