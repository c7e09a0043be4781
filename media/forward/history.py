"""What was sent lately, for receivers that miss some of it (RFC 4585 §6.2.1): one copy for all of them.

`ResendGuard` is one receiver's: a packet is sent again at most three times, and not again before the last copy can have
arrived.
"""

from media.burst import Outgoing

_MAX_RESENDS = 3
_MIN_INTERVAL_S = 0.1
_MAX_REMEMBERED = 256


class History:
    """The last packets of a line by their index; older ones make room."""

    def __init__(self, size: int, max_age_s: float) -> None:
        self._size = size
        self._max_age_s = max_age_s
        self._entries: list[tuple[float, Outgoing] | None] = [None] * size

    def add(self, packet: Outgoing, now: float) -> None:
        self._entries[packet.number % self._size] = (now, packet)

    def find(self, index: int, now: float) -> Outgoing | None:
        entry = self._entries[index % self._size]
        if entry is None or entry[1].number != index or now - entry[0] > self._max_age_s:
            return None
        return entry[1]


class ResendGuard:
    def __init__(self) -> None:
        self._resent: dict[int, tuple[int, float]] = {}

    def allows(self, index: int, rtt_s: float | None, now: float) -> bool:
        """Whether to send this packet again now; if so it counts as sent."""
        count, at = self._resent.pop(index, (0, float("-inf")))
        fits = count < _MAX_RESENDS and now - at >= max(_MIN_INTERVAL_S, 2 * (rtt_s or 0.0))
        self._resent[index] = (count + 1, now) if fits else (count, at)
        if len(self._resent) > _MAX_REMEMBERED:
            del self._resent[next(iter(self._resent))]
        return fits
