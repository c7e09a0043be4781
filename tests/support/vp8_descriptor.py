"""Writing a VP8 payload descriptor (RFC 7741 §4.2), for streams that tests make."""

from media.rtp.vp8 import Vp8Descriptor


def encode_vp8(descriptor: Vp8Descriptor) -> bytes:
    """The descriptor with its fields as they are; `length` is not read."""
    first = (0x20 if descriptor.non_reference else 0) | (0x10 if descriptor.starts_partition else 0)
    first |= descriptor.partition
    flags = 0
    fields = bytearray()
    if descriptor.picture_id is not None:
        flags |= 0x80
        if descriptor.long_picture_id:
            fields += (0x8000 | descriptor.picture_id).to_bytes(2, "big")
        else:
            fields.append(descriptor.picture_id)
    if descriptor.tl0_index is not None:
        flags |= 0x40
        fields.append(descriptor.tl0_index)
    last = 0
    if descriptor.temporal is not None:
        flags |= 0x20
        last |= descriptor.temporal << 6 | (0x20 if descriptor.layer_sync else 0)
    if descriptor.key_index is not None:
        flags |= 0x10
        last |= descriptor.key_index
    if flags & 0x30:
        fields.append(last)
    return bytes((first | 0x80, flags)) + bytes(fields) if flags else bytes((first,))
