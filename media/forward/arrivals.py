"""When the packets of one publisher arrived, by their transport-wide number, until it is told (media.rtp.twcc)."""

from media.rtp.twcc import TICK_S, TwccFeedback

_MAX_SPAN = 1500  # packets in one feedback message
_MAX_WAITING = 8192
_MAX_STEP = (1 << 15) - 1
_HALF_CYCLE = 1 << 15


class ArrivalRecorder:
    def __init__(self) -> None:
        self._highest: int | None = None  # unwrapped
        self._untold: list[tuple[int, float]] = []
        self._next: int | None = None
        self._count = 0

    def __len__(self) -> int:
        """How many arrivals there are to tell."""
        return len(self._untold)

    def record(self, sequence: int, now: float) -> None:
        """A packet with this 16-bit number arrived. More than `_MAX_WAITING` untold ones are not kept."""
        if len(self._untold) < _MAX_WAITING:
            self._untold.append((sequence, now))

    def record_run(self, arrivals: list[tuple[int, float]]) -> None:
        """The same for many."""
        self._untold += arrivals[: max(0, _MAX_WAITING - len(self._untold))]

    def feedback(self) -> list[TwccFeedback]:
        """What arrived since the last call, in as many messages as it takes; packets told lost may be told again."""
        messages: list[TwccFeedback] = []
        arrivals = self._take()
        numbers = sorted(arrivals)
        whole = bool(numbers) and max(arrivals.values()) - min(arrivals.values()) <= _MAX_STEP  # as nearly always
        position = 0
        while position < len(numbers):
            start = numbers[position]
            base = start
            if self._next is not None and self._next < start and start - self._next < _MAX_SPAN:
                base = self._next
            fits = whole and numbers[-1] - base < _MAX_SPAN
            stop = len(numbers) if fits else _run_end(arrivals, numbers, position, base)
            messages.append(self._message(arrivals, base, numbers[stop - 1]))
            self._next = max(self._next or 0, numbers[stop - 1] + 1)
            position = stop
        return messages

    def _take(self) -> dict[int, int]:
        """The untold ones: the tick of each by its unwrapped number."""
        untold, self._untold = self._untold, []
        if not untold:
            return {}
        # Each is the one nearest to the highest: what waits is far less than half a cycle.
        below = (untold[0][0] if self._highest is None else self._highest) - _HALF_CYCLE
        arrivals = {below + (sequence - below & 0xFFFF): int(at / TICK_S) for sequence, at in untold}
        self._highest = max(below + _HALF_CYCLE, *arrivals)
        return arrivals

    def _message(self, arrivals: dict[int, int], base: int, last: int) -> TwccFeedback:
        told = tuple(map(arrivals.get, range(base, last + 1)))
        message = TwccFeedback(base & 0xFFFF, self._count, told)
        self._count = (self._count + 1) & 0xFF
        return message


def _run_end(arrivals: dict[int, int], numbers: list[int], position: int, base: int) -> int:
    """Where the numbers end that fit one message."""
    stop = position + 1
    while (
        stop < len(numbers)
        and numbers[stop] - base < _MAX_SPAN
        and abs(arrivals[numbers[stop]] - arrivals[numbers[stop - 1]]) <= _MAX_STEP
    ):
        stop += 1
    return stop
