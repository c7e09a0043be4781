"""Which packets of a stream to ask for again (RFC 4585 §6.2.1).

A gap waits for reordering first, is asked for every `_REPEAT_S` at most `_TRIES` times, and is given up when it is old
or when there is so much of it that only a key frame helps.
"""

_PATIENCE_S = 0.015
_REPEAT_S = 0.06
_TRIES = 8
_MAX_GAP = 200
_MAX_MISSING = 400
_REPLAY_WINDOW = 1024  # what is further behind does not pass media.srtp
_MAX_REPAIRED = 2 * _REPLAY_WINDOW
_HALF_CYCLE = 0x8000


class MissingPackets:
    """`record` every packet; `due` tells what to ask for. `waiting` holds what is missing, `repaired` what came again:
    unwrapped numbers both."""

    def __init__(self, sequence: int) -> None:
        self.waiting: dict[int, tuple[int, float]] = {}  # number -> (tries, when next)
        self.repaired: set[int] = set()
        self._highest = sequence

    def record(self, sequence: int, now: float) -> None:
        before = self._highest
        ahead = (sequence - before) & 0xFFFF
        if ahead >= _HALF_CYCLE:
            self.waiting.pop(before + ahead - 0x10000, None)
            return
        number = self._highest = before + ahead
        if ahead <= 1:
            return
        if number - before > _MAX_GAP or len(self.waiting) + number - before > _MAX_MISSING:
            self.waiting.clear()
            return
        for lost in range(before + 1, number):
            self.waiting[lost] = (0, now + _PATIENCE_S)

    def advance(self, count: int) -> None:
        """So many more came in order."""
        self._highest += count

    def repair(self, sequence: int) -> bool:
        """This number came as a retransmission. Whether it was still waited for."""
        highest = self._highest
        number = highest - ((highest - sequence) & 0xFFFF)
        if self.waiting.pop(number, None) is None:
            return False
        if len(self.repaired) >= _MAX_REPAIRED:
            self.repaired = {each for each in self.repaired if each > highest - _REPLAY_WINDOW}
        self.repaired.add(number)
        return True

    def was_repaired(self, sequence: int) -> bool:
        """This number came as a retransmission already. `record` comes first."""
        highest = self._highest
        return highest - ((highest - sequence) & 0xFFFF) in self.repaired

    def due(self, now: float) -> list[int]:
        """16-bit numbers in ascending order, to ask for at once."""
        if not self.waiting:
            return []
        asked = sorted(number for number, (_, at) in self.waiting.items() if at <= now)
        for number in asked:
            tries = self.waiting[number][0] + 1
            if tries >= _TRIES:
                del self.waiting[number]
            else:
                self.waiting[number] = (tries, now + _REPEAT_S)
        return [number & 0xFFFF for number in asked]
