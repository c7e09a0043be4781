"""The phones of a rehearsal in a process of their own (this module run as a program), beside the synthetic halls.

A line of JSON in, one out: `Beginning` first, then the names of steps, at the end `finish`. Because thousands of phones
in the halls' event loop would hold up what the halls send.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec
import uvloop

from clients.rehearsal.aside import Aside, aside, asked, say
from clients.rehearsal.conduct import Conduct
from clients.rehearsal.desk import RehearsalFailed, Site
from clients.rehearsal.phones import allow_open_files
from clients.rehearsal.phones_report import PhonesReport
from clients.rehearsal.wire import Refused

_YIELDS = 5
"""Niceness: in a meeting the phones do not take their time from the server's machine."""
Step = Literal["storm", "check_in", "ask", "tell", "interrupt", "vote", "end"]
STEPS: tuple[Step, ...] = ("storm", "check_in", "ask", "tell", "interrupt")
"""What comes before the vote."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """`cookies`: the host's session. `server`: the process to be measured, if it is here."""

    url: str
    cookies: dict[str, str]
    token: str
    meeting: str
    delegates: int
    halls: int
    server: int | None
    burst_s: float


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: what to tell whoever looks on; `failed`: why it cannot go on; `report` at the end."""

    text: str = ""
    failed: str = ""
    report: PhonesReport | None = None


class PhonesApart:
    """The parent's side."""

    def __init__(self, there: Aside) -> None:
        self._there = there

    async def _ask(self, line: bytes) -> Said:
        """Raises RehearsalFailed."""
        said = msgspec.json.decode(await self._there.ask(line), type=Said)
        if said.failed:
            raise RehearsalFailed(f"phones: {said.failed}")
        return said

    async def begin(self, beginning: Beginning) -> None:
        await self._ask(msgspec.json.encode(beginning))

    async def step(self, name: Step) -> str:
        """What came of it, in words."""
        return (await self._ask(name.encode())).text

    async def finish(self) -> PhonesReport:
        report = (await self._ask(b"finish")).report
        assert report is not None
        return report


@contextlib.asynccontextmanager
async def phones_apart(folder: Path) -> AsyncIterator[PhonesApart]:
    """Ended with the context."""
    async with aside("clients.rehearsal.apart", folder) as there:
        yield PhonesApart(there)


async def _serve() -> None:
    allow_open_files()
    reader = await asked()
    beginning = msgspec.json.decode(await reader.readline(), type=Beginning)
    async with (
        aiohttp.ClientSession(
            cookies=beginning.cookies,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(60),
        ) as http,
        asyncio.TaskGroup() as tasks,
    ):
        site = Site(http, beginning.url)
        conduct = Conduct(site, beginning.meeting, beginning.server, beginning.burst_s)
        try:
            await conduct.prepare(beginning.token, beginning.delegates, beginning.halls, tasks)
            say(Said(text="ready"))
            while name := (await reader.readline()).decode().strip():
                if name == "finish":
                    say(Said(report=await conduct.finish()))
                else:
                    say(Said(text=await getattr(conduct, name)()))
        except (RehearsalFailed, Refused, OSError, TimeoutError) as error:
            say(Said(failed=f"{type(error).__name__} {error}".strip()))
        finally:
            await conduct.close()


if __name__ == "__main__":
    os.nice(_YIELDS)
    uvloop.run(_serve())
