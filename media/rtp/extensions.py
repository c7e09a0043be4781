"""RTP header extensions (RFC 8285), one-byte and two-byte form, and the ones this node reads.

A broken block yields the elements before the damage: extensions are hints, and the packet itself is authenticated.
"""

from struct import Struct
from typing import Final

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION: Final = "urn:3gpp:video-orientation"
TRANSPORT_CC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

_ONE_BYTE: Final = 0xBEDE
_TWO_BYTE: Final = 0x1000
_HEAD: Final = Struct("!HH")
_BYTES: Final = [bytes((value,)) for value in range(256)]


def parse_extensions(profile: int, block: bytes) -> dict[int, bytes]:
    """Element id to value. Never raises; an unknown profile has no elements."""
    if profile == _ONE_BYTE:
        return _parse_one_byte(block)
    if profile & 0xFFF0 == _TWO_BYTE:
        return _parse_two_byte(block)
    return {}


def _parse_one_byte(block: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    position, end = 0, len(block)
    while position < end:
        first = block[position]
        position += 1
        if first == 0:
            continue
        ident = first >> 4
        stop = position + (first & 0x0F) + 1
        if ident == 15 or stop > end:
            break
        if ident:
            elements[ident] = block[position:stop]
        position = stop
    return elements


def _parse_two_byte(block: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    position, end = 0, len(block)
    while position < end:
        ident = block[position]
        position += 1
        if ident == 0:
            continue
        if position >= end or position + 1 + block[position] > end:
            break
        stop = position + 1 + block[position]
        elements[ident] = block[position + 1 : stop]
        position = stop
    return elements


def encode_extensions(elements: dict[int, bytes]) -> bytes:
    """The extension block with its four-byte header; one-byte form where every element fits it.

    Ids are 1 to 255 and values at most 255 bytes long.
    """
    body = b""
    for ident, value in elements.items():
        size = len(value)
        if not (0 < ident < 15 and 0 < size <= 16):
            return _encode_two_byte(elements)
        body += _BYTES[ident << 4 | size - 1] + value
    return _block(_ONE_BYTE, body)


def _encode_two_byte(elements: dict[int, bytes]) -> bytes:
    return _block(_TWO_BYTE, b"".join(bytes((ident, len(value))) + value for ident, value in elements.items()))


def _block(profile: int, body: bytes) -> bytes:
    size = len(body)
    return _HEAD.pack(profile, size + 3 >> 2) + body + bytes(-size % 4)


def audio_level(value: bytes) -> int:
    """RFC 6464 §3: the level in dBov, 0 the loudest, -127 silence."""
    return -(value[0] & 0x7F)


def abs_send_time(now: float) -> bytes:
    """Seconds modulo 64 in 6.18 fixed point (draft-alvestrand-rmcat-remb §2.3); any clock that goes on evenly."""
    return (int(now * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")
