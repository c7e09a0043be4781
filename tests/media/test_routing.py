"""Which packets reach whom: the floor, slots, switches, layers, key frame requests; all without a network."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.forward.keyframes import KeyFrameRequests
from media.router import BadFeeds
from media.rtp.rtcp import KeyFrameRequest, ReceiverReport, Remb, SenderReport
from media.rtp.vp8 import parse_vp8
from media.sdp import slot_ssrc
from tests.support.media_group import FakeEndpoint, FakeMeeting, receiving, sending

STAGE, AUDIO, TILE = slot_ssrc("stage.0"), slot_ssrc("audio.0"), slot_ssrc("tile.0")


def hall(meeting: FakeMeeting, name: str) -> FakeEndpoint:
    return meeting.join(name, [sending("camera"), sending("microphone")], [receiving("stage.0"), receiving("audio.0")])


def test_a_microphone_without_the_floor_reaches_nobody() -> None:
    meeting = FakeMeeting()
    one, two, three = (hall(meeting, name) for name in ("h1", "h2", "h3"))
    meeting.stage([], ["h1/microphone"])
    for speaker in (one, two, three):
        speaker.sound()
    assert [each.packet.payload for each in two.received] == [b"opus of h1"]
    assert [each.packet.payload for each in three.received] == [b"opus of h1"]
    meeting.stage([], ["h2/microphone"])
    for speaker in (one, two, three):
        speaker.sound()
    assert [each.packet.payload for each in three.received] == [b"opus of h1", b"opus of h2"]
    meeting.stage([], [])
    for speaker in (one, two, three):
        speaker.sound()
    assert len(three.received) == 2


def test_nobody_hears_itself() -> None:
    meeting = FakeMeeting()
    one, two = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage([], ["h1/microphone"])
    for _ in range(5):
        one.sound()
    assert one.received == []
    assert len(two.received) == 5


def test_one_who_was_left_out_comes_back_without_a_gap() -> None:
    """After 40,000 packets that it did not get (13 minutes of its own speech) its index has gone on by one."""
    meeting = FakeMeeting()
    one, two = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage([], ["h2/microphone"])
    two.sound()
    meeting.stage([], ["h1/microphone"])
    for _ in range(40_000):
        one.sound()
    meeting.stage([], ["h2/microphone"])
    two.sound()
    two.sound()
    first, second, third = (each.index for each in one.of(AUDIO))
    assert (second, third) == (first + 1, first + 2)
    assert one.of(AUDIO)[0].index < 0x8000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["h1", "h2", "h3", None]), st.integers(1, 60)), max_size=25))
def test_the_audio_slot_never_repeats_an_index_and_never_breaks_the_floor(turns: list[tuple[str | None, int]]) -> None:
    meeting = FakeMeeting()
    endpoints = {name: hall(meeting, name) for name in ("h1", "h2", "h3")}
    for name, packets in turns:
        meeting.stage([], [f"{name}/microphone" if name else None])
        before = {each: len(endpoints[each].received) for each in endpoints}
        for _ in range(packets):
            for endpoint in endpoints.values():
                endpoint.sound()
            meeting.now += 0.02
        for each, endpoint in endpoints.items():
            fresh = endpoint.received[before[each] :]
            assert len(fresh) == (0 if each == name or name is None else packets)
            assert all(one.packet.payload == b"opus of " + str(name).encode() for one in fresh)
    for endpoint in endpoints.values():
        indices = [each.index for each in endpoint.received]
        assert indices == sorted(set(indices))
        assert all(0 < later - earlier < 1000 for earlier, later in itertools.pairwise(indices))


def test_a_picture_begins_with_a_key_frame_that_was_asked_for() -> None:
    meeting = FakeMeeting()
    one, two = hall(meeting, "h1"), hall(meeting, "h2")
    one.frame(key=True)
    meeting.wait(2)
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    meeting.wait(2)
    asked = len(one.key_frames_asked())
    late = hall(meeting, "h3")
    assert len(one.key_frames_asked()) == asked + 1
    one.frame()
    assert late.of(STAGE) == []
    assert len(two.of(STAGE)) == 2
    one.frame(key=True, parts=3)
    assert len(late.of(STAGE)) == 3


def test_a_switch_waits_for_the_key_frame_and_shows_no_seam() -> None:
    meeting = FakeMeeting()
    one, two, viewer = hall(meeting, "h1"), hall(meeting, "h2"), hall(meeting, "h3")
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=2)
    for _ in range(40):
        meeting.now += 1 / 30
        one.frame(parts=2)
        two.frame()
    meeting.stage(["h2/camera"])
    two.frame()
    one.frame(parts=2)
    assert len(two.key_frames_asked()) >= 1
    shown = len(viewer.of(STAGE))
    assert shown == 84  # still the first
    meeting.now += 1 / 30
    two.frame(key=True, parts=3)
    one.frame(parts=2)  # no longer
    for _ in range(40):
        meeting.now += 1 / 30
        two.frame()
    seen = viewer.of(STAGE)
    assert len(seen) == 84 + 3 + 40
    indices = [each.index for each in seen]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    steps = {(b.packet.timestamp - a.packet.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(seen)}
    assert all(step == 0 or 2900 < step < 3100 or step <= 1 for step in steps)
    pictures = [parse_vp8(each.packet.payload).picture_id or 0 for each in seen]
    assert all((after - before) & 0x7FFF in (0, 1) for before, after in itertools.pairwise(pictures))


def test_a_cut_frame_before_a_switch_leaves_a_gap() -> None:
    meeting = FakeMeeting()
    one, two, viewer = hall(meeting, "h1"), hall(meeting, "h2"), hall(meeting, "h3")
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    two.frame()
    meeting.stage(["h2/camera"])
    one.packet("camera", b"\x10\x11begun but not ended")
    two.frame(key=True)
    first, cut, switched = (each.index for each in viewer.of(STAGE))
    assert (cut - first, switched - cut) == (1, 2)


def test_a_picture_is_not_held_for_ever_when_the_next_never_comes() -> None:
    meeting = FakeMeeting()
    one, _, viewer = hall(meeting, "h1"), hall(meeting, "h2"), hall(meeting, "h3")
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    meeting.stage(["h2/camera"])
    one.frame()
    assert len(viewer.of(STAGE)) == 2
    meeting.wait(2.5)
    one.frame(key=True)
    assert len(viewer.of(STAGE)) == 2


def test_an_emptied_slot_is_silent_at_once() -> None:
    meeting = FakeMeeting()
    one, viewer = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage(["h1/camera"], ["h1/microphone"])
    one.frame(key=True)
    one.sound()
    meeting.stage([None], [None])
    one.frame(key=True)
    one.sound()
    assert len(viewer.received) == 2


def test_a_feed_named_before_it_exists_is_picked_up() -> None:
    meeting = FakeMeeting()
    meeting.stage(["h1/camera"], ["h1/microphone"])
    viewer = hall(meeting, "h2")
    one = hall(meeting, "h1")
    one.sound()
    one.frame()
    assert one.key_frames_asked()
    one.frame(key=True)
    assert len(viewer.of(AUDIO)) == 1
    assert len(viewer.of(STAGE)) == 1


def test_key_frames_are_asked_for_once_a_second_however_many_ask() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    viewers = [hall(meeting, f"v{number}") for number in range(30)]
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    began = meeting.now
    for _ in range(100):
        for viewer in viewers:
            if viewer.subscriber.receive_rtcp(KeyFrameRequest(5, (STAGE,)), meeting.now, 0.0):
                meeting.group.key_frame_wanted(meeting.now)
        one.frame()
        meeting.wait(0.05)
    asked = [at for at in one.key_frames_asked() if at > began]
    assert 4 <= len(asked) <= 7
    assert all(later - earlier >= 0.999 for earlier, later in itertools.pairwise(asked))


def test_what_begins_with_a_key_frame_is_not_asked_for_one() -> None:
    meeting = FakeMeeting()
    one, viewer = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage(["h1/camera"])
    meeting.wait(1.5)
    asked = len(one.key_frames_asked())
    one.frame(key=True)
    assert len(viewer.of(STAGE)) == 1
    meeting.wait(0.1)
    assert len(one.key_frames_asked()) == asked, "the request of this second is kept for who needs it"


def test_a_late_key_frame_of_the_large_layer_does_not_keep_the_small_one_from_the_screen() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q", "f"))])
    viewer = hall(meeting, "h2")
    for _ in range(20):
        one.frame(rid="q")
        one.frame(rid="f")
        meeting.wait(0.1)
    meeting.stage(["h1/camera"])
    one.frame(rid="q", key=True)
    for _ in range(5):
        one.frame(rid="q")
        one.frame(rid="f")
        meeting.wait(0.1)
    assert {each.packet.payload.split(b"|")[1] for each in viewer.of(STAGE)} == {b"h1/camera/q"}
    one.frame(rid="f", key=True)
    one.frame(rid="q")
    one.frame(rid="f")
    assert [each.packet.payload.split(b"|")[1] for each in viewer.of(STAGE)][-2:] == [b"h1/camera/f"] * 2
    indices = [each.index for each in viewer.of(STAGE)]
    assert indices == list(range(indices[0], indices[0] + len(indices)))


def test_requests_of_a_second_go_out_together() -> None:
    requests = KeyFrameRequests()
    requests.want(1)
    assert requests.due(10.0) == (1,)
    requests.arrived(1)
    requests.want(2)
    assert requests.due(10.9) == ()
    requests.want(3)
    assert requests.due(11.05) == (2, 3)
    assert requests.due(11.9) == ()


def test_an_unanswered_request_is_repeated_and_an_answered_one_is_not() -> None:
    meeting = FakeMeeting()
    one, _ = hall(meeting, "h1"), hall(meeting, "h2")
    one.frame()
    meeting.stage(["h1/camera"])
    for _ in range(40):
        one.frame()
        meeting.wait(0.1)
    assert len(one.key_frames_asked()) >= 4
    one.frame(key=True)
    meeting.wait(0.1)
    asked = len(one.key_frames_asked())
    for _ in range(40):
        one.frame()
        meeting.wait(0.1)
    assert len(one.key_frames_asked()) == asked


def test_the_stage_takes_the_highest_layer_and_a_tile_the_lowest() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q", "h", "f"))])
    viewer = hall(meeting, "h2")
    host = meeting.join("host", [], [receiving("stage.0"), receiving("tile.0")])
    meeting.stage(["h1/camera"])
    meeting.group.set_tiles("host", ("h1/camera",), meeting.now)

    def send(rids: str, seconds: float) -> None:
        for step in range(round(seconds / 0.1)):
            for rid in rids:
                one.frame(rid=rid, key=step % 5 == 0)
            meeting.wait(0.1)

    def rid_of(endpoint: FakeEndpoint, slot: int) -> str:
        """Which layer the last packets came from: those whose source timestamp moved with it."""
        before = len(endpoint.of(slot))
        for rid in ("q", "h", "f"):
            if (("camera", rid)) in one.sources:
                one.frame(rid=rid)
                if len(endpoint.of(slot)) > before:
                    return rid
        return ""

    send("q", 1)
    assert (rid_of(viewer, STAGE), rid_of(host, TILE)) == ("q", "q")
    send("qhf", 2)
    assert (rid_of(viewer, STAGE), rid_of(host, TILE)) == ("f", "q")
    send("qh", 1.5)
    assert rid_of(viewer, STAGE) == "h"


def test_a_layer_that_is_paused_with_padding_is_given_up() -> None:
    """As Chromium does while its estimate is low: seen as a picture that stood still for seconds."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q", "h"))])
    viewer = hall(meeting, "h2")
    meeting.stage(["h1/camera"])
    for step in range(20):
        one.frame(rid="q", key=step % 5 == 0)
        one.frame(rid="h", key=step % 5 == 0)
        meeting.wait(0.1)
    before = len(viewer.of(STAGE))
    for step in range(20):
        one.frame(rid="q", key=step % 5 == 0)
        one.packet("camera", b"", rid="h")
        meeting.wait(0.1)
    assert len(viewer.of(STAGE)) - before >= 10


def test_a_layer_without_its_rid_is_not_guessed() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera", ("q", "h", "f"))])
    one.frame(key=True)
    assert one.publisher.malformed == 1
    assert one.publisher.stats(meeting.now) == []


def test_sources_of_a_peer_are_bounded() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    for number in range(100):
        one.source("camera").ssrc = 50_000 + number
        one.frame(key=True)
    assert len(one.publisher.stats(meeting.now)) == 1  # the newest replaces the one before


def test_a_publisher_that_restarts_its_stream_is_followed() -> None:
    meeting = FakeMeeting()
    one, viewer = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    one.source("camera").ssrc += 1
    one.source("camera").sequence = 7
    one.frame(key=True)
    one.frame(key=True)
    meeting.wait(0.2)
    one.frame(key=True)
    indices = [each.index for each in viewer.of(STAGE)]
    assert len(indices) >= 2
    assert indices == list(range(indices[0], indices[0] + len(indices)))


def test_probes_of_the_path_are_not_forwarded() -> None:
    meeting = FakeMeeting()
    one, viewer = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    for _ in range(5):
        one.packet("camera", b"")
    one.frame()
    first, second = (each.index for each in viewer.of(STAGE))
    assert second == first + 1


def test_shapes_get_their_own_payload_types_and_the_same_pictures() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    chromium = meeting.join("h2", [], [receiving("stage.0", 96)])
    firefox = meeting.join("h3", [], [receiving("stage.0", 120)])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    one.frame(key=True)
    assert {each.packet.payload_type for each in chromium.of(STAGE)} == {96}
    assert {each.packet.payload_type for each in firefox.of(STAGE)} == {120}


def test_feeds_begin_and_cease() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    meeting.wait(1)
    one.frame()
    assert meeting.changes == [("h1/camera", True)]
    meeting.wait(3.2)
    assert meeting.changes == [("h1/camera", True), ("h1/camera", False)]
    one.frame(key=True)
    one.leave()
    assert meeting.changes[2:] == [("h1/camera", True), ("h1/camera", False)]


def test_levels_are_the_loudest_of_each_fifth_of_a_second() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    one.sound(60)
    one.sound(20)
    assert meeting.group.levels.due(meeting.now) == {"h1/microphone": -20}
    one.sound(50)
    assert meeting.group.levels.due(meeting.now + 0.1) is None
    assert meeting.group.levels.due(meeting.now + 0.2) == {"h1/microphone": -50}
    assert meeting.group.levels.due(meeting.now + 0.5) is None


def test_sender_reports_put_sound_and_picture_on_one_clock() -> None:
    """The publisher's clock is years off; 3 s on its clock are 3 s on ours, for both kinds."""
    meeting = FakeMeeting()
    one, viewer = hall(meeting, "h1"), hall(meeting, "h2")
    meeting.stage(["h1/camera"], ["h1/microphone"])
    one.frame(key=True)
    one.sound()
    wall = meeting.now + 3_900_000_000
    for mid in ("camera", "microphone"):
        source = one.source(mid)
        report = SenderReport(source.ssrc, 12345 << 32, source.timestamp, 1, 1)
        one.publisher.receive_rtcp(report, meeting.now, wall)
    meeting.wait(3)
    reports = {part.ssrc: part for _, part in viewer.feedback if isinstance(part, SenderReport)}
    for ssrc, rate in ((STAGE, 90000), (AUDIO, 48000)):
        shown = viewer.of(ssrc)[-1]
        report = reports[ssrc]
        elapsed_s = report.ntp / 2**32 - wall
        assert 0 < elapsed_s <= 3.1
        assert abs(((report.timestamp - shown.packet.timestamp) & 0xFFFFFFFF) - elapsed_s * rate) < rate / 100
        assert report.packets == len(viewer.of(ssrc))


def test_publishers_get_reports_and_a_rate() -> None:
    meeting = FakeMeeting()
    one = hall(meeting, "h1")
    for number in range(60):
        if number % 4:
            one.frame()
        else:
            one.source("camera").sequence += 1  # lost on the way
        meeting.wait(0.05)
    reports = [part for _, part in one.feedback if isinstance(part, ReceiverReport) and part.blocks]
    last = reports[-1].blocks[0]
    assert last.ssrc == one.source("camera").ssrc
    assert 40 < last.fraction_lost < 90
    rates = [part.bps for _, part in one.feedback if isinstance(part, Remb)]
    assert rates[-1] < rates[0]


def test_wishes_that_cannot_be_are_refused() -> None:
    meeting = FakeMeeting()
    for video, audio in (
        (["h1/microphone"], []),
        ([], ["h1/camera"]),
        (["a/camera"] * 3, []),
        ([], ["a/microphone"] * 4),
    ):
        with pytest.raises(BadFeeds):
            meeting.stage(list(video), list(audio))
    with pytest.raises(BadFeeds):
        meeting.group.set_tiles("host", ("h1/camera",) * 26, meeting.now)


def test_an_empty_group_is_idle() -> None:
    meeting = FakeMeeting()
    assert meeting.group.idle()
    one = hall(meeting, "h1")
    meeting.stage(["h1/camera"])
    one.leave()
    assert not meeting.group.idle()  # a wish is left
    meeting.stage([None])
    assert meeting.group.idle()
