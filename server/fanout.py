"""Changes out: at most one patch per tick for each audience, encoded and framed once for all who see the same.

A tick comes at once after a quiet time, then at most 20 times a second. The shared patch leads from one tick to the
next. Whoever stands elsewhere is behind and is brought up from where it is, to the rev of a tick: a subscriber that
came between two ticks (what it saw may be gone again by the next), and one whose backlog had grown, when that has
drained. If its place is not known any more, or the backlog does not drain, it is told to come again.

A frame is written to everyone's transport in slices of about `SLICE_S`, between which the loop serves others.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from rooms.visibility import AUDIENCE_KINDS, Audience, AudienceKind, Patch, Patches, Touched
from server import wire
from server.metrics import Metrics
from server.runner import Runner
from server.views import Views

TICK_S = 0.05
BACKLOG_MOST = 64 * 1024
"""Bytes that wait to be sent; with more a subscriber leaves the fan-out until they have drained."""
BACKLOG_DRAINED = 4 * 1024
SLOW_S = 30.0
"""How long a backlog may take to drain."""
SLICE_S = 0.004
SLICE_LEAST, SLICE_MOST = 20, 400
BROUGHT_UP_AT_ONCE = 200

_encoder = msgspec.json.Encoder()


class Frame:
    """An event encoded once. `body` is its JSON, `wire` the WebSocket frame with it."""

    __slots__ = ("body", "event", "wire")

    def __init__(self, event: str, body: bytes, wire: bytes) -> None:
        self.event = event
        self.body = body
        self.wire = wire


class Subscriber(Protocol):
    """A connected client. `seen` is the rev of its replica."""

    audience: Audience
    seen: int

    @property
    def backlog(self) -> int:
        """Bytes pushed and not yet taken by the system."""

    def push(self, frame: Frame) -> None:
        """Send it behind those before. Must not block or raise; nothing happens when the client has gone."""

    def send_away(self, code: str, retry: bool) -> None:
        """Close the connection, saying why."""


class Encoder(Protocol):
    def __call__(self, event: str, body: bytes) -> Frame: ...


class _Frames:
    """The frames that lead from one rev to another, each made once."""

    def __init__(self, patches: Patches, make: Callable[[Patch], Frame | None]) -> None:
        self._patches = patches
        self._make = make
        self._concerned = frozenset(patches.concerned)
        self._shared: dict[AudienceKind, Frame | None] = {}

    def of_kind(self, kind: AudienceKind) -> Frame | None:
        if kind not in self._shared:
            self._shared[kind] = self._make(self._patches.shared(kind))
        return self._shared[kind]

    def of(self, audience: Audience) -> Frame | None:
        if audience in self._concerned:
            return self._make(self._patches.of(audience))
        return self.of_kind(audience.kind)


class FanOut:
    """The subscribers of one meeting."""

    def __init__(self, runner: Runner, views: Views, encode: Encoder, metrics: Metrics, tick_s: float = TICK_S) -> None:
        self._runner = runner
        self._views = views
        self._encode = encode
        self._metrics = metrics
        self._tick_s = tick_s
        self._of_kind: dict[AudienceKind, dict[Subscriber, None]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._of: dict[Audience, dict[Subscriber, None]] = {}
        self._behind: dict[Subscriber, float] = {}
        self._touched: Touched = {}
        self._wake = asyncio.Event()
        self._slice = SLICE_MOST // 4
        self._in_slice = 0
        self._slice_began = 0.0
        runner.listen(self._note)

    def add(self, subscriber: Subscriber) -> None:
        """From now on it gets patches. It must have been told all up to its `seen`, the meeting's present rev."""
        self._of_kind[subscriber.audience.kind][subscriber] = None
        self._of.setdefault(subscriber.audience, {})[subscriber] = None
        if self._touched:
            self._behind[subscriber] = asyncio.get_running_loop().time()

    def remove(self, subscriber: Subscriber) -> None:
        self._of_kind[subscriber.audience.kind].pop(subscriber, None)
        same = self._of.get(subscriber.audience)
        if same is not None:
            same.pop(subscriber, None)
            if not same:
                del self._of[subscriber.audience]
        self._behind.pop(subscriber, None)

    def of(self, audience: Audience) -> tuple[Subscriber, ...]:
        """The subscribers of exactly this audience."""
        return tuple(self._of.get(audience, ()))

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
            await self._tick()
            await asyncio.sleep(self._tick_s)

    async def _tick(self) -> None:
        """Bring everyone to the meeting's present rev who is not too slow for it."""
        # no await before all frames are made: they must lead to the same rev
        touched, self._touched = self._touched, {}
        rev = self._runner.meeting.rev
        brought_up = self._bring_up()
        patches = Patches(touched)
        frames = _Frames(patches, self._frame)
        shared = {kind: frames.of_kind(kind) for kind in AUDIENCE_KINDS if touched}
        own = {audience: frames.of(audience) for audience in patches.concerned if audience in self._of}
        self._in_slice, self._slice_began = 0, time.perf_counter()
        for subscriber, frame in brought_up:
            await self._deliver((subscriber,), frame, rev)
        for audience, frame in own.items():
            await self._deliver(self.of(audience), frame, rev)
        for kind, frame in shared.items():
            await self._deliver(tuple(self._of_kind[kind]), frame, rev)

    async def _deliver(self, subscribers: Iterable[Subscriber], frame: Frame | None, rev: int) -> None:
        loop, behind = asyncio.get_running_loop(), self._behind
        pushed = 0
        for subscriber in subscribers:
            if subscriber.seen >= rev or subscriber in behind:
                continue
            if frame is None:
                subscriber.seen = rev
                continue
            if subscriber.backlog > BACKLOG_MOST:
                behind[subscriber] = loop.time()
                self._metrics.lagging.inc()
                continue
            subscriber.push(frame)
            subscriber.seen = rev
            pushed += 1
            self._in_slice += 1
            if self._in_slice >= self._slice:
                await self._pause()
        self._metrics.frames.inc(pushed)

    async def _pause(self) -> None:
        """Let others run, and learn from how long this slice took, writing included, how large the next may be."""
        await asyncio.sleep(0)
        now = time.perf_counter()
        fits = SLICE_S / max(now - self._slice_began, 1e-6)
        self._slice = round(min(SLICE_MOST, max(SLICE_LEAST, self._slice * min(1.5, max(0.5, fits)))))
        self._in_slice, self._slice_began = 0, now

    def _bring_up(self) -> list[tuple[Subscriber, Frame | None]]:
        """Those behind whose backlog is short, with the frame of what they missed."""
        now = asyncio.get_running_loop().time()
        brought_up: list[tuple[Subscriber, Frame | None]] = []
        for subscriber, since in list(self._behind.items()):
            if subscriber.backlog > BACKLOG_DRAINED:
                if now - since > SLOW_S:
                    self._send_away(subscriber)
                continue
            if len(brought_up) >= BROUGHT_UP_AT_ONCE:
                break
            told = self._views.told_since(subscriber.audience, subscriber.seen)
            if told is None:
                self._send_away(subscriber)
                continue
            del self._behind[subscriber]
            brought_up.append((subscriber, None if told.nothing else self._patch(told.put, told.drop)))
        return brought_up

    def _send_away(self, subscriber: Subscriber) -> None:
        self.remove(subscriber)
        subscriber.send_away("lagging", retry=True)

    def _frame(self, patch: Patch) -> Frame | None:
        return self._patch(_encoder.encode(patch.put), _encoder.encode(patch.drop)) if patch else None

    def _patch(self, put: bytes, drop: bytes) -> Frame:
        return self._encode("patch", wire.encode_patch(self._runner.meeting.rev, put, drop))
