"""Receivers of one line that get the same bytes before encryption: each burst is laid out and counted once for all."""

from media.burst import Burst
from media.lane import Lane, send_to_all
from media.leg import Leg, Sent


class Cohort:
    """From `_floor`, an index of the line, on every one of the legs gets everything."""

    __slots__ = ("_floor", "_lanes", "_sent", "legs")

    def __init__(self) -> None:
        self.legs: list[Leg] = []
        self._lanes: list[Lane] = []
        self._sent = Sent()
        self._floor = 0

    def add(self, leg: Leg) -> None:
        self.legs.append(leg)
        self._lanes.append(leg.lane)
        self._floor = max(self._floor, leg.floor)
        leg.join(self._sent)

    def remove(self, leg: Leg) -> None:
        self.legs.remove(leg)
        self._lanes.remove(leg.lane)
        leg.part()

    def send(self, burst: Burst) -> None:
        self._sent.note(burst)
        if burst.lowest < self._floor:
            self._send_to_some(burst)
            return
        send_to_all(burst, self._lanes)

    def _send_to_some(self, burst: Burst) -> None:
        """Packets that came late: some of the legs began after them."""
        late = [leg for leg in self.legs if burst.lowest < leg.floor]
        for leg in self.legs:
            if leg not in late:
                leg.lane.send(burst)
        for leg in late:
            leg.send_newer(burst)
