"""A real database for a test, and runners on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.ids import MeetingId
from server.database.engine import open_database
from server.database.log import Log
from server.database.meetings import Meetings
from server.metrics import Metrics
from server.runner import Runner

MEETING = MeetingId("m1")
LOG_ID = "log-1"


@dataclass(frozen=True, slots=True)
class Backing:
    """What a server is told of where it keeps things: with empty addresses in its own folder."""

    database_url: str = ""
    redis_url: str = ""

    @property
    def settings(self) -> dict[str, str]:
        return {"database_url": self.database_url, "redis_url": self.redis_url}

    @property
    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


def sqlite_url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'test.sqlite3'}"


@asynccontextmanager
async def database(url: str) -> AsyncIterator[AsyncEngine]:
    """An up-to-date database with one empty meeting in it."""
    engine = await open_database(url)
    try:
        if await Log(engine).log_id(MEETING) is None:
            await Meetings(engine).create(MEETING, LOG_ID, 0.0)
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def running(engine: AsyncEngine) -> AsyncIterator[Runner]:
    """A runner on the meeting, at work."""
    runner = Runner(MEETING, LOG_ID, Log(engine), Metrics())
    await runner.load()
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
