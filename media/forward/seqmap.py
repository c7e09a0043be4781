"""Outgoing sequence numbers without a seam, whatever source they come from and whatever is left out of it.

Invariant: an outgoing index is given to one packet only, and the next source begins above every index given before.
Indices are unbounded integers; their low 16 bits are the RTP sequence number and the rest counts rollovers, which is
what SRTP needs (RFC 3711 §3.3.1).
"""

from collections import deque

_HALF = 1 << 15
_MAX_JUMP = 4000
_MAX_REMEMBERED = 64
_GIVEN = 1024
_GIVEN_MASK = (1 << _GIVEN) - 1


class Unwrapper:
    """16-bit numbers to unbounded ones: each is taken as the nearest to the highest seen."""

    def __init__(self, first: int, bits: int = 16) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self.highest = first & self._mask

    def unwrap(self, value: int) -> int:
        ahead = (value - self.highest) & self._mask
        if ahead >= self._half:
            return self.highest + ahead - self._mask - 1
        self.highest += ahead
        return self.highest


class SeqMap:
    """Begins after `last`, without a source: `switch` comes first."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._given = 0  # bit n: `last` - n was given
        self._unwrap = Unwrapper(0)
        self._offsets: deque[tuple[int, int]] = deque(maxlen=_MAX_REMEMBERED)

    def switch(self, sequence: int, *, gap: bool = False) -> None:
        """A new source begins with `sequence`. `gap` skips one number: what was sent last is an incomplete frame."""
        self._unwrap = Unwrapper(sequence)
        self._offsets.clear()
        self._offsets.append((sequence, self.last + (2 if gap else 1) - sequence))

    def map(self, sequence: int) -> int | None:
        """The outgoing index; None for a packet from before the switch, too old to place, or of a number given before.

        SRTP's replay check comes before, but a number may come again: late after its retransmission, or from a sender
        who let his rollover count go on with packets that are not forwarded. With GCM no index may have two contents.
        """
        index = self._place(sequence)
        if index is None:
            return None
        ahead = index - self.last
        if ahead > 0:
            self._given = (self._given << ahead | 1) & _GIVEN_MASK
            self.last = index
        elif ahead <= -_GIVEN or self._given >> -ahead & 1:
            return None
        else:
            self._given |= 1 << -ahead
        return index

    def drop(self, sequence: int) -> None:
        """This packet is left out and the numbers close up behind it. Of a late packet the gap stays."""
        source = self._advance(sequence)
        if source == self._unwrap.highest:
            self._offsets.append((source + 1, self._offsets[-1][1] - 1))

    def _advance(self, sequence: int) -> int:
        highest = self._unwrap.highest
        source = self._unwrap.unwrap(sequence)
        if source - highest > _MAX_JUMP:  # a jump this wide could make a receiver lose count of the rollovers
            self.switch(sequence)
            return sequence
        return source

    def _place(self, sequence: int) -> int | None:
        source = self._advance(sequence)
        for start, offset in reversed(self._offsets):
            if source >= start:
                return source + offset
        return None
