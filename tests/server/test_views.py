"""What whoever comes back is told, from any rev to now, while a meeting takes random commands (V7, V8)."""

import random
from collections.abc import Callable

import msgspec
from hypothesis import settings
from hypothesis.stateful import invariant

from rooms.ids import Key
from rooms.meeting import Meeting
from rooms.visibility import Audience, Touched
from server.runner import Runner
from server.views import Views
from tests.rooms.test_machine import AUDIENCES, Machine

ASKING = [audience for audience in AUDIENCES if audience.kind == "staff" or audience.id is not None]
Replica = dict[str, object]


class Follower(Runner):
    """A runner whose meeting is the test's; nothing is known of the time before."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.log_id = "log"
        self.listeners: list[Callable[[int, Touched], None]] = []

    def listen(self, listener: Callable[[int, Touched], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: None

    def changes_since(self, since: int) -> Touched | None:
        return None


class Returning(Machine):
    """Some are away from some rev on; whatever they are told makes their replica equal, and names nothing that they
    could not have seen meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.follower = Follower(self.meeting)
        self.views = Views(self.follower)
        self.chance = random.Random(1)
        self.away: list[tuple[Audience, int, Replica, set[str]]] = []

    def replica_of(self, audience: Audience) -> Replica:
        return {key: msgspec.json.decode(msgspec.json.encode(each)) for key, each in self.replicas[audience].items()}

    def changed(self, touched: Touched) -> None:
        for listener in self.follower.listeners:
            listener(self.meeting.rev, touched)
        for audience, _, _, seen in self.away:
            seen.update(self.replicas[audience])

    @invariant()
    def they_come_back(self) -> None:
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
        if self.chance.random() < 0.5:
            audience = self.chance.choice(ASKING)
            replica = self.replica_of(audience)
            self.away.append((audience, self.meeting.rev, replica, set(replica)))


TestReturning = Returning.TestCase
TestReturning.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
