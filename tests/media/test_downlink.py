"""What is known of a receiver's line, and what the ladder makes of it. The lines are as Chromium halls told of them."""

from collections.abc import Callable

from media.forward.downlink import Downlink
from media.forward.ladder import AUDIO_ALONE, HIGH, LOW, MIDDLE, Ladder, LineState
from media.rtp.rtcp import Nack, ReceiverReport, ReportBlock
from media.sdp import slot_ssrc
from tests.support.media_group import FakeMeeting, receiving, sending

NEEDS = (90_000, 250_000, 480_000, 1_100_000)
STAGE = slot_ssrc("stage.0")


def line(
    sent: int = 1_000_000,
    estimate: int | None = 1_500_000,
    loss: float = 0.0,
    missing: float = 0.0,
    late: bool = False,
) -> LineState:
    return LineState(NEEDS, sent, estimate, loss, late, missing)


def run(ladder: Ladder, tell: Callable[[float], LineState], seconds: float, start: float = 0.0) -> float | None:
    """Looks every quarter second; after how long the rung changed, None if it did not."""
    for step in range(1, int(seconds * 4) + 1):
        if ladder.update(tell(step / 4), start + step / 4):
            return step / 4
    return None


def test_a_low_estimate_alone_is_no_reason_to_go_down() -> None:
    """A jump of the delay by 50 ms, or a busy machine, takes a browser's to half, for half a minute."""
    ladder = Ladder(0.0)
    assert run(ladder, lambda at: line(estimate=500_000, loss=0.06), 60) is None


def test_a_line_that_breaks_falls_at_once_to_what_fits() -> None:
    ladder = Ladder(0.0)
    run(ladder, lambda at: line(), 10)
    assert run(ladder, lambda at: line(estimate=270_000, missing=0.5), 5, start=10) == 0.25
    assert (ladder.rung, ladder.breaks) == (LOW, True)


def test_low_is_tried_before_sound_alone() -> None:
    ladder = Ladder(0.0)
    run(ladder, lambda at: line(), 10)
    run(ladder, lambda at: line(estimate=100_000, missing=0.9), 5, start=10)
    assert ladder.rung == LOW
    assert run(ladder, lambda at: line(sent=250_000, estimate=100_000, loss=0.3), 5, start=11) is not None
    assert ladder.rung == AUDIO_ALONE


def test_a_queue_and_a_low_estimate_lead_down_within_five_seconds() -> None:
    """A narrow line with a deep queue loses nothing: it is late."""
    ladder = Ladder(0.0)
    run(ladder, lambda at: line(), 10)
    took_s = run(ladder, lambda at: line(estimate=400_000, late=True), 10, start=10)
    assert took_s is not None and took_s < 5
    assert (ladder.rung, ladder.breaks) == (LOW, False)


def test_a_wide_line_with_loss_is_climbed() -> None:
    """Its estimate grows with what is sent for a try."""
    ladder = Ladder(0.0)
    run(ladder, lambda at: line(), 10)
    run(ladder, lambda at: line(estimate=270_000, missing=0.5), 5, start=10)
    estimates = [270_000.0]

    def wide(at: float) -> LineState:
        sent = max(250_000, ladder.probe_bps)
        estimates.append(min(estimates[-1] * 1.02, 1.5 * sent))
        return line(sent=sent, estimate=int(estimates[-1]), loss=0.06)

    assert run(ladder, wide, 40, start=11) is not None
    assert ladder.rung == MIDDLE


def test_who_tells_no_estimate_goes_by_loss() -> None:
    ladder = Ladder(0.0)
    assert run(ladder, lambda at: line(estimate=None, loss=0.05), 30) is None
    assert run(ladder, lambda at: line(estimate=None, loss=0.2), 5, start=30) is not None
    assert ladder.rung == MIDDLE
    assert run(ladder, lambda at: line(sent=max(480_000, ladder.probe_bps), estimate=None), 30, start=35) is not None
    assert ladder.rung == HIGH


def test_the_loss_of_the_rung_before_is_not_the_new_ones() -> None:
    downlink = Downlink(0.0)
    downlink.note_report(1, 1000, 0, 0.0)
    downlink.restart(10.0)
    downlink.note_report(1, 1200, 150, 10.5)  # what was still under way
    downlink.note_report(1, 1300, 150, 11.6)
    downlink.note_report(1, 1400, 151, 14.0)
    assert downlink.loss(14.0) == 1 / 200
    downlink.note_report(1, 1500, 181, 16.5)
    assert downlink.loss(16.5) == 0.3


def test_what_is_asked_for_again_counts_once_and_not_for_a_few() -> None:
    downlink = Downlink(0.0)
    downlink.note_asked(1, tuple(range(65530, 65536)))
    downlink.note_asked(1, (*range(65530, 65536), *range(0, 4)))
    downlink.note_sent(40, 0.25)
    assert downlink.missing == 10 / 40
    downlink.note_asked(1, (65530, 3))
    downlink.note_asked(1, (4, 5))
    downlink.note_sent(4, 0.5)
    assert downlink.missing == 0.0


def test_one_who_misses_some_of_the_key_frame_it_joined_with_gets_another() -> None:
    """What was written for it alone cannot be sent again."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    meeting.join("h2", [], [receiving("stage.0")])
    meeting.stage(["h1/camera"])
    one.frame(key=True, parts=5)
    meeting.wait(0.5)
    late = meeting.join("h3", [], [receiving("stage.0")])
    replayed = late.of(STAGE)
    assert len(replayed) == 5
    asked = len(one.key_frames_asked())
    meeting.wait(1.5)
    assert len(one.key_frames_asked()) == asked
    late.subscriber.receive_rtcp(Nack(5, STAGE, (replayed[2].packet.sequence,)), meeting.now, 0.0)
    meeting.wait(0.2)
    assert len(one.key_frames_asked()) == asked + 1


def test_what_the_publisher_loses_is_not_blamed_on_its_viewers() -> None:
    """They report and ask for what never came to the node; another who really loses as much goes down."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    viewers = [meeting.join(name, [], [receiving("stage.0")]) for name in ("h2", "h3")]
    meeting.stage(["h1/camera"])
    one.frame(key=True)
    for step in range(200):
        one.losing = lambda data, lost=step % 3 == 0: lost  # type: ignore[misc]
        one.frame()
        meeting.wait(0.05)
        if step % 20 == 19:
            for viewer, more in zip(viewers, (0, step // 3), strict=True):
                numbers = sorted(received.index for received in viewer.of(STAGE))
                gaps = [number for number in range(numbers[0], numbers[-1]) if number not in numbers]
                block = ReportBlock(STAGE, 0, len(gaps) + more, numbers[-1], 0, 0, 0)
                viewer.subscriber.receive_rtcp(ReceiverReport(5, (block,)), meeting.now, 0.0)
                asked = tuple(gap & 0xFFFF for gap in gaps[-100:])
                viewer.subscriber.receive_rtcp(Nack(5, STAGE, asked), meeting.now, 0.0)
    assert viewers[0].subscriber.rung == "high"
    assert viewers[1].subscriber.rung != "high"
