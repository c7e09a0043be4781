"""Audio levels of a group's microphones (RFC 6464) for the indicator: the loudest of each interval, 5 a second."""

INTERVAL_S = 0.2


class LevelMeter:
    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._told_at = float("-inf")

    def record(self, feed: str, level: int) -> None:
        """`level` in dBov: 0 the loudest, -127 silence."""
        if level > self._levels.get(feed, -128):
            self._levels[feed] = level

    def due(self, now: float) -> dict[str, int] | None:
        """The levels since the last time, or None: nothing came in, or it is too early."""
        if not self._levels or now - self._told_at < INTERVAL_S:
            return None
        self._told_at = now
        levels, self._levels = self._levels, {}
        return levels
