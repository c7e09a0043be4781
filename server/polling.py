"""Patches by long poll, for delegates whose network lets no websocket through.

The server keeps nothing of such a client between two polls but that its phone is there: a poll says where its replica
stands, and is a subscriber of the fan-out for as long as it waits. A bounded wait passes every proxy, also one that
hands an answer on only when it has all of it.
"""

import asyncio
from collections import deque

import msgspec

from rooms.ids import HallId
from rooms.visibility import Audience
from server import wire
from server.fanout import Frame
from server.metrics import Metrics
from server.room import Room

WAIT_S = 25.0
"""Less than the 30 s after which some proxies give up."""
LINGER_S = 40.0
"""How long after its last poll a phone counts as connected."""
MOST_WAITING = 20_000
MOST_PER_DELEGATE = 4


class LongPoll:
    """A request that waits for its next patch: a subscriber until then."""

    def __init__(self, room: Room, audience: Audience) -> None:
        self.audience = audience
        self.seen = room.runner.meeting.rev
        self._room = room
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @property
    def backlog(self) -> int:
        return 0

    def push(self, frame: Frame) -> None:
        self.end(_answer(frame.body))

    def send_away(self, code: str, retry: bool) -> None:
        self.end(_goodbye(code, retry))

    def end(self, answer: bytes) -> None:
        """Answer, and be no subscriber any more: what comes now is the next poll's."""
        self._room.fanout.remove(self)
        if not self._answer.done():
            self._answer.set_result(answer)

    async def answered(self, wait_s: float) -> bytes:
        """The answer's JSON, after at most `wait_s`."""
        self._room.fanout.add(self)
        try:
            async with asyncio.timeout(wait_s):
                return await self._answer
        except TimeoutError:
            return _nothing_until(self.seen)
        finally:
            self._room.fanout.remove(self)


def _answer(patch: bytes) -> bytes:
    """A `wire.NextPatch` with a patch."""
    return b'{"patch":' + patch + b',"goodbye":null}'


def _nothing_until(rev: int) -> bytes:
    return _answer(wire.encode_patch(rev, b"[]", b"[]"))


def _goodbye(code: str, retry: bool) -> bytes:
    return msgspec.json.encode(wire.NextPatch(goodbye=wire.Goodbye(code=code, retry=retry)))


class _Phone:
    """A delegate who polls: the polls that wait now, and the timer that runs when none does."""

    def __init__(self, room: Room, hall: HallId | None) -> None:
        self.room = room
        self.hall = hall
        self.polls: deque[LongPoll] = deque()
        self.leaving: asyncio.TimerHandle | None = None


class LongPolls:
    """All polls of this process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._phones: dict[tuple[str, Audience], _Phone] = {}
        self._waiting = 0
        self._closed = False

    def close(self) -> None:
        """Tell everybody to come again; nobody waits from now on."""
        self._closed = True
        for phone in self._phones.values():
            for poll in tuple(phone.polls):
                poll.send_away("restart", retry=True)
            if phone.leaving is not None:
                phone.leaving.cancel()

    async def next(
        self, room: Room, audience: Audience, hall: HallId | None, place: tuple[str, int], wait_s: float
    ) -> bytes:
        """A `wire.NextPatch` as JSON: what changed after `place` (log id, rev), once something has or time is up."""
        log_id, since = place
        told = room.views.told_since(audience, since) if log_id == room.runner.log_id else None
        if told is None:
            return _goodbye("lagging", retry=True)
        if self._closed or self._waiting >= MOST_WAITING:
            return _goodbye("restart", retry=True)
        if not told.nothing:
            return _answer(wire.encode_patch(room.runner.meeting.rev, told.put, told.drop))
        poll = LongPoll(room, audience)
        phone = self._arrive(room, audience, hall)
        phone.polls.append(poll)
        if len(phone.polls) > MOST_PER_DELEGATE:
            oldest = phone.polls.popleft()
            oldest.end(_nothing_until(oldest.seen))
        self._count(1)
        try:
            return await poll.answered(wait_s)
        finally:
            self._count(-1)
            if poll in phone.polls:
                phone.polls.remove(poll)
            self._linger(phone, audience)

    def _count(self, more: int) -> None:
        self._waiting += more
        self._metrics.long_polls.set(self._waiting)

    def _arrive(self, room: Room, audience: Audience, hall: HallId | None) -> _Phone:
        phone = self._phones.get((room.id, audience))
        if phone is None:
            phone = self._phones[room.id, audience] = _Phone(room, hall)
            if hall is not None:
                room.presence.phone(hall, 1)
        if phone.leaving is not None:
            phone.leaving.cancel()
            phone.leaving = None
        return phone

    def _linger(self, phone: _Phone, audience: Audience) -> None:
        if not phone.polls and phone.leaving is None and not self._closed:
            phone.leaving = asyncio.get_running_loop().call_later(LINGER_S, self._leave, phone, audience)

    def _leave(self, phone: _Phone, audience: Audience) -> None:
        del self._phones[phone.room.id, audience]
        if phone.hall is not None:
            phone.room.presence.phone(phone.hall, -1)
