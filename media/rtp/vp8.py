"""The VP8 payload descriptor (RFC 7741 §4.2) and what a forwarder must see of the frame (§4.3, RFC 6386 §9.1)."""

import msgspec

PICTURE_ID_MODULUS = 1 << 15
SHORT_PICTURE_ID_MODULUS = 1 << 7


class MalformedVp8(ValueError):
    """This payload holds no VP8 descriptor."""


class Vp8Descriptor(msgspec.Struct, frozen=True):
    """`length` is the descriptor's; `long_picture_id` tells the 15-bit form. None: the field is not there."""

    length: int
    non_reference: bool
    starts_partition: bool
    partition: int
    picture_id: int | None = None
    long_picture_id: bool = False
    tl0_index: int | None = None
    temporal: int | None = None
    layer_sync: bool = False
    key_index: int | None = None


def parse_vp8(payload: bytes) -> Vp8Descriptor:
    """Raises MalformedVp8, never anything else."""
    try:
        return _parse(payload)
    except IndexError:
        raise MalformedVp8("truncated descriptor") from None


def _parse(payload: bytes) -> Vp8Descriptor:
    first = payload[0]
    non_reference, starts, partition = bool(first & 0x20), bool(first & 0x10), first & 0x07
    if not first & 0x80:
        return Vp8Descriptor(1, non_reference, starts, partition)
    flags = payload[1]
    position = 2
    picture_id = tl0_index = temporal = key_index = None
    long_picture_id = layer_sync = False
    if flags & 0x80:
        picture_id = payload[position]
        long_picture_id = bool(picture_id & 0x80)
        if long_picture_id:
            picture_id = (picture_id & 0x7F) << 8 | payload[position + 1]
        position += 2 if long_picture_id else 1
    if flags & 0x40:
        tl0_index = payload[position]
        position += 1
    if flags & 0x30:
        last = payload[position]
        position += 1
        if flags & 0x20:
            temporal, layer_sync = last >> 6, bool(last & 0x20)
        if flags & 0x10:
            key_index = last & 0x1F
    return Vp8Descriptor(
        position,
        non_reference,
        starts,
        partition,
        picture_id,
        long_picture_id,
        tl0_index,
        temporal,
        layer_sync,
        key_index,
    )


def starts_key_frame(payload: bytes) -> bool:
    """The first packet of a key frame: start of partition 0 and the inverse key frame bit clear. Never raises."""
    if not payload or payload[0] & 0x17 != 0x10:
        return False
    start = _length(payload)
    return start is not None and len(payload) > start and not payload[start] & 1


def _length(payload: bytes) -> int | None:
    """The descriptor's, looking at no more of it than that needs: this is done for every frame."""
    if not payload[0] & 0x80:
        return 1
    if len(payload) < 3:
        return None
    flags = payload[1]
    picture_id = (2 if payload[2] & 0x80 else 1) if flags & 0x80 else 0
    return 2 + picture_id + (flags >> 6 & 1) + bool(flags & 0x30)


def key_frame_size(payload: bytes) -> tuple[int, int] | None:
    """Width and height in a key frame's first packet."""
    start = _length(payload) if payload else None
    if start is None:
        return None
    head = payload[start : start + 10]
    if len(head) < 10 or head[3:6] != b"\x9d\x01\x2a":
        return None
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
