"""RTCP (RFC 3550 §6, RFC 4585, RFC 5104, REMB): compound packets to values and back.

`parse_rtcp` yields what this node acts upon and reads over the rest. Raises MalformedRtcp, never anything else.
"""

from collections.abc import Callable
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
_PAIR = Struct("!II")


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
    position, size = 0, len(data)
    while position < size:
        if size - position < 4:
            raise MalformedRtcp("truncated header")
        first, kind, words = _HEADER.unpack_from(data, position)
        begin = position + 4
        position = end = begin + 4 * words
        if first >> 6 != 2 or end > size:
            raise MalformedRtcp("bad version or length")
        if first & 0x20:
            end -= _padding(data, begin, end)
        parse = _PARSERS.get(kind)
        part = parse(data, first & 0x1F, begin, end) if parse is not None else None
        if part is not None:
            parts.append(part)
    return parts


def _padding(data: bytes, begin: int, end: int) -> int:
    count = data[end - 1] if end > begin else 0
    if not 0 < count <= end - begin:
        raise MalformedRtcp("bad padding length")
    return count


def _parse_sender_report(data: bytes, count: int, begin: int, end: int) -> SenderReport:
    if end - begin < _SENDER.size:
        raise MalformedRtcp("truncated sender report")
    ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(data, begin)
    return SenderReport(ssrc, ntp, timestamp, packets, octets, _parse_blocks(data, count, begin + _SENDER.size, end))


def _parse_receiver_report(data: bytes, count: int, begin: int, end: int) -> ReceiverReport:
    if end - begin < 4:
        raise MalformedRtcp("truncated receiver report")
    return ReceiverReport(_U32.unpack_from(data, begin)[0], _parse_blocks(data, count, begin + 4, end))


def _parse_bye(data: bytes, count: int, begin: int, end: int) -> Bye:
    if end - begin < 4 * count:
        raise MalformedRtcp("truncated BYE")
    return Bye(unpack_from(f"!{count}I", data, begin))


def _parse_blocks(data: bytes, count: int, begin: int, end: int) -> tuple[ReportBlock, ...]:
    if end - begin < _BLOCK.size * count:
        raise MalformedRtcp("truncated report block")
    blocks = []
    for at in range(begin, begin + _BLOCK.size * count, _BLOCK.size):
        ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(data, at)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_report, delay))
    return tuple(blocks)


def _parse_transport_feedback(data: bytes, subtype: int, begin: int, end: int) -> Nack | TransportFeedback | None:
    sender, media = _parse_pair(data, begin, end)
    if subtype == _NACK:
        return Nack(sender, media, _parse_nack(_words(data, begin + 8, end)))
    return TransportFeedback(sender, media, data[begin + 8 : end]) if subtype == _TRANSPORT_CC else None


def _parse_payload_feedback(data: bytes, subtype: int, begin: int, end: int) -> KeyFrameRequest | Remb | None:
    sender, media = _parse_pair(data, begin, end)
    if subtype == _PLI:
        return KeyFrameRequest(sender, (media,))
    if subtype == _FIR:
        return KeyFrameRequest(sender, _words(data, begin + 8, end)[::2])
    if subtype == _APP and data[begin + 8 : begin + 12] == b"REMB":
        return _parse_remb(sender, data, begin + 12, end)
    return None


def _parse_pair(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """The sender's SSRC and that of what it tells about (RFC 4585 §6.1)."""
    if end - begin < 8:
        raise MalformedRtcp("truncated feedback")
    sender, media = _PAIR.unpack_from(data, begin)
    return sender, media


def _words(data: bytes, begin: int, end: int) -> tuple[int, ...]:
    return unpack_from(f"!{(end - begin) // 4}I", data, begin)


def _parse_nack(words: tuple[int, ...]) -> tuple[int, ...]:
    lost = []
    for word in words:
        sequence, mask = word >> 16, word & 0xFFFF
        lost.append(sequence)
        lost.extend((sequence + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)
    return tuple(lost)


def _parse_remb(sender: int, data: bytes, begin: int, end: int) -> Remb:
    if end - begin < 4 or end - begin < 4 + 4 * data[begin]:
        raise MalformedRtcp("truncated REMB")
    (word,) = _U32.unpack_from(data, begin)
    exponent, mantissa = word >> 18 & 0x3F, word & _MAX_MANTISSA
    return Remb(sender, mantissa << exponent, _words(data, begin + 4, begin + 4 + 4 * data[begin]))


_PARSERS: dict[int, Callable[[bytes, int, int, int], AnyRtcp | None]] = {
    SR: _parse_sender_report,
    RR: _parse_receiver_report,
    BYE: _parse_bye,
    RTPFB: _parse_transport_feedback,
    PSFB: _parse_payload_feedback,
}
"""By packet type: what reads the part from `begin` to `end`; the five bits of its header are a count or a subtype."""


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
