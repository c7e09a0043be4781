"""Several server processes on one meeting, as an operator runs them: what one is told all know, and none is needed."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from rooms.actor import SERVER
from rooms.agenda import OpenMeeting
from rooms.attendance import Attendance
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import MeetingId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from rooms.visibility import STAFF_AUDIENCE, Audience, view
from server.database.log import first_broken, first_head
from server.http.accounts import add_account
from server.offline import offline
from server.settings import Settings
from server.tokens import Grant, Tokens, load_secret
from tests.support.live import PASSWORD, WireClient
from tests.support.meetings import make
from tests.support.processes import Server, free_port, kill_media_node, server_process
from tests.support.redis_server import RedisServer, redis_server
from tests.support.steady import SteadyPhone

pytestmark = pytest.mark.slow
HALLS, PEOPLE = 3, 60
JPEG = "/9j/4AAQSkZJRg=="


class Fleet:
    """Servers on one database and one Redis, and who may come to them."""

    def __init__(self, data: Path, redis: RedisServer) -> None:
        self.data = data
        self.redis = redis
        self.servers: list[Server] = []
        self.meeting = MeetingId("")
        self.host = ""
        self.halls: dict[str, str] = {}
        self.people: dict[str, str] = {}

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    async def prepare(self) -> None:
        async with offline(Settings(data_dir=self.data)) as parts:
            runner = await parts.meetings.create("Hội nghị")
            halls = tuple(HallLine(name=f"Điểm cầu {n}") for n in range(HALLS))
            people = tuple(
                DelegateLine(hall=f"Điểm cầu {n % HALLS}", name=f"Đại biểu {n}", order=n) for n in range(PEOPLE)
            )
            await runner.submit(SERVER, make(ImportRoster, halls=halls, delegates=people))
            await runner.submit(SERVER, make(OpenMeeting))
            host = await add_account(parts.accounts, "host", "Host", "host", PASSWORD)
            tokens = Tokens(load_secret(self.data / "secret"))
            self.meeting = runner.id
            self.host = tokens.join(Grant("staff", runner.id, host.id))
            self.halls = {h.id: tokens.join(Grant("hall", runner.id, h.id)) for h in runner.meeting.select(Hall)}
            self.people = {
                d.id: tokens.join(Grant("delegate", runner.id, d.id)) for d in runner.meeting.select(Delegate)
            }

    def phones(self, seed: int) -> dict[str, SteadyPhone]:
        chance = random.Random(seed)
        return {id: SteadyPhone(token, self.urls, chance) for id, token in self.people.items()}

    async def state(self) -> Meeting:
        """What the log says, its chain checked."""
        async with offline(Settings(data_dir=self.data)) as parts:
            row = (await parts.listed.all())[0]
            entries = await parts.log.read(row.id, 0, 100_000)
            assert first_broken(row.id, first_head(row.log_id), entries) is None
            return (await parts.meetings.get(row.id)).meeting

    async def written(self) -> dict[str, list[str]]:
        """The ids of the commands in the log by actor, in order."""
        found: dict[str, list[str]] = {}
        async with offline(Settings(data_dir=self.data)) as parts:
            for entry in await parts.log.read(self.meeting, 0, 100_000):
                found.setdefault(entry.actor, []).append(entry.command_id)
        return found

    async def all_equal(self, replicas: dict[str, WireClient]) -> Meeting:
        """Wait until every replica is what its client may see of the log's end."""
        async with asyncio.timeout(30):
            while True:
                state = await self.state()
                wrong = [id for id, one in replicas.items() if one.replica != seen_by(state, audience_of(one))]
                if not wrong:
                    return state
                await asyncio.sleep(0.5)


def audience_of(one: WireClient) -> Audience:
    me = one.welcome["me"]
    return STAFF_AUDIENCE if me["kind"] == "staff" else Audience(me["kind"], me["id"])


def seen_by(state: Meeting, audience: Audience) -> dict[str, Any]:
    seen = {record.key: view(record, audience) for record in state.records()}
    return {key: msgspec.json.decode(msgspec.json.encode(record)) for key, record in seen.items() if record is not None}


@asynccontextmanager
async def fleet(folder: Path, number: int, *options: str) -> AsyncIterator[Fleet]:
    """`number` servers that run, each with a port of its own."""
    data = folder / "data"
    async with redis_server(folder) as redis, AsyncExitStack() as stack:
        made = Fleet(data, redis)
        await made.prepare()
        media_port = free_port()
        for _ in range(number):
            started = server_process(data, free_port(), media_port, *options, environment={"REDIS_URL": redis.url})
            made.servers.append(await stack.enter_async_context(started))
        yield made


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[WireClient]:
    one = WireClient(url)
    assert (await one.connect(token))["ok"]
    try:
        yield one
    finally:
        await one.close()


def online(one: WireClient, hall: str) -> bool:
    """What the console was last told of the hall."""
    told = [h for event, body in one.events if event == "presence" for h in body["halls"] if h["hall"] == hall]
    return bool(told and told[-1]["online"])


def told(one: WireClient, event: str) -> list[Any]:
    return [body for name, body in one.events if name == event]


async def test_what_one_process_writes_the_others_show_at_once(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as many:
        here, there = many.urls
        async with connected(here, many.host) as host, connected(there, many.host) as other:
            late: list[float] = []
            for n in range(30):
                answer = await host.give("agenda.add", title=f"Mục {n}")
                began = time.perf_counter()
                await other.until(lambda c, rev=answer["rev"]: c.rev >= rev)
                late.append(time.perf_counter() - began)
                await asyncio.sleep(0.1)
            print(f"shown by another process {middle(sorted(late), 0.5)} after the answer, at most {max(late):.3f} s")
            assert sorted(late)[15] < 0.1, "polling would take half a second"
        kill_media_node(many.data)


REPORT = {"camera": True, "microphone": True, "viewing": True}


async def test_every_console_sees_the_halls_of_all_processes(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as many:
        one, two, three = many.urls
        async with connected(one, many.host) as host:
            hall = WireClient(two)
            await hall.connect(many.halls["h1"])
            await host.until(lambda c: online(c, "h1"))
            link = await host.until(lambda c: c.replica.get("link/h1"))
            assert link["up"]

            # a console here asks for stills of a hall there
            await host.call("wall", {"halls": ["h1"]})
            await hall.until(lambda c: {"source": "still", "rids": [""]} in told(c, "wanted"))
            await hall.call("report", {**REPORT, "still": JPEG})
            stills = await host.until(lambda c: told(c, "stills"))
            assert stills[0]["stills"] == [{"hall": "h1", "jpeg": JPEG}]
            await host.call("wall", {"halls": []})
            await hall.until(lambda c: told(c, "wanted")[-1] == {"source": "still", "rids": []})

            # its page comes anew at a third process: the older one goes, and the hall was never away
            before = len(told(host, "presence"))
            newer = WireClient(three)
            await newer.connect(many.halls["h1"])
            await hall.until(lambda c: told(c, "goodbye") == [{"code": "replaced", "retry": False}])
            await newer.call("report", REPORT)
            await asyncio.sleep(1.5)
            assert online(host, "h1") and all(
                h["online"] for body in told(host, "presence")[before:] for h in body["halls"] if h["hall"] == "h1"
            )
            assert host.replica["link/h1"]["up"] and host.replica["link/h1"]["drops"] == 0

            # the process that has it is killed: gone within seconds, by presence and by the record
            began = time.perf_counter()
            await many.servers[2].kill()
            await host.until(lambda c: not online(c, "h1") and not c.replica["link/h1"]["up"], 10.0)
            print(f"a killed process' hall was shown as gone after {time.perf_counter() - began:.1f} s")
            async with connected(two, many.halls["h1"]):
                await host.until(lambda c: online(c, "h1") and c.replica["link/h1"]["up"])
            await newer.close()
            await hall.close()
        kill_media_node(many.data)


async def come_and_go(phones: dict[str, SteadyPhone], seconds: float) -> None:
    """Every phone checks in and out, some five times a second."""
    ends = time.perf_counter() + seconds

    async def going(phone: SteadyPhone) -> None:
        while time.perf_counter() < ends:
            for type in ("attendance.check_in", "attendance.check_out"):
                answer = await phone.give(type)
                assert answer["ok"], answer
                await asyncio.sleep(random.uniform(0, 0.4))

    await asyncio.gather(*(going(phone) for phone in phones.values()))


async def nothing_lost_while(
    many: Fleet, seconds: float, fault: Callable[[], Coroutine[None, None, None]]
) -> list[float]:
    """Phones give commands while something happens: every acknowledged one is in the log once, and all see the same.

    The times to the answers, sorted."""
    phones = many.phones(seed=1)
    await asyncio.gather(*(phone.come() for phone in phones.values()))
    watching = SteadyPhone(many.host, many.urls, random.Random(2))
    faulting = asyncio.create_task(fault())
    await come_and_go(phones, seconds)
    await faulting
    everybody = {"host": watching, **phones}
    await asyncio.gather(*(phone.come() for phone in everybody.values()))
    state = await many.all_equal({id: phone.client for id, phone in everybody.items()})
    written = await many.written()
    for id, phone in phones.items():
        assert written[f"delegate:{id}"] == phone.acknowledged, "what was acknowledged is there, once and in order"
        assert len(state.require(Attendance, id).intervals) == len(phone.acknowledged) / 2
    await asyncio.gather(*(phone.leave() for phone in everybody.values()))
    times = sorted(second for phone in phones.values() for second in phone.answer_s)
    assert len(times) > PEOPLE * seconds
    print(
        f"{len(times)} acknowledged, none lost, none twice; answers p50 {middle(times, 0.5)}, p99 {middle(times, 0.99)}"
    )
    return times


def middle(times: list[float], part: float) -> str:
    return f"{times[int(len(times) * part)] * 1000:.0f} ms"


async def test_kill_minus_9_of_a_process_in_a_burst(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as many:

        async def fault() -> None:
            for server in many.servers[1:]:
                await asyncio.sleep(2.0)
                await server.kill()

        await nothing_lost_while(many, 7.0, fault)
        kill_media_node(many.data)


async def test_redis_away_for_20_seconds_costs_latency_only(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as many:

        async def fault() -> None:
            await asyncio.sleep(1.0)
            await many.redis.stop()
            await asyncio.sleep(20.0)
            await many.redis.start()

        times = await nothing_lost_while(many, 26.0, fault)
        assert times[-1] < 3.0, "nobody waited for Redis"
        async with connected(many.urls[0], many.host) as host, connected(many.urls[1], many.halls["h1"]):
            await host.until(lambda c: online(c, "h1"), 10.0)
        kill_media_node(many.data)


async def test_a_process_that_is_stopped_under_load_answers_and_ends_in_time(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2, "--drain", "1") as many:
        ended: list[float] = []
        ready: list[int] = []

        async def fault() -> None:
            await asyncio.sleep(2.0)
            began = time.perf_counter()
            many.servers[0].process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            async with aiohttp.ClientSession() as http, http.get(f"{many.urls[0]}/readyz") as answer:
                ready.append(answer.status)
            await many.servers[0].process.wait()
            ended.append(time.perf_counter() - began)

        await nothing_lost_while(many, 6.0, fault)
        assert ready == [503] and ended[0] < 10.0 and many.servers[0].process.returncode == 0
        print(f"ended after {ended[0]:.1f} s")
        kill_media_node(many.data)


async def workers_of(server: Server) -> dict[int, int]:
    """The running processes of `--workers`: number and process id, from the children's command lines."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if words[1:4] == [b"-m", b"server", b"worker"] and parent == server.process.pid:
            found[int(entry.name)] = parent
    return found


async def test_workers_share_a_port_are_started_again_and_replaced_one_by_one(tmp_path: Path) -> None:
    metrics = free_port()
    async with fleet(tmp_path, 1, "--workers", "3", "--metrics-port", str(metrics)) as many:
        server = many.servers[0]
        links = await server.link("host")
        assert links and sum("Diemcau:" in line for line in server.lines) == 1
        async with asyncio.timeout(30):
            while await processes(metrics, 3) != [3.0, 3.0, 3.0]:
                await asyncio.sleep(0.2)
        before = await workers_of(server)
        assert len(before) == 3

        async def fault() -> None:
            await asyncio.sleep(1.0)
            os.kill(next(iter(before)), signal.SIGKILL)
            await asyncio.sleep(4.0)
            server.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(60):
                while (await workers_of(server)).keys() & before.keys() or len(await workers_of(server)) < 3:
                    await asyncio.sleep(0.2)

        await nothing_lost_while(many, 16.0, fault)
        assert sum("Diemcau:" in line for line in server.lines) == 1, "the links are printed once"
        last = await workers_of(server)
        server.process.terminate()
        async with asyncio.timeout(20):
            assert await server.process.wait() == 0
        assert not [pid for pid in last if Path(f"/proc/{pid}").exists()]
        kill_media_node(many.data)


async def test_workers_end_when_what_started_them_is_killed(tmp_path: Path) -> None:
    async with fleet(tmp_path, 1, "--workers", "2") as many:
        server = many.servers[0]
        phone = SteadyPhone(next(iter(many.people.values())), many.urls, random.Random(3))
        await phone.come()
        assert (await phone.give("attendance.check_in"))["ok"]
        async with asyncio.timeout(30):
            while len(before := await workers_of(server)) < 2:
                await asyncio.sleep(0.2)
        await server.kill()
        async with asyncio.timeout(20):
            while any(Path(f"/proc/{pid}").exists() for pid in before):
                await asyncio.sleep(0.2)
        assert ("goodbye", {"code": "restart", "retry": True}) in phone.client.events
        await phone.leave()
        kill_media_node(many.data)


async def processes(first_port: int, number: int) -> list[float]:
    """How many processes each knows, by its own metrics page."""
    found: list[float] = []
    async with aiohttp.ClientSession() as http:
        for port in range(first_port, first_port + number):
            try:
                async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
            except aiohttp.ClientError:
                return found
            found += [float(line.split()[1]) for line in lines if line.startswith("diemcau_processes ")]
    return found


async def test_several_processes_without_redis_are_refused(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "run", "--data", str(tmp_path), "--workers", "2"),
        stderr=asyncio.subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if k != "REDIS_URL"}, "TERM": "dumb"},
    )
    _, errors = await process.communicate()
    assert process.returncode == 2 and b"REDIS_URL" in errors
