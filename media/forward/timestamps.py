"""Outgoing RTP timestamps without a seam: after a switch they go on by the time that went by (RFC 3550 §5.1)."""

_MASK = 0xFFFFFFFF
_HALF = 1 << 31


def squeezed(timestamps: list[int], last: int) -> dict[int, int]:
    """Frames that come all at once, in order, in as many ticks: each one's timestamp to another up to `last`."""
    return {each: (last - ahead) & _MASK for ahead, each in enumerate(reversed(timestamps))}


class TimestampMap:
    """Begins at `first`. `offset` is what is added to the current source's timestamps, modulo 2**32."""

    def __init__(self, clock_rate: int, first: int) -> None:
        self.clock_rate = clock_rate
        self.offset = 0
        self._last = first & _MASK
        self._last_at: float | None = None
        self._squeezed: dict[int, int] = {}

    @property
    def last(self) -> int:
        """The newest that went out."""
        return self._last

    @property
    def last_at(self) -> float | None:
        """When that was; None before the first."""
        return self._last_at

    def switch(self, timestamp: int, now: float) -> None:
        """A new source begins with `timestamp`: it continues one tick or more above what was sent last."""
        elapsed_s = 0.0 if self._last_at is None else now - self._last_at
        target = self._last + max(1, round(elapsed_s * self.clock_rate))
        self.offset = (target - timestamp) & _MASK
        self._squeezed = {}

    def rejoin(self, timestamps: list[int], now: float) -> None:
        """A new source whose frames up to now come all at once: they are squeezed into as many ticks.

        `timestamps` are the frames' own, in order; the last one is where the source is now, and its clock is followed
        from there on. A receiver that got them spread out would play them, and all that follows, late.
        """
        elapsed_s = 0.0 if self._last_at is None else now - self._last_at
        target = self._last + max(len(timestamps), round(elapsed_s * self.clock_rate))
        self.offset = (target - timestamps[-1]) & _MASK
        self._squeezed = squeezed(timestamps, target)

    def map(self, timestamp: int, now: float) -> int:
        mapped = self._squeezed.get(timestamp) if self._squeezed else None
        if mapped is None:
            mapped = (timestamp + self.offset) & _MASK
            self._squeezed = {}  # all that came at once is through
        ahead = (mapped - self._last) & _MASK
        if 0 < ahead < _HALF or self._last_at is None:
            self._last = mapped
            self._last_at = now
        return mapped
