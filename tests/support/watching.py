"""What a viewer sees of a stage slot over some time, from the browser's own statistics ten times a second."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
from playwright.async_api import Page

LOOK_S = 0.1

SAMPLER = """(slot) => {
  const samples = (window.watched = [])
  setInterval(async () => {
    const receiver = window.__diemcau.slots[slot]?.receiver
    if (!receiver) return
    for (const one of (await receiver.getStats()).values()) {
      if (one.type !== 'inbound-rtp') continue
      samples.push({
        at: performance.now() / 1000, frames: one.framesDecoded ?? 0, width: one.frameWidth ?? 0,
        freezes: one.freezeCount ?? 0, frozen_s: one.totalFreezesDuration ?? 0, bytes: one.bytesReceived ?? 0,
        packets: one.packetsReceived ?? 0, lost: one.packetsLost ?? 0, nacks: one.nackCount ?? 0,
        plis: one.pliCount ?? 0, key_frames: one.keyFramesDecoded ?? 0, dropped: one.framesDropped ?? 0,
        resent: one.retransmittedPacketsReceived ?? 0,
      })
    }
  }, 100)
}"""


class Sample(msgspec.Struct, frozen=True):
    """Sums since the connection began, at a time of the page's clock (seconds)."""

    at: float
    frames: int
    width: int
    freezes: int
    frozen_s: float
    bytes: int
    packets: int
    lost: int
    nacks: int
    plis: int
    key_frames: int
    dropped: int
    resent: int


@dataclass
class Seen:
    """Samples of one time, first to last."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        return self.samples[-1].at - self.samples[0].at

    def grown(self, name: str) -> float:
        """By how much one of the sums grew, over new connections too: they begin at nothing."""
        values: list[float] = [getattr(sample, name) for sample in self.samples]
        return sum(after - before if after >= before else after for before, after in pairwise(values))

    @property
    def frames(self) -> int:
        return int(self.grown("frames"))

    @property
    def freeze_share(self) -> float:
        """The share of the time that the browser calls frozen (webrtc-stats: gaps well above the usual one)."""
        return self.grown("frozen_s") / self.took_s

    @property
    def longest_still_s(self) -> float:
        """The longest time without a new frame, to a tenth of a second; one that still lasts counts."""
        longest, since, frames = 0.0, self.samples[0].at, self.samples[0].frames
        for sample in self.samples:
            if sample.frames != frames:
                longest, since, frames = max(longest, sample.at - since), sample.at, sample.frames
        return max(longest, self.samples[-1].at - since)

    @property
    def widths(self) -> list[tuple[float, int]]:
        """Each change of the picture's width, with the time since the first sample."""
        changes: list[tuple[float, int]] = []
        for sample in self.samples:
            if not changes or sample.width != changes[-1][1]:
                changes.append((round(sample.at - self.samples[0].at, 1), sample.width))
        return changes

    def told(self, when: str) -> str:
        """One line for whoever runs the test with -s."""
        kbps = self.grown("bytes") * 8 / self.took_s / 1000
        names = ("freezes", "lost", "nacks", "resent", "plis", "key_frames", "dropped")
        return (
            f"{when}: {self.took_s:.1f} s, {self.frames / self.took_s:.1f} frames/s, {kbps:.0f} kbit/s, "
            f"freeze share {self.freeze_share:.1%}, longest still {self.longest_still_s:.1f} s, "
            f"widths {self.widths}, " + ", ".join(f"{name} {self.grown(name):.0f}" for name in names)
        )


class Watch:
    """Begins with the page it watches; `begin` starts a time, `seen` is what there was of it till now."""

    def __init__(self, page: Page, slot: str = "stage.0") -> None:
        self._page = page
        self._slot = slot
        self._from = 0

    async def start(self) -> None:
        await self._page.evaluate(SAMPLER, self._slot)

    async def begin(self) -> None:
        """From now on."""
        self._from = max(0, await self._page.evaluate("window.watched.length") - 1)

    async def seen(self) -> Seen:
        found = await self._page.evaluate("(from) => window.watched.slice(from)", self._from)
        return Seen(msgspec.convert(found, list[Sample]))

    async def during(self, seconds: float) -> Seen:
        await self.begin()
        await asyncio.sleep(seconds)
        return await self.seen()

    async def until(self, met: Callable[[Seen], bool], limit_s: float) -> Seen:
        """Look on until it is met or the time is over; what was seen. The caller judges."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not (len((found := await self.seen()).samples) > 1 and met(found)):
                    await asyncio.sleep(LOOK_S)
        return await self.seen()
