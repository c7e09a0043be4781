"""What sending needs of a receiver, packed together.

A frame goes to every hall, and what belongs to one of them has left the processor's caches until the next. So a burst
touches a receiver's cipher, its address and one small object, and is counted elsewhere (media.cohort).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from media.burst import Burst, Run

Address = tuple[str, int]
Seal = Callable[[int, bytes, bytes], bytes]


class Outlet(Protocol):
    """Where datagrams go (media.net). Nothing here waits: what cannot be sent now is dropped and counted."""

    def send(self, datagram: bytes, address: Address) -> None: ...

    def send_run(self, data: memoryview | bytes, segment: int, address: Address) -> bool:
        """Datagrams in a row, each `segment` bytes long, the last perhaps shorter. Whether all were taken."""


class Way(Protocol):
    """Whoever a lane leads to (media.peer)."""

    def send_burst(self, burst: Burst, ssrc: int, shift: int) -> None: ...

    def note_unsent(self, runs: Sequence[Run]) -> None:
        """The socket did not take these."""


class Lane:
    """The way of one stream to one receiver.

    `seal` (index, payload, header) and `address` are there while packets can go straight out; without them the way
    itself is asked. `shift` is added to a burst's indices: see media.srtp on both.
    """

    __slots__ = ("_outlet", "address", "seal", "shift", "ssrc", "way")

    def __init__(self, way: Way, ssrc: int, outlet: Outlet | None = None) -> None:
        self.way = way
        self.ssrc = ssrc
        self.shift = 0
        self.address: Address | None = None
        self.seal: Seal | None = None
        self._outlet = outlet

    def send(self, burst: Burst) -> None:
        seal, address, outlet = self.seal, self.address, self._outlet
        if seal is None or address is None or outlet is None:
            self.way.send_burst(burst, self.ssrc, self.shift)
            return
        shift = self.shift
        for index, payload, header, room in burst.items:
            room[:] = seal(index + shift, payload, header)
        for place, (data, segment) in enumerate(burst.runs):
            if not outlet.send_run(data, segment, address):
                self.way.note_unsent(burst.runs[place:])
                return
