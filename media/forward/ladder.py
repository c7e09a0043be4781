"""How much of the stage a receiver's line gets: large pictures, middle ones, small ones, sound alone; and back up.

Down at once and as far as needed, up one rung at a time and with patience, which grows with each attempt that failed. A
rung above is tried out with padding before it is taken: the receiver's estimate only grows with what it receives.

A low estimate alone is no evidence: browsers lower it for any jitter, their own machine's too, have little to go by
after sound alone or a still camera, and raise it by 8 % a second at best. It counts where packets are lost in numbers
as well, or are late. Where they are missing in numbers now and the estimate says so, or they go on being missing, the
line breaks (`breaks`): to send on until a key frame comes would only fill it.

A high estimate is no evidence either: behind a line with a short queue Chromium was seen to tell of more and more while
half of what was sent got lost. A receiver that did not tell what broke its line is not believed for a while: the rung
above is taken only after that much padding, slowly more of it, was carried without loss.
"""

import msgspec
from mypy_extensions import mypyc_attr

AUDIO_ALONE, LOW, MIDDLE, HIGH = range(4)

OVERLOADED_SHARE = 0.8  # one overuse alone takes a browser's estimate to 0.85 of what came in
FITS_SHARE = 0.9
_LOSSY_S = 0.6
_STRAINED_S = 1.5  # two reports
_BREAKING_SHARE = 0.25
_GUESS_SHARE = 0.75  # of what seems to arrive in a fifth of a second: two steps down would take longer than a low one
_SETTLE_S = 2.0  # the key frame of the new rung, and until what was sent before no longer counts
_FALL_SHARE = 0.95
_FALL_COUNTS_S = 5.0
_HEAVY_LOSS = 0.15
_LIGHT_LOSS = 0.10
_PATIENCE_S = 6.0
_MOST_PATIENCE_S = 60.0
_FAILED_WITHIN_S = 15.0
_PROBE_S = 20.0
_PROBE_STEP = 1.3
_FLOOR_PROBE_BPS = 100_000
_PUSH_AFTER_S = 4.0
_PUSH_STEP = 1.15
_PUSH_LOSS = 0.03
_FULL_SHARE = 0.85
_FULL_S = 3.0


class LineState(msgspec.Struct, frozen=True):
    """What is known of a receiver's line at a moment. `needs_bps[rung]` is what each rung would send; `late`: packets
    take clearly longer than they did. `loss` is that of reports, over seconds; `missing` the share of the last fifth of
    a second that was asked for again, `still_missing` of the last two fifths the lesser one."""

    needs_bps: tuple[int, int, int, int]
    sent_bps: int
    estimate_bps: int | None
    loss: float
    late: bool = False
    missing: float = 0.0
    still_missing: float = 0.0

    @property
    def told_less(self) -> bool:
        """The receiver tells that clearly less arrives than is sent."""
        return self.estimate_bps is not None and self.estimate_bps < OVERLOADED_SHARE * self.sent_bps


@mypyc_attr(allow_interpreted_subclasses=True)
class Ladder:
    """`rung` is where the receiver stands; `probe_bps` is what to send altogether now to try the next one, or 0.

    `breaks`: the last step down was taken because hardly anything comes through.
    """

    def __init__(self, now: float) -> None:
        self.rung = HIGH
        self.probe_bps = 0
        self.breaks = False
        self._changed_at = now
        self._climbed_at = float("-inf")
        self._overloaded_since: float | None = None
        self._patience_s = _PATIENCE_S
        self._probing_since: float | None = None
        self._deceived = False
        self._estimate_bps: int | None = None
        self._fell_at = float("-inf")
        self._pushed_bps = 0.0
        self._pushed_at = self._full_since = now

    def update(self, line: LineState, now: float) -> bool:
        """Some times a second. Whether `rung` has changed."""
        self._follow(line.estimate_bps, now)
        if self._overloaded(line, now):
            return self._go_down(line, now)
        return self._maybe_up(line, now)

    def _follow(self, estimate_bps: int | None, now: float) -> None:
        before, self._estimate_bps = self._estimate_bps, estimate_bps
        if before is not None and estimate_bps is not None and estimate_bps < _FALL_SHARE * before:
            self._fell_at = now

    def _overloaded(self, line: LineState, now: float) -> bool:
        lossy = line.loss >= _HEAVY_LOSS
        strained = line.told_less and (line.loss >= _LIGHT_LOSS or line.late)
        failed = self._climbed_at == self._changed_at and now - self._climbed_at < _SETTLE_S
        self.breaks = (line.missing if line.told_less or failed else line.still_missing) >= _BREAKING_SHARE
        settles = now - self._changed_at < _SETTLE_S and not (failed and self.breaks)
        if settles or not (self.breaks or lossy or strained):
            self._overloaded_since = None
            return False
        if self._overloaded_since is None:
            self._overloaded_since = now
        return self.breaks or now - self._overloaded_since >= (_LOSSY_S if lossy else _STRAINED_S)

    def _go_down(self, line: LineState, now: float) -> bool:
        self._overloaded_since = None
        if self._probing_since is not None or now - self._climbed_at < _FAILED_WITHIN_S:
            self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S)
        was_probing = self._probing_since is not None
        self._deceived = self._deceived or not line.told_less
        self._stop_probing()
        if was_probing or self.rung == AUDIO_ALONE:
            self._changed_at = now  # the padding was too much, not what the rung itself sends
            return False
        rung, carries_bps = self.rung - 1, self._carries_bps(line, now)
        while rung > LOW and line.needs_bps[rung] > carries_bps:
            rung -= 1
        while rung > AUDIO_ALONE and line.needs_bps[rung] >= line.needs_bps[self.rung]:
            rung -= 1  # a source without layers sends the same on each
        return self._step(rung, now)

    def _fell(self, now: float) -> bool:
        return now - self._fell_at < _FALL_COUNTS_S

    def _carries_bps(self, line: LineState, now: float) -> float:
        """What a line that is overloaded lets through: what it tells if that fell, else what arrives."""
        if line.estimate_bps is not None and self._fell(now) and line.told_less:
            return line.estimate_bps
        return line.sent_bps * (1 - max(line.loss, line.missing)) * (_GUESS_SHARE if self.breaks else 1.0)

    def _maybe_up(self, line: LineState, now: float) -> bool:
        if self.rung == HIGH:
            if now - self._changed_at > _MOST_PATIENCE_S:
                self._patience_s = _PATIENCE_S
                self._deceived = False
            return False
        if self._climbed_at == self._changed_at and now - self._climbed_at >= _FAILED_WITHIN_S:
            self._patience_s = _PATIENCE_S  # the last step held
        if now - self._changed_at < self._patience_s or line.loss > _LIGHT_LOSS:
            if self._probing_since is not None:
                self._give_up(now)
            return False
        need = line.needs_bps[self.rung + 1]
        cheap = self.rung == AUDIO_ALONE and not line.late  # tried without padding: it is little, and matters most
        believed = line.estimate_bps is not None and not self._deceived
        fits = believed and FITS_SHARE * (line.estimate_bps or 0) >= need
        if not (cheap or fits or self._probe(line, need, now)):
            return False
        self._climbed_at = now
        return self._step(self.rung + 1, now)

    def _probe(self, line: LineState, need: int, now: float) -> bool:
        """Sets what to send. Whether the next rung was carried without trouble, whatever the receiver tells.

        An estimate that does not follow what comes in (a busy machine at the other end) is led past after some seconds.
        One that is not believed, or is not told, is led past at once, and loss ends the attempt.
        """
        told = None if self._deceived else line.estimate_bps
        if self._probing_since is None:
            self._probing_since = self._pushed_at = now
            self._pushed_bps = 0.0
        troubled = line.loss > _PUSH_LOSS or line.late or line.missing > 0.0
        if now - self._probing_since > _PROBE_S or (told is None and troubled):
            self._give_up(now)
            return False
        target = need / FITS_SHARE
        base = line.needs_bps[self.rung] if told is None else max(_PROBE_STEP * told, _FLOOR_PROBE_BPS)
        if troubled or self._fell(now):
            self._pushed_bps = base
        elif now - self._probing_since > (0 if told is None else _PUSH_AFTER_S) and now - self._pushed_at >= 1.0:
            self._pushed_at = now
            self._pushed_bps = max(self._pushed_bps, base) * _PUSH_STEP
        self.probe_bps = int(min(max(base, self._pushed_bps), target))
        if self.probe_bps < int(target) or line.sent_bps < _FULL_SHARE * target:
            self._full_since = now
        return now - self._full_since >= _FULL_S

    def _give_up(self, now: float) -> None:
        """The next rung is too much: not again before twice the time."""
        self._stop_probing()
        self._changed_at = now
        self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S)

    def _stop_probing(self) -> None:
        self._probing_since = None
        self.probe_bps = 0

    def _step(self, rung: int, now: float) -> bool:
        self._stop_probing()
        self.rung = rung
        self._changed_at = now
        return True
