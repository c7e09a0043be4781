"""H.264 payloads (RFC 6184 §5): does a key frame begin here, and how large is the picture (H.264 §7.3.2.1.1).

Browsers put SPS, PPS and IDR of a key frame into one timestamp, the parameter sets first, so a key frame begins with
its SPS; an IDR without one begins a key frame as well.
"""

from collections.abc import Iterator

_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28
_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))


def _units(payload: bytes) -> Iterator[bytes]:
    """The NAL units that begin in this payload; a fragment's first part counts as its unit. Damage ends it."""
    if not payload:
        return
    kind = payload[0] & 0x1F
    if kind == _STAP_A:
        position = 1
        while position + 2 < len(payload):
            size = int.from_bytes(payload[position : position + 2], "big")
            yield payload[position + 2 : position + 2 + size]
            position += 2 + size
    elif kind == _FU_A:
        if len(payload) > 2 and payload[1] & 0x80:
            yield bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)) + payload[2:]
    else:
        yield payload


def has_parameter_set(payload: bytes) -> bool:
    """Whether there is a sequence parameter set in it. Never raises."""
    return any(unit and unit[0] & 0x1F == _SPS for unit in _units(payload))


def starts_key_frame(payload: bytes) -> bool:
    """Never raises."""
    return any(unit and unit[0] & 0x1F in (_SPS, _IDR) for unit in _units(payload))


def key_frame_size(payload: bytes) -> tuple[int, int] | None:
    """Width and height of the sequence parameter set in this payload, if there is a readable one. Never raises."""
    for unit in _units(payload):
        if unit and unit[0] & 0x1F == _SPS:
            try:
                return _sps_size(_Bits(unit[1:].replace(b"\0\0\x03", b"\0\0")))
            except EOFError:
                return None
    return None


class _Bits:
    """A bit reader; EOFError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise EOFError
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _sps_size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma = _skip_chroma(bits) if profile in _HIGH_PROFILES else 1
    bits.golomb()
    _skip_order_count(bits)
    bits.golomb()
    bits.take(1)
    width = (bits.golomb() + 1) * 16
    height_units = bits.golomb() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    height = height_units * 16 * (2 - frames_only)
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        step_x = 2 if chroma in (1, 2) else 1
        step_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        width -= (left + right) * step_x
        height -= (top + bottom) * step_y
    return max(width, 0), max(height, 0)


def _skip_chroma(bits: _Bits) -> int:
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.signed_golomb()
        bits.signed_golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed_golomb()
