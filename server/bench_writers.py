"""`diemcau bench log --writers N`: a burst of votes into one meeting's log from several processes.

The parent prepares the meeting and looks at the log at the end; each writer is a process of its own (this module as a
program) with the runner of a server, and casts the votes of its share of the delegates, all at once.
"""

import asyncio
import hashlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from rooms.actor import SERVER, DelegateActor, Staff
from rooms.agenda import OpenMeeting
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import AccountId, CommandId, DelegateId, MeetingId, PollId
from rooms.voting import Ballot, CastVote, Choice, MakePoll, OpenPoll, PollCount
from server.database.log import first_broken, first_head
from server.meetings import new_command_id
from server.metrics import Metrics
from server.offline import offline
from server.runner import Runner
from server.settings import Settings

HALLS = 100
CHOICES: tuple[Choice, ...] = ("yes", "no", "abstain")
HOST = Staff(AccountId("bench"), "Bench", "host")


class Share(msgspec.Struct, frozen=True):
    """What one writer is to do: the votes of the delegates `writer`, `writer` + `writers`, … ."""

    settings: Settings
    meeting: MeetingId
    poll: PollId
    writer: int
    writers: int
    commands: int
    within_s: float


class Written(msgspec.Struct, frozen=True):
    """What a writer tells: seconds from the first vote to the last answer, acks in milliseconds."""

    seconds: float
    cpu_s: float
    acks_ms: list[float]
    batches: int
    conflicts: int


class WritersReport(msgspec.Struct, frozen=True, kw_only=True):
    """`slowest_s` by `fastest_s` shows fairness: every writer had the same number of votes."""

    database: str
    writers: int
    commands: int
    per_s: int
    ack_p50_ms: float
    ack_p99_ms: float
    cpu_us_per_vote: float
    batches: int
    conflicts: int
    fastest_s: float
    slowest_s: float
    entries: int


async def bench_writers(commands: int, writers: int, within_s: float, database: str) -> WritersReport:
    """Votes of `commands` delegates by `writers` processes, spread over `within_s`; then a look at log and ballots."""
    with tempfile.TemporaryDirectory(prefix="diemcau-bench-") as folder:
        settings = Settings(data_dir=Path(folder), database_url=database)
        async with offline(settings) as parts:
            runner = await parts.meetings.create("Bench")
            poll = await _prepare(runner, commands)
            meeting = runner.id
        shares = [Share(settings, meeting, poll, n, writers, commands, within_s) for n in range(writers)]
        told = await _burst(shares)
        async with offline(settings) as parts:
            log_id = await parts.log.log_id(meeting)
            assert log_id is not None
            runner = await parts.meetings.get(meeting)
            entries = await parts.log.read(meeting, 0, 2 * commands + 100)
            assert first_broken(meeting, first_head(log_id), entries) is None, "the chain is broken"
            ballots = runner.meeting.count(Ballot)
            cast = runner.meeting.require(PollCount, poll).cast
            assert ballots == cast == commands, f"{ballots} ballots, {cast} counted"
    acks = sorted(ack for one in told for ack in one.acks_ms)
    slowest = max(one.seconds for one in told)
    return WritersReport(
        database="PostgreSQL" if settings.shares_database else "SQLite",
        writers=writers,
        commands=commands,
        per_s=round(commands / slowest),
        ack_p50_ms=round(statistics.median(acks), 1),
        ack_p99_ms=round(acks[int(0.99 * (len(acks) - 1))], 1),
        cpu_us_per_vote=round(1e6 * sum(one.cpu_s for one in told) / commands, 1),
        batches=sum(one.batches for one in told),
        conflicts=sum(one.conflicts for one in told),
        fastest_s=round(min(one.seconds for one in told), 2),
        slowest_s=round(slowest, 2),
        entries=len(entries),
    )


async def _prepare(runner: Runner, commands: int) -> PollId:
    halls = tuple(HallLine(name=f"Hall {n}") for n in range(HALLS))
    people = tuple(DelegateLine(hall=f"Hall {n % HALLS}", name=f"Person {n}", order=n) for n in range(commands))
    await runner.submit(SERVER, ImportRoster(id=new_command_id(), halls=halls, delegates=people))
    await runner.submit(SERVER, OpenMeeting(id=new_command_id()))
    poll = PollId(new_command_id())
    await runner.submit(HOST, MakePoll(id=CommandId(poll), title="Bench", present_only=False))
    await runner.submit(HOST, OpenPoll(id=new_command_id(), poll=poll))
    return poll


async def _burst(shares: Sequence[Share]) -> list[Written]:
    """All writers begin when the last one is ready."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.bench_writers"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        for _ in shares
    ]
    told: list[Written] = []
    try:
        for process, share in zip(processes, shares, strict=True):
            assert process.stdin and process.stdout
            process.stdin.write(msgspec.json.encode(share, enc_hook=str) + b"\n")
        for process in processes:
            assert process.stdout
            assert await process.stdout.readline() == b"ready\n", "a writer did not start"
        for process in processes:
            assert process.stdin
            process.stdin.write(b"go\n")
        for process in processes:
            assert process.stdout
            told.append(msgspec.json.decode(await process.stdout.readline(), type=Written))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
    return told


async def _write(share: Share) -> None:
    """One writer: ready, wait for the word, vote, tell."""
    async with offline(share.settings) as parts:
        metrics = Metrics()
        log_id = await parts.log.log_id(share.meeting)
        assert log_id is not None
        runner = Runner(share.meeting, log_id, parts.log, metrics)
        await runner.load()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(runner.run())
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            written = await _vote(runner, share, metrics)
            running.cancel()
        sys.stdout.write(msgspec.json.encode(written).decode() + "\n")


async def _vote(runner: Runner, share: Share, metrics: Metrics) -> Written:
    async def one(delegate: int) -> float:
        await asyncio.sleep(share.within_s * delegate / share.commands)
        began = time.perf_counter()
        choice = CHOICES[hashlib.sha256(str(delegate).encode()).digest()[0] % 3]
        vote = CastVote(id=new_command_id(), poll=share.poll, choice=choice)
        await runner.submit(DelegateActor(DelegateId(f"d{delegate + 1}")), vote)
        return 1e3 * (time.perf_counter() - began)

    cpu, began = _cpu_s(), time.perf_counter()
    acks = await asyncio.gather(*(one(n) for n in range(share.writer, share.commands, share.writers)))
    seconds = time.perf_counter() - began
    return Written(
        seconds=seconds,
        cpu_s=_cpu_s() - cpu,
        acks_ms=[round(ack, 2) for ack in acks],
        batches=int(metrics.counted("diemcau_log_batch_entries_count")),
        conflicts=int(metrics.counted("diemcau_log_conflicts_total")),
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _path(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value


if __name__ == "__main__":
    uvloop.run(_write(msgspec.json.decode(sys.stdin.readline(), type=Share, dec_hook=_path)))
