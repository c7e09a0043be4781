"""Patches of the fan-out, to subscribers that come at any moment between its ticks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rooms.agenda import OpenMeeting
from rooms.attendance import CheckIn, CheckOut
from rooms.meeting import Record
from rooms.questions import AskQuestion, WithdrawQuestion
from rooms.visibility import STAFF_AUDIENCE, Audience, view
from server.fanout import BACKLOG_MOST, TICK_S, FanOut, Frame
from server.metrics import Metrics
from server.runner import Runner
from server.views import Views
from tests.server.test_runner import prepare
from tests.support.databases import database, running, sqlite_url
from tests.support.meetings import D1, D2, HOST, command_id, make

pytestmark = pytest.mark.slow
H1 = Audience("hall", "h1")


def plain(records: tuple[Record, ...] | list[Record]) -> dict[str, Any]:
    return {record.key: msgspec.json.decode(msgspec.json.encode(record)) for record in records}


class Page:
    """A subscriber that applies what it is pushed at once, or only when `drain`ed."""

    def __init__(self, runner: Runner, views: Views, audience: Audience) -> None:
        self.audience = audience
        self.seen = runner.meeting.rev
        self.replica = plain(list(views.replica(audience).put))
        self.waiting: list[bytes] = []
        self.stalled = False
        self.unread = 0
        self.sent_away: list[str] = []

    @property
    def backlog(self) -> int:
        return self.unread + sum(len(frame) for frame in self.waiting)

    def push(self, frame: Frame) -> None:
        self.waiting.append(frame.body)
        if not self.stalled:
            self.drain()

    def drain(self) -> None:
        for body in self.waiting:
            patch = msgspec.json.decode(body)
            self.replica.update({f"{record['kind']}/{record['id']}": record for record in patch["put"]})
            for key in patch["drop"]:
                self.replica.pop(key, None)
        self.waiting.clear()

    def send_away(self, code: str, retry: bool) -> None:
        self.sent_away.append(code)


def truth(runner: Runner, audience: Audience) -> dict[str, Any]:
    seen = [view(record, audience) for record in runner.meeting.records()]
    return plain([record for record in seen if record is not None])


class Room:
    def __init__(self, runner: Runner, tick_s: float) -> None:
        self.runner = runner
        self.views = Views(runner)
        self.fanout = FanOut(runner, self.views, _encode, Metrics(), tick_s)

    def join(self, audience: Audience) -> Page:
        page = Page(self.runner, self.views, audience)
        self.fanout.add(page)
        return page


def _encode(event: str, body: bytes) -> Frame:
    return Frame(event, body, body)


@asynccontextmanager
async def room(folder: Path, tick_s: float = TICK_S) -> AsyncIterator[Room]:
    async with database(sqlite_url(folder)) as engine, running(engine) as runner:
        await prepare(runner)
        await runner.submit(HOST, make(OpenMeeting))
        made = Room(runner, tick_s)
        task = asyncio.create_task(made.fanout.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_who_comes_between_two_ticks_learns_that_what_it_saw_is_gone(tmp_path: Path) -> None:
    async with room(tmp_path, tick_s=1.0) as one:
        for kind in (CheckIn, CheckOut):
            await one.runner.submit(D1, make(kind))
        await one.runner.submit(D2, make(CheckIn))
        await asyncio.sleep(1.1)  # a tick is just over, the next one far enough for what follows
        await one.runner.submit(D1, make(CheckIn))
        asked = command_id()
        await one.runner.submit(D1, AskQuestion(id=asked, text="Bao giờ có đường mới?"))
        hall, staff, phone = one.join(H1), one.join(STAFF_AUDIENCE), one.join(Audience("delegate", "d1"))
        assert hall.replica["hall_count/h1"]["present"] == 2
        assert f"question/{asked}" in staff.replica
        await one.runner.submit(D1, make(CheckOut))
        await one.runner.submit(D1, make(WithdrawQuestion, question=asked))
        await asyncio.sleep(1.2)
        for page in (hall, staff, phone):
            assert page.replica == truth(one.runner, page.audience)


async def test_a_stalled_page_is_brought_up_once_it_drains(tmp_path: Path) -> None:
    async with room(tmp_path) as one:
        page, other = one.join(H1), one.join(H1)
        page.stalled, page.unread = True, BACKLOG_MOST - 1_000
        for turn in range(40):
            await one.runner.submit(D1, make(CheckOut if turn % 2 else CheckIn))
            await asyncio.sleep(TICK_S * 1.05)
        assert BACKLOG_MOST < page.backlog <= BACKLOG_MOST + 1_000, "no more is queued for it"
        assert other.replica == truth(one.runner, H1)
        page.stalled, page.unread = False, 0
        page.drain()
        await asyncio.sleep(1.2)
        assert page.replica == truth(one.runner, H1)
        assert not page.sent_away


@pytest.mark.parametrize("seed", range(8))
async def test_pages_that_come_at_any_moment_end_equal(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    audiences = (STAFF_AUDIENCE, H1, Audience("hall", "h2"), Audience("delegate", "d1"), Audience("delegate", "d2"))
    async with room(tmp_path) as one:
        pages: list[Page] = []
        for _ in range(150):
            step = chance.random()
            if step < 0.6:
                await one.runner.submit(chance.choice((D1, D2)), make(chance.choice((CheckIn, CheckOut))))
            elif step < 0.9:
                pages.append(one.join(chance.choice(audiences)))
            else:
                await asyncio.sleep(chance.choice((0, TICK_S / 4, TICK_S)))
        await asyncio.sleep(4 * TICK_S)
        for page in pages:
            assert page.replica == truth(one.runner, page.audience), seed
