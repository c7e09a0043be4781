"""The meetings that this process serves: opened when first asked for, each with its runner."""

import asyncio
import secrets
import time
from collections.abc import Callable

from rooms.actor import SERVER
from rooms.agenda import FACTS, EditMeeting, MeetingFacts
from rooms.ids import CommandId, HallId, Key, MeetingId
from rooms.links import Link, LinkDown
from rooms.roster import Delegate, Hall
from rooms.visibility import Touched
from server.database.log import Log
from server.database.meetings import Meetings, Summary
from server.logs import logger
from server.metrics import Metrics
from server.runner import Runner

Opened = Callable[[Runner], None]
_SUMMARISED = ("meeting/", "hall/", "delegate/")


class NoSuchMeeting(Exception):
    pass


def new_command_id() -> CommandId:
    return CommandId(secrets.token_urlsafe(12))


class OpenMeetings:
    """`on_open` is called once with every runner before its first command; `on_replay` before the newest part of its
    log is replayed, again if that could not be read.

    `has_halls`: halls connect to this process, so whoever was connected to the one before it is not any more.
    """

    def __init__(
        self, log: Log, meetings: Meetings, metrics: Metrics, tasks: asyncio.TaskGroup, *, has_halls: bool
    ) -> None:
        self._log = log
        self._has_halls = has_halls
        self._meetings = meetings
        self._metrics = metrics
        self._tasks = tasks
        self._runners: dict[MeetingId, Runner] = {}
        self._opening: dict[MeetingId, asyncio.Lock] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._unsummarised: set[MeetingId] = set()
        self._summarise = asyncio.Event()
        self.on_replay: list[Opened] = []
        self.on_open: list[Opened] = []

    @property
    def runners(self) -> tuple[Runner, ...]:
        return tuple(self._runners.values())

    async def create(self, title: str, place: str = "", planned_at: float | None = None) -> Runner:
        """A new meeting. Raises `Refused` for a bad title."""
        id = MeetingId(secrets.token_hex(4))
        await self._meetings.create(id, secrets.token_hex(8), time.time())
        runner = await self.get(id)
        await runner.submit(SERVER, EditMeeting(id=new_command_id(), title=title, place=place, planned_at=planned_at))
        return runner

    async def get(self, id: MeetingId) -> Runner:
        """The meeting's runner, its log replayed. Raises `NoSuchMeeting`, `LogUnavailable`."""
        if id in self._runners:
            return self._runners[id]
        async with self._opening.setdefault(id, asyncio.Lock()):
            if id not in self._runners:
                self._runners[id] = await self._open(id)
        self._opening.pop(id, None)
        return self._runners[id]

    async def _open(self, id: MeetingId) -> Runner:
        log_id = await self._log.log_id(id)
        if log_id is None:
            raise NoSuchMeeting
        runner = Runner(id, log_id, self._log, self._metrics)
        await runner.load(lambda: self._replaying(runner))
        for opened in self.on_open:
            opened(runner)
        runner.listen(lambda rev, touched: self._note(id, touched))
        task = self._tasks.create_task(runner.run(), name=f"runner {id}")
        self._running.add(task)
        if self._has_halls:
            await _forget_lines(runner)
        return runner

    def _replaying(self, runner: Runner) -> None:
        for replaying in self.on_replay:
            replaying(runner)

    async def close(self) -> None:
        """Stop every runner. Commands that still wait are not answered."""
        for task in self._running:
            task.cancel()

    def _note(self, id: MeetingId, touched: Touched) -> None:
        if any(_is_summarised(key) for key in touched):
            self._unsummarised.add(id)
            self._summarise.set()

    async def keep_summaries(self) -> None:
        """Write the summaries of changed meetings, until cancelled."""
        while True:
            await self._summarise.wait()
            self._summarise.clear()
            while self._unsummarised:
                id = self._unsummarised.pop()
                try:
                    await self._meetings.summarise(id, summary(self._runners[id]))
                except Exception:
                    logger(meeting=id).exception("summary_failed")
            await asyncio.sleep(1.0)


async def _forget_lines(runner: Runner) -> None:
    """Note every hall's line as lost."""
    up = [HallId(link.id) for link in runner.meeting.select(Link, up=True)]
    await asyncio.gather(*(runner.submit(SERVER, LinkDown(id=new_command_id(), hall=hall)) for hall in up))


def _is_summarised(key: Key) -> bool:
    return key.startswith(_SUMMARISED)


def summary(runner: Runner) -> Summary:
    facts = runner.meeting.get(MeetingFacts, FACTS)
    if facts is None:
        return Summary()
    return Summary(
        title=facts.title,
        place=facts.place,
        planned_at=facts.planned_at,
        state=facts.state,
        halls=runner.meeting.count(Hall),
        delegates=runner.meeting.count(Delegate),
    )
