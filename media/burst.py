"""Packets of one stream on their way to many receivers: laid out once, encrypted for each, sent as one burst.

A burst is at most one read's worth of packets, usually a video frame. Packets that differ by a few bytes are padded
(RFC 3550 §5.1) to one size, because UDP segmentation offload sends only runs of equal sizes, the last of which may be
shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

TAG = 16
MOST_IN_RUN = 40
MOST_PADDING = 16
_MOST_RUN_BYTES = 60_000


Seal = Callable[[int, bytes, bytes], bytes]
"""Encrypts one packet: its index, payload and header to its ciphertext with the tag."""


class Outgoing(NamedTuple):
    """A plain packet: its index, the header with its sequence number, the payload with any padding."""

    number: int
    header: bytes
    payload: bytes


class Run(NamedTuple):
    """Datagrams in a row: each `segment` bytes long, the last perhaps shorter."""

    data: bytes
    segment: int


@dataclass(slots=True)
class Amount:
    """Packets, their octets of payload, and of datagrams."""

    packets: int = 0
    octets: int = 0
    wire_bytes: int = 0

    def add(self, other: "Amount", sign: int = 1) -> None:
        self.packets += sign * other.packets
        self.octets += sign * other.octets
        self.wire_bytes += sign * other.wire_bytes


class Row(NamedTuple):
    """Packets whose indices follow each other from `first` to before `end`, and which become one run.

    `pieces` are the headers, and behind each one the ciphertext for the receiver that it was sealed for last;
    `segment` and `size` are the bytes of its longest datagram and of all.
    """

    first: int
    end: int
    payloads: list[bytes]
    headers: list[bytes]
    pieces: list[bytes]
    segment: int
    size: int

    def seal(self, seal: Seal, shift: int) -> bytes:
        """Its run for one receiver, `shift` added to the indices."""
        self.pieces[1::2] = map(seal, range(self.first + shift, self.end + shift), self.payloads, self.headers)
        return b"".join(self.pieces)


class Burst:
    __slots__ = ("amount", "highest", "lowest", "packets", "rows")

    def __init__(self, packets: Sequence[Outgoing]) -> None:
        self.packets = packets
        self.lowest = min(packet.number for packet in packets)
        self.highest = max(packet.number for packet in packets)
        self.amount = Amount(len(packets), sum(len(packet.payload) for packet in packets))
        self.rows: list[Row] = []
        self._lay_out(packets)

    def _lay_out(self, packets: Sequence[Outgoing]) -> None:
        row: list[Outgoing] = []
        segment = octets = 0
        for packet in packets:
            size = len(packet.header) + len(packet.payload) + TAG
            if row and (
                size > segment
                or octets % segment
                or packet.number != row[-1].number + 1
                or len(row) == MOST_IN_RUN
                or octets + size > _MOST_RUN_BYTES
            ):
                self.rows.append(_row(row, segment))
                row, octets = [], 0
            if not row:
                segment = size
            row.append(packet)
            octets += size
            self.amount.wire_bytes += size
        self.rows.append(_row(row, segment))

    def seal(self, seal: Seal, shift: int) -> list[Run]:
        """Its datagrams for one receiver, `shift` added to the indices."""
        return [Run(row.seal(seal, shift), row.segment) for row in self.rows]


def _row(packets: list[Outgoing], segment: int) -> Row:
    headers = [packet.header for packet in packets]
    payloads = [packet.payload for packet in packets]
    pieces = [piece for header in headers for piece in (header, b"")]
    first, end = packets[0].number, packets[-1].number + 1
    size = sum(map(len, headers)) + sum(map(len, payloads)) + TAG * len(packets)
    return Row(first, end, payloads, headers, pieces, segment, size)


def equalise(packets: list[Outgoing]) -> list[Outgoing]:
    """The packets with the shorter ones padded where a few bytes make the sizes equal; the last may stay shorter."""
    if len(packets) < 2:
        return packets
    longest = max(len(packet.header) + len(packet.payload) for packet in packets)
    last = len(packets) - 1
    return [
        packet
        if place == last or not 0 < (short := longest - len(packet.header) - len(packet.payload)) <= MOST_PADDING
        else _padded(packet, short)
        for place, packet in enumerate(packets)
    ]


def _padded(packet: Outgoing, count: int) -> Outgoing:
    index, header, payload = packet
    if header[0] & 0x20:
        return packet
    return Outgoing(index, bytes((header[0] | 0x20,)) + header[1:], payload + bytes(count - 1) + bytes((count,)))
