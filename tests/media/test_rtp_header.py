"""RTP headers and extensions: values survive the way through bytes, and any bytes give a value or MalformedRtp."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.rtp.extensions import audio_level, encode_extensions, parse_extensions
from media.rtp.header import MalformedRtp, RtpPacket, encode_rtp, header_length, parse_rtp

small = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6)
large = st.dictionaries(st.integers(1, 255), st.binary(max_size=40), min_size=1, max_size=4)

packets = st.builds(
    RtpPacket,
    marker=st.booleans(),
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    extensions=small | large,
    payload=st.binary(max_size=64),
)


@given(packets)
def test_a_packet_survives_encoding(packet: RtpPacket) -> None:
    data = encode_rtp(packet)
    assert parse_rtp(data) == packet
    assert header_length(data) == len(data) - len(packet.payload)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"\xb0\x60" + tail))
@example(b"")
@example(b"\x90" + bytes(11))  # an extension header that is not there
@example(b"\xa0" + bytes(11))  # padding of length nought
def test_any_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except MalformedRtp:
        return
    assert len(packet.payload) <= len(data) - 12


@given(st.integers(0, 0xFFFF), st.binary(max_size=80))
def test_any_extension_block_is_read(profile: int, block: bytes) -> None:
    for value in parse_extensions(profile, block).values():
        assert value in block


@given(small | large)
def test_extensions_survive_encoding(elements: dict[int, bytes]) -> None:
    block = encode_extensions(elements)
    assert len(block) % 4 == 0
    assert int.from_bytes(block[2:4], "big") * 4 == len(block) - 4
    assert parse_extensions(int.from_bytes(block[:2], "big"), block[4:]) == elements


def test_padding_and_contributing_sources_are_read_over() -> None:
    data = bytes.fromhex("a2600001 00000002 00000003 0000000a 0000000b".replace(" ", "")) + b"voice\0\0\3"
    assert parse_rtp(data).payload == b"voice"


@pytest.mark.parametrize("padding", [0, 9, 255])
def test_padding_longer_than_the_packet_is_malformed(padding: int) -> None:
    with pytest.raises(MalformedRtp):
        parse_rtp(b"\xa0" + bytes(11) + b"voice" + bytes((padding,)))


def test_audio_level_is_negative_and_without_the_voice_bit() -> None:
    assert audio_level(b"\x80") == 0
    assert audio_level(b"\xff") == -127
    assert audio_level(b"\x1e") == -30
