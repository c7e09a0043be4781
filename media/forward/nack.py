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
_REPLAY_WINDOW = 1024  # what is further behind does not pass media.srtp
_MAX_REPAIRED = 2 * _REPLAY_WINDOW


class MissingPackets:
    """`record` every packet; `due` tells what to ask for."""

    def __init__(self, sequence: int) -> None:
        self._unwrap = Unwrapper(sequence)
        self._missing: dict[int, tuple[int, float]] = {}  # number -> (tries, when next)
        self._repaired: set[int] = set()

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

    def repair(self, sequence: int) -> bool:
        """This number came as a retransmission. Whether it was still waited for."""
        highest = self._unwrap.highest
        number = highest - ((highest - sequence) & 0xFFFF)
        if self._missing.pop(number, None) is None:
            return False
        if len(self._repaired) >= _MAX_REPAIRED:
            self._repaired = {each for each in self._repaired if each > highest - _REPLAY_WINDOW}
        self._repaired.add(number)
        return True

    def was_repaired(self, sequence: int) -> bool:
        """This number came as a retransmission already. `record` comes first."""
        if not self._repaired:
            return False
        highest = self._unwrap.highest
        return highest - ((highest - sequence) & 0xFFFF) in self._repaired

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
