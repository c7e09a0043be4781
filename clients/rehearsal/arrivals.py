"""When packets of one slot came in, over all connections of a hall, by the kernel's clock.

Whoever reads them may be held up, by other halls in the same process or by a shared machine: that does not count.
"""

from array import array

_NS_PER_S = 1e9


class Arrivals:
    """Times are CLOCK_REALTIME in nanoseconds, in any order: while a hall moves it reads two connections in turn."""

    def __init__(self) -> None:
        self._times_ns = array("q")
        self._began_ns = 0
        self.note = self._times_ns.append
        """Takes one packet's time of arrival."""

    def begin(self, now_ns: int) -> None:
        """Measure from here on."""
        self._began_ns = now_ns
        del self._times_ns[:]

    def longest_gap_s(self, now_ns: int) -> float:
        """The longest time without a packet; one that lasts counts as long as it lasts."""
        worst, before = 0, self._began_ns
        for at in sorted(self._times_ns):
            worst, before = max(worst, at - before), max(before, at)
        return max(worst, now_ns - before) / _NS_PER_S
