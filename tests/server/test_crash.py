"""What an acknowledgement is worth: kill -9 in the middle, nothing acknowledged is lost."""

import asyncio
from pathlib import Path

import pytest
import socketio.exceptions

from rooms.actor import SERVER
from rooms.agenda import OpenMeeting
from rooms.attendance import Attendance, HallCount
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.questions import Question
from rooms.roster import Delegate
from rooms.voting import Ballot, MakePoll, OpenPoll, Poll, PollCount, Sums
from server.database.log import first_broken, first_head
from server.offline import offline
from server.settings import Settings
from server.tokens import Grant, Tokens, load_secret
from tests.support.live import WireClient
from tests.support.meetings import HOST, command_id, make
from tests.support.processes import free_port, media_node_pid, server_process

pytestmark = pytest.mark.slow
HALLS, PEOPLE = 10, 500


async def prepare(settings: Settings) -> list[str]:
    """A meeting of 500 delegates in 10 halls; the delegates' tokens."""
    async with offline(settings) as parts:
        runner = await parts.meetings.create("Hội nghị")
        halls = tuple(HallLine(name=f"Điểm cầu {n}") for n in range(HALLS))
        people = tuple(DelegateLine(hall=f"Điểm cầu {n % HALLS}", name=f"Đại biểu {n}", order=n) for n in range(PEOPLE))
        await runner.submit(SERVER, make(ImportRoster, halls=halls, delegates=people))
        await runner.submit(SERVER, make(OpenMeeting))
        tokens = Tokens(load_secret(settings.data_dir / "secret"))
        return [tokens.join(Grant("delegate", runner.id, d.id)) for d in runner.meeting.select(Delegate)]


async def acknowledged_of(phone: WireClient, command: dict[str, str]) -> bool:
    """Whether it was acknowledged."""
    try:
        return bool((await phone.call("command", command))["ok"])
    except (TimeoutError, socketio.exceptions.SocketIOError):
        return False


async def test_kill_minus_9_in_the_middle_of_500_check_ins(tmp_path: Path, database_url: str) -> None:
    settings, database = Settings(data_dir=tmp_path, database_url=database_url), ("--database", database_url)
    tokens = await prepare(settings)
    port, media_port = free_port(), free_port()
    phones: list[WireClient] = []
    commands = [{"type": "attendance.check_in", "id": command_id()} for _ in tokens]
    async with server_process(tmp_path, port, media_port, *database) as server:
        for token in tokens:
            phones.append(WireClient(server.url))
            assert (await phones[-1].connect(token))["ok"]
        asking = [asyncio.create_task(acknowledged_of(p, c)) for p, c in zip(phones, commands, strict=True)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        await server.kill()
        node = media_node_pid(tmp_path)
        await asyncio.gather(*(phone.close() for phone in phones))
        acknowledged = [me for me, task in enumerate(asking) if await task]

        assert 0 < len(acknowledged), "killed too early to show anything"
        async with offline(settings) as parts:
            row = (await parts.listed.all())[0]
            entries = await parts.log.read(row.id, 0, 5_000)
            assert first_broken(row.id, first_head(row.log_id), entries) is None
            runner = await parts.meetings.get(row.id)
            present = {a.id for a in runner.meeting.select(Attendance) if a.present}
            names = [f"d{n + 1}" for n in acknowledged]
            assert set(names) <= present

        async with server_process(
            tmp_path, port, media_port, *database
        ) as again:  # and the phones repeat what they are not sure of
            assert media_node_pid(tmp_path) == node is not None, "the new server adopts the old one's media node"
            for n, token in enumerate(tokens):
                phone = WireClient(again.url)
                assert (await phone.connect(token))["ok"]
                assert (await phone.command(commands[n]))["ok"]
                await phone.close()
    async with offline(settings) as parts:
        runner = await parts.meetings.get((await parts.listed.all())[0].id)
        assert all(len(a.intervals) == 1 for a in runner.meeting.select(Attendance))
        assert sum(c.present for c in runner.meeting.select(HallCount)) == PEOPLE


async def open_a_poll(settings: Settings) -> str:
    """A poll for all on the list, open; its id."""
    async with offline(settings) as parts:
        runner = await parts.meetings.get((await parts.listed.all())[0].id)
        made = make(MakePoll, title="Thông qua", present_only=False)
        await runner.submit(HOST, made)
        await runner.submit(HOST, make(OpenPoll, poll=made.id))
        return made.id


async def counted(settings: Settings, poll: str) -> dict[str, str]:
    """Who voted what, after the sums and turnouts were found to be those of the ballots and the log unbroken."""
    async with offline(settings) as parts:
        row = (await parts.listed.all())[0]
        entries = await parts.log.read(row.id, 0, 5_000)
        assert first_broken(row.id, first_head(row.log_id), entries) is None
        meeting = (await parts.meetings.get(row.id)).meeting
        ballots = list(meeting.select(Ballot, poll=poll))
        total = meeting.require(PollCount, poll)
        assert total.cast == len(ballots) == len({ballot.delegate for ballot in ballots})
        assert total.sums == Sums(**{c: sum(b.choice == c for b in ballots) for c in ("yes", "no", "abstain")})
        halls = [count for count in meeting.select(PollCount, poll=poll) if count.hall is not None]
        assert sum(count.cast for count in halls) == total.cast
        assert meeting.require(Poll, poll).state == "open"
        return {ballot.delegate: ballot.choice for ballot in ballots}


async def cast(phone: WireClient, command: dict[str, str], number: int) -> bool:
    """Vote in one's turn; whether it was acknowledged."""
    await asyncio.sleep(number * 0.002)
    return await acknowledged_of(phone, command)


async def test_kill_minus_9_in_a_burst_of_500_votes(tmp_path: Path, database_url: str) -> None:
    """B8, B9: what was acknowledged is counted once, and the phones' retries count nothing twice."""
    settings, database = Settings(data_dir=tmp_path, database_url=database_url), ("--database", database_url)
    tokens = await prepare(settings)
    poll = await open_a_poll(settings)
    port, media_port = free_port(), free_port()
    wishes = {f"d{n + 1}": ("yes", "no", "abstain")[n % 3] for n in range(PEOPLE)}
    commands = [{"type": "vote.cast", "id": command_id(), "poll": poll, "choice": choice} for choice in wishes.values()]
    phones: list[WireClient] = []
    async with server_process(tmp_path, port, media_port, *database) as server:
        for token in tokens:
            phones.append(WireClient(server.url))
            assert (await phones[-1].connect(token))["ok"]
        asking = [asyncio.create_task(cast(p, c, n)) for n, (p, c) in enumerate(zip(phones, commands, strict=True))]
        while sum(task.done() for task in asking) < 200:  # the others are on their way, or not yet cast
            await asyncio.sleep(0.001)
        await server.kill()
        await asyncio.gather(*(phone.close() for phone in phones))
        acknowledged = {f"d{me + 1}" for me, task in enumerate(asking) if await task}
        assert len(acknowledged) < PEOPLE, "killed too late to show anything"
        found = await counted(settings, poll)
        print(f"{len(acknowledged)} acknowledged, {len(found)} in the log of {PEOPLE}")
        assert acknowledged <= found.keys()
        assert all(wishes[voter] == choice for voter, choice in found.items())
        async with server_process(tmp_path, port, media_port, *database) as again:
            for token, command in zip(tokens, commands, strict=True):
                phone = WireClient(again.url)
                assert (await phone.connect(token))["ok"]
                assert (await phone.command(command))["ok"], (
                    "a retry gets the same answer, whether it was counted or not"
                )
                second = await phone.command({**command, "id": command_id(), "choice": "yes"})
                assert second == {"ok": False, "code": "already_voted", "field": None}
                await phone.close()
    assert await counted(settings, poll) == wishes


async def test_kill_minus_9_twice_while_everything_is_sent_twice(tmp_path: Path, database_url: str) -> None:
    """Impatient phones: each command goes out twice at once, and again after each crash. None counts twice."""
    settings, database = Settings(data_dir=tmp_path, database_url=database_url), ("--database", database_url)
    tokens = (await prepare(settings))[:200]
    port, media_port = free_port(), free_port()
    commands = [{"type": "question.ask", "id": command_id(), "text": f"Câu hỏi {n}"} for n in range(len(tokens))]
    acknowledged: set[int] = set()
    for last in (False, False, True):
        async with server_process(tmp_path, port, media_port, *database) as server:
            phones = [WireClient(server.url) for _ in tokens]
            for phone, token in zip(phones, tokens, strict=True):
                assert (await phone.connect(token))["ok"]
            asking = [
                (n, asyncio.create_task(acknowledged_of(phone, commands[n])))
                for _ in range(2)
                for n, phone in enumerate(phones)
            ]
            if not last:
                await asyncio.wait([task for _, task in asking], return_when=asyncio.FIRST_COMPLETED)
                await server.kill()
                await asyncio.gather(*(phone.close() for phone in phones))
            acknowledged |= {n for n, task in asking if await task}
            if last:
                await asyncio.gather(*(phone.close() for phone in phones))
        async with offline(settings) as parts:
            runner = await parts.meetings.get((await parts.listed.all())[0].id)
            asked = [q.text for q in runner.meeting.select(Question)]
            assert len(asked) == len(set(asked)) and {f"Câu hỏi {n}" for n in acknowledged} <= set(asked)
    assert len(acknowledged) == len(tokens)
