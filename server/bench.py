"""Benchmarks of the server's own paths. They measure; they never pass or fail."""

import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from rooms.actor import SERVER, DelegateActor
from rooms.agenda import OpenMeeting
from rooms.attendance import CheckIn, CheckOut
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import DelegateId
from server.meetings import new_command_id
from server.offline import offline
from server.runner import Runner
from server.settings import Settings

HALLS = 100


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """Check-ins through the runner into SQLite with synchronous=FULL. Times in milliseconds, CPU in microseconds."""

    commands: int
    seconds: float
    per_s: float
    cpu_us_per_command: float
    ack_p50_ms: float
    ack_p99_ms: float
    one_at_a_time_ms: float
    replay_ms: float
    entries: int
    rss_mb: float


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _timed(runner: Runner, delegate: int, kind: type[CheckIn | CheckOut] = CheckIn) -> float:
    began = time.perf_counter()
    await runner.submit(DelegateActor(DelegateId(f"d{delegate}")), kind(id=new_command_id()))
    return time.perf_counter() - began


async def bench_log(commands: int) -> LogReport:
    """A burst of `commands` check-ins at once, then some check-outs one after the other, then a replay of it all."""
    with tempfile.TemporaryDirectory(prefix="diemcau-bench-") as folder:
        settings = Settings(data_dir=Path(folder))
        async with offline(settings) as parts:
            runner = await parts.meetings.create("Bench")
            halls = tuple(HallLine(name=f"Hall {n}") for n in range(HALLS))
            people = tuple(DelegateLine(hall=f"Hall {n % HALLS}", name=f"Person {n}", order=n) for n in range(commands))
            await runner.submit(SERVER, ImportRoster(id=new_command_id(), halls=halls, delegates=people))
            await runner.submit(SERVER, OpenMeeting(id=new_command_id()))
            cpu, began = _cpu_s(), time.perf_counter()
            acks = sorted(await asyncio.gather(*(_timed(runner, n + 1) for n in range(commands))))
            seconds, used = time.perf_counter() - began, _cpu_s() - cpu
            alone = [await _timed(runner, n + 1, CheckOut) for n in range(min(100, commands))]
            rev = runner.meeting.rev
        async with offline(settings) as parts:
            began = time.perf_counter()
            again = await parts.meetings.get((await parts.listed.all())[0].id)
            replay = time.perf_counter() - began
            assert again.meeting.rev == rev
    return LogReport(
        commands=commands,
        seconds=round(seconds, 3),
        per_s=round(commands / seconds),
        cpu_us_per_command=round(1e6 * used / commands, 1),
        ack_p50_ms=round(1e3 * statistics.median(acks), 1),
        ack_p99_ms=round(1e3 * acks[int(0.99 * (len(acks) - 1))], 1),
        one_at_a_time_ms=round(1e3 * statistics.median(alone), 2),
        replay_ms=round(1e3 * replay),
        entries=rev,
        rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
