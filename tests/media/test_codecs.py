"""VP8 descriptors and H.264 payloads."""

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from media.rtp import h264, vp8
from media.rtp.vp8 import MalformedVp8, Vp8Descriptor, parse_vp8
from tests.support.vp8_descriptor import encode_vp8


@st.composite
def descriptors(draw: st.DrawFn) -> Vp8Descriptor:
    long = draw(st.booleans())
    picture_id = draw(st.none() | st.integers(0, 0x7FFF if long else 0x7F))
    temporal = draw(st.none() | st.integers(0, 3))
    descriptor = Vp8Descriptor(
        0,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.integers(0, 7)),
        picture_id,
        long and picture_id is not None,
        draw(st.none() | st.integers(0, 255)),
        temporal,
        draw(st.booleans()) if temporal is not None else False,
        draw(st.none() | st.integers(0, 31)),
    )
    return parse_vp8(encode_vp8(descriptor) + b"frame")


@given(descriptors())
def test_a_descriptor_survives_encoding(descriptor: Vp8Descriptor) -> None:
    data = encode_vp8(descriptor)
    assert len(data) == descriptor.length
    assert parse_vp8(data + b"frame") == descriptor


@given(descriptors())
def test_aiortc_reads_the_same(descriptor: Vp8Descriptor) -> None:
    theirs, rest = VpxPayloadDescriptor.parse(encode_vp8(descriptor) + b"frame")
    assert rest == b"frame"
    assert (theirs.picture_id, theirs.tl0picidx, theirs.keyidx) == (
        descriptor.picture_id,
        descriptor.tl0_index,
        descriptor.key_index,
    )


@given(st.binary(max_size=20))
def test_any_bytes_are_a_descriptor_or_malformed(payload: bytes) -> None:
    """A key frame's start is seen without the descriptor, and where there is none, never."""
    try:
        descriptor = parse_vp8(payload)
    except MalformedVp8:
        assert not vp8.starts_key_frame(payload) and vp8.key_frame_size(payload) is None
        return
    behind = payload[descriptor.length :]
    first = descriptor.starts_partition and descriptor.partition == 0
    assert vp8.starts_key_frame(payload) == (first and bool(behind) and not behind[0] & 1)
    assert vp8.key_frame_size(payload) is None or behind[3:6] == b"\x9d\x01\x2a"


def test_a_vp8_key_frame_and_its_size() -> None:
    payload = bytes.fromhex("90 80 8123 10 02 00 9d012a 0005 d002".replace(" ", ""))
    assert parse_vp8(payload).picture_id == 0x123
    assert vp8.starts_key_frame(payload)
    assert vp8.key_frame_size(payload) == (1280, 720)
    inter = payload[:4] + b"\x11" + payload[5:]
    assert not vp8.starts_key_frame(inter)
    later = b"\x80" + payload[1:]  # not the frame's first packet
    assert not vp8.starts_key_frame(later)


SPS_720P = bytes.fromhex("6742c01f8c8d40501e900f08846a")
SPS_1080P_HIGH = bytes.fromhex("67640028acd940780227e5c05a808080a0000003002000000781e30632c0")


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        (SPS_720P, True),
        (b"\x65\x88", True),  # IDR
        (b"\x41\x9a", False),  # a slice
        (b"\x78\x00\x0e" + SPS_720P + b"\x00\x02\x68\xce", True),  # STAP-A with SPS and PPS
        (b"\x78\x00\x02\x41\x9a", False),
        (b"\x7c\x85\x88", True),  # FU-A, start of an IDR
        (b"\x7c\x05\x88", False),  # its middle
        (b"\x7c\x81\x88", False),
        (b"", False),
        (b"\x78", False),
        (b"\x78\xff\xff\x67", True),  # cut
    ],
)
def test_h264_key_frames(payload: bytes, starts: bool) -> None:
    assert h264.starts_key_frame(payload) is starts


def test_h264_picture_size() -> None:
    assert h264.key_frame_size(b"\x78" + len(SPS_1080P_HIGH).to_bytes(2, "big") + SPS_1080P_HIGH) == (1920, 1080)
    assert h264.key_frame_size(b"\x41\x9a") is None
    assert h264.key_frame_size(SPS_720P[:4]) is None


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x67\x64" + tail))
def test_any_h264_payload_is_looked_at(payload: bytes) -> None:
    h264.starts_key_frame(payload)
    h264.key_frame_size(payload)
