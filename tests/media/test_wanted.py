"""What is asked of publishers, who begins with a cached key frame, and what statistics tell of it."""

from hypothesis import given
from hypothesis import strategies as st

from media.forward.downlink import Downlink
from media.forward.gop import MOST_AGE_S, MOST_PACKETS, KeyFrameCache
from media.forward.ladder import AUDIO_ALONE, LOW
from media.forward.wanted import LOWER_AFTER_S, WantedLayers
from media.rtp.header import RtpPacket
from media.rtp.rtcp import Nack, ReceiverReport, Remb, ReportBlock
from media.sdp import slot_ssrc
from tests.support.media_group import FakeEndpoint, FakeMeeting, receiving, sending
from tests.support.media_seams import check_pictures

STAGE, TILE = slot_ssrc("stage.0"), slot_ssrc("tile.0")
RIDS = ("q", "h", "f")


def play(meeting: FakeMeeting, one: FakeEndpoint, rids: str, seconds: float) -> None:
    for step in range(round(seconds / 0.1)):
        for rid in rids:
            one.frame(rid=rid, key=step % 5 == 0)
        meeting.wait(0.1)


def packet(sequence: int, timestamp: int = 0, payload: bytes = b"payload") -> RtpPacket:
    return RtpPacket(False, 96, sequence & 0xFFFF, timestamp, 5, {}, payload)


# -- layers ------------------------------------------------------------------------------------------------------------


def test_layers_are_asked_for_at_once_and_left_off_after_some_seconds() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", RIDS), sending("microphone")])
    assert meeting.wanted == {"h1/camera": (), "h1/microphone": ("",)}  # nobody looks yet
    host = meeting.join("host", [], [receiving("tile.0")])
    play(meeting, one, "qhf", LOWER_AFTER_S + 0.5)
    asked = [meeting.wanted["h1/camera"]]
    assert meeting.wanted["h1/microphone"] == ("",)  # its level is always shown
    meeting.wait(2)
    meeting.group.set_tiles("host", ("h1/camera",), meeting.now)
    asked.append(meeting.wanted["h1/camera"])
    hall = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    asked.append(meeting.wanted["h1/camera"])
    play(meeting, one, "qh", LOWER_AFTER_S + 1)
    asked.append(meeting.wanted["h1/camera"])
    assert len(hall.of(STAGE)) > 0
    play(meeting, one, "qhf", LOWER_AFTER_S + 1)
    asked.append(meeting.wanted["h1/camera"])
    meeting.rung(hall, LOW)
    play(meeting, one, "qf", 1)
    asked.append(meeting.wanted["h1/camera"])
    play(meeting, one, "qf", LOWER_AFTER_S)
    asked.append(meeting.wanted["h1/camera"])
    meeting.rung(hall, AUDIO_ALONE)
    host.leave()
    play(meeting, one, "q", LOWER_AFTER_S + 1)
    asked.append(meeting.wanted["h1/camera"])
    whole = RIDS  # what is below the largest is shown until that comes
    assert asked == [(), ("q",), whole, whole, ("q", "f"), ("q", "f"), ("q",), ()]


def test_a_source_that_was_not_asked_for_is_not_told_as_gone() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", RIDS)])
    play(meeting, one, "qhf", LOWER_AFTER_S + 1)
    assert meeting.wanted["h1/camera"] == ()
    meeting.wait(10)
    assert meeting.changes == [("h1/camera", True)]
    meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    meeting.wait(1.5)
    assert meeting.changes == [("h1/camera", True)]
    meeting.wait(2)  # now it was asked for, and does not come
    assert meeting.changes == [("h1/camera", True), ("h1/camera", False)]
    play(meeting, one, "q", 0.2)
    assert meeting.changes[2:] == [("h1/camera", True)]


@given(st.lists(st.tuples(st.frozensets(st.integers(0, 2)), st.floats(0.0, 4.0)), max_size=30))
def test_what_is_wanted_is_asked_for_and_nothing_is_left_off_early(steps: list[tuple[frozenset[int], float]]) -> None:
    now = 50.0
    layers = WantedLayers(3, now)
    wanted_at = dict.fromkeys(range(3), float("-inf"))  # at first they are only supposed
    for wanted, wait in steps:
        before = layers.asked
        changed = layers.update(wanted, now)
        wanted_at |= dict.fromkeys(wanted, now)
        assert changed == (layers.asked != before)
        assert wanted <= layers.asked
        for rank in before - layers.asked:
            assert now - wanted_at[rank] >= LOWER_AFTER_S
        assert all(now - wanted_at[rank] < LOWER_AFTER_S for rank in layers.asked)
        now += wait


# -- late joiners ------------------------------------------------------------------------------------------------------


def test_late_joiners_begin_with_the_last_key_frame_and_nobody_is_asked() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=5)
    for _ in range(8):
        meeting.now += 1 / 30
        one.frame(parts=2)
    meeting.wait(0.1)
    asked = len(one.key_frames_asked())
    late = [meeting.join(f"late-{number}", [], [receiving("stage.0")]) for number in range(20)]
    for each in late:
        packets = each.of(STAGE)
        assert len(packets) == 5 + 8 * 2
        times = list(dict.fromkeys(every.packet.timestamp for every in packets))
        assert times == [(times[-1] - ahead) & 0xFFFFFFFF for ahead in reversed(range(9))]  # nothing is played late
    assert len(one.key_frames_asked()) == asked
    one.frame(parts=2)
    for each in late:
        check_pictures(each, "stage.0")
        assert (each.of(STAGE)[-1].packet.timestamp - each.of(STAGE)[-3].packet.timestamp) & 0xFFFFFFFF == 3000
        replayed = each.of(STAGE)[3]
        each.subscriber.receive_rtcp(Nack(5, STAGE, (replayed.packet.sequence,)), meeting.now, 0.0)
        assert len(each.of(STAGE)) == 5 + 9 * 2  # its bytes for others are not those that went out here


def test_an_old_key_frame_is_asked_for_anew() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    for _ in range(round((MOST_AGE_S + 0.2) / 0.1)):
        meeting.wait(0.1)
        one.frame()
    asked = len(one.key_frames_asked())
    late = meeting.join("late", [], [receiving("stage.0")])
    one.frame()
    assert late.of(STAGE) == []
    assert len(one.key_frames_asked()) == asked + 1


def test_a_switch_to_a_source_with_a_near_key_frame_needs_no_asking() -> None:
    meeting = FakeMeeting()
    one, two = (meeting.join(name, [sending("camera")]) for name in ("h1", "h2"))
    viewer = meeting.join("h3", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    for _ in range(10):
        meeting.wait(0.05)
        one.frame()
    two.frame(key=True, parts=3)
    two.frame()
    asked = len(two.key_frames_asked())
    meeting.stage(["h2/camera"])
    assert len(viewer.of(STAGE)) == 11 + 4
    assert len(two.key_frames_asked()) == asked
    check_pictures(viewer, "stage.0")


def test_the_cache_gives_what_is_whole_and_near() -> None:
    cache = KeyFrameCache()
    assert cache.packets(0.0) == []
    cache.add(packet(65534), False, 0.0)
    assert cache.packets(0.0) == []
    for sequence, starts in ((65535, True), (1, False), (0, False), (2, False)):
        cache.add(packet(sequence), starts, 1.0)
    assert [each.sequence for each in cache.packets(1.5)] == [65535, 0, 1, 2]
    cache.add(packet(4), False, 1.5)
    assert cache.packets(1.5) == []  # a hole
    cache.add(packet(3), False, 1.6)
    assert [each.sequence for each in cache.packets(1.6)] == [65535, 0, 1, 2, 3, 4]
    assert cache.packets(1.0 + MOST_AGE_S + 0.1) == []
    cache.forget()
    assert cache.packets(1.0) == []


def test_the_cache_takes_a_key_frame_whose_beginning_comes_late() -> None:
    cache = KeyFrameCache()
    for sequence in (9, 11, 12):
        cache.add(packet(sequence), False, 0.0)
    cache.add(packet(10), True, 0.1)
    assert [each.sequence for each in cache.packets(0.1)] == [10, 11, 12]


def test_the_cache_is_bounded() -> None:
    cache = KeyFrameCache()
    cache.add(packet(0), True, 0.0)
    for sequence in range(1, MOST_PACKETS):
        cache.add(packet(sequence), False, 0.0)
    assert len(cache.packets(0.0)) == MOST_PACKETS
    cache.add(packet(MOST_PACKETS), False, 0.0)
    assert cache.packets(0.0) == []


# -- the downlink and statistics ---------------------------------------------------------------------------------------


def test_loss_is_counted_over_two_seconds_and_forty_packets_of_all_streams() -> None:
    downlink = Downlink(0.0)
    for ssrc in (1, 2):
        downlink.note_report(ssrc, 1000, 7, 0.1)
    downlink.note_report(1, 1010, 17, 1.1)
    assert downlink.loss(1.1) == 0.0
    downlink.note_report(1, 1020, 27, 2.2)
    assert downlink.loss(2.2) == 0.0  # too few
    downlink.note_report(2, 1060, 7, 2.3)
    assert downlink.loss(2.3) == 20 / 80
    assert downlink.loss(11.0) == 0.0  # too old
    downlink.restart(12.0)
    downlink.note_report(2, 1160, 107, 13.0)  # of what was still under way
    downlink.note_report(2, 1210, 107, 14.1)
    assert downlink.loss(14.1) == 0.0
    downlink.note_report(2, 1260, 157, 15.6)
    assert downlink.loss(15.6) == 0.5


def test_a_stream_that_begins_anew_is_no_loss() -> None:
    downlink = Downlink(0.0)
    downlink.note_report(1, 65_000, 3, 0.1)
    downlink.note_report(1, 200, 90, 3.0)
    assert downlink.loss(3.0) == 0.0


def test_an_estimate_is_forgotten_when_it_is_not_told_any_more() -> None:
    downlink = Downlink(0.0)
    assert downlink.estimate_bps(0.0) is None
    downlink.note_remb(900_000, 1.0)
    assert downlink.estimate_bps(5.9) == 900_000
    assert downlink.estimate_bps(6.1) is None


def test_statistics_tell_what_flows_where_and_what_is_asked_for() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", RIDS)])
    two = meeting.join("h2", [sending("camera")])
    viewer = meeting.join("h3", [], [receiving("stage.0", 96, repairs=True), receiving("stage.1")])
    meeting.stage(["h1/camera"])
    play(meeting, one, "qhf", LOWER_AFTER_S + 1)
    shown, empty = viewer.subscriber.stats()
    assert (shown.slot, shown.feed, shown.rid) == ("stage.0", "h1/camera", "f")
    assert shown.packets == len(viewer.of(STAGE))
    assert (empty.feed, empty.packets, empty.loss) == (None, 0, None)
    assert [(each.rid, each.wanted, each.width) for each in one.publisher.stats(meeting.now)] == [
        ("q", True, 320),
        ("h", False, 640),
        ("f", True, 1280),
    ]
    last = viewer.of(STAGE)[-1].packet.sequence
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, (last,)), meeting.now, 0.0)
    block = ReportBlock(STAGE, 64, 20, last, 900, 0, 0)
    viewer.subscriber.receive_rtcp(ReceiverReport(5, (block,)), meeting.now, 0.0)
    viewer.subscriber.receive_rtcp(Remb(5, 2_000_000, (STAGE,)), meeting.now, 0.0)
    meeting.stage(["h2/camera"])
    shown = viewer.subscriber.stats()[0]
    assert (shown.feed, shown.resent, shown.loss, shown.jitter_s) == ("h1/camera", 1, 0.25, 0.01)
    assert (viewer.subscriber.estimate_bps(meeting.now), viewer.subscriber.rung) == (2_000_000, "high")
    two.frame(key=True)
    assert viewer.subscriber.stats()[0].feed == "h2/camera"


def test_an_estimate_below_what_is_sent_and_loss_bring_the_endpoint_down_and_that_is_told() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", RIDS)])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])

    lost = 0.0

    def play_parts(seconds: float, remb_bps: int, loss: float = 0.0) -> None:
        nonlocal lost
        for step in range(round(seconds / 0.1)):
            before = len(viewer.of(STAGE))
            for rid, parts in (("q", 1), ("h", 5), ("f", 30)):
                one.frame(rid=rid, key=step % 5 == 0, parts=parts)
            if step % 10 == 0:
                viewer.subscriber.receive_rtcp(Remb(5, remb_bps, (STAGE,)), meeting.now, 0.0)
                if before:
                    block = ReportBlock(STAGE, 0, int(lost), viewer.of(STAGE)[-1].index, 0, 0, 0)
                    viewer.subscriber.receive_rtcp(ReceiverReport(5, (block,)), meeting.now, 0.0)
            meeting.wait(0.1)
            lost += loss * (len(viewer.of(STAGE)) - before)

    play_parts(4, 3_000_000)
    assert meeting.rungs == []
    play_parts(4, 3_000)
    assert meeting.rungs == [], "jitter alone"
    play_parts(12, 3_000, loss=0.12)
    assert meeting.rungs[-1] in (("h2", "low"), ("h2", "audio"))
    shown = viewer.subscriber.stats()[0]
    assert (shown.rid, shown.feed) in (("q", "h1/camera"), (None, None))
    check_pictures(viewer, "stage.0")
    play_parts(45, 3_000_000)
    assert meeting.rungs[-1] == ("h2", "high")
    assert viewer.subscriber.stats()[0].rid == "f"
    check_pictures(viewer, "stage.0")


def test_what_got_lost_beside_padding_is_not_blamed_on_the_rung() -> None:
    """A line of little more than the small pictures: each attempt at larger ones fails, and the small ones stay."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", RIDS)])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    lost, tried = 0.0, 0
    for step in range(1800):
        before, probing = len(viewer.of(STAGE)), viewer.subscriber.ladder.probe_bps > 0
        for rid, parts in (("q", 4), ("h", 12), ("f", 30)):
            one.frame(rid=rid, key=step % 5 == 0, parts=parts)
        if step % 30 == 0 and before:
            block = ReportBlock(STAGE, 0, int(lost), viewer.of(STAGE)[-1].index, 0, 0, 0)
            viewer.subscriber.receive_rtcp(ReceiverReport(5, (block,)), meeting.now, 0.0)
        meeting.wait(0.1)
        tried += probing
        share = 0.5 if viewer.subscriber.rung in ("middle", "high") else 0.3 if probing else 0.0
        lost += share * (len(viewer.of(STAGE)) - before)
    assert tried > 0
    assert {rung for _, rung in meeting.rungs} <= {"low", "middle"}
    assert meeting.rungs[-1] == ("h2", "low")
    assert len(meeting.rungs) <= 3, "no larger picture was tried on it"
