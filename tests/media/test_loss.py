"""Lost packets: asked for upstream, sent again downstream, within bounds."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from media.burst import Outgoing
from media.forward.history import History, ResendGuard
from media.forward.nack import MissingPackets
from media.rtp.rtcp import Nack
from media.sdp import slot_ssrc
from tests.support.media_group import FakeMeeting, Received, receiving, sending

STAGE = slot_ssrc("stage.0")


def test_a_gap_is_asked_for_after_patience_and_not_when_it_closes_by_itself() -> None:
    missing = MissingPackets(65534)
    missing.record(1, 10.0)  # 65535 and 0 are missing
    assert missing.due(10.0) == []
    missing.record(0, 10.01)  # only late
    assert missing.due(10.02) == [65535]
    assert missing.due(10.03) == []
    assert missing.due(10.09) == [65535]
    missing.record(65535, 10.1)
    assert missing.due(11.0) == []


def test_asking_ends() -> None:
    missing = MissingPackets(0)
    missing.record(2, 0.0)
    asked = sum(len(missing.due(step / 100)) for step in range(300))
    assert asked == 8


def test_a_hole_that_only_a_key_frame_fills_is_not_asked_for() -> None:
    missing = MissingPackets(0)
    missing.record(5000, 0.0)
    assert missing.due(1.0) == []


@given(st.lists(st.integers(0, 0xFFFF), max_size=300))
def test_any_sequence_keeps_the_list_bounded(numbers: list[int]) -> None:
    missing = MissingPackets(0)
    for place, number in enumerate(numbers):
        missing.record(number, place / 100)
        assert len(missing.due(place / 100)) <= 400


def test_the_guard_sends_three_times_and_waits_in_between() -> None:
    guard = ResendGuard()
    sent = [step / 100 for step in range(200) if guard.allows(5, 0.1, step / 100)]
    assert len(sent) == 3
    assert all(later - earlier >= 0.199 for earlier, later in itertools.pairwise(sent))
    assert guard.allows(6, None, 2.0)


def test_the_history_forgets_by_number_and_by_age() -> None:
    history = History(4, 1.0)
    for index in range(6):
        history.add(Outgoing(index, b"h", bytes((index,))), 10.0)
    assert history.find(1, 10.0) is None
    assert history.find(5, 10.5) == Outgoing(5, b"h", b"\5")
    assert history.find(5, 11.1) is None


def test_a_receiver_gets_what_it_missed_the_same_again() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    other = meeting.join("h3", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=5)
    sent = viewer.of(STAGE)
    wanted = (sent[1].packet.sequence, sent[3].packet.sequence)
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, wanted), meeting.now, 0.0)
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, wanted), meeting.now, 0.0)  # too early
    again = viewer.of(STAGE)[5:]
    assert [(each.index, each.packet) for each in again] == [(each.index, each.packet) for each in (sent[1], sent[3])]
    assert len(other.of(STAGE)) == 5
    viewer.subscriber.receive_rtcp(Nack(5, STAGE, ((sent[0].packet.sequence - 9) & 0xFFFF,)), meeting.now, 0.0)
    assert len(viewer.of(STAGE)) == 7


def test_one_who_joined_later_gets_nothing_from_before() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=5)
    meeting.wait(1.5)  # the key frame is too old to begin with
    late = meeting.join("h3", [], [receiving("stage.0")])
    one.frame(key=True)
    [first] = late.of(STAGE)
    late.subscriber.receive_rtcp(Nack(5, STAGE, ((first.packet.sequence - 1) & 0xFFFF,)), meeting.now, 0.0)
    assert late.of(STAGE) == [first]


def test_a_late_packet_from_before_the_joining_does_not_reach_the_one_who_joined() -> None:
    """Its index would be that of another packet for this receiver."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    one.losing = lambda data: True
    one.frame()
    lost = one.source("camera").sequence
    one.losing = lambda data: False
    meeting.wait(1.5)
    late = meeting.join("h3", [], [receiving("stage.0")])
    one.frame(key=True)
    one.repeat(lost)
    assert len(viewer.of(STAGE)) == 3
    assert len(late.of(STAGE)) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.2))
def test_what_is_lost_on_either_side_comes_in_the_end(seed: int, loss: float) -> None:
    """A publisher and a receiver that answer and send NACKs, as browsers do, over two lossy ways."""
    dice = random.Random(seed)
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewer = meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    arrived: dict[int, Received] = {}
    answered = taken = 0
    one.losing = lambda data: dice.random() < loss
    for step in range(150):
        if step < 100:
            one.frame(parts=3)
        meeting.wait(0.05)
        for _, part in one.feedback[answered:]:
            if isinstance(part, Nack):
                for number in part.lost:
                    one.repeat(number)
        answered = len(one.feedback)
        for received in viewer.received[taken:]:
            if dice.random() >= loss:
                arrived.setdefault(received.index, received)
        taken = len(viewer.received)
        if arrived:
            lost = [index for index in range(min(arrived), max(arrived)) if index not in arrived]
            if lost and dice.random() >= loss:
                numbers = tuple(index & 0xFFFF for index in lost[:100])
                viewer.subscriber.receive_rtcp(Nack(5, STAGE, numbers), meeting.now, 0.0)
    span = max(arrived) - min(arrived) + 1
    assert span >= 290
    assert len(arrived) >= span * (1 - 2 * loss**3) - 3
