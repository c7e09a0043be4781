"""One meeting at work: commands in, entries into the log, changes out.

    submit → decide (pure, on `_ahead`) → append (one transaction for all that wait)
           → follow → apply → listeners → answer

Where several processes write into one meeting, a conflict makes a process wait for its turn (`Log.turn`) from then on,
until it is alone again: what is decided in turn is not decided in vain, and nobody is overtaken for ever.

The process learns of its own commands as it would learn of another's: by reading the log. `meeting` holds what the log
says; `_ahead` is `meeting` plus what is being written, and is thrown away whenever an append fails.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from rooms.actor import Actor
from rooms.codec import decode_change, encode_change
from rooms.ids import Key, MeetingId
from rooms.meeting import Change, Command, Meeting, Record
from rooms.refusal import Refused
from rooms.rules import decide
from rooms.visibility import Touched
from server.database.log import Conflict, Draft, Entry, Head, Log, LogUnavailable, Turn, first_broken, first_head
from server.logs import logger
from server.metrics import Metrics

MOST_WAITING = 20_000
MOST_IN_BATCH = 200
AT_ONCE = 40
"""Entries applied, or commands answered, before the loop serves others."""
GATHER_S = 0.01
"""How long commands are gathered for one transaction while they come faster than one by one, or others write too."""
READ_AT_ONCE = 1_000
MOST_REMEMBERED = 50_000
WINDOW_KEYS = 50_000
WATCHED = 20_000
"""Entries from before this process that listeners are told of as it starts, so that who was at another one a minute ago
is told what it missed."""
POLL_S = 1.0
MOST_HEARD = 1_000
"""Entries that other processes sent along and that wait; of more, the log is read."""
CONTENDED_S = 1.0
"""After a conflict with another process, batches are written in turns for so long."""

Listener = Callable[[int, Touched], None]
"""Called after entries were applied, with the new rev and what they touched. Must not block or raise."""


Appended = Callable[[Head, Sequence[Draft]], None]
"""Called after drafts were written behind a head, so that other processes hear of it. Must not block or raise."""

Outcome = int | Exception
"""The rev of an accepted command, or what to raise."""


class Overloaded(Exception):
    """Too many commands wait already."""


class InternalError(Exception):
    """A bug met while deciding; the traceback is in the log."""


class _Waiting(msgspec.Struct, eq=False):
    actor: Actor
    command: Command
    answer: asyncio.Future[int]


class Step(msgspec.Struct, frozen=True):
    """What an entry of the log touched, as it was before."""

    rev: int
    before: tuple[tuple[Key, Record | None], ...]


class Runner:
    def __init__(
        self, id: MeetingId, log_id: str, log: Log, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self.id = id
        self.log_id = log_id
        self.meeting = Meeting()
        self._ahead = Meeting()
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._head: Head = first_head(log_id)
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._contended_until = 0.0
        self._accepted: dict[str, int] = {}
        self._remembered: OrderedDict[str, int] = OrderedDict()
        self._window: deque[Step] = deque()
        self._window_keys = 0
        self._listeners: list[Listener] = []
        self._heard: list[Entry] = []
        self._heard_rev = 0
        self._looking: list[asyncio.Future[None]] = []
        self.on_append: Appended = lambda after, drafts: None
        self._logger = logger(meeting=id)

    async def load(self, almost: Callable[[], None] = lambda: None) -> None:
        """Replay the log. Raises `LogUnavailable`.

        `almost` is called before the newest `WATCHED` entries, for listeners that want to know of them too.
        """
        before = await self._log.newest(self.id) - WATCHED
        while self.meeting.rev < before:
            left = before - self.meeting.rev
            await self._take(await self._log.read(self.id, self.meeting.rev, min(READ_AT_ONCE, left)))
        almost()
        await self._follow(self._log)
        self._ahead = self.meeting.copy()

    def now(self) -> float:
        """The meeting's clock: seconds since 1970."""
        return self._clock()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call it after every change until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def submit(self, actor: Actor, command: Command) -> int:
        """The rev at which the command is durable and applied here.

        Raises `Refused`, `Overloaded`, `LogUnavailable`, `InternalError`; then it changed nothing.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded
        began = time.perf_counter()
        waiting = _Waiting(actor, command, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        try:
            rev = await waiting.answer
        except Refused as refused:
            self._metrics.commands.labels(refused.code.value).inc()
            raise
        except (LogUnavailable, InternalError) as failure:
            self._metrics.commands.labels("unavailable" if isinstance(failure, LogUnavailable) else "internal").inc()
            raise
        self._metrics.commands.labels("accepted").inc()
        self._metrics.ack_s.observe(time.perf_counter() - began)
        return rev

    def heard(self, rev: int, entries: Sequence[Entry]) -> None:
        """Another process has written up to `rev`; these are its last entries, if it sent any along.

        Entries that fit ours are applied; whatever does not, or is missing before them, is read from the log.
        """
        if rev <= self.meeting.rev:
            return
        if len(self._heard) + len(entries) <= MOST_HEARD:
            self._heard += entries
        self._heard_rev = max(self._heard_rev, rev)
        self._wake.set()

    async def catch_up(self) -> None:
        """Wait until all that the log has now is applied here, as far as it can be read."""
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looking.append(looked)
        self._wake.set()
        await looked

    @property
    def known_from(self) -> int:
        """The oldest rev since which every step is remembered."""
        return self._window[0].rev - 1 if self._window else self.meeting.rev

    def steps_since(self, since: int) -> list[Step]:
        """What was done after `since`, as far as it is remembered, the newest first."""
        return list(islice(reversed(self._window), self.meeting.rev - since))  # entries are gapless

    async def run(self) -> None:
        """Serve commands until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._look()
            self._wake.clear()
            looking, self._looking = self._looking, []
            await self._take_heard()
            if looking:
                await self._look()
            for looked in looking:
                if not looked.done():
                    looked.set_result(None)
            many = False
            while self._waiting:
                if (many or self._contended) and len(self._waiting) < MOST_IN_BATCH:
                    await asyncio.sleep(GATHER_S)
                many = len(self._waiting) > 1
                batch = [self._waiting.popleft() for _ in range(min(MOST_IN_BATCH, len(self._waiting)))]
                try:
                    await self._serve(batch)
                except Exception:
                    self._logger.exception("batch_failed", commands=len(batch))
                    self._ahead = self.meeting.copy()
                    for waiting in batch:
                        _answer(waiting, InternalError())

    async def _take_heard(self) -> None:
        """Apply what other processes sent along, and read what is missing."""
        heard, self._heard = self._heard, []
        rev, self._heard_rev = self._heard_rev, 0
        fresh = sorted((e for e in heard if e.rev > self.meeting.rev), key=lambda entry: entry.rev)
        broken = first_broken(self.id, self._head, fresh)
        fresh = fresh if broken is None else [entry for entry in fresh if entry.rev < broken]
        await self._take(fresh, also=self._ahead)  # nothing is being written now: both are the same
        if rev > self.meeting.rev:
            await self._look()

    async def _look(self) -> None:
        """See whether another process has written, while nothing is being written here."""
        try:
            await self._follow(self._log, also=self._ahead)
        except LogUnavailable as error:
            self._logger.error("log_unavailable", error=type(error.__cause__).__name__)

    async def _serve(self, batch: list[_Waiting]) -> None:
        """Decide, write and answer a batch; when the log has moved on meanwhile, follow and decide again.

        Refusals wait for that too: they are given only on what the log says now.
        """
        while batch:
            batch[:] = [waiting for waiting in batch if not waiting.answer.done()]  # the caller's: it may grow
            try:
                if self._contended:
                    settled = await self._write_in_turn(batch)
                else:
                    settled = await self._write(batch)
                await self._keep_up()
            except Conflict:
                self._metrics.conflicts.inc()
                self._contended_until = time.monotonic() + CONTENDED_S
                await self._recover(batch)
                continue
            except LogUnavailable as error:
                self._fail(batch, error)
                return
            for number, (waiting, outcome) in enumerate(settled, 1):
                _answer(waiting, outcome)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            return

    @property
    def _contended(self) -> bool:
        return time.monotonic() < self._contended_until

    async def _write(self, batch: list[_Waiting]) -> list[tuple[_Waiting, Outcome]]:
        """Decide on what is known here, and write that. Raises `Conflict`, `LogUnavailable`."""
        drafts, settled = self._decide_all(batch)
        decided_at = self._head
        if drafts:
            self._metrics.batch.observe(len(drafts))
            await self._log.append(self.id, decided_at, drafts)
            self.on_append(decided_at, drafts)
            return settled
        await self._follow(self._log)
        if self._head != decided_at:
            raise Conflict
        return settled

    async def _write_in_turn(self, batch: list[_Waiting]) -> list[tuple[_Waiting, Outcome]]:
        """Decide while the other processes wait. Raises `Conflict`, `LogUnavailable`."""
        async with self._log.turn(self.id) as turn:
            known = self._head
            await self._follow(turn, also=self._ahead)
            if self._head != known:  # others do write
                self._contended_until = time.monotonic() + CONTENDED_S
            came = min(MOST_IN_BATCH - len(batch), len(self._waiting))  # while the others had their turns
            batch.extend(self._waiting.popleft() for _ in range(came))
            drafts, settled = self._decide_all(batch)
            decided_at = self._head
            if drafts:
                self._metrics.batch.observe(len(drafts))
                await turn.append(decided_at, drafts)
        if drafts:
            self.on_append(decided_at, drafts)
        return settled

    async def _keep_up(self) -> None:
        await self._follow(self._log)
        if self._ahead.rev != self.meeting.rev:  # another process's entry came right behind ours
            self._ahead = self.meeting.copy()

    async def _recover(self, batch: list[_Waiting]) -> None:
        try:
            await self._follow(self._log)
        except LogUnavailable as error:
            self._fail(batch, error)
            batch.clear()
        self._ahead = self.meeting.copy()

    def _fail(self, batch: list[_Waiting], error: LogUnavailable) -> None:
        self._logger.error("log_unavailable", commands=len(batch), error=type(error.__cause__).__name__)
        self._ahead = self.meeting.copy()
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(LogUnavailable())

    def _decide_all(self, batch: list[_Waiting]) -> tuple[list[Draft], list[tuple[_Waiting, Outcome]]]:
        """The entries to write, and each command's outcome once they are written."""
        drafts: list[Draft] = []
        settled: list[tuple[_Waiting, Outcome]] = []
        fresh: dict[str, int] = {}
        for waiting in batch:
            key = _retry_key(waiting.actor, waiting.command.id)
            known = self._accepted.get(key) or fresh.get(key) or self._remembered.get(key)
            if known is not None:
                settled.append((waiting, known))  # C5: a retry
                continue
            now = self._clock()
            change = self._decide(waiting, now)
            if isinstance(change, Exception):
                settled.append((waiting, change))
                continue
            if change:
                self._ahead.apply(change, self._ahead.rev + 1)
                drafts.append(_draft(waiting, change, now))
                fresh[key] = self._ahead.rev
            else:
                self._remember(key, self._ahead.rev)
            settled.append((waiting, self._ahead.rev))
        return drafts, settled

    def _decide(self, waiting: _Waiting, now: float) -> Change | Exception:
        """The change, or why there is none."""
        try:
            return decide(self._ahead, waiting.actor, waiting.command, now)
        except Refused as refused:
            return refused
        except Exception:
            self._logger.exception("decide_failed", command=kind_of_command(waiting.command))
            return InternalError()

    def _remember(self, key: str, rev: int) -> None:
        self._remembered[key] = rev
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _follow(self, log: Log | Turn, also: Meeting | None = None) -> None:
        """Read and apply what the log has beyond `meeting`, to another replica too, telling the listeners."""
        more = True
        while more:
            entries = await log.read(self.id, self.meeting.rev, READ_AT_ONCE)
            more = len(entries) == READ_AT_ONCE
            await self._take(entries, also)

    async def _take(self, entries: Sequence[Entry], also: Meeting | None = None) -> None:
        """Apply the entries that follow, to another replica at the same rev too, telling the listeners."""
        for first in range(0, len(entries), AT_ONCE):
            touched: Touched = {}
            self._apply(entries[first : first + AT_ONCE], touched, also)
            # no await since: whoever looks at `meeting` must find the views and the fan-out at the same rev
            for listener in tuple(self._listeners):
                listener(self.meeting.rev, touched)
            if len(entries) > AT_ONCE:
                await asyncio.sleep(0)

    def _apply(self, entries: Sequence[Entry], touched: Touched, also: Meeting | None) -> None:
        for entry in entries:
            change = decode_change(entry.change)
            keys = [*(record.key for record in change.put), *change.drop]
            before = tuple((key, self.meeting.at(key)) for key in keys)
            self.meeting.apply(change, entry.rev)
            if also is not None:
                also.apply(change, entry.rev)
            for key, old in before:
                touched[key] = (touched[key][0] if key in touched else old, self.meeting.at(key))
            self._accepted[f"{entry.actor}|{entry.command_id}"] = entry.rev
            self._head = Head(entry.rev, entry.hash)
            self._window.append(Step(entry.rev, before))
            self._window_keys += len(before)
            while self._window_keys > WINDOW_KEYS:
                self._window_keys -= len(self._window.popleft().before)


def _answer(waiting: _Waiting, outcome: Outcome) -> None:
    if waiting.answer.done():
        return  # whoever asked has gone
    if isinstance(outcome, Exception):
        waiting.answer.set_exception(outcome)
    else:
        waiting.answer.set_result(outcome)


def _retry_key(actor: Actor, command_id: str) -> str:
    return f"{actor.key}|{command_id}"


def kind_of_command(command: Command) -> str:
    tag = command.__struct_config__.tag
    return str(tag)


def _draft(waiting: _Waiting, change: Change, now: float) -> Draft:
    return Draft(
        at=now,
        actor=waiting.actor.key,
        command_id=waiting.command.id,
        command_type=kind_of_command(waiting.command),
        change=encode_change(change).decode(),
    )
