"""Changes out: at most one patch per tick for each audience, encoded once for all who see the same.

A tick comes at once after a quiet time, then at most 20 times a second. The shared patch leads from one tick to the
next. Whoever stands elsewhere is behind and is brought up from where it is: a subscriber that came between two ticks
(what it saw may be gone again by the next), and one whose backlog had grown, when that has drained. If its place is
not known any more it is told to come again.
"""

import asyncio
from typing import Protocol

import msgspec

from rooms.visibility import AUDIENCE_KINDS, Audience, Patch, Touched, concerned, of_kind, patch_for
from server import wire
from server.metrics import Metrics
from server.runner import Runner

TICK_S = 0.05
BACKLOG_MOST = 64
BACKLOG_DRAINED = 4
SLICE = 500


class Frame(Protocol):
    """An event encoded once, ready to be queued to any number of sockets."""


class Subscriber(Protocol):
    """A connected client. `seen` is the rev of its replica."""

    audience: Audience
    seen: int

    @property
    def backlog(self) -> int:
        """Frames queued and not yet written."""

    def push(self, frame: Frame) -> None: ...

    def send_away(self, code: str, retry: bool) -> None:
        """Close the connection, saying why."""


class Encoder(Protocol):
    def __call__(self, event: str, body: bytes) -> Frame: ...


class FanOut:
    """The subscribers of one meeting."""

    def __init__(self, runner: Runner, encode: Encoder, metrics: Metrics, tick_s: float = TICK_S) -> None:
        self._runner = runner
        self._encode = encode
        self._metrics = metrics
        self._tick_s = tick_s
        self._subscribers: dict[Audience, set[Subscriber]] = {}
        self._behind: set[Subscriber] = set()
        self._touched: Touched = {}
        self._wake = asyncio.Event()
        runner.listen(self._note)

    def add(self, subscriber: Subscriber) -> None:
        """From now on it gets patches. It must have been told all up to its `seen`, the meeting's present rev."""
        self._subscribers.setdefault(subscriber.audience, set()).add(subscriber)
        if self._touched:
            self._behind.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        same = self._subscribers.get(subscriber.audience)
        if same is not None:
            same.discard(subscriber)
            if not same:
                del self._subscribers[subscriber.audience]
        self._behind.discard(subscriber)

    def of(self, audience: Audience) -> tuple[Subscriber, ...]:
        """The subscribers of exactly this audience."""
        return tuple(self._subscribers.get(audience, ()))

    def _note(self, rev: int, touched: Touched) -> None:
        for key, (before, after) in touched.items():
            earlier = self._touched.get(key)
            self._touched[key] = (earlier[0] if earlier else before, after)
        self._wake.set()

    async def run(self) -> None:
        """Send patches until cancelled."""
        while True:
            try:
                async with asyncio.timeout(1.0 if self._behind else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            touched, self._touched = self._touched, {}
            rev = self._runner.meeting.rev
            if touched:
                await self._tick(rev, touched)
            self._bring_up()
            await asyncio.sleep(self._tick_s)

    async def _tick(self, rev: int, touched: Touched) -> None:
        shared = {kind: self._frame(rev, patch_for(touched, of_kind(kind))) for kind in AUDIENCE_KINDS}
        special = {audience for pair in touched.values() for record in pair if record for audience in concerned(record)}
        sent = 0
        for audience, subscribers in list(self._subscribers.items()):
            own = audience in special
            frame = self._frame(rev, patch_for(touched, audience)) if own else shared[audience.kind]
            for subscriber in tuple(subscribers):
                self._deliver(subscriber, frame, rev)
                sent += 1
                if sent % SLICE == 0:
                    await asyncio.sleep(0)

    def _deliver(self, subscriber: Subscriber, frame: Frame | None, rev: int) -> None:
        if subscriber in self._behind or subscriber.seen >= rev:
            return
        if subscriber.backlog > BACKLOG_MOST:
            self._behind.add(subscriber)
            self._metrics.lagging.inc()
            return
        if frame is not None:
            subscriber.push(frame)
            self._metrics.frames.inc()
        subscriber.seen = rev

    def _bring_up(self) -> None:
        """Those behind whose backlog is short get what they missed."""
        for subscriber in [s for s in self._behind if s.backlog <= BACKLOG_DRAINED]:
            self._behind.discard(subscriber)
            missed = self._runner.changes_since(subscriber.seen)
            if missed is None:
                subscriber.send_away("lagging", retry=True)
                continue
            frame = self._frame(self._runner.meeting.rev, patch_for(missed, subscriber.audience))
            if frame is not None:
                subscriber.push(frame)
            subscriber.seen = self._runner.meeting.rev

    def _frame(self, rev: int, patch: Patch) -> Frame | None:
        if not patch:
            return None
        return self._encode("patch", msgspec.json.encode(wire.Patch(rev=rev, put=patch.put, drop=patch.drop)))  # type: ignore[arg-type]
