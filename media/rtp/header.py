"""The RTP fixed header (RFC 3550 §5.1): bytes to a value and back.

`RtpPacket` is the one object made for a packet that comes in; everything that forwards it shares it.
"""

from struct import Struct
from typing import NamedTuple

import msgspec

from media.rtp.extensions import encode_extensions, parse_extensions

FIXED_LENGTH = 12
PADDED = 0x20
_FIXED = Struct("!BBHII")


class MalformedRtp(ValueError):
    """These bytes are no RTP packet."""


class RtpPacket(msgspec.Struct, gc=False):
    """A parsed packet. `payload` is without padding; contributing sources are read over."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    extensions: dict[int, bytes]
    payload: bytes


class Came(NamedTuple):
    """A packet, the bytes of its datagram, and when it came."""

    packet: RtpPacket
    size: int
    at: float


def header_length(data: bytes) -> int:
    """How many bytes come before the payload: what SRTP authenticates and does not encrypt.

    Raises MalformedRtp when the header does not fit into the data.
    """
    if len(data) < FIXED_LENGTH or (first := data[0]) >> 6 != 2:
        raise MalformedRtp("no RTP header")
    length = FIXED_LENGTH + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < length + 4:
            raise MalformedRtp("truncated extension header")
        length += 4 + 4 * (data[length + 2] << 8 | data[length + 3])
    if len(data) < length:
        raise MalformedRtp("truncated header")
    return length


def parse_rtp(data: bytes) -> RtpPacket:
    """Raises MalformedRtp, never anything else."""
    packet = parse_header(data)
    if data[0] & PADDED:
        packet.payload = without_padding(packet.payload)
    return packet


def parse_header(data: bytes) -> RtpPacket:
    """With all that follows the header for a payload: with its padding, or still encrypted. Raises MalformedRtp."""
    length = header_length(data)
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        start = FIXED_LENGTH + 4 * (first & 0x0F)
        extensions = parse_extensions(data[start] << 8 | data[start + 1], data[start + 4 : length])
    return RtpPacket(second > 127, second & 0x7F, sequence, timestamp, ssrc, extensions, data[length:])


def without_padding(payload: bytes) -> bytes:
    """RFC 3550 §5.1: the last octet counts the padding with itself. Raises MalformedRtp."""
    padding = payload[-1] if payload else 0
    if not 0 < padding <= len(payload):
        raise MalformedRtp("bad padding length")
    return payload[:-padding]


def encode_header(
    *, payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int, extensions: dict[int, bytes]
) -> bytes:
    """A header without contributing sources or padding, with its extension block if there are extensions."""
    fixed = _FIXED.pack(0x90 if extensions else 0x80, (0x80 if marker else 0) | payload_type, sequence, timestamp, ssrc)
    return fixed + encode_extensions(extensions) if extensions else fixed


def encode_rtp(packet: RtpPacket) -> bytes:
    header = encode_header(
        payload_type=packet.payload_type,
        marker=packet.marker,
        sequence=packet.sequence,
        timestamp=packet.timestamp,
        ssrc=packet.ssrc,
        extensions=packet.extensions,
    )
    return header + packet.payload
