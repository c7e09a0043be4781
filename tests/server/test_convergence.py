"""Replicas over bad lines: random commands, losses, returns and retries end with every replica equal to the log."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rooms.agenda import AddItem, EditItem, Item
from rooms.codec import decode_change
from rooms.meeting import Meeting
from rooms.visibility import Audience, view
from server.database.log import Log
from tests.support.live import Live, WireClient, live
from tests.support.meetings import HOST, command_id, make
from tests.support.raw_phone import RawPhone

pytestmark = pytest.mark.slow
STEPS = 210
PARTS = 3
"""Servers, one after the other."""
ACCEPTED = 15
"""Commands that each of them takes, at least: how many of the random ones it refuses hangs on what has reached whom."""
LAGGING = ("d1", "d4")


class Chance:
    """Clients that act, vanish, come back where they were, and repeat what they are not sure of."""

    server: Live

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.tokens: dict[str, str] = {}
        self.clients: dict[str, WireClient] = {}
        self.online: set[str] = set()
        self.lagging: dict[str, RawPhone] = {}
        self.sent: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    async def begin(self, server: Live) -> None:
        """The first server, or the one after a restart: everybody whom it lost comes back where they were."""
        self.server = server
        self.online.clear()
        self.tokens = {"host": await self.server.staff_token(), "h1": self.server.hall_token("h1")}
        self.tokens |= {"h2": self.server.hall_token("h2")}
        self.tokens |= {d: self.server.delegate_token(d) for d in ("d1", "d2", "d3", "d4")}
        for name in self.tokens:
            await self.join(name)
        for name in LAGGING:
            phone = await RawPhone.open(server.url)
            await phone.hello(self.tokens[name], self.lagging.get(name))
            self.lagging[name] = phone

    async def join(self, name: str) -> None:
        old = self.clients.get(name)
        new = WireClient(self.server.url)
        if old is not None:
            new.replica, new.welcome, new.rev = old.replica, old.welcome, old.rev
        answer = await new.connect(self.tokens[name], resume=old is not None)
        assert answer["ok"], answer
        self.clients[name] = new
        self.online.add(name)

    async def leave(self, name: str) -> None:
        self.online.discard(name)
        await self.clients[name].close()

    async def steps(self, count: int, *, accepted: int) -> None:
        """At least so many steps, and as many more as it takes for the server to accept so many new commands."""
        enough = len(self.sent) + accepted
        for done in range(10 * count):
            if done >= count and len(self.sent) >= enough:
                return
            await self.step()
        raise AssertionError(f"of {10 * count} steps, {len(self.sent) - enough + accepted} did something")

    async def step(self) -> None:
        if self.random.random() < 0.1:
            await self.read_a_little(self.lagging[self.random.choice(LAGGING)])
        if self.random.random() < 0.03:
            await self.much_at_once()
        name = self.random.choice(sorted(self.tokens))
        if name not in self.online:
            await self.join(name)
        elif self.random.random() < 0.15:
            await self.leave(name)
        elif self.sent and self.random.random() < 0.1:
            who, command, answer = self.random.choice(self.sent)
            if who in self.online:
                again = await self.clients[who].command(command)
                if await self.changed_something(command, answer):
                    assert again == answer, "a retry gets the same answer"
        else:
            command = self.any_command(name)
            answer = await self.clients[name].command(command)
            if answer["ok"]:
                self.sent.append((name, command, answer))

    async def changed_something(self, command: dict[str, Any], answer: dict[str, Any]) -> bool:
        """What changed nothing is not in the log; after a restart it is decided anew."""
        entries = await Log(self.server.engine).read(self.server.meeting, answer["rev"] - 1, 1)
        return bool(entries[0].command_id == command["id"])

    async def read_a_little(self, phone: RawPhone) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                while True:
                    await phone.read_some()

    async def much_at_once(self) -> None:
        """Patches of 200 kB in half a second: more than the buffers on the way to a phone that does not read."""
        items = [item.id for item in self.server.runner.meeting.select(Item)]
        for _ in range(8):
            title = f"{self.random.random()} " + "ệ" * 170
            edits = [make(EditItem, item=item, title=title) for item in items * (1 + 40 // len(items))]
            await asyncio.gather(*(self.server.runner.submit(HOST, edit) for edit in edits))
            await asyncio.sleep(0.06)

    def any_command(self, name: str) -> dict[str, Any]:
        pick = self.random.choice
        seen = self.clients[name]
        one = {
            kind: [r["id"] for r in seen.records(kind)] or ["nothing-at-all"]
            for kind in ("question", "item", "speaker", "poll")
        }
        desk: list[dict[str, Any]] = [
            {"type": "question.approve", "question": pick(one["question"])},
            {"type": "question.dismiss", "question": pick(one["question"]), "reason": "Trùng"},
            {"type": "question.show", "question": pick(one["question"]), "shown": pick([True, False])},
            {"type": "agenda.add", "title": "Nội dung"},
            {"type": "agenda.move", "item": pick(one["item"]), "place": pick([0, 1, 9])},
            {"type": "agenda.current", "item": pick([*one["item"], None])},
            {"type": "floor.give", "hall": pick(["h1", "h2", "h3"])},
            {"type": "floor.take"},
            {"type": "attendance.check_in", "delegate": pick(["d1", "d4"])},
            {"type": "stage.show", "hall": pick(["h1", "h2", None])},
            {"type": "vote.make", "title": "Thông qua", "present_only": pick([True, False])},
            {"type": "vote.open", "poll": pick(one["poll"])},
            {"type": "vote.open", "poll": pick(one["poll"])},
            {"type": "vote.close", "poll": pick(one["poll"])},
            {"type": "vote.publish", "poll": pick(one["poll"])},
        ]
        others: list[dict[str, Any]] = [
            {"type": "question.ask", "text": f"Câu hỏi {self.random.randrange(100)}"},
            {"type": "question.withdraw", "question": pick(one["question"])},
            {"type": "floor.request", "topic": ""},
            {"type": "floor.withdraw", "speaker": pick(one["speaker"])},
            {"type": "attendance.check_in"},
            {"type": "attendance.check_out"},
            {"type": "vote.cast", "poll": pick(one["poll"]), "choice": pick(["yes", "no", "abstain"])},
        ]
        return {"id": command_id(), **pick(desk if name == "host" else others)}


async def replayed(server: Live) -> Meeting:
    state = Meeting()
    for entry in await Log(server.engine).read(server.meeting, 0, 10_000):
        state.apply(decode_change(entry.change), entry.rev)
    return state


def filtered(state: Meeting, audience: Audience) -> dict[str, Any]:
    seen = {record.key: view(record, audience) for record in state.records()}
    return {key: msgspec.json.decode(msgspec.json.encode(record)) for key, record in seen.items() if record is not None}


async def settled(server: Live, one: WireClient) -> None:
    """Wait until nothing is on its way any more: no entry (a hall's line is noted late) and no patch for a while."""
    async with asyncio.timeout(10):
        before: object = None
        while before != (now := (server.runner.meeting.rev, one.rev)):
            before = now
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
async def test_every_replica_ends_equal_to_the_log(tmp_path: Path, database_url: str, seed: int) -> None:
    """Through losses, retries, phones that stop reading, and two restarts of the server."""
    chance = Chance(seed)
    for part in range(PARTS):
        async with live(tmp_path, database_url=database_url) as server:
            if part == 0:
                for n in range(20):
                    await server.runner.submit(HOST, make(AddItem, title=f"Mục {n}"))
            await chance.begin(server)
            await chance.steps(STEPS // PARTS, accepted=ACCEPTED)
            if part == PARTS - 1:
                await ends_equal(server, chance)
            for phone in chance.lagging.values():
                phone.close()
            for one in chance.clients.values():
                await one.close()


async def ends_equal(server: Live, chance: Chance) -> None:
    for name in sorted(set(chance.tokens) - chance.online):
        await chance.join(name)
    for name, one in chance.clients.items():
        await settled(server, one)
        kind = one.welcome["me"]["kind"]
        audience = Audience(kind, None if kind == "staff" else name)
        assert one.replica == filtered(await replayed(server), audience), (chance.seed, name)
    for name, phone in chance.lagging.items():
        async with asyncio.timeout(10):
            while phone.replica != filtered(await replayed(server), Audience("delegate", name)):
                await chance.read_a_little(phone)
