"""Benchmarks of the server's own paths. They measure; they never pass or fail."""

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from rooms.actor import SERVER, DelegateActor, Staff
from rooms.agenda import OpenMeeting
from rooms.attendance import CheckIn, CheckOut
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import AccountId, CommandId, DelegateId, PollId
from rooms.meeting import Command
from rooms.voting import CastVote, MakePoll, OpenPoll
from server.meetings import new_command_id
from server.offline import offline
from server.runner import Runner
from server.settings import Settings

HALLS = 100


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """Check-ins, then votes, through the runner into SQLite with synchronous=FULL, or PostgreSQL.

    Times in milliseconds, CPU in microseconds.
    """

    commands: int
    seconds: float
    per_s: float
    cpu_us_per_command: float
    ack_p50_ms: float
    ack_p99_ms: float
    votes_per_s: float
    cpu_us_per_vote: float
    vote_ack_p99_ms: float
    one_at_a_time_ms: float
    replay_ms: float
    entries: int
    rss_mb: float


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _timed(runner: Runner, delegate: int, command: Command) -> float:
    began = time.perf_counter()
    await runner.submit(DelegateActor(DelegateId(f"d{delegate}")), command)
    return time.perf_counter() - began


class _Burst:
    """Commands of many delegates at once: what they took."""

    def __init__(self, runner: Runner, make: Callable[[], Command], delegates: int) -> None:
        self._runner, self._make, self._delegates = runner, make, delegates

    async def run(self) -> None:
        cpu, began = _cpu_s(), time.perf_counter()
        asked = (_timed(self._runner, n + 1, self._make()) for n in range(self._delegates))
        acks = sorted(await asyncio.gather(*asked))
        self.seconds = time.perf_counter() - began
        self.per_s = round(self._delegates / self.seconds)
        self.cpu_us = round(1e6 * (_cpu_s() - cpu) / self._delegates, 1)
        self.p50_ms = round(1e3 * statistics.median(acks), 1)
        self.p99_ms = round(1e3 * acks[int(0.99 * (len(acks) - 1))], 1)


async def _open_a_poll(runner: Runner) -> PollId:
    host = Staff(AccountId("bench"), "Bench", "host")
    poll = PollId(new_command_id())
    await runner.submit(host, MakePoll(id=CommandId(poll), title="Bench"))
    await runner.submit(host, OpenPoll(id=new_command_id(), poll=poll))
    return poll


async def bench_log(commands: int, database: str = "") -> LogReport:
    """A burst of check-ins at once, one of votes, some check-outs one after the other, and a replay of it all."""
    with tempfile.TemporaryDirectory(prefix="diemcau-bench-") as folder:
        settings = Settings(data_dir=Path(folder), database_url=database)
        async with offline(settings) as parts:
            runner = await parts.meetings.create("Bench")
            halls = tuple(HallLine(name=f"Hall {n}") for n in range(HALLS))
            people = tuple(DelegateLine(hall=f"Hall {n % HALLS}", name=f"Person {n}", order=n) for n in range(commands))
            await runner.submit(SERVER, ImportRoster(id=new_command_id(), halls=halls, delegates=people))
            await runner.submit(SERVER, OpenMeeting(id=new_command_id()))
            check_ins = _Burst(runner, lambda: CheckIn(id=new_command_id()), commands)
            await check_ins.run()
            poll = await _open_a_poll(runner)
            votes = _Burst(runner, lambda: CastVote(id=new_command_id(), poll=poll, choice="yes"), commands)
            await votes.run()
            alone = [await _timed(runner, n + 1, CheckOut(id=new_command_id())) for n in range(min(100, commands))]
            rev = runner.meeting.rev
        async with offline(settings) as parts:
            began = time.perf_counter()
            again = await parts.meetings.get((await parts.listed.all())[0].id)
            replay = time.perf_counter() - began
            assert again.meeting.rev == rev
    return LogReport(
        commands=commands,
        seconds=round(check_ins.seconds, 3),
        per_s=check_ins.per_s,
        cpu_us_per_command=check_ins.cpu_us,
        ack_p50_ms=check_ins.p50_ms,
        ack_p99_ms=check_ins.p99_ms,
        votes_per_s=votes.per_s,
        cpu_us_per_vote=votes.cpu_us,
        vote_ack_p99_ms=votes.p99_ms,
        one_at_a_time_ms=round(1e3 * statistics.median(alone), 2),
        replay_ms=round(1e3 * replay),
        entries=rev,
        rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
