"""Which packets of a stream to ask for again (RFC 4585 §6.2.1).

A gap waits for reordering first, is asked for every `_REPEAT_S` at most `_TRIES` times, and is given up when it is old
or when there is so much of it that only a key frame helps.
"""

from media.forward.seqmap import Unwrapper

_PATIENCE_S = 0.015
_REPEAT_S = 0.06
_TRIES = 8
_MAX_GAP = 200
_MAX_MISSING = 400


class MissingPackets:
    """`record` every packet; `due` tells what to ask for."""

    def __init__(self, sequence: int) -> None:
        self._unwrap = Unwrapper(sequence)
        self._missing: dict[int, tuple[int, float]] = {}  # number -> (tries, when next)

    def record(self, sequence: int, now: float) -> None:
        before = self._unwrap.highest
        number = self._unwrap.unwrap(sequence)
        if number <= before:
            self._missing.pop(number, None)
            return
        if number - before > _MAX_GAP or len(self._missing) + number - before > _MAX_MISSING:
            self._missing.clear()
            return
        for lost in range(before + 1, number):
            self._missing[lost] = (0, now + _PATIENCE_S)

    def __bool__(self) -> bool:
        """Whether anything is missing."""
        return bool(self._missing)

    def is_missing(self, sequence: int) -> bool:
        """Whether this number is still waited for."""
        ahead = (sequence - self._unwrap.highest) & 0xFFFF
        return ahead >= 0x8000 and self._unwrap.highest + ahead - 0x10000 in self._missing

    def due(self, now: float) -> list[int]:
        """16-bit numbers in ascending order, to ask for at once."""
        if not self._missing:
            return []
        asked = sorted(number for number, (_, at) in self._missing.items() if at <= now)
        for number in asked:
            tries = self._missing[number][0] + 1
            if tries >= _TRIES:
                del self._missing[number]
            else:
                self._missing[number] = (tries, now + _REPEAT_S)
        return [number & 0xFFFF for number in asked]
