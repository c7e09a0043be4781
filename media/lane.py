"""What sending needs of a receiver, packed together.

A frame goes to every hall, and what belongs to one of them has left the processor's caches until the next. So a burst
touches a receiver's cipher, its address and one small object, and is counted elsewhere (media.cohort).
"""

from collections.abc import Sequence
from typing import Protocol

from media.burst import Burst, Run, Seal

Address = tuple[str, int]


class Outlet(Protocol):
    """Where datagrams go (media.net). Nothing here waits: what cannot be sent now is dropped and counted."""

    def send(self, datagram: bytes, address: Address) -> None: ...

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        """Datagrams in a row, each `segment` bytes long, the last perhaps shorter. Whether all were taken."""


class Way(Protocol):
    """Whoever a lane leads to (media.peer)."""

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """Where there is no seal. Empty: nothing can be sent."""

    def note_unsent(self, runs: Sequence[Run]) -> None:
        """The socket did not take these."""


class Lane:
    """The way of one stream to one receiver.

    Without a `seal` the way itself protects, without an `address` nothing is sent. `shift` is added to an index
    (media.srtp).
    """

    __slots__ = ("_outlet", "address", "seal", "shift", "ssrc", "way")

    def __init__(self, way: Way, ssrc: int, outlet: Outlet) -> None:
        self.way = way
        self.ssrc = ssrc
        self.shift = 0
        self.address: Address | None = None
        self.seal: Seal | None = None
        self._outlet = outlet

    def send(self, burst: Burst) -> None:
        """When the socket is full the rest of the frame is left out and told."""
        if self.seal is None:
            runs = self.way.protect_burst(burst, self.ssrc, self.shift)
        else:
            runs = burst.seal(self.seal, self.shift)
        address = self.address
        if address is None:
            return
        send_run = self._outlet.send_run
        for place, (data, segment) in enumerate(runs):
            if not send_run(data, segment, address):
                self.way.note_unsent(runs[place:])
                return
