"""How much of the stage a line gets, over a model of a line and of the browser at its end.

The line has a capacity and a queue. The receiver estimates as browsers do (draft-alvestrand-rmcat-congestion §5): 8 %
a second up, never beyond one and a half times of what comes in, down to 0.85 of it when the queue grows; it tells the
estimate once a second, and at once when that fell.
"""

from dataclasses import dataclass, field

import pytest

from media.forward.ladder import AUDIO_ALONE, HIGH, LOW, MIDDLE, Ladder, LineState

NEEDS = (45_000, 195_000, 545_000, 1_545_000)
STEP_S = 0.25
KEY_FRAME_S = 0.5


@dataclass
class Browser:
    """`tells` is False for one that has no REMB: loss is all that is known of it. `deceived`: it sees no queue grow,
    and tells of ever more."""

    capacity_bps: float
    tells: bool = True
    deceived: bool = False
    needs: tuple[int, int, int, int] = NEEDS
    now: float = 100.0
    queue_bits: float = 0.0
    estimate_bps: float = 30e6
    told_bps: int | None = None
    sent_bps: float = 0.0
    loss: float = 0.0
    received_s: float = 0.0
    changes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ladder = Ladder(self.now)
        self._flows = HIGH
        self._switch_at = self.now
        self._told_at = float("-inf")
        self._window: list[tuple[float, float]] = []

    def run(self, seconds: float, *, silent: bool = False) -> None:
        """`silent`: there is nobody on the stage, only sound."""
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            if self._flows != self.ladder.rung and self.now >= self._switch_at:
                self._flows = self.ladder.rung
            flows = self.needs[AUDIO_ALONE if silent else self._flows]
            goes_out = max(flows, self.ladder.probe_bps)
            self._carry(goes_out)
            needs = (self.needs[0],) * 4 if silent else self.needs
            self.sent_bps += (goes_out - self.sent_bps) * STEP_S
            told = self.told_bps if self.tells else None
            missing = self._missing()
            line = LineState(needs, int(self.sent_bps), told, self._loss_told(), False, missing[-1], min(missing))
            if self.ladder.update(line, self.now):
                self.changes.append((self.now, self.ladder.rung))
                self._switch_at = self.now + KEY_FRAME_S
                self._window.clear()

    def _carry(self, goes_out: float) -> None:
        space = self.capacity_bps * STEP_S
        arrived = min(self.queue_bits + goes_out * STEP_S, space)
        queue = self.queue_bits + goes_out * STEP_S - arrived
        lost = max(0.0, queue - self.capacity_bps * 0.5)
        grows = queue - lost > self.queue_bits + 1 or lost > 0 or queue > 0.2 * self.capacity_bps
        self.queue_bits = queue - lost
        self._window.append((lost, goes_out * STEP_S))
        del self._window[:-8]
        self._estimate(arrived / STEP_S, grows and not self.deceived)

    def _estimate(self, incoming: float, grows: bool) -> None:
        self.received_s += STEP_S
        if grows:
            fallen = 0.85 * incoming < self.estimate_bps
            self.estimate_bps = min(self.estimate_bps, 0.85 * incoming)
        else:
            fallen = False
            if self.estimate_bps > 29e6 and self.received_s >= 5.0:
                self.estimate_bps = incoming
            highest = max(self.estimate_bps, 1.5 * incoming + 10_000)
            self.estimate_bps = min(self.estimate_bps * 1.08**STEP_S, highest)
        if fallen or self.now - self._told_at >= 1.0:
            self.told_bps = int(self.estimate_bps)
            self._told_at = self.now

    def _missing(self) -> tuple[float, float]:
        """As asked for again, of the last two steps; a few packets (of 1,200 octets) do not count."""
        steps = [(0.0, 1.0), (0.0, 1.0), *self._window][-2:]
        shares = [lost / sent if lost > 10 * 9_600 else 0.0 for lost, sent in steps]
        return shares[0], shares[1]

    def _loss_told(self) -> float:
        sent = sum(bits for _, bits in self._window)
        return sum(lost for lost, _ in self._window) / sent if sent else 0.0


@pytest.mark.parametrize("tells", [True, False], ids=["remb", "loss"])
def test_a_wide_line_stays_high(tells: bool) -> None:
    browser = Browser(10e6, tells)
    browser.run(600)
    assert browser.changes == []


def test_a_cut_to_400_kbit_falls_to_the_low_layer_within_five_seconds_and_comes_back() -> None:
    browser = Browser(3e6)
    browser.run(30)
    browser.capacity_bps = 400_000
    cut_at = browser.now
    browser.run(60)
    assert browser.ladder.rung == LOW
    assert all(rung != AUDIO_ALONE for _, rung in browser.changes)
    assert next(at for at, rung in browser.changes if rung == LOW) - cut_at <= 5.0
    browser.capacity_bps = 3e6
    browser.run(120)
    assert browser.ladder.rung == HIGH


@pytest.mark.parametrize("tells", [True, False], ids=["deceived", "untold"])
def test_a_cut_that_the_estimate_does_not_show_falls_within_a_second_and_no_rung_is_believed_to_fit(
    tells: bool,
) -> None:
    """As seen in Chromium behind a short queue that drops: the estimate grew, or was not told, while half was lost."""
    browser = Browser(3e6, tells, deceived=True)
    browser.run(30)
    browser.capacity_bps = 400_000
    cut_at = browser.now
    browser.run(240)
    assert browser.changes[0][0] - cut_at <= 1.5
    assert [rung for _, rung in browser.changes] == [LOW], "each attempt ends as padding, not as a picture that freezes"
    browser.capacity_bps = 3e6
    browser.run(180)
    assert browser.ladder.rung == HIGH


def test_what_breaks_just_after_a_climb_falls_at_once() -> None:
    ladder, now = Ladder(100.0), 100.0
    while ladder.rung != LOW:
        now += STEP_S
        ladder.update(LineState(NEEDS, 1_500_000, 300_000, loss=0.5), now)
    while ladder.rung == LOW:
        now += STEP_S
        ladder.update(LineState(NEEDS, 200_000, 900_000, loss=0.0), now)
    assert ladder.update(LineState(NEEDS, 545_000, 900_000, loss=0.0, missing=0.4), now + STEP_S)
    assert ladder.rung == LOW


def test_one_gap_of_a_fifth_of_a_second_is_no_overload() -> None:
    ladder, now = Ladder(100.0), 110.0
    for _ in range(20):
        assert not ladder.update(LineState(NEEDS, 1_500_000, None, loss=0.0, missing=0.9), now)
        assert not ladder.update(LineState(NEEDS, 1_500_000, None, loss=0.0), now + STEP_S)
        now += 2 * STEP_S


def test_a_line_that_carries_sound_alone_gets_that_and_pictures_again_later() -> None:
    browser = Browser(3e6)
    browser.run(30)
    browser.capacity_bps = 90_000
    browser.run(8)
    assert browser.ladder.rung == AUDIO_ALONE
    browser.run(60)
    assert browser.ladder.rung == AUDIO_ALONE
    browser.capacity_bps = 3e6
    browser.run(240)
    assert browser.ladder.rung == HIGH


@pytest.mark.parametrize(("capacity", "rung"), [(900_000, MIDDLE), (300_000, LOW)])
def test_a_line_between_two_rungs_does_not_flap(capacity: float, rung: int) -> None:
    browser = Browser(capacity)
    browser.run(600)
    settled = [each for at, each in browser.changes if at > 120.0]
    assert len(settled) <= 12
    assert browser.ladder.rung == rung
    assert min(each for _, each in browser.changes) >= rung - 1


def test_without_an_estimate_a_rung_is_taken_only_after_padding_was_carried() -> None:
    browser = Browser(400_000, tells=False)
    browser.run(600)
    assert {rung for at, rung in browser.changes if at > 120.0} == set()
    assert browser.ladder.rung == LOW


@pytest.mark.parametrize("quiet_s", [3, 10, 60])
def test_pictures_after_a_quiet_time_are_not_taken_for_an_overload(quiet_s: int) -> None:
    """A browser's estimate is about what it received: near nothing after sound alone, and it takes its time to grow."""
    browser = Browser(10e6)
    browser.run(quiet_s, silent=True)
    browser.run(60)
    assert browser.changes == []


def test_a_narrow_line_is_noticed_after_a_quiet_time_too() -> None:
    browser = Browser(400_000)
    browser.run(20, silent=True)
    begins_at = browser.now
    browser.run(60)
    assert browser.changes[0][0] - begins_at <= 5.0
    assert browser.ladder.rung == LOW


def test_loss_alone_brings_down_one_rung_after_the_other_and_patience_brings_up() -> None:
    browser = Browser(400_000, tells=False)
    browser.run(30)
    assert browser.changes[0][1] == LOW, "as far down as what arrives tells"
    assert browser.ladder.rung in (LOW, MIDDLE)
    browser.capacity_bps = 5e6
    browser.run(180)
    assert browser.ladder.rung == HIGH


def test_a_source_without_layers_is_shown_or_not() -> None:
    """Every rung would send the same: below, only sound is left."""
    whole = (45_000, 1_545_000, 1_545_000, 1_545_000)
    browser = Browser(3e6, needs=whole)
    browser.run(30)
    browser.capacity_bps = 400_000
    browser.run(10)
    assert browser.ladder.rung == AUDIO_ALONE
    browser.capacity_bps = 5e6
    browser.run(300)
    assert browser.ladder.rung == HIGH


def test_an_estimate_that_never_had_more_to_go_by_is_no_overload() -> None:
    """As seen in Chromium: a still camera for a while, then a moving one, and 30 kbit/s told all the time."""
    ladder = Ladder(100.0)
    for step in range(120):
        line = LineState(NEEDS, 1_500_000, 30_000, loss=0.0)
        assert not ladder.update(line, 100.0 + step * STEP_S)
    late = LineState(NEEDS, 1_500_000, 30_000, loss=0.0, late=True)
    assert any(ladder.update(late, 140.0 + step * STEP_S) for step in range(8))
    assert ladder.rung != AUDIO_ALONE, "what arrives counts, not what was told before"


def test_small_pictures_are_tried_again_without_a_long_probe() -> None:
    ladder = Ladder(100.0)
    now = 100.0
    while ladder.rung != AUDIO_ALONE:
        now += STEP_S
        ladder.update(LineState(NEEDS, 60_000, 30_000, loss=0.5), now)
    fallen_at = now
    while ladder.rung == AUDIO_ALONE:
        now += STEP_S
        ladder.update(LineState(NEEDS, 45_000, 40_000, loss=0.0), now)
    assert ladder.rung == LOW
    assert now - fallen_at <= 30


def test_an_estimate_that_does_not_follow_is_led_past() -> None:
    """As seen in Chromium on a busy machine: the estimate stayed where it was although all that was sent came."""
    ladder, now, sent = Ladder(100.0), 100.0, 1_500_000.0
    while ladder.rung == HIGH:
        now += STEP_S
        ladder.update(LineState(NEEDS, 1_500_000, 300_000, loss=0.5), now)
    low_at = now
    while ladder.rung != HIGH and now < low_at + 120:
        now += STEP_S
        goes_out = max(NEEDS[ladder.rung], ladder.probe_bps)
        sent += (goes_out - sent) * STEP_S
        ladder.update(LineState(NEEDS, int(sent), 220_000, loss=0.0), now)
    assert ladder.rung == HIGH
    assert now - low_at < 90


def test_a_narrow_line_whose_estimate_does_not_follow_is_tried_and_left() -> None:
    ladder, now, sent, changes = Ladder(100.0), 100.0, 1_500_000.0, []
    for _ in range(round(600 / STEP_S)):
        now += STEP_S
        goes_out = max(NEEDS[ladder.rung], ladder.probe_bps)
        sent += (goes_out - sent) * STEP_S
        lost = max(0.0, 1 - 400_000 / sent)
        if ladder.update(LineState(NEEDS, int(sent), 220_000, loss=lost, late=lost > 0), now):
            changes.append(ladder.rung)
    assert ladder.rung == LOW
    assert len(changes) <= 4, "ten minutes, and hardly a change"
