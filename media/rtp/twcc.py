"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

The arrival of every packet between two transport-wide sequence numbers, in steps of 250 µs.
"""

from operator import sub
from struct import Struct
from typing import cast

import msgspec

TICK_S = 0.00025
REFERENCE_TICKS = 256  # the reference time counts 64 ms
_HEAD = Struct("!HH")
_NOT, _SMALL, _LARGE = 0, 1, 2
_MAX_RUN = 0x1FFF
_VECTOR = 7


class MalformedTwcc(ValueError):
    """These bytes are no transport-wide feedback."""


class TwccFeedback(msgspec.Struct, frozen=True):
    """`arrivals[i]` is the arrival of packet `base + i`, in ticks of 250 µs since any fixed moment; None: not arrived.

    At least one packet arrived, and `ticks` of consecutive arrivals differ by less than 2**15.
    """

    base: int
    count: int
    arrivals: tuple[int | None, ...]


def encode_twcc(feedback: TwccFeedback) -> bytes:
    """The feedback control information, zero-padded to whole words."""
    first = next(arrival for arrival in feedback.arrivals if arrival is not None)
    reference = first // REFERENCE_TICKS
    chunks, deltas = _encode_arrivals(feedback.arrivals, reference * REFERENCE_TICKS)
    head = _HEAD.pack(feedback.base & 0xFFFF, len(feedback.arrivals))
    head += (reference & 0xFFFFFF).to_bytes(3, "big") + bytes((feedback.count & 0xFF,))
    information = head + chunks + deltas
    return information + bytes(-len(information) % 4)


def _encode_arrivals(arrivals: tuple[int | None, ...], previous: int) -> tuple[bytes, bytes]:
    """The chunks, and the deltas from `previous` on."""
    if len(arrivals) <= _MAX_RUN and None not in arrivals:  # as nearly always, and with small deltas
        ticks = cast("tuple[int, ...]", arrivals)
        try:
            deltas = bytes(map(sub, ticks, (previous, *ticks[:-1])))
        except ValueError:
            pass
        else:
            return (_SMALL << 13 | len(deltas)).to_bytes(2, "big"), deltas
    return _encode_each(arrivals, previous)


def _encode_each(arrivals: tuple[int | None, ...], previous: int) -> tuple[bytes, bytes]:
    symbols = bytearray()
    deltas = bytearray()
    for arrival in arrivals:
        if arrival is None:
            symbols.append(_NOT)
            continue
        delta = arrival - previous
        previous = arrival
        if 0 <= delta <= 0xFF:
            symbols.append(_SMALL)
            deltas.append(delta)
        else:
            symbols.append(_LARGE)
            deltas += delta.to_bytes(2, "big", signed=True)
    return _encode_chunks(bytes(symbols)), bytes(deltas)


def _encode_chunks(symbols: bytes) -> bytes:
    chunks = b""
    while symbols:
        symbol = symbols[0]
        run = min(len(symbols) - len(symbols.lstrip(symbols[:1])), _MAX_RUN)
        if run >= _VECTOR or run == len(symbols):
            chunk = symbol << 13 | run
        else:
            run = _VECTOR
            chunk = 0xC000
            for place, each in enumerate(symbols[:_VECTOR]):
                chunk |= each << (2 * (_VECTOR - 1 - place))
        symbols = symbols[run:]
        chunks += chunk.to_bytes(2, "big")
    return chunks


def parse_twcc(information: bytes) -> TwccFeedback:
    """Raises MalformedTwcc, never anything else."""
    if len(information) < 8:
        raise MalformedTwcc("truncated head")
    base, packets = _HEAD.unpack_from(information)
    reference = int.from_bytes(information[4:7], "big")
    symbols, position = _parse_chunks(information, packets)
    arrivals: list[int | None] = []
    clock = reference * REFERENCE_TICKS
    for symbol in symbols:
        if symbol == _NOT:
            arrivals.append(None)
            continue
        size = 1 if symbol == _SMALL else 2
        if symbol > _LARGE or position + size > len(information):
            raise MalformedTwcc("bad symbol or truncated delta")
        clock += int.from_bytes(information[position : position + size], "big", signed=size == 2)
        position += size
        arrivals.append(clock)
    return TwccFeedback(base, information[7], tuple(arrivals))


def _parse_chunks(information: bytes, packets: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    position = 8
    while len(symbols) < packets:
        if position + 2 > len(information):
            raise MalformedTwcc("truncated chunks")
        chunk = int.from_bytes(information[position : position + 2], "big")
        position += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * (chunk & _MAX_RUN)
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:packets], position
