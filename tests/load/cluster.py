"""A cluster through its faults: `python -m tests.load.cluster [--halls 187] [--phones 5000] [--only server-1,redis]`.

PostgreSQL, Redis, three servers and two media nodes, with synthetic halls and phones. Servers and nodes are machines
of their own, each a network namespace with a line to a switch; a machine that is cut off has its line pulled out of it.
For each fault every phone votes once in a poll of its own while it happens: acknowledged votes must be what the poll
counts, and afterwards all replicas must be what a fresh welcome says. How long each hall was without a packet of the
stage is told.

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
from prometheus_client.parser import text_string_to_metric_families

from clients.rehearsal.aside import aside
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.delegates import enrol, seats_of
from clients.rehearsal.desk import Site, command, invite
from clients.rehearsal.endpoint import Setting
from clients.rehearsal.hall import Hall
from clients.rehearsal.phones import allow_open_files
from clients.rehearsal.process import log_tail
from clients.rehearsal.product import host_http
from clients.rehearsal.recording import STAGE_LAYERS, Studio
from clients.rehearsal.wire import Refused, Socket
from media.memory import keep_collections_short
from tests.load.speaker import Speaker, Speaking
from tests.load.voters import ANSWERED_S, CHOICES, Beginning, Voted, Voters
from tests.support.postgres import Postgres, postgres
from tests.support.redis_server import RedisServer, redis_server
from tests.support.synthetic_halls import Pictures

INSIDE = "DIEMCAU_CLUSTER_NAMESPACE"
HERE = "10.77.0.1"
"""PostgreSQL, Redis, halls and phones, in the namespace that has the switch."""
PHONES = "10.78.0.0/16"
"""The phones' addresses, there too: one for each hall, as behind its router, since servers limit by address."""
SERVERS = tuple(f"10.77.1.{n}" for n in (1, 2, 3))
NODES = tuple(f"10.77.2.{n}" for n in (1, 2))
PORT, CONTROL_PORT, MEDIA_PORT = 8080, 40900, 40000
RESTART_S = 1.0
"""After so long a process that was killed is started again, as an engine does."""
END_S, DRAINED_S = 30.0, 60.0
BEFORE_S = 2.0
COST_S = 20.0
MEDIA_GAP_S, OTHER_GAP_S = 3.0, 0.5
"""How long a hall may be without a packet: where a media node is at fault, and where nothing of the media is."""


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


def _link_address(address: str) -> str:
    """One for each machine that all others know: of one that is silent nobody has to ask, and learn that it is gone."""
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


def make_switch() -> None:
    """In the new namespace: what the lines of all machines lead to."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "switch", "address", _link_address(HERE), "type", "bridge")
    _join("switch", HERE)
    ip("route", "add", "local", PHONES, "dev", "lo")


def _join(device: str, own: str, *inside: str) -> None:
    def there(*words: str) -> None:
        subprocess.run((*inside, "ip", *words), check=True)

    there("addr", "add", f"{own}/16", "dev", device)
    there("link", "set", device, "up")
    for other in (HERE, *SERVERS, *NODES):
        if other != own:
            there("neigh", "add", other, "lladdr", _link_address(other), "dev", device, "nud", "permanent")


class Machine:
    """A namespace with one line to the switch. It ends with `remove`, or with this process."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        words = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "--",
            "sh",
            "-c",
            "echo ready; exec sleep infinity",
        )
        self._holder = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", "no network namespace could be made"
        ip("link", "add", "name", name, "type", "veth", "peer", "name", "line", "netns", str(self._holder.pid))
        self.plug()
        ip("link", "set", name, "up")
        subprocess.run((*self.inside, "ip", "link", "set", "lo", "up"), check=True)
        subprocess.run((*self.inside, "ip", "link", "set", "line", "address", _link_address(address)), check=True)
        _join("line", address, *self.inside)
        subprocess.run((*self.inside, "ip", "route", "add", PHONES, "via", HERE), check=True)

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command begins with to be run there."""
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")

    def plug(self) -> None:
        ip("link", "set", self.name, "master", "switch")

    def unplug(self) -> None:
        """From all others: nothing is refused, everything is silent."""
        ip("link", "set", self.name, "nomaster")

    def bytes_to(self) -> int:
        """What its line has carried to it so far."""
        words = ("ip", "-json", "-statistics", "link", "show", "dev", self.name)
        told = msgspec.json.decode(subprocess.run(words, check=True, capture_output=True).stdout)
        return int(told[0]["stats64"]["tx"]["bytes"])

    def kill(self) -> None:
        """All its processes at once: a node is two, and the one that forwards has a session of its own."""
        own = Path(f"/proc/{self._holder.pid}/ns/net").stat().st_ino
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != self._holder.pid:
                with contextlib.suppress(OSError):
                    if (entry / "ns/net").stat().st_ino == own:
                        os.kill(int(entry.name), signal.SIGKILL)

    def remove(self) -> None:
        self.kill()
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


class Part:
    """A machine and what runs on it, which is started again when it has been killed."""

    def __init__(self, name: str, address: str, words: Sequence[str], env: dict[str, str], folder: Path) -> None:
        self.name, self._words, self.env = name, words, env
        self.machine = Machine(name, address)
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ends_with_us = ("setpriv", "--pdeathsig", "KILL")
        words = (*self.machine.inside, *ends_with_us, sys.executable, "-m", "server", *self._words)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, **self.env}, start_new_session=True
            )

    async def run(self, *words: str) -> None:
        """Another command of the program on this machine, to its end."""
        command = (*self.machine.inside, sys.executable, "-m", "server", *words)
        with self.log.open("ab") as log:
            done = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env={**os.environ, **self.env}
            )
            assert await done.wait() == 0, log_tail(self.log)

    async def end(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert await asyncio.to_thread(self.process.wait, END_S) == 0, log_tail(self.log)

    async def fail(self, node: str) -> None:
        assert self.process is not None
        self.machine.kill()
        await asyncio.to_thread(self.process.wait)
        await asyncio.sleep(RESTART_S)
        self.start()


@dataclass(slots=True)
class Fault:
    """`nodes`: media nodes' addresses, of which the one with most halls is at fault, and told to `happen`.

    `gap_s`: for how long a hall may be without a packet of the stage meanwhile.
    """

    name: str
    happen: Callable[[str], Awaitable[None]]
    nodes: tuple[str, ...] = ()
    gap_s: float = OTHER_GAP_S


class Found(msgspec.Struct, kw_only=True):
    """What one fault did. Gaps in seconds by hall; votes as the phones know them and as the poll counts them.

    `own_s`: how long the speaker's process was held up at most, so that gaps up to it are its own. When packets come in
    is noted by the kernel.

    `there`: halls on the node at fault when it happened, None where it was no node; `moved`: halls that changed nodes.
    """

    fault: str
    voted: Voted
    counted: int
    sums_right: bool
    gap_worst_s: float
    gap_middle_s: float
    over: int
    own_s: float
    halls: int
    there: int | None
    moved: int

    @property
    def good(self) -> bool:
        return (
            self.voted.given == self.voted.acknowledged == self.counted
            and self.sums_right
            and not self.over
            and not self.voted.faults
            and self.there != 0
        )


@dataclass
class Cluster:
    database: Postgres
    redis: RedisServer
    servers: list[Part]
    nodes: list[Part]
    metrics_token: str
    halls: list[Hall] = field(default_factory=list)
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
            machine = next(part.machine for part in self.nodes if part.machine.address == node)
            machine.unplug()
            try:
                await asyncio.sleep(10)
            finally:
                machine.plug()

        async def node_drains(node: str) -> None:
            """Empty, and there again."""
            part = next(part for part in self.nodes if part.machine.address == node)
            await part.run("media-drain", part.name)
            async with asyncio.timeout(DRAINED_S):
                while any(_node_of(hall) == node for hall in self.halls):
                    await asyncio.sleep(0.2)
            await part.run("media-drain", part.name, "--undo")

        async def servers_replaced(node: str) -> None:
            """One after the other told to end, as for a new version."""
            for part, url in zip(self.servers, self.urls, strict=True):
                await part.end()
                part.start()
                await _ready(part, url)

        async def nothing(node: str) -> None:
            await asyncio.sleep(1)

        return [
            Fault("nothing", nothing),
            *(Fault(part.name, part.fail) for part in self.servers),
            *(Fault(part.name, part.fail, (part.machine.address,), MEDIA_GAP_S) for part in self.nodes),
            Fault("redis", redis_away),
            Fault("postgresql", database_restarts),
            Fault("postgresql-crash", database_crashes),
            Fault("partition", node_cut_off, NODES, MEDIA_GAP_S),
            Fault("drain", node_drains, NODES),
            Fault("rolling", servers_replaced),
        ]


@contextlib.asynccontextmanager
async def cluster_in(folder: Path) -> AsyncIterator[Cluster]:
    with postgres(durable=True, at=HERE) as database, contextlib.ExitStack() as machines:
        async with redis_server(folder, HERE) as redis:
            env = {
                "DATABASE_URL": database.fresh(),
                "REDIS_URL": redis.url,
                "DIEMCAU_CLUSTER_SECRET": secrets.token_hex(32),
                "DIEMCAU_METRICS_TOKEN": secrets.token_hex(16),
                "PYTHONUNBUFFERED": "1",
            }

            def part(name: str, address: str, *words: str) -> Part:
                made = Part(name, address, (*words, "--data", str(folder / name)), env, folder)
                machines.callback(made.machine.remove)
                made.start()
                return made

            nodes = [
                part(
                    *(f"node-{n}", address, "media-node", "--name", f"node-{n}"),
                    *("--advertise", address, "--listen", address, "--candidate", address),
                    *("--control-port", str(CONTROL_PORT), "--media-port", str(MEDIA_PORT)),
                )
                for n, address in enumerate(NODES, 1)
            ]
            servers = [
                part(
                    *(f"server-{n}", address, "run", "--host", address, "--port", str(PORT)),
                    *("--media-workers", "0", "--no-sample"),
                )
                for n, address in enumerate(SERVERS, 1)
            ]
            made = Cluster(database, redis, servers, nodes, env["DIEMCAU_METRICS_TOKEN"])
            for each, url in zip(servers, made.urls, strict=True):
                await _ready(each, url)
            yield made


async def _ready(part: Part, url: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(90):
        while True:
            assert part.process is not None and part.process.poll() is None, log_tail(part.log)
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)


class Cost:
    """What the media nodes of a cluster cost while nothing happens to them: `reading` before and after."""

    def __init__(self, made: Cluster, http: aiohttp.ClientSession) -> None:
        self._made, self._http = made, http

    async def told(self, seconds: float) -> str:
        began, before = time.monotonic(), await self._reading()
        await asyncio.sleep(seconds)
        after, took_s = await self._reading(), time.monotonic() - began
        grown = {name: after[name] - before[name] for name in after}
        cpu_s = sum(grown[part.name] for part in self._made.nodes)
        halls = len(self._made.halls)
        a_hall = grown["bytes_out"] / (halls + 1)
        lines = ", ".join(f"{grown[part.machine.address] / a_hall:.2f}" for part in self._made.nodes)
        return (
            f"{grown['packets_out'] / took_s:.0f} packets/s to {halls} halls and the speaker: "
            f"{1e6 * cpu_s / grown['packets_out']:.1f} us of all nodes' CPU each, "
            f"{1e3 * cpu_s / took_s / (halls + 1):.2f} ms a second a hall; "
            f"a hall gets {8 * a_hall / took_s / 1e6:.2f} Mbit/s, "
            f"and into the nodes, by what a hall gets, came {lines} times as much in all"
        )

    async def _reading(self) -> dict[str, float]:
        """CPU seconds by node, bytes on each node's line towards it by address, and what went out to endpoints."""
        wanted = {"Authorization": f"Bearer {self._made.metrics_token}"}
        async with self._http.get(f"{self._made.urls[0]}/metrics", headers=wanted) as answer:
            families = list(text_string_to_metric_families(await answer.text()))
        samples = [sample for family in families for sample in family.samples]
        found = {
            sample.labels["node"]: sample.value
            for sample in samples
            if sample.name == "diemcau_media_cpu_seconds_total"
        }
        for key in ("packets_out", "bytes_out"):
            found[key] = sum(each.value for each in samples if each.name == f"diemcau_media_{key}_total")
        for part in self._made.nodes:
            found[part.machine.address] = part.machine.bytes_to()
        return found


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

    def __init__(self, host: Host, phones: Voters, speaker: Speaker, pictures: Pictures) -> None:
        self._host, self._phones, self._speaker, self._pictures = host, phones, speaker, pictures

    async def through_all(self, faults: Sequence[Fault]) -> bool:
        """Whether all went well."""
        good = True
        for fault in faults:
            found = await self.through(fault)
            good &= found.good
            print(_line(found), flush=True)
            await asyncio.sleep(5)
        return good

    async def through(self, fault: Fault) -> Found:
        poll = await self._host.give("vote.make", title=fault.name)
        await self._host.give("vote.open", poll=poll)
        await asyncio.sleep(1)
        halls_on = Counter(_node_of(hall) for hall in self._pictures.halls)
        node = max(fault.nodes, key=lambda each: halls_on[each], default="")
        there = halls_on[node] if node else None
        moves = sum(hall.moves for hall in self._pictures.halls)
        self._pictures.begin()
        await self._speaker.held_up_s()
        voted, _ = await asyncio.gather(self._phones.vote(poll), self._happen(fault, node))
        await asyncio.sleep(2)
        gaps = sorted(self._pictures.worst_s().values())
        await self._host.give("vote.close", poll=poll)
        await self._host.give("vote.publish", poll=poll)
        result = await self._result(poll)
        return Found(
            fault=fault.name,
            voted=voted,
            counted=result["cast"],
            sums_right={**dict.fromkeys(CHOICES, 0), **result["sums"]} == voted.sums,
            gap_worst_s=round(gaps[-1], 2),
            gap_middle_s=round(gaps[len(gaps) // 2], 2),
            over=sum(gap > fault.gap_s for gap in gaps),
            own_s=round(await self._speaker.held_up_s(), 2),
            halls=len(gaps),
            there=there,
            moved=sum(hall.moves for hall in self._pictures.halls) - moves,
        )

    async def _result(self, poll: str) -> dict[str, Any]:
        """As any server tells it: one that was just without Redis may look at the log a second later."""
        async with asyncio.timeout(ANSWERED_S):
            while (found := (await self._host.records())[f"poll/{poll}"].get("result")) is None:
                await asyncio.sleep(0.3)
        assert isinstance(found, dict)
        return found

    @staticmethod
    async def _happen(fault: Fault, node: str) -> None:
        await asyncio.sleep(BEFORE_S)
        await fault.happen(node)


def go_before() -> None:
    """This process stands for 187 machines: it must not wait for what runs on the others.

    The system weighs sessions first (autogroups), and processes within one.
    """
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text("-10")


async def go(halls: int, phones: int, only: set[str]) -> bool:
    make_switch()
    allow_open_files()
    with tempfile.TemporaryDirectory(prefix="diemcau-cluster-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        async with (
            cluster_in(folder) as made,
            host_http() as http,
            aside("tests.load.voters", folder) as phoning,
            aside("tests.load.speaker", folder) as speaking,
            Crowd() as crowd,
            asyncio.TaskGroup() as tasks,
        ):
            go_before()
            people, speaker = Voters(phoning), Speaker(speaking)
            collecting = tasks.create_task(keep_collections_short(lambda: halls))
            site = Site(http, made.urls[0])
            await site.first_run(_first_run_secret(made))
            meeting = await site.new_meeting("Cụm máy chủ")
            token = await site.staff_token(meeting)
            invited = await invite(site, meeting, token, halls, tasks)
            await enrol(site, meeting, phones, halls)
            seats = await seats_of(site, meeting, [each.id for each in invited])
            others = tuple((address, PORT) for address in SERVERS[1:])
            places = tuple((seat.token, seat.hall) for seat in seats)
            await people.begin(Beginning(made.urls[0], others, places, PHONES))
            studio = Studio()
            layers = tuple(studio.record(each) for each in STAGE_LAYERS)
            setting = Setting(studio, host=HERE, others=NODES, marked=False, timed=True)
            tone = studio.record_tone()
            await speaker.begin(Speaking(HERE, NODES, made.urls, 1, invited[0].id, invited[0].token))
            joined = made.halls = [
                Hall(crowd, setting, n, one, layers, tone, False) for n, one in enumerate(invited[1:], 2)
            ]
            for number, hall in enumerate(joined):
                await hall.join(http, made.urls[number % len(made.urls)], tasks)
            staying = [tasks.create_task(hall.stay(http, made.urls, tasks)) for hall in joined]
            host = Host(made.urls, token)
            await host.give("floor.give", hall=invited[0].id)
            pictures = Pictures(joined)
            assert await crowd.until(lambda: not pictures.blind(), 30), f"{len(pictures.blind())} halls see nothing"
            print(f"{len(joined)} halls see the speaker, {len(places)} phones are in", flush=True)
            print(await Cost(made, http).told(COST_S), flush=True)
            faults = [fault for fault in made.faults() if not only or fault.name in only]
            good = await Faults(host, people, speaker, pictures).through_all(faults)
            replicas = await people.compare()
            print(f"replicas: {replicas.differing} of {replicas.compared} differ from a fresh welcome", flush=True)
            good &= not replicas.differing
            verified = await asyncio.to_thread(_verify, made, folder)
            print(f"log: {verified}", flush=True)
            for task in (*staying, collecting):
                task.cancel()
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
    voted = found.voted
    return (
        f"{'ok ' if found.good else 'BAD'} {found.fault:<17} "
        f"votes {voted.given} given, {voted.acknowledged} acknowledged, {found.counted} counted"
        f"{'' if found.sums_right else ', SUMS WRONG'}; {voted.again} sent again, p99 {voted.p99_ms} ms; "
        f"picture away {found.gap_middle_s} s in the middle, {found.gap_worst_s} s at worst "
        f"(its speaker held up for {found.own_s} s), "
        f"{found.over} of {found.halls} halls too long; "
        f"{'' if found.there is None else f'{found.there} were there, '}{found.moved} moved {voted.faults or ''}"
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
