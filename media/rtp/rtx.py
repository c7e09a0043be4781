"""Retransmission payloads (RFC 4588 §4): a packet sent again on an SSRC of its own, its number in front."""


class MalformedRtx(ValueError):
    """This payload holds no original sequence number."""


def wrap_rtx(sequence: int, payload: bytes) -> bytes:
    return (sequence & 0xFFFF).to_bytes(2, "big") + payload


def unwrap_rtx(payload: bytes) -> tuple[int, bytes]:
    """The original sequence number and payload. Raises MalformedRtx."""
    if len(payload) < 3:
        raise MalformedRtx("no original packet")
    return payload[0] << 8 | payload[1], payload[2:]
