"""Which layers of a source somebody receives: more is asked for at once, less after a while (Google's name for it is
dynacast). Switching a layer on costs a key frame, so it is not switched off for a moment's absence.
"""

LOWER_AFTER_S = 5.0


class WantedLayers:
    """`asked` are the ranks; `raised_at` is when one was added last.

    Begins with every one of `ranks` asked for: a publisher starts with all its layers on. Those that nobody looks at
    are off at the first update: 187 halls that join at once must not send everything for five seconds."""

    def __init__(self, ranks: int, now: float) -> None:
        self.asked = frozenset(range(ranks))
        self.raised_at = now
        self._last_wanted = dict.fromkeys(range(ranks), float("-inf"))

    def update(self, wanted: frozenset[int], now: float) -> bool:
        """These are received now. Whether `asked` has changed by that."""
        for rank in wanted:
            self._last_wanted[rank] = now
        if wanted == self.asked:
            return False
        kept = {rank for rank in self.asked if now - self._last_wanted.get(rank, now) < LOWER_AFTER_S}
        asked = frozenset(kept | wanted)
        if asked == self.asked:
            return False
        if asked - self.asked:
            self.raised_at = now
        self.asked = asked
        return True
