"""One receiver on one line: how its numbers differ from the line's, and what it got.

A receiver sees one stream for a slot, whatever line it is on and however often it was left out. Its sequence numbers go
up by one, and an index is never used twice for different contents, which is what AES-GCM must be able to rely on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from media.burst import Amount, Burst, Outgoing
from media.forward.history import ResendGuard
from media.forward.pictures import Pictures, between, shift_pictures
from media.lane import Lane
from media.rtp.rtx import wrap_rtx

_NEAR_ROLLOVER = 0xF000
_HALF_CYCLE = 0x8000
_MASK = 0xFFFFFFFF
_NO_PICTURES = Pictures()


class Transport(Protocol):
    """How packets get to one endpoint (media.peer). `index` is unbounded: see media.srtp."""

    def lane(self, ssrc: int) -> Lane:
        """The way of a stream."""

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None: ...

    def send_rtcp(self, packet: bytes) -> None: ...


class Shift(NamedTuple):
    """What to add to a line's numbers to get a receiver's."""

    number: int = 0
    time: int = 0
    pictures: Pictures = _NO_PICTURES

    @property
    def cohort(self) -> tuple[int, int, Pictures]:
        """Receivers with the same one get the same bytes before encryption."""
        return self.number & 0xFFFF, self.time, self.pictures


UNSHIFTED = Shift().cohort


def shifted(packets: Sequence[Outgoing], shift: Shift, vp8_type: int) -> Sequence[Outgoing]:
    """The packets with a receiver's numbers in them; `index` stays the line's."""
    if shift.cohort == UNSHIFTED:
        return packets
    return [_shifted(packet, shift, vp8_type) for packet in packets]


def _shifted(packet: Outgoing, shift: Shift, vp8_type: int) -> Outgoing:
    index, header, payload = packet
    numbers = (index + shift.number & 0xFFFF).to_bytes(2, "big")
    time = (int.from_bytes(header[4:8], "big") + shift.time & _MASK).to_bytes(4, "big")
    if shift.pictures != _NO_PICTURES and header[1] & 0x7F == vp8_type:
        payload = shift_pictures(payload, shift.pictures)
    return Outgoing(index, header[:2] + numbers + time + header[8:], payload)


class Moment(msgspec.Struct, frozen=True):
    """Where a line is: the newest index and timestamp that went out, the pictures, and when that was."""

    index: int
    timestamp: int
    pictures: Pictures
    at: float


class Repair:
    """The retransmission stream of one receiver (RFC 4588): an SSRC of its own with numbers of its own."""

    def __init__(self, ssrc: int, payload_types: dict[int, int], first: int) -> None:
        self.ssrc = ssrc
        self.payload_types = payload_types
        self._index = first

    def take_index(self) -> int:
        self._index += 1
        return self._index

    def header_of(self, header: bytes, index: int) -> bytes | None:
        """The header of a resent packet; None when its codec has no retransmission."""
        repair = self.payload_types.get(header[1] & 0x7F)
        if repair is None:
            return None
        number, ssrc = (index & 0xFFFF).to_bytes(2, "big"), self.ssrc.to_bytes(4, "big")
        return header[:1] + bytes((header[1] & 0x80 | repair,)) + number + header[4:8] + ssrc + header[12:]


@dataclass(slots=True)
class Sent(Amount):
    """What went out on a line to some of its receivers, and its highest index."""

    highest: int = -1

    def note(self, burst: Burst) -> None:
        self.add(burst.amount)
        self.highest = max(self.highest, burst.highest)


class Leg:
    """`cohort` is None while the receiver gets nothing: it waits for a key frame, or the microphone is its own.

    `floor`: the line's index that it began with.
    """

    def __init__(self, endpoint: str, ssrc: int, transport: Transport, repair: Repair | None = None) -> None:
        self.endpoint = endpoint
        self.ssrc = ssrc
        self.repair = repair
        self.lane = transport.lane(ssrc)
        self.cohort: tuple[int, int, Pictures] | None = None
        self.shift = Shift()
        self.floor = self.resent = self.jitter = 0
        self.rtt_s: float | None = None
        self.loss: float | None = None
        self._transport = transport
        self._began = False
        self._end: Moment | None = None
        self._resendable = self._skip = self._first = 0
        self._own = Amount()
        self._with: Sent | None = None
        self._joined_at = 0
        self._top: int | None = None
        self._guard = ResendGuard()

    @property
    def fresh(self) -> bool:
        """It never got anything."""
        return self._highest is None

    # -- what it got ---------------------------------------------------------------------------------------------------

    def join(self, sent: Sent) -> None:
        """From now on it gets what a cohort gets, which is counted there."""
        self._with = sent
        self._joined_at = sent.packets
        self._own.add(sent, -1)

    def part(self) -> None:
        """The end of that."""
        self._top, sent, self._with = self._highest, self._with, None
        if sent is not None:
            self._own.add(sent)

    @property
    def packets(self) -> int:
        return self._own.packets + (self._with.packets if self._with is not None else 0)

    @property
    def octets(self) -> int:
        return self._own.octets + (self._with.octets if self._with is not None else 0)

    @property
    def wire_bytes(self) -> int:
        """Of datagrams, without retransmissions and padding."""
        return self._own.wire_bytes + (self._with.wire_bytes if self._with is not None else 0)

    @property
    def _highest(self) -> int | None:
        """The highest of its own numbers that went out."""
        sent = self._with
        if sent is None or sent.packets == self._joined_at:
            return self._top
        highest = sent.highest + self.shift.number
        return highest if self._top is None else max(self._top, highest)

    # -- where it begins and ends --------------------------------------------------------------------------------------

    def begin(self, start: Moment, clock_rate: int) -> None:
        """From `start` of the line on, packets go out.

        Its own numbers continue where it was, here or on another line; a new receiver starts in the first cycle, since
        that is where it takes itself to be (RFC 3711 §3.3.1).
        """
        index = start.index
        if self._end is not None:
            self.shift = self._after(self._end, start, clock_rate)
        elif self._top is None:
            shift = -(index & ~0xFFFF)
            self.shift = Shift(shift - _HALF_CYCLE if index & 0xFFFF >= _NEAR_ROLLOVER else shift)
            self._first = index + self.shift.number
        else:
            self.shift = self.shift._replace(number=self._top + 1 + self._skip - index)
        self._end = None
        self._skip = 0
        self._began = True
        self.floor = self._resendable = index
        self.lane.shift = self.shift.number
        self.cohort = self.shift.cohort

    @staticmethod
    def _after(end: Moment, start: Moment, clock_rate: int) -> Shift:
        elapsed = max(1, round((start.at - end.at) * clock_rate))
        following = Pictures(end.pictures.picture + 1, end.pictures.tl0 + 1, end.pictures.key + 1)
        return Shift(
            end.index + 1 - start.index,
            (end.timestamp + elapsed - start.timestamp) & _MASK,
            between(start.pictures, following),
        )

    def pause(self, *, cut: bool) -> None:
        """It gets nothing of this line for a while. `cut`: what it got last is an incomplete frame, so that a number
        is skipped."""
        self.cohort = None
        self._skip = 1 if cut else 0

    def leave(self, last: Moment, *, cut: bool) -> None:
        """The line it leaves is at `last`."""
        cut = cut if self.cohort is not None else self._skip == 1
        self.cohort = None
        if not self._began or self._highest is None:
            return
        self._began = False
        pictures, by = last.pictures, self.shift.pictures
        self._end = Moment(
            self._highest + (1 if cut else 0),
            (last.timestamp + self.shift.time) & _MASK,
            Pictures(pictures.picture + by.picture, pictures.tl0 + by.tl0, pictures.key + by.key),
            last.at,
        )

    def not_resendable_below(self, index: int) -> None:
        """What went out before was written for this receiver alone."""
        self._resendable = index

    def send(self, burst: Burst) -> None:
        """To this receiver alone."""
        self._own.add(burst.amount)
        highest = burst.highest + self.shift.number
        self._top = highest if self._top is None else max(self._top, highest)
        self.lane.send(burst)

    def send_newer(self, burst: Burst) -> None:
        """What it gets of a burst that its cohort counted, laid out anew: no other leg may need the burst any more."""
        self._own.add(burst.amount, -1)
        self._joined_at += burst.amount.packets
        newer = [packet for packet in burst.packets if packet.number >= self.floor]
        if newer:
            self.send(Burst(newer))

    def index_of(self, sequence: int) -> int | None:
        """The line's index of one of its sequence numbers; None while it gets nothing."""
        if self._highest is None or not self._began:
            return None
        return self._highest - ((self._highest - sequence) & 0xFFFF) - self.shift.number

    @property
    def skipped(self) -> int:
        """How many of its numbers never went out: the publisher's gaps, and those where a frame was cut."""
        highest = self._highest
        return 0 if highest is None else highest - self._first + 1 - self.packets

    def missing(self, sequence: int, now: float) -> int | None:
        """The line's index of a packet that the receiver misses, if it may be sent again now."""
        index = self.index_of(sequence)
        if index is None or index < self._resendable:
            return None
        return index if self._guard.allows(index + self.shift.number, self.rtt_s, now) else None

    def was_replayed(self, sequence: int) -> bool:
        """Whether this one was written for this receiver alone as it began, and so cannot be sent again."""
        index = self.index_of(sequence)
        return index is not None and self.floor <= index < self._resendable

    def send_again(self, packet: Outgoing, vp8_type: int) -> None:
        """By retransmission where that was negotiated, else the same packet again."""
        index, header, payload = shifted((packet,), self.shift, vp8_type)[0]
        own = index + self.shift.number
        self.resent += 1
        if self.repair is not None:
            number = self.repair.take_index()
            repaired = self.repair.header_of(header, number)
            if repaired is not None:
                self._transport.send_rtp(repaired, wrap_rtx(own, payload), self.repair.ssrc, number)
                return
        self._transport.send_rtp(header, payload, self.ssrc, own)

    def send_padding(self, timestamp: int, octets: int, extensions: bytes) -> int:
        """So many octets of padding on the retransmission stream, to try what the line carries; how many went out."""
        repair = self.repair
        if repair is None or self._highest is None:
            return 0
        payload_type = next(iter(repair.payload_types.values()), None)
        if payload_type is None:
            return 0
        sent = 0
        while sent < octets:
            index = repair.take_index()
            header = bytes((0xB0 if extensions else 0xA0, payload_type)) + (index & 0xFFFF).to_bytes(2, "big")
            header += (timestamp & _MASK).to_bytes(4, "big") + repair.ssrc.to_bytes(4, "big") + extensions
            self._transport.send_rtp(header, bytes(254) + b"\xff", repair.ssrc, index)
            sent += len(header) + 255
        return sent
