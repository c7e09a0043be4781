"""What whoever comes back is told, from any rev to now, while a meeting takes random commands (V7, V8)."""

import random
from collections.abc import Callable

import msgspec
from hypothesis import settings
from hypothesis.stateful import invariant

from rooms.agenda import AddItem, RemoveItem
from rooms.ids import Key
from rooms.meeting import Meeting
from rooms.rules import decide
from rooms.visibility import Audience, Touched
from server.runner import Runner, Step
from server.views import Views
from tests.rooms.test_machine import AUDIENCES, Machine
from tests.support.meetings import HOST, NOON, make, roster_meeting

ASKING = [audience for audience in AUDIENCES if audience.kind == "staff" or audience.id is not None]
Replica = dict[str, object]


class Follower(Runner):
    """A runner whose meeting is the test's; nothing is known of the time before. `held` was not told to listeners."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.log_id = "log"
        self.listeners: list[Callable[[int, Touched], None]] = []
        self.start = meeting.rev
        self.steps: list[Step] = []
        self.held: Touched = {}

    def listen(self, listener: Callable[[int, Touched], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: None

    @property
    def known_from(self) -> int:
        return self.start

    def steps_since(self, since: int) -> list[Step]:
        return [step for step in reversed(self.steps) if step.rev > since]

    def take(self, touched: Touched) -> None:
        self.steps.append(Step(self.meeting.rev, tuple((key, before) for key, (before, _) in touched.items())))
        for key, (before, after) in touched.items():
            self.held[key] = (self.held[key][0] if key in self.held else before, after)

    def tell(self) -> None:
        """All that was held, as entries that were read together."""
        for listener in self.listeners:
            listener(self.meeting.rev, self.held)
        self.held = {}


class Returning(Machine):
    """Some are away from some rev on; whatever they are told makes their replica equal, and names nothing that they
    could not have seen meanwhile. Some were at another process, which read the log up to elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.follower = Follower(self.meeting)
        self.views = Views(self.follower)
        self.chance = random.Random(1)
        self.away: list[tuple[Audience, int, Replica, set[str]]] = []

    def replica_of(self, audience: Audience) -> Replica:
        return {key: msgspec.json.decode(msgspec.json.encode(each)) for key, each in self.replicas[audience].items()}

    def changed(self, touched: Touched) -> None:
        self.follower.take(touched)
        for audience, _, _, seen in self.away:
            seen.update(self.replicas[audience])
        if self.chance.random() < 0.5:
            self.follower.tell()

    @invariant()
    def they_come_back(self) -> None:
        if not self.follower.held:
            self.all_are_told()
        if self.chance.random() < 0.5:
            audience = self.chance.choice(ASKING)
            replica = self.replica_of(audience)
            self.away.append((audience, self.meeting.rev, replica, set(replica)))

    def all_are_told(self) -> None:
        for audience, since, before, seen in self.away:
            told = self.views.told_since(audience, since)
            assert told is not None and not told.reset
            replica = dict(before)
            for record in msgspec.json.decode(told.put):
                replica[f"{record['kind']}/{record['id']}"] = record
            gone: list[Key] = msgspec.json.decode(told.drop)
            assert set(gone) <= seen, "nothing is named that it never saw"
            for key in gone:
                replica.pop(key, None)
            assert replica == self.replica_of(audience)
        for audience in ASKING:
            told = self.views.told_since(audience, self.meeting.rev)
            assert told is not None and told.nothing
            assert self.views.told_since(audience, self.meeting.rev + 1) is None


TestReturning = Returning.TestCase
TestReturning.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_what_came_and_went_between_two_looks_is_taken_from_who_saw_it_elsewhere() -> None:
    """Another process stopped at the entry in which it was there (V8)."""
    meeting = roster_meeting()
    follower = Follower(meeting)
    views = Views(follower)
    item, then = "", 0
    for command in (make(AddItem, title="Mục"), None):
        change = decide(meeting, HOST, command or make(RemoveItem, item=item), NOON)
        keys = [*(record.key for record in change.put), *change.drop]
        before = {key: meeting.at(key) for key in keys}
        meeting.apply(change, meeting.rev + 1)
        follower.take({key: (before[key], meeting.at(key)) for key in keys})
        if command is not None:
            item, then = change.put[0].id, meeting.rev
    follower.tell()
    told = views.told_since(Audience("delegate", "d1"), then)
    assert told is not None and msgspec.json.decode(told.drop) == [f"item/{item}"]
