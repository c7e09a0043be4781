"""A real server in the test's own loop, and clients that speak the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import socketio
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.actor import SERVER
from rooms.agenda import OpenMeeting
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import MeetingId
from rooms.meeting import Command
from rooms.roster import Delegate, Hall
from server.app import Running, serving
from server.http.accounts import add_account
from server.http.join import delegate_token, hall_token, seat_token
from server.runner import Runner
from server.settings import Settings
from server.tokens import Grant
from tests.support.meetings import command_id, make

PASSWORD = "mật khẩu dài"


class Live:
    """A running server with one meeting of three halls and four delegates."""

    def __init__(self, running: Running, runner: Runner, http: aiohttp.ClientSession) -> None:
        self.running = running
        self.service = running.service
        self.runner = runner
        self.http = http
        self.url = f"http://127.0.0.1:{running.port}"

    @property
    def engine(self) -> AsyncEngine:
        return self.running.engine

    @property
    def meeting(self) -> MeetingId:
        return self.runner.id

    async def media_up(self) -> None:
        """Wait until every media node answers."""
        async with asyncio.timeout(15):
            while not all(node.up for node in self.running.nodes.each):
                await asyncio.sleep(0.05)

    def hall_token(self, id: str = "h1") -> str:
        return hall_token(self.service, self.meeting, self.runner.meeting.require(Hall, id))

    def seat_token(self, id: str = "h1") -> str:
        return seat_token(self.service, self.meeting, self.runner.meeting.require(Hall, id))

    def delegate_token(self, id: str = "d1") -> str:
        return delegate_token(self.service, self.meeting, self.runner.meeting.require(Delegate, id))

    async def staff_token(self, role: str = "host") -> str:
        account = next(a for a in await self.service.accounts.all() if a.role == role)
        return self.service.tokens.join(Grant("staff", self.meeting, account.id))

    async def login(self, login: str = "host") -> None:
        """From now on `http` is this person."""
        async with self.http.post(f"{self.url}/api/login", json={"login": login, "password": PASSWORD}) as answer:
            assert answer.status == 200, await answer.text()

    async def get(self, path: str, token: str | None = None, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.get(self.url + path, headers=headers, params=query) as answer:
            return answer.status, await _content(answer)

    async def post(self, path: str, body: Any = None, token: str | None = None, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = more or {"json": body if body is not None else {}}
        async with self.http.post(self.url + path, headers=headers, **sent) as answer:
            return answer.status, await _content(answer)


async def _content(answer: aiohttp.ClientResponse) -> Any:
    return await answer.json() if answer.content_type == "application/json" else await answer.read()


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(
        **{
            "data_dir": folder,
            "host": "127.0.0.1",
            "port": 0,
            "media_host": "127.0.0.1",
            "media_port": 0,
            "media_candidates": ("127.0.0.1",),
            **more,
        }
    )


async def fill(runner: Runner) -> None:
    """Three halls h1–h3 and delegates d1, d2 (h1), d3 (h2), d4 (h3); the meeting open."""
    halls = tuple(HallLine(name=f"Điểm cầu {n}", unit=f"Huyện {n}", phone="0911222333") for n in (1, 2, 3))
    people = (("Lò Thị Ánh", 1), ("Tẩn A Sử", 1), ("Hoàng Văn Đức", 2), ("Nguyễn Thị Yến", 3))
    lines = tuple(
        DelegateLine(hall=f"Điểm cầu {hall}", name=name, phone=f"09000001{n:02d}" if n != 2 else "", order=n)
        for n, (name, hall) in enumerate(people, 1)
    )
    await runner.submit(SERVER, make(ImportRoster, halls=halls, delegates=lines))
    await runner.submit(SERVER, make(OpenMeeting))


@asynccontextmanager
async def live(folder: Path, **more: Any) -> AsyncIterator[Live]:
    """A server with accounts host, secretary, technician (all with PASSWORD) and a filled meeting."""
    async with serving(settings(folder, **more)) as running, _session() as http:
        for role in ("host", "secretary", "technician"):
            if await running.service.accounts.by_login(role) is None:
                await add_account(running.service.accounts, role, role.title(), role, PASSWORD)
        rows = await running.service.listed.all()
        if rows:
            runner = await running.service.meetings.get(rows[0].id)
        else:
            runner = await running.service.meetings.create("Hội nghị", "Lai Châu")
            await fill(runner)
        yield Live(running, runner, http)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def form(name: str, data: bytes, **fields: str) -> aiohttp.FormData:
    """An upload as a browser sends it."""
    wanted = aiohttp.FormData(quote_fields=False)
    for field, value in fields.items():
        wanted.add_field(field, value)
    wanted.add_field("file", data, filename=name, content_type="application/octet-stream")
    return wanted


class WireClient:
    """A Socket.IO client that keeps a replica exactly as PROTOCOL.md says."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sio = socketio.AsyncClient(reconnection=False)
        self.replica: dict[str, dict[str, Any]] = {}
        self.welcome: dict[str, Any] = {}
        self.rev = 0
        self.events: list[tuple[str, Any]] = []
        self.changed = asyncio.Event()
        self.sio.on("patch", self._patch)
        self.sio.on("*", self._other)
        self.gone = asyncio.Event()
        self.sio.on("disconnect", self._gone)

    async def _gone(self, *reason: Any) -> None:
        self.gone.set()

    async def _patch(self, patch: dict[str, Any]) -> None:
        self._apply(patch)

    async def _other(self, event: str, body: Any) -> None:
        self.events.append((event, body))
        self.changed.set()

    def _apply(self, patch: dict[str, Any]) -> None:
        for record in patch["put"]:
            self.replica[f"{record['kind']}/{record['id']}"] = record
        for key in patch["drop"]:
            self.replica.pop(key, None)
        self.rev = patch["rev"]
        self.changed.set()

    async def open(self) -> None:
        """The socket alone. The library gives up after a second, less than a full garbage collection may take here."""
        await self.sio.connect(self.url, transports=["websocket"], wait_timeout=10)

    async def connect(self, token: str, *, resume: bool = False, protocol: int = 1) -> dict[str, Any]:
        """Say hello; the answer, and the replica filled by it."""
        await self.open()
        hello: dict[str, Any] = {"protocol": protocol, "token": token}
        if resume:
            hello |= {"log_id": self.welcome["log_id"], "since": self.rev}
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def welcomed(answer: dict[str, Any]) -> None:
            # here and not after a wait: the patch behind the welcome may be in the same read
            if answer["ok"]:
                self.welcome = answer
                if answer["reset"]:
                    self.replica.clear()
                self._apply(answer)
            answered.set_result(answer)

        await self.sio.emit("hello", hello, callback=welcomed)
        async with asyncio.timeout(10):
            return await answered

    async def call(self, event: str, body: Any) -> dict[str, Any]:
        answer = await self.sio.call(event, body, timeout=10)
        assert isinstance(answer, dict)
        return answer

    async def command(self, command: Command | dict[str, Any]) -> dict[str, Any]:
        return await self.call("command", msgspec.to_builtins(command))

    async def give(self, type: str, **fields: Any) -> dict[str, Any]:
        return await self.command({"type": type, "id": command_id(), **fields})

    async def until(self, condition: Any, timeout_s: float = 5.0) -> Any:
        """Wait until the condition on this client holds; what it returned."""
        async with asyncio.timeout(timeout_s):
            while not (found := condition(self)):
                self.changed.clear()
                await self.changed.wait()
        return found

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for key, record in self.replica.items() if key.startswith(f"{kind}/")]

    async def close(self) -> None:
        try:
            await self.sio.disconnect()
        finally:  # python-engineio leaves it open where the server went away meanwhile
            if self.sio.eio.http is not None:
                await self.sio.eio.http.close()


@asynccontextmanager
async def client(live: Live, token: str) -> AsyncIterator[WireClient]:
    one = WireClient(live.url)
    answer = await one.connect(token)
    assert answer["ok"], answer
    try:
        yield one
    finally:
        await one.close()
