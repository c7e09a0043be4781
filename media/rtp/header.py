"""The RTP fixed header (RFC 3550 §5.1): bytes to a value and back.

`RtpPacket` is the one object made for a packet that comes in; everything that forwards it shares it.
"""

from dataclasses import dataclass
from struct import Struct

from media.rtp.extensions import encode_extensions, parse_extensions

FIXED_LENGTH = 12
_FIXED = Struct("!BBHII")


class MalformedRtp(ValueError):
    """These bytes are no RTP packet."""


@dataclass(slots=True)
class RtpPacket:
    """A parsed packet. `payload` is without padding; contributing sources are read over."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    extensions: dict[int, bytes]
    payload: bytes


def header_length(data: bytes) -> int:
    """How many bytes come before the payload: what SRTP authenticates and does not encrypt.

    Raises MalformedRtp when the header does not fit into the data.
    """
    if len(data) < FIXED_LENGTH or data[0] >> 6 != 2:
        raise MalformedRtp("no RTP header")
    length = FIXED_LENGTH + 4 * (data[0] & 0x0F)
    if data[0] & 0x10:
        if len(data) < length + 4:
            raise MalformedRtp("truncated extension header")
        length += 4 + 4 * int.from_bytes(data[length + 2 : length + 4], "big")
    if len(data) < length:
        raise MalformedRtp("truncated header")
    return length


def parse_rtp(data: bytes) -> RtpPacket:
    """Raises MalformedRtp, never anything else."""
    length = header_length(data)
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    end = len(data)
    if first & 0x20:
        padding = data[-1]
        if padding == 0 or end - padding < length:
            raise MalformedRtp("bad padding length")
        end -= padding
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        start = FIXED_LENGTH + 4 * (first & 0x0F)
        profile = int.from_bytes(data[start : start + 2], "big")
        extensions = parse_extensions(profile, data[start + 4 : length])
    return RtpPacket(bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, extensions, data[length:end])


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
