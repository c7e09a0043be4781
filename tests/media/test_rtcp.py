"""RTCP: our own packets are read back, aiortc reads them as well, and any bytes give parts or MalformedRtcp."""

import pytest
from aiortc import rtp as aiortc_rtp
from hypothesis import example, given
from hypothesis import strategies as st

from media.rtp.rtcp import (
    Bye,
    KeyFrameRequest,
    MalformedRtcp,
    Nack,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    TransportFeedback,
    encode_bye,
    encode_cname,
    encode_nack,
    encode_pli,
    encode_receiver_report,
    encode_remb,
    encode_sender_report,
    encode_transport_feedback,
    parse_rtcp,
)

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    ReportBlock,
    ssrc=u32,
    fraction_lost=st.integers(0, 255),
    lost=st.integers(-0x800000, 0x7FFFFF),
    highest_sequence=u32,
    jitter=u32,
    last_report=u32,
    delay=u32,
)
sender_reports = st.builds(
    SenderReport,
    ssrc=u32,
    ntp=st.integers(0, 2**64 - 1),
    timestamp=u32,
    packets=u32,
    octets=u32,
    blocks=st.lists(blocks, max_size=3).map(tuple),
)
receiver_reports = st.builds(ReceiverReport, ssrc=u32, blocks=st.lists(blocks, max_size=31).map(tuple))


@given(sender_reports, receiver_reports)
def test_a_compound_of_reports_is_read_back(sender: SenderReport, receiver: ReceiverReport) -> None:
    data = encode_sender_report(sender) + encode_cname(sender.ssrc, "diemcau") + encode_receiver_report(receiver)
    assert parse_rtcp(data) == [sender, receiver]


@given(sender_reports)
def test_aiortc_reads_our_sender_report_the_same(report: SenderReport) -> None:
    packet, names = aiortc_rtp.RtcpPacket.parse(encode_sender_report(report) + encode_cname(report.ssrc, "diemcau"))
    assert isinstance(packet, aiortc_rtp.RtcpSrPacket)
    assert (packet.ssrc, packet.sender_info.ntp_timestamp) == (report.ssrc, report.ntp)
    assert [each.packets_lost for each in packet.reports] == [each.lost for each in report.blocks]
    assert isinstance(names, aiortc_rtp.RtcpSdesPacket)
    assert names.chunks[0].items == [(1, b"diemcau")]


@given(st.integers(0, 0xFFFF), st.lists(st.integers(1, 40), max_size=60))
def test_nack_names_exactly_the_lost(first: int, steps: list[int]) -> None:
    lost = [first]
    for step in steps:
        lost.append((lost[-1] + step) & 0xFFFF)
    assert parse_rtcp(encode_nack(1, 2, lost)) == [Nack(1, 2, tuple(lost))]
    [theirs] = aiortc_rtp.RtcpPacket.parse(encode_nack(1, 2, lost))
    assert isinstance(theirs, aiortc_rtp.RtcpRtpfbPacket) and [each & 0xFFFF for each in theirs.lost] == lost


@given(st.integers(0, 2**40), st.lists(u32, max_size=8))
def test_remb_is_rounded_down_by_less_than_a_hundredth_of_a_percent(bps: int, sources: list[int]) -> None:
    [remb] = parse_rtcp(encode_remb(1, bps, tuple(sources)))
    assert isinstance(remb, Remb)
    assert remb.sources == tuple(sources)
    assert bps * 0.9999 <= remb.bps <= bps


def test_feedback_and_goodbye_are_read_back() -> None:
    data = encode_pli(1, 77) + encode_bye((5, 6)) + encode_transport_feedback(1, 2, bytes(8))
    assert parse_rtcp(data) == [KeyFrameRequest(1, (77,)), Bye((5, 6)), TransportFeedback(1, 2, bytes(8))]


def test_a_full_intra_request_is_a_key_frame_request() -> None:
    fir = bytes.fromhex("84ce0004 00000001 00000000 0d100000 07000000".replace(" ", ""))
    assert parse_rtcp(fir) == [KeyFrameRequest(1, (0x0D100000,))]


kinds = st.integers(200, 207)


def _framed(first: int, kind: int, body: bytes) -> bytes:
    words = len(body) // 4
    return bytes((first, kind)) + words.to_bytes(2, "big") + body[: 4 * words]


@given(st.binary(max_size=120) | st.builds(_framed, st.integers(128, 191), kinds, st.binary(max_size=64)))
@example(b"\x81\xc9\x00\x01" + bytes(4))  # a report block that is not there
@example(b"\x80\xce\x00\x00")  # feedback without its sources
@example(b"\x8f\xce\x00\x03" + bytes(8) + b"REMB")
@example(b"\xa0\xc9\x00\x00")  # padding without contents
def test_any_bytes_are_parts_or_malformed(data: bytes) -> None:
    try:
        parse_rtcp(data)
    except MalformedRtcp:
        return


def test_a_cut_compound_is_malformed() -> None:
    data = encode_pli(1, 2) + encode_pli(1, 3)
    for end in range(1, len(data)):
        if end != len(data) // 2:
            with pytest.raises(MalformedRtcp):
                parse_rtcp(data[:end])
