"""VP8 picture ids, TL0PICIDX and KEYIDX without a seam (RFC 7741 §4.2): the receiver knows nothing of switches.

Picture ids go out in their 15-bit form, whatever form they come in.
"""

from typing import NamedTuple

from media.rtp.vp8 import PICTURE_ID_MODULUS, SHORT_PICTURE_ID_MODULUS, Vp8Descriptor, parse_vp8

_FLAGS_KEPT = 0xF0  # without what is reserved
_KEPT = [bytes((first & 0xB7,)) for first in range(256)]
"""First bytes without what is reserved."""


class Pictures(NamedTuple):
    """The running fields of a descriptor, or what to add to them."""

    picture: int = 0
    tl0: int = 0
    key: int = 0


class _Counter:
    """One running field: follows its source by differences, continues by one after a switch."""

    def __init__(self, modulus: int) -> None:
        self._modulus = modulus
        self._source: int | None = None
        self._highest = 0
        self._last = -1

    def switch(self) -> None:
        self._source = None

    @property
    def last(self) -> int:
        return self._last % self._modulus

    @property
    def begun(self) -> int:
        """The newest of the present source, or what it will begin with."""
        return (self._last + (self._source is None)) % self._modulus

    def map(self, value: int, modulus: int) -> int:
        """`modulus` is where the source's own count wraps."""
        if self._source is None:
            self._source = value
            self._highest = self._last + 1
        ahead = (value - self._source) % modulus
        if ahead >= modulus // 2:
            return (self._highest + ahead - modulus) % self._modulus
        self._source = value
        self._highest += ahead
        self._last = max(self._last, self._highest)
        return self._highest % self._modulus


class PictureMap:
    """Rewrites the descriptors of one outgoing VP8 stream."""

    def __init__(self) -> None:
        self._picture = _Counter(PICTURE_ID_MODULUS)
        self._tl0 = _Counter(256)
        self._key = _Counter(32)
        self._long = False
        self._read = self._written = b""

    def switch(self) -> None:
        """The next payload is the first of another source: the start of a key frame."""
        for counter in (self._picture, self._tl0, self._key):
            counter.switch()
        self._long = False
        self._read = b""

    @property
    def last(self) -> Pictures:
        """The newest that went out."""
        return Pictures(self._picture.last, self._tl0.last, self._key.last)

    @property
    def begun(self) -> Pictures:
        """The newest of the present source; where it has had no such field yet, what the next one goes out with."""
        return Pictures(self._picture.begun, self._tl0.begun, self._key.begun)

    def rewrite(self, payload: bytes) -> bytes:
        """The payload with its descriptor continued. Raises MalformedVp8."""
        read = self._read
        if read and payload.startswith(read, 1) and payload[0] & 0x80:  # another packet of the same frame
            return _KEPT[payload[0]] + self._written + payload[len(read) + 1 :]
        descriptor = parse_vp8(payload)
        if descriptor.picture_id is None and descriptor.tl0_index is None and descriptor.key_index is None:
            return payload
        self._read = payload[1 : descriptor.length]
        self._written = self._continued(payload, descriptor)
        return _KEPT[payload[0]] + self._written + payload[descriptor.length :]

    def _continued(self, payload: bytes, descriptor: Vp8Descriptor) -> bytes:
        """The descriptor behind its first byte, written on from the old one."""
        picture_id, tl0_index, key_index = descriptor.picture_id, descriptor.tl0_index, descriptor.key_index
        flags = payload[1]
        head = bytearray((flags & _FLAGS_KEPT,))
        if picture_id is not None:
            # A source that writes small ids short and large ones long counts to 2**15 all the same.
            self._long = self._long or descriptor.long_picture_id
            picture_id = self._picture.map(picture_id, PICTURE_ID_MODULUS if self._long else SHORT_PICTURE_ID_MODULUS)
            head += (0x8000 | picture_id).to_bytes(2, "big")
        if tl0_index is not None:
            head.append(self._tl0.map(tl0_index, 256))
        if flags & 0x30:
            last = payload[descriptor.length - 1] & 0xE0 if flags & 0x20 else 0
            head.append(last if key_index is None else last | self._key.map(key_index, 32))
        return bytes(head)


def shift_pictures(payload: bytes, by: Pictures) -> bytes:
    """A payload that `PictureMap` wrote, with each running field moved on."""
    if not payload[0] & 0x80:
        return payload
    flags = payload[1]
    head = bytearray(payload[:6])
    position = 2
    if flags & 0x80:
        picture = ((head[2] & 0x7F) << 8 | head[3]) + by.picture & 0x7FFF
        head[2], head[3] = 0x80 | picture >> 8, picture & 0xFF
        position = 4
    if flags & 0x40:
        head[position] = head[position] + by.tl0 & 0xFF
        position += 1
    if flags & 0x10:
        head[position] = head[position] & 0xE0 | head[position] + by.key & 0x1F
    return bytes(head) + payload[6:]


def between(earlier: Pictures, later: Pictures) -> Pictures:
    """What to add to `earlier` to get `later`."""
    return Pictures(
        (later.picture - earlier.picture) % PICTURE_ID_MODULUS,
        (later.tl0 - earlier.tl0) % 256,
        (later.key - earlier.key) % 32,
    )
