"""When the packets of one publisher arrived, by their transport-wide number, until it is told (media.rtp.twcc)."""

from media.forward.seqmap import Unwrapper
from media.rtp.twcc import TICK_S, TwccFeedback

_MAX_SPAN = 1500  # packets in one feedback message
_MAX_WAITING = 8192
_MAX_STEP = (1 << 15) - 1


class ArrivalRecorder:
    def __init__(self) -> None:
        self._unwrap: Unwrapper | None = None
        self._arrivals: dict[int, int] = {}
        self._next: int | None = None
        self._count = 0

    def __bool__(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._arrivals)

    def record(self, sequence: int, now: float) -> None:
        """A packet with this 16-bit number arrived. More than `_MAX_WAITING` untold ones are not kept."""
        if self._unwrap is None:
            self._unwrap = Unwrapper(sequence)
        number = self._unwrap.unwrap(sequence)
        if len(self._arrivals) < _MAX_WAITING:
            self._arrivals[number] = int(now / TICK_S)

    def feedback(self) -> list[TwccFeedback]:
        """What arrived since the last call, in as many messages as it takes; packets told lost may be told again."""
        messages: list[TwccFeedback] = []
        numbers = sorted(self._arrivals)
        position = 0
        while position < len(numbers):
            start = numbers[position]
            base = start
            if self._next is not None and self._next < start and start - self._next < _MAX_SPAN:
                base = self._next
            stop = self._run_end(numbers, position, base)
            messages.append(self._message(base, numbers[stop - 1]))
            self._next = max(self._next or 0, numbers[stop - 1] + 1)
            position = stop
        self._arrivals.clear()
        return messages

    def _run_end(self, numbers: list[int], position: int, base: int) -> int:
        stop = position + 1
        while (
            stop < len(numbers)
            and numbers[stop] - base < _MAX_SPAN
            and abs(self._arrivals[numbers[stop]] - self._arrivals[numbers[stop - 1]]) <= _MAX_STEP
        ):
            stop += 1
        return stop

    def _message(self, base: int, last: int) -> TwccFeedback:
        arrivals = tuple(self._arrivals.get(number) for number in range(base, last + 1))
        message = TwccFeedback(base & 0xFFFF, self._count, arrivals)
        self._count = (self._count + 1) & 0xFF
        return message
