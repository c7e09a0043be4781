"""A vote over the wire: who is sent what, and how much of it in a burst."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rooms.actor import SERVER, DelegateActor
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import DelegateId
from rooms.voting import CastVote, ClosePoll, MakePoll, OpenPoll, PublishPoll
from server.fanout import TICK_S
from tests.support.live import Live, WireClient, client, live
from tests.support.meetings import HOST, make

HALLS, PEOPLE = 20, 600


async def opened(server: Live) -> str:
    made = make(MakePoll, title="Thông qua", present_only=False)
    await server.runner.submit(HOST, made)
    await server.runner.submit(HOST, make(OpenPoll, poll=made.id))
    return made.id


def turnout(one: WireClient, poll: str) -> int:
    return int(one.replica.get(f"poll_count/{poll}", {"cast": 0})["cast"])


async def test_B11_B12_each_is_sent_what_is_theirs(tmp_path: Path) -> None:
    async with live(tmp_path) as server, AsyncExitStack() as stack:
        tokens = (
            await server.staff_token(),
            server.hall_token("h1"),
            server.delegate_token("d1"),
            server.delegate_token("d2"),
        )
        host, hall, voter, other = [await stack.enter_async_context(client(server, token)) for token in tokens]
        poll = await opened(server)
        assert (await voter.give("vote.cast", poll=poll, choice="no"))["ok"]
        again = await voter.give("vote.cast", poll=poll, choice="no")
        assert again == {"ok": False, "code": "already_voted", "field": None}
        for one in (host, hall):
            await one.until(lambda c: turnout(c, poll) == 1)
        own = await voter.until(lambda c: c.records("ballot"))
        assert [(ballot["delegate"], ballot["choice"]) for ballot in own] == [("d1", "no")]
        assert all(one.records("ballot") == [] for one in (host, hall, other))
        assert all(one.records("poll_count") == [] for one in (voter, other))
        assert all(one.records("poll_roll") == [] for one in (host, hall, voter, other))
        assert all(count["sums"] is None for one in (host, hall) for count in one.records("poll_count"))
        assert {count["hall"] for count in host.records("poll_count")} == {None, "h1", "h2", "h3"}
        assert {count["hall"] for count in hall.records("poll_count")} == {None, "h1"}
        await server.runner.submit(HOST, make(ClosePoll, poll=poll))
        await host.until(lambda c: c.replica[f"poll_count/{poll}"]["sums"] == {"yes": 0, "no": 1, "abstain": 0})
        assert hall.replica[f"poll_count/{poll}"]["sums"] is None
        await server.runner.submit(HOST, make(PublishPoll, poll=poll))
        for one in (host, hall, voter, other):
            await one.until(lambda c: c.replica[f"poll/{poll}"]["result"] is not None)


async def test_B11_a_burst_moves_counts_once_a_tick_and_tells_phones_nothing(tmp_path: Path) -> None:
    async with live(tmp_path) as server, AsyncExitStack() as stack:
        halls = tuple(HallLine(name=f"Hội trường {n}") for n in range(HALLS))
        people = tuple(
            DelegateLine(hall=f"Hội trường {n % HALLS}", name=f"Đại biểu {n}", order=100 + n) for n in range(PEOPLE)
        )
        await server.runner.submit(SERVER, make(ImportRoster, halls=halls, delegates=people))
        poll = await opened(server)
        host = await stack.enter_async_context(client(server, await server.staff_token()))
        idle = await stack.enter_async_context(client(server, server.delegate_token("d1")))
        patches = {one: 0 for one in (host, idle)}
        for one in (host, idle):
            apply = one._apply

            async def counting(patch: dict[str, object], one: WireClient = one, apply=apply) -> None:  # type: ignore[no-untyped-def]
                patches[one] += 1
                apply(patch)

            one.sio.on("patch", counting)
        began = time.perf_counter()
        voters = [DelegateActor(DelegateId(f"d{n + 5}")) for n in range(PEOPLE)]
        await asyncio.gather(*(server.runner.submit(v, make(CastVote, poll=poll, choice="yes")) for v in voters))
        await host.until(lambda c: turnout(c, poll) == PEOPLE)
        took_s = time.perf_counter() - began
        assert sum(count["cast"] for count in host.records("poll_count") if count["hall"]) == PEOPLE
        assert patches[host] <= took_s / TICK_S + 2
        assert patches[idle] == 0
