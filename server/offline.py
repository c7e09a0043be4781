"""The database and the meetings without the server around them, for commands that need no sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from server.database.accounts import Accounts
from server.database.engine import open_database
from server.database.log import Log
from server.database.meetings import Meetings
from server.meetings import OpenMeetings
from server.metrics import Metrics
from server.settings import Settings


class Parts(msgspec.Struct, frozen=True):
    log: Log
    listed: Meetings
    accounts: Accounts
    meetings: OpenMeetings


@asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[Parts]:
    """A server may run on the same database meanwhile: the log orders both."""
    engine = await open_database(settings.url)
    try:
        async with asyncio.TaskGroup() as tasks:
            listed, log = Meetings(engine), Log(engine)
            meetings = OpenMeetings(log, listed, Metrics(), tasks, has_halls=False)
            try:
                yield Parts(log, listed, Accounts(engine), meetings)
            finally:
                await meetings.close()
    finally:
        await engine.dispose()
