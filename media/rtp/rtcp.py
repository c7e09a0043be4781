"""RTCP (RFC 3550 §6, RFC 4585, RFC 5104, REMB): compound packets to values and back.

`parse_rtcp` yields what this node acts upon and reads over the rest. Raises MalformedRtcp, never anything else.
"""

from struct import Struct, unpack_from

import msgspec

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
_NACK, _TRANSPORT_CC = 1, 15
_PLI, _FIR, _APP = 1, 4, 15
_MAX_MANTISSA = 0x3FFFF

_HEADER = Struct("!BBH")
_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_U32 = Struct("!I")


class MalformedRtcp(ValueError):
    """These bytes are no RTCP packet."""


class ReportBlock(msgspec.Struct, frozen=True):
    """`fraction_lost` in 1/256; `lost` is signed; `jitter` in timestamp units; `delay` in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay: int


class SenderReport(msgspec.Struct, frozen=True):
    """`ntp` is 32.32 fixed point seconds since 1900."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


class ReceiverReport(msgspec.Struct, frozen=True):
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


class Bye(msgspec.Struct, frozen=True):
    sources: tuple[int, ...]


class Nack(msgspec.Struct, frozen=True):
    sender: int
    media: int
    lost: tuple[int, ...]


class TransportFeedback(msgspec.Struct, frozen=True):
    """The control information is left in bytes: media.rtp.twcc reads it."""

    sender: int
    media: int
    information: bytes


class KeyFrameRequest(msgspec.Struct, frozen=True):
    """A PLI (RFC 4585 §6.3.1) or a FIR (RFC 5104 §4.3.1)."""

    sender: int
    media: tuple[int, ...]


class Remb(msgspec.Struct, frozen=True):
    sender: int
    bps: int
    sources: tuple[int, ...] = ()


AnyRtcp = SenderReport | ReceiverReport | Bye | Nack | TransportFeedback | KeyFrameRequest | Remb


def parse_rtcp(data: bytes) -> list[AnyRtcp]:
    """The known parts of a compound (or reduced-size) packet, in order."""
    parts: list[AnyRtcp] = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise MalformedRtcp("truncated header")
        first, kind, words = _HEADER.unpack_from(data, position)
        end = position + 4 * (words + 1)
        if first >> 6 != 2 or end > len(data):
            raise MalformedRtcp("bad version or length")
        body = data[position + 4 : end]
        if first & 0x20:
            body = _without_padding(body)
        part = _parse_part(kind, first & 0x1F, body)
        if part is not None:
            parts.append(part)
        position = end
    return parts


def _without_padding(body: bytes) -> bytes:
    if not body or body[-1] == 0 or body[-1] > len(body):
        raise MalformedRtcp("bad padding length")
    return body[: -body[-1]]


def _parse_part(kind: int, count: int, body: bytes) -> AnyRtcp | None:
    if kind == SR:
        if len(body) < _SENDER.size:
            raise MalformedRtcp("truncated sender report")
        ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
        return SenderReport(ssrc, ntp, timestamp, packets, octets, _parse_blocks(body[_SENDER.size :], count))
    if kind == RR:
        if len(body) < 4:
            raise MalformedRtcp("truncated receiver report")
        return ReceiverReport(_U32.unpack_from(body)[0], _parse_blocks(body[4:], count))
    if kind == BYE:
        if len(body) < 4 * count:
            raise MalformedRtcp("truncated BYE")
        return Bye(_words(body[: 4 * count]))
    if kind in (RTPFB, PSFB):
        return _parse_feedback(kind, count, body)
    return None


def _parse_blocks(body: bytes, count: int) -> tuple[ReportBlock, ...]:
    if len(body) < _BLOCK.size * count:
        raise MalformedRtcp("truncated report block")
    blocks = []
    for number in range(count):
        ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, number * _BLOCK.size)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_report, delay))
    return tuple(blocks)


def _words(body: bytes) -> tuple[int, ...]:
    return unpack_from(f"!{len(body) // 4}I", body)


def _parse_feedback(kind: int, subtype: int, body: bytes) -> AnyRtcp | None:
    if len(body) < 8:
        raise MalformedRtcp("truncated feedback")
    sender, media = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    information = body[8:]
    if kind == RTPFB:
        if subtype == _NACK:
            return Nack(sender, media, _parse_nack(information))
        return TransportFeedback(sender, media, information) if subtype == _TRANSPORT_CC else None
    if subtype == _PLI:
        return KeyFrameRequest(sender, (media,))
    if subtype == _FIR:
        return KeyFrameRequest(sender, _words(information)[::2])
    if subtype == _APP and information[:4] == b"REMB":
        return _parse_remb(sender, information)
    return None


def _parse_nack(information: bytes) -> tuple[int, ...]:
    lost = []
    for word in _words(information):
        sequence, mask = word >> 16, word & 0xFFFF
        lost.append(sequence)
        lost.extend((sequence + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)
    return tuple(lost)


def _parse_remb(sender: int, information: bytes) -> Remb:
    if len(information) < 8 or len(information) < 8 + 4 * information[4]:
        raise MalformedRtcp("truncated REMB")
    exponent = information[5] >> 2
    mantissa = (information[5] & 3) << 16 | information[6] << 8 | information[7]
    return Remb(sender, mantissa << exponent, _words(information[8 : 8 + 4 * information[4]]))


def _encode(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _encode_block(block: ReportBlock) -> bytes:
    lost = max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF
    return _BLOCK.pack(
        block.ssrc,
        block.fraction_lost << 24 | lost,
        block.highest_sequence & 0xFFFFFFFF,
        min(block.jitter, 0xFFFFFFFF),
        block.last_report,
        min(block.delay, 0xFFFFFFFF),
    )


def encode_sender_report(report: SenderReport) -> bytes:
    body = _SENDER.pack(
        report.ssrc,
        report.ntp & 0xFFFFFFFFFFFFFFFF,
        report.timestamp & 0xFFFFFFFF,
        report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    )
    return _encode(SR, len(report.blocks), body + b"".join(map(_encode_block, report.blocks)))


def encode_receiver_report(report: ReceiverReport) -> bytes:
    """At most 31 blocks (the count has five bits)."""
    return _encode(RR, len(report.blocks), _U32.pack(report.ssrc) + b"".join(map(_encode_block, report.blocks)))


def encode_cname(ssrc: int, cname: str) -> bytes:
    """An SDES packet (RFC 3550 §6.5) of one chunk with the canonical name."""
    name = cname.encode()
    chunk = _U32.pack(ssrc) + bytes((1, len(name))) + name + b"\0"
    return _encode(SDES, 1, chunk + bytes(-len(chunk) % 4))


def encode_bye(sources: tuple[int, ...]) -> bytes:
    return _encode(BYE, len(sources), b"".join(map(_U32.pack, sources)))


def encode_pli(sender: int, media: int) -> bytes:
    return _encode(PSFB, _PLI, _U32.pack(sender) + _U32.pack(media))


def encode_nack(sender: int, media: int, lost: list[int]) -> bytes:
    """`lost` holds 16-bit sequence numbers in ascending order (around the wrap)."""
    words: list[tuple[int, int]] = []
    for sequence in lost:
        if words and 0 < (distance := (sequence - words[-1][0]) & 0xFFFF) <= 16:
            words[-1] = (words[-1][0], words[-1][1] | 1 << (distance - 1))
        else:
            words.append((sequence, 0))
    information = b"".join(_U32.pack(sequence << 16 | mask) for sequence, mask in words)
    return _encode(RTPFB, _NACK, _U32.pack(sender) + _U32.pack(media) + information)


def encode_remb(sender: int, bps: int, sources: tuple[int, ...]) -> bytes:
    """draft-alvestrand-rmcat-remb §2.2; the rate is rounded down to 18 significant bits."""
    exponent = max(0, bps.bit_length() - _MAX_MANTISSA.bit_length())
    mantissa = bps >> exponent
    information = (
        b"REMB" + bytes((len(sources), exponent << 2 | mantissa >> 16)) + (mantissa & 0xFFFF).to_bytes(2, "big")
    )
    return _encode(PSFB, _APP, _U32.pack(sender) + _U32.pack(0) + information + b"".join(map(_U32.pack, sources)))


def encode_transport_feedback(sender: int, media: int, information: bytes) -> bytes:
    """`information` is padded to whole words by media.rtp.twcc."""
    return _encode(RTPFB, _TRANSPORT_CC, _U32.pack(sender) + _U32.pack(media) + information)
