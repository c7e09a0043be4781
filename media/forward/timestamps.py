"""Outgoing RTP timestamps without a seam: after a switch they go on by the time that went by (RFC 3550 §5.1)."""

_MASK = 0xFFFFFFFF
_HALF = 1 << 31


class TimestampMap:
    """Begins at `first`. `offset` is what is added to the current source's timestamps, modulo 2**32."""

    def __init__(self, clock_rate: int, first: int) -> None:
        self.clock_rate = clock_rate
        self.offset = 0
        self._last = first & _MASK
        self._last_at: float | None = None

    def switch(self, timestamp: int, now: float) -> None:
        """A new source begins with `timestamp`: it continues one tick or more above what was sent last."""
        elapsed_s = 0.0 if self._last_at is None else now - self._last_at
        target = self._last + max(1, round(elapsed_s * self.clock_rate))
        self.offset = (target - timestamp) & _MASK

    def map(self, timestamp: int, now: float) -> int:
        mapped = (timestamp + self.offset) & _MASK
        ahead = (mapped - self._last) & _MASK
        if 0 < ahead < _HALF or self._last_at is None:
            self._last = mapped
            self._last_at = now
        return mapped
