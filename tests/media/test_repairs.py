"""Retransmission (RFC 4588) from publishers and to receivers."""

import itertools
from dataclasses import replace

from media.forward.nack import MissingPackets
from media.publisher import Publisher
from media.rtp.header import RtpPacket
from media.rtp.rtcp import Nack
from media.rtp.rtx import unwrap_rtx
from media.sdp import repair_ssrc, slot_ssrc
from tests.support.media_group import REPAIR_SSRC_STEP, FakeEndpoint, FakeMeeting, NoWaiting, receiving, sending
from tests.support.media_seams import check_pictures, check_repairs

STAGE, REPAIR = slot_ssrc("stage.0"), repair_ssrc("stage.0")


def lose_one(publisher: FakeEndpoint, rid: str | None = None) -> int:
    """The number of a picture that did not come in, and of which the next one has told."""
    publisher.losing = lambda data: True
    publisher.frame(rid=rid)
    publisher.losing = lambda data: False
    publisher.frame(rid=rid)
    return publisher.source("camera", rid).sequence - 1


# -- to receivers ------------------------------------------------------------------------------------------------------


def test_what_a_receiver_missed_comes_on_a_stream_of_its_own() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0", 96, repairs=True)])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=4)
    sent = viewer.of(STAGE)
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, (sent[1].packet.sequence, sent[3].packet.sequence)), meeting.now, 0.0)
    assert len(viewer.of(STAGE)) == 4
    first, second = viewer.of(REPAIR)
    for repair, original in ((first, sent[1]), (second, sent[3])):
        assert unwrap_rtx(repair.packet.payload) == (original.packet.sequence, original.packet.payload)
        assert (repair.packet.payload_type, repair.packet.ssrc) == (97, REPAIR)
        assert (repair.packet.timestamp, repair.packet.marker) == (original.packet.timestamp, original.packet.marker)
    assert second.index == first.index + 1
    check_repairs(viewer, "stage.0")


def test_a_packet_is_sent_again_three_times_at_most() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0", 96, repairs=True)])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    [sent] = viewer.of(STAGE)
    for _ in range(100):
        viewer.subscriber.receive_rtcp(Nack(5, STAGE, (sent.packet.sequence,)), meeting.now, 0.0)
        meeting.now += 0.01
    repairs = viewer.of(REPAIR)
    assert len(repairs) == 3
    assert all(after.at - before.at >= 0.099 for before, after in itertools.pairwise(repairs))


def test_one_without_retransmissions_gets_the_packet_again() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0", 120)])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=2)
    sent = viewer.of(STAGE)
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, (sent[0].packet.sequence,)), meeting.now, 0.0)
    assert [each.packet for each in viewer.of(STAGE)] == [sent[0].packet, sent[1].packet, sent[0].packet]
    assert viewer.of(REPAIR) == []


# -- from publishers ---------------------------------------------------------------------------------------------------


def test_a_layer_is_repaired_by_its_repaired_rid() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q", "f"), repairs=True)])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    for rid in ("q", "f"):
        one.frame(rid=rid, key=True)
    meeting.wait(0.1)
    lost = lose_one(one, "q")
    holes = len(viewer.of(STAGE))
    meeting.wait(0.1)
    assert (one.source("camera", "q").ssrc, lost) in one.asked_again()
    one.repair("camera", lost, rid="q")
    check_pictures(viewer, "stage.0", lossy=True)
    assert len(viewer.of(STAGE)) == holes + 1
    indices = sorted(each.index for each in viewer.of(STAGE))
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert one.publisher.stats(meeting.now)[0].lost == 1  # on the way; that it was repaired does not change this


def test_the_offer_may_name_the_retransmissions_of_a_stream() -> None:
    meeting = FakeMeeting()
    place = sending("camera", repairs=True)
    place = replace(place, section=replace(place.section, ssrcs=(7001,), repair_ssrcs={7002: 7001}))
    one = meeting.join("h1", [place])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.source("camera").ssrc = 7001
    one.frame(key=True)
    lost = lose_one(one)
    original = one.source("camera").sent[lost]
    again = RtpPacket(True, 97, 1, original.timestamp, 7002, {}, lost.to_bytes(2, "big") + original.payload)
    one.publisher.receive_rtp(again, 100, meeting.now)
    meeting.group.flush(meeting.now)
    assert len(viewer.of(STAGE)) == 3
    assert one.publisher.malformed == 0


def test_each_packet_goes_out_once_whichever_copy_is_faster() -> None:
    """`FakeEndpoint` refuses an index with other bytes; here it is not even repeated."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", repairs=True)])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    for late_first in (True, False):
        lost = lose_one(one)
        source = one.source("camera")
        meeting.now += 0.03
        if late_first:
            one.come_late(source, lost)
        one.repair("camera", lost)
        meeting.now += 0.03
        one.repair("camera", lost)
        if not late_first:
            one.come_late(source, lost)
    indices = [each.index for each in viewer.of(STAGE)]
    assert len(indices) == len(set(indices)) == 5


def test_probes_on_the_retransmission_stream_reach_nobody() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q",), repairs=True)])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(rid="q", key=True)
    sent = one.source("camera", "q")
    like = sent.sent[sent.sequence]
    one.probe("camera", b"", like, {9: b"camera", 11: b"q"})
    one.probe("camera", b"\0\1", like, {9: b"camera", 11: b"q"})
    one.repair("camera", sent.sequence, rid="q")  # what came already, as browsers fill with it
    one.frame(rid="q")
    first, second = viewer.of(STAGE)
    assert second.index == first.index + 1
    assert one.publisher.malformed == 1  # two bytes are no packet


def test_a_retransmission_of_nothing_that_is_known_is_read_over() -> None:
    meeting = FakeMeeting()
    publisher = Publisher("h1", [sending("camera", ("q", "f"), repairs=True)], meeting.group, NoWaiting(), 0.0)
    for rid in ("q", "x"):
        packet = RtpPacket(True, 97, 1, 1, 5 + REPAIR_SSRC_STEP, {9: b"camera", 11: rid.encode()}, b"\0\1payload")
        publisher.receive_rtp(packet, 100, 0.0)
    assert publisher.stats(0.0) == []


def test_what_was_repaired_is_remembered_as_long_as_the_packet_itself_could_come() -> None:
    missing = MissingPackets(0)
    repaired = []
    for number in range(2, 60_000, 2):  # each second one is lost, and repaired at once
        missing.record(number & 0xFFFF, number / 1000)
        assert missing.repair(number - 1 & 0xFFFF)
        assert not missing.repair(number - 1 & 0xFFFF)
        repaired.append(number - 1)
    assert all(missing.was_repaired(number & 0xFFFF) for number in repaired if number > 60_000 - 1024)
    assert not missing.was_repaired(60_000 - 1023 & 0xFFFE)
