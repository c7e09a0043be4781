"""The host's part of a rehearsal: logs in, makes a meeting of so many halls, gives the floor."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from clients.rehearsal.wire import Refused, Socket

HALL = "Điểm cầu diễn tập {}"
_DESKS = 4  # a client may send 20 events a second in the long run: several share the work
_CARDS_AT_ONCE = 8
_HALLS_S = 60.0


class RehearsalFailed(Exception):
    """The rehearsal cannot go on; the text is for whoever ran it."""


@dataclass(frozen=True, slots=True)
class Invited:
    """A hall of the meeting with the token of its link."""

    id: str
    token: str
    chair: bool


class Site:
    """A server, as staff see it over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url.rstrip("/")

    @property
    def cookies(self) -> dict[str, str]:
        """The session."""
        return {cookie.key: cookie.value for cookie in self.http.cookie_jar}

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON. Raises RehearsalFailed."""
        return await self._ask(method, path, json=body)

    async def upload(self, path: str, form: aiohttp.FormData) -> Any:
        """The answer's JSON. Raises RehearsalFailed."""
        return await self._ask("POST", path, data=form)

    async def metrics(self) -> str:
        """What the server counts. Raises RehearsalFailed."""
        return str(await self._ask("GET", "/metrics"))

    async def _ask(self, method: str, path: str, **body: Any) -> Any:
        try:
            async with self.http.request(method, self.url + path, **body) as answer:
                content = await (answer.json() if answer.content_type == "application/json" else answer.text())
                if answer.status >= 400:
                    code = content.get("code", "") if isinstance(content, dict) else ""
                    raise RehearsalFailed(f"{method} {path}: {answer.status} {code}")
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RehearsalFailed(f"{self.url}: {error}") from None

    async def first_run(self, secret: str) -> None:
        """Make the first account of a fresh server and be logged in."""
        person = {"login": "rehearsal", "name": "Rehearsal", "password": secrets.token_urlsafe(12)}
        await self.request("POST", "/api/first-run", {"secret": secret, **person})

    async def login(self, login: str, password: str) -> None:
        await self.request("POST", "/api/login", {"login": login, "password": password})

    async def new_meeting(self, title: str) -> str:
        return str((await self.request("POST", "/api/meetings", {"title": title}))["id"])

    async def staff_token(self, meeting: str) -> str:
        return str((await self.request("POST", f"/api/meetings/{meeting}/token"))["token"])

    async def hall_token(self, meeting: str, hall: str) -> str:
        card = await self.request("GET", f"/api/meetings/{meeting}/halls/{hall}/card")
        return str(card["link"]).rpartition("/")[2]


def command(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": secrets.token_hex(10), **fields}


class Desk:
    """One connection of the host. `halls` are those of the meeting: id to whether it is the chair's."""

    def __init__(self) -> None:
        self.halls: dict[str, bool] = {}
        self.socket = Socket(self._heard)
        self._news = asyncio.Event()

    def _heard(self, event: str, body: str) -> None:
        if event == "patch" and '"kind":"hall"' in body:
            self._take(msgspec.json.decode(body))

    async def until_known(self, halls: int) -> None:
        """Until the records of so many halls are here."""
        while len(self.halls) < halls:
            self._news.clear()
            await self._news.wait()

    def _take(self, patch: dict[str, Any]) -> None:
        self._news.set()
        self.halls.update((record["id"], record["chair"]) for record in patch["put"] if record["kind"] == "hall")

    async def hello(self, token: str) -> None:
        self._take(await self.socket.hello(token))

    async def give(self, kind: str, **fields: Any) -> None:
        """Raises Refused."""
        await self.socket.call("command", command(kind, **fields))


@contextlib.asynccontextmanager
async def desk(site: Site, token: str, tasks: asyncio.TaskGroup) -> AsyncIterator[Desk]:
    one = Desk()
    await one.socket.open(site.http, site.url)
    reading = tasks.create_task(one.socket.read(), name="desk")
    try:
        await one.hello(token)
        yield one
    finally:
        reading.cancel()
        await one.socket.close()


async def invite(site: Site, meeting: str, token: str, halls: int, tasks: asyncio.TaskGroup) -> list[Invited]:
    """Puts the halls onto the meeting's list, the first as the chair's, opens it, and fetches their links."""
    async with contextlib.AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(desk(site, token, tasks)) for _ in range(_DESKS)]
        await _put_hall(desks[0], 1)
        await asyncio.gather(*(_put_halls(one, range(2 + place, halls + 1, _DESKS)) for place, one in enumerate(desks)))
        await desks[0].give("meeting.open")
        async with asyncio.timeout(_HALLS_S):
            await desks[0].until_known(halls)
        known = dict(desks[0].halls)
    gate = asyncio.Semaphore(_CARDS_AT_ONCE)

    async def fetch(hall: str, chair: bool) -> Invited:
        async with gate:
            return Invited(hall, await site.hall_token(meeting, hall), chair)

    invited = await asyncio.gather(*(fetch(hall, chair) for hall, chair in known.items()))
    return sorted(invited, key=lambda each: (not each.chair, len(each.id), each.id))


async def _put_halls(one: Desk, numbers: range) -> None:
    for number in numbers:
        await _put_hall(one, number)


async def _put_hall(one: Desk, number: int) -> None:
    """As fast as the server lets a client."""
    line = {"name": HALL.format(number), "chair": number == 1}
    wanted = command("roster.put_hall", line=line)
    async with asyncio.timeout(_HALLS_S):
        while True:
            try:
                await one.socket.call("command", wanted)
                return
            except Refused as refused:
                if str(refused) != "too_many":
                    raise RehearsalFailed(f"a hall was refused: {refused}") from None
                await asyncio.sleep(0.2)
