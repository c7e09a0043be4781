"""Packets of one stream on their way to many receivers: laid out once, encrypted in place for each, sent as one burst.

A burst is at most one read's worth of packets, usually a video frame. Its buffer is a scratch that is used again for
the next one: a burst is good until then. Packets that differ by a few bytes are padded (RFC 3550 §5.1) to one size,
because UDP segmentation offload sends only runs of equal sizes, the last of which may be shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

TAG_ROOM = 16
MOST_IN_RUN = 40
MOST_PADDING = 16
_MOST_RUN_BYTES = 60_000
_SCRATCH = 256 * 1024
_MOST_RECEIVED = 2048  # media.net
_MOST_GROWTH = 128  # extensions, the long picture id, padding


Seal = Callable[[int, bytes, bytes], bytes]
"""Encrypts one packet: its index, payload and header to its ciphertext with the tag."""


class Outgoing(NamedTuple):
    """A plain packet: its index, the header with its sequence number, the payload with any padding."""

    number: int
    header: bytes
    payload: bytes


class Run(NamedTuple):
    """Datagrams in a row in one buffer: each `segment` bytes long, the last perhaps shorter."""

    data: memoryview | bytes
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


class Burst:
    """`items` are (index, payload, header, where the ciphertext goes); `runs` the same as datagrams once encrypted."""

    __slots__ = ("amount", "highest", "items", "lowest", "packets", "runs")

    def __init__(self, packets: Sequence[Outgoing]) -> None:
        self.packets = packets
        self.lowest = min(packet.number for packet in packets)
        self.highest = max(packet.number for packet in packets)
        self.amount = Amount(len(packets), sum(len(packet.payload) for packet in packets))
        self.items: list[tuple[int, bytes, bytes, memoryview]] = []
        self.runs: list[Run] = []
        self._lay_out(packets)

    def _lay_out(self, packets: Sequence[Outgoing]) -> None:
        position = start = segment = count = 0
        for index, header, payload in packets:
            body = position + len(header)
            end = body + len(payload) + TAG_ROOM
            size = end - position
            if count and (
                size > segment or (position - start) % segment or count == MOST_IN_RUN or end - start > _MOST_RUN_BYTES
            ):
                self.runs.append(Run(_ROOM[start:position], segment))
                start, count = position, 0
            if not count:
                segment = size
            _ROOM[position:body] = header
            self.items.append((index, payload, header, _ROOM[body:end]))
            position = end
            count += 1
        self.runs.append(Run(_ROOM[start:position], segment))
        self.amount.wire_bytes = position

    def seal(self, seal: Seal, shift: int) -> list[Run]:
        """Its runs, encrypted for one receiver, to be sent before the next."""
        for index, payload, header, room in self.items:
            room[:] = seal(index + shift, payload, header)
        return self.runs


_ROOM = memoryview(bytearray(_SCRATCH))
MOST_IN_BURST = _SCRATCH // (_MOST_RECEIVED + _MOST_GROWTH)
"""So many packets of any size that is received fit the scratch."""


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
