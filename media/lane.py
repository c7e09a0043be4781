"""What sending needs of a receiver, packed together.

A frame goes to every hall, and what belongs to one of them has left the processor's caches until the next. So a burst
touches a receiver's cipher, its address and one small object, and is counted elsewhere (media.cohort).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from media.burst import Burst, Row, Run, Seal

Address = tuple[str, int]
SendRun = Callable[[bytes, Address], object]
_FEW = 3
"""To tell the kernel a segment's size for several runs takes two calls: it pays from here on."""


class Outlet(Protocol):
    """Where datagrams go (media.net). Nothing here waits: what cannot be sent now is dropped and counted."""

    def send(self, datagram: bytes, address: Address) -> None: ...

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        """Datagrams in a row, each `segment` bytes long, the last perhaps shorter. Whether all were taken."""

    def begin_runs(self, segment: int) -> SendRun | None:
        """What sends runs of this segment (0: single datagrams) with the least effort, until `end_runs`; it raises
        OSError for what is not taken. None: there is no such thing here."""

    def end_runs(self, *, worked: bool) -> None:
        """`worked`: some were taken."""


class Way(Protocol):
    """Whoever a lane leads to (media.peer)."""

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """Where there is no seal. Empty: nothing can be sent."""

    def note_unsent(self, packets: int, octets: int) -> None:
        """The socket did not take so many datagrams, of so many bytes."""


class Lane:
    """The way of one stream to one receiver.

    Without a `seal` the way itself protects, without an `address` nothing is sent. `shift` is added to an index
    (media.srtp).
    """

    __slots__ = ("address", "outlet", "seal", "shift", "ssrc", "way")

    def __init__(self, way: Way, ssrc: int, outlet: Outlet) -> None:
        self.way = way
        self.ssrc = ssrc
        self.outlet = outlet
        self.shift = 0
        self.address: Address | None = None
        self.seal: Seal | None = None

    def send(self, burst: Burst) -> None:
        """When the socket is full the rest of the frame is left out and told."""
        if self.seal is None:
            runs = self.way.protect_burst(burst, self.ssrc, self.shift)
        else:
            runs = burst.seal(self.seal, self.shift)
        address = self.address
        if address is None:
            return
        send_run = self.outlet.send_run
        for place, (data, segment) in enumerate(runs):
            if not send_run(data, segment, address):
                self._leave_out(runs[place:])
                return

    def _leave_out(self, runs: Sequence[Run]) -> None:
        datagrams = sum(-(-len(data) // segment) for data, segment in runs)
        self.way.note_unsent(datagrams, sum(len(data) for data, _ in runs))


def send_to_all(burst: Burst, lanes: Sequence[Lane]) -> None:
    """A burst to many receivers of one outlet, row by row. Where the socket is full the rest is left out and told."""
    if len(lanes) < _FEW:
        for lane in lanes:
            lane.send(burst)
        return
    for place, row in enumerate(burst.rows):
        full, others = _send_row(row, lanes)
        for lane in full:
            rows = burst.rows[place:]
            lane.way.note_unsent(sum(each.end - each.first for each in rows), sum(each.size for each in rows))
        for lane in others:
            lane.send(burst)
        if full or others:
            left_out = {*full, *others}
            lanes = [lane for lane in lanes if lane not in left_out]


def _send_row(row: Row, lanes: Sequence[Lane]) -> tuple[list[Lane], list[Lane]]:
    """Which lanes were full, and which it does not go by: those without a seal or an address."""
    first, end, payloads, headers, pieces, segment, _ = row
    full: list[Lane] = []
    others: list[Lane] = []
    if not lanes:
        return full, others
    outlet = lanes[0].outlet
    send = outlet.begin_runs(segment if end - first > 1 else 0)
    if send is None:
        return full, list(lanes)
    join = b"".join
    rest = iter(lanes)
    failed = 0
    try:
        while True:
            try:
                # Once for each receiver of each frame. `row.seal` is written out: called, it takes 0.2 µs more of 4.7.
                for lane in rest:
                    seal, address, shift = lane.seal, lane.address, lane.shift
                    if seal is None or address is None:
                        others.append(lane)
                        continue
                    pieces[1::2] = map(seal, range(first + shift, end + shift), payloads, headers)
                    send(join(pieces), address)
                return full, others
            except OSError:
                failed += 1
                if lane.address is None or not outlet.send_run(join(pieces), segment, lane.address):
                    full.append(lane)
    finally:
        outlet.end_runs(worked=failed + len(others) < len(lanes))
