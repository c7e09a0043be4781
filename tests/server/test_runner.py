"""Commands through the runner: durable, once, in order, whoever else writes."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from rooms.actor import SERVER
from rooms.agenda import AddItem, EditMeeting, Item
from rooms.attendance import Attendance, CheckIn, CheckOut, HallCount
from rooms.enrolment import ImportRoster
from rooms.ids import MeetingId
from rooms.meeting import Meeting
from rooms.refusal import Refused
from rooms.visibility import Touched
from server.cluster.messages import wrote
from server.database.log import Draft, Entry, Head, Log, LogUnavailable
from server.metrics import Metrics
from server.runner import Runner
from tests.support.databases import MEETING, database, running
from tests.support.meetings import D1, D2, HOST, command_id, make, roster_meeting


async def prepare(runner: Runner) -> None:
    """The meeting of `roster_meeting`, through the runner."""
    meeting = roster_meeting()
    await runner.submit(SERVER, make(EditMeeting, title="Hội nghị"))
    from rooms.enrolment import DelegateLine, HallLine
    from rooms.roster import Delegate, Hall

    halls = tuple(HallLine(name=h.name) for h in meeting.select(Hall))
    names = {h.id: h.name for h in meeting.select(Hall)}
    people = tuple(DelegateLine(hall=names[d.hall], name=d.name, order=d.order) for d in meeting.select(Delegate))
    await runner.submit(SERVER, make(ImportRoster, halls=halls, delegates=people))


def same(one: Meeting, other: Meeting) -> bool:
    return {r.key: r for r in one.records()} == {r.key: r for r in other.records()} and one.rev == other.rev


async def test_C5_a_retry_is_accepted_once_with_the_same_answer(database_url: str) -> None:
    async with database(database_url) as engine:
        async with running(engine) as runner:
            await prepare(runner)
            check_in, check_out = make(CheckIn), make(CheckOut)
            first = await runner.submit(D1, check_in)
            assert await runner.submit(D1, check_in) == first
            out = await runner.submit(D1, check_out)
            both = await asyncio.gather(runner.submit(D1, check_in), runner.submit(D1, check_in))
            assert list(both) == [first, first]
            assert len(runner.meeting.require(Attendance, "d1").intervals) == 1
        async with running(engine) as restarted:  # a new process knows old commands from the log
            assert await restarted.submit(D1, check_in) == first
            assert await restarted.submit(D1, check_out) == out
            assert restarted.meeting.rev == out


async def test_C5_a_retry_of_a_command_that_changed_nothing_stays_without_effect(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        await runner.submit(D1, make(CheckIn))
        idle = make(CheckIn)
        await runner.submit(D1, idle)
        await runner.submit(D1, make(CheckOut))
        await runner.submit(D1, idle)
        assert not runner.meeting.require(Attendance, "d1").present


async def test_C5_ids_are_each_actors_own(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        id = command_id()
        await runner.submit(HOST, make(AddItem, id=id, title="A"))
        with pytest.raises(Refused):
            await runner.submit(SERVER, make(AddItem, id=id, title="B"))
        assert [i.title for i in runner.meeting.select(Item)] == ["A"]


async def test_a_burst_is_written_in_few_transactions_and_answered_in_order(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        revs = await asyncio.gather(*(runner.submit(HOST, make(AddItem, title=f"Mục {n}")) for n in range(150)))
        assert revs == sorted(revs) and len(set(revs)) == 150
        batches = [s for m in runner._metrics.batch.collect() for s in m.samples if s.name.endswith("_count")]
        assert batches[0].value < 20
        items = sorted(runner.meeting.select(Item), key=lambda i: i.order)
        assert [i.title for i in items] == [f"Mục {n}" for n in range(150)]


async def test_two_runners_on_one_log_end_equal(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as one, running(engine) as two:
        await prepare(one)
        both = (one, two)
        results = await asyncio.gather(
            *(both[n % 2].submit(HOST, make(AddItem, title=f"Mục {n}")) for n in range(60)), return_exceptions=True
        )
        assert not [r for r in results if isinstance(r, BaseException)]
        await asyncio.sleep(1.5)  # the one that wrote last is followed by polling
        assert same(one.meeting, two.meeting)
        assert one.meeting.count(Item) == 60


async def test_refusals_and_bugs_answer_only_their_own_command(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        good, refused = await asyncio.gather(
            runner.submit(HOST, make(AddItem, title="A")),
            runner.submit(D1, make(AddItem, title="B")),
            return_exceptions=True,
        )
        assert isinstance(good, int) and isinstance(refused, Refused)


async def test_a_log_that_fails_loses_nothing_acknowledged_and_recovers(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        before = runner.meeting.rev
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE entries RENAME TO gone"))
        command = make(AddItem, title="A")
        with pytest.raises(LogUnavailable):
            await runner.submit(HOST, command)
        assert runner.meeting.rev == before and not runner.meeting.count(Item)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE gone RENAME TO entries"))
        assert await runner.submit(HOST, command) == before + 1
        assert len(await Log(engine).read(MEETING, 0)) == before + 1


async def test_steps_are_remembered_with_what_was_before(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as runner:
        await prepare(runner)
        since = runner.meeting.rev
        assert runner.steps_since(since) == []
        told: list[Touched] = []
        runner.listen(lambda rev, touched: told.append(touched))
        await runner.submit(HOST, make(AddItem, title="A"))
        [step] = runner.steps_since(since)
        assert step.rev == since + 1 and dict(step.before) == {key: before for key, (before, _) in told[0].items()}
        assert [step.rev for step in runner.steps_since(0)] == list(range(since + 1, 0, -1))
        assert runner.known_from == 0


class Overtaken(Log):
    """Another process writes right behind each of our entries, before we read them."""

    other: Runner | None = None

    async def append(self, meeting: MeetingId, after: Head, drafts: Sequence[Draft]) -> Head:
        head = await super().append(meeting, after, drafts)
        if self.other is not None:
            await self.other.submit(D2, make(CheckIn))
        return head


async def test_what_another_process_wrote_behind_our_entry_is_decided_upon(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as other:
        await prepare(other)
        log = Overtaken(engine)
        one = Runner(MEETING, other.log_id, log, Metrics())
        await one.load()
        task = asyncio.create_task(one.run())
        log.other = other
        await one.submit(HOST, make(AddItem, title="Nội dung"))
        log.other = None
        await one.submit(D1, make(CheckIn))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert one.meeting.require(HallCount, "h1").present == 2


class Counting(Log):
    """A log that counts how often it is read, and can be told to give nothing."""

    reads = 0

    async def read(self, meeting: MeetingId, after: int, limit: int = 1_000) -> list[Entry]:
        self.reads += 1
        return await super().read(meeting, after, limit)


async def test_entries_that_another_process_sends_along_are_applied_without_reading_the_log(database_url: str) -> None:
    async with database(database_url) as engine, running(engine) as other:
        await prepare(other)
        log = Counting(engine)
        one = Runner(MEETING, other.log_id, log, Metrics())
        await one.load()
        task = asyncio.create_task(one.run())
        told: list[tuple[Head, Sequence[Draft]]] = []
        other.on_append = lambda after, drafts: told.append((after, drafts))
        revs = [await other.submit(D1, make(command)) for command in (CheckIn, CheckOut, CheckIn)]
        reads = log.reads
        messages = [wrote(MEETING, after, drafts) for after, drafts in told]
        for message in reversed(messages):  # the bus keeps the order of one sender only
            one.heard(message.rev, message.entries)
        await asyncio.sleep(0.1)
        assert same(one.meeting, other.meeting) and log.reads == reads

        # what does not fit, or comes without entries, sends it to the log
        await other.submit(D2, make(CheckIn))
        forged = replace(wrote(MEETING, *told[-1]).entries[0], change='{"put":[],"drop":["hall/h1"]}')
        one.heard(revs[-1] + 1, (forged,))
        await asyncio.sleep(0.1)
        assert same(one.meeting, other.meeting) and log.reads == reads + 1
        await other.submit(D2, make(CheckOut))
        one.heard(other.meeting.rev, ())
        await asyncio.sleep(0.1)
        assert same(one.meeting, other.meeting) and log.reads == reads + 2
        assert await one.submit(D2, make(CheckIn)) == other.meeting.rev + 1, "it decides on what it heard"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
