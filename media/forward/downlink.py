"""What a receiver's line carries: its own estimate (REMB) where it tells one, and its loss.

Browsers estimate from how packets bunch up on the way, and never tell more than about one and a half times of what they
receive: a low estimate means something only when it is lower than what is sent. Loss is counted over two seconds or
more: the fraction in a report may stand for two packets. What it asks for again tells of a line that breaks in well
under a second, and is counted once for each packet.
"""

_REMB_AGE_S = 5.0
_WINDOW_S = 2.0
_FEWEST = 40
_LOSS_AGE_S = 8.0
_MOST_STEP = 20_000
_REPORTS_LATE_S = 1.5
_MISSING_WINDOW_S = 0.2
_FEWEST_MISSING = 10
_HALF_CYCLE = 0x8000
_LATE_S = 0.15
_RTT_RISE = 1.002  # a longer way is taken for the usual one after some minutes


class Downlink:
    def __init__(self, now: float) -> None:
        self._remb_bps: int | None = None
        self._remb_at = float("-inf")
        self._counted: dict[int, tuple[int, int]] = {}
        self._asked: dict[int, int] = {}
        self._usual_rtt_s: float | None = None
        self.restart(now)
        self._window_at = now

    def restart(self, now: float) -> None:
        """Something else is sent from now on: the loss till now, which reports still tell of, says nothing of it."""
        self._expected = self._lost = 0
        self._window_at = now + _REPORTS_LATE_S
        self._loss = 0.0
        self._loss_at = now
        self._sent_packets = self._missing_packets = 0
        self._missing_at = now
        self._missing = self._missing_before = 0.0

    def note_remb(self, bps: int, now: float) -> None:
        self._remb_bps, self._remb_at = bps, now

    def note_report(self, ssrc: int, highest: int, lost: int, now: float) -> None:
        """A report block's extended highest sequence number and cumulative loss (RFC 3550 §6.4.1)."""
        before = self._counted.get(ssrc)
        self._counted[ssrc] = (highest, lost)
        if before is None:
            return
        step = (highest - before[0]) & 0xFFFFFFFF
        if step > _MOST_STEP or now < self._window_at:
            return
        self._expected += step
        self._lost += lost - before[1]
        if now - self._window_at >= _WINDOW_S and self._expected >= _FEWEST:
            self._loss = min(1.0, max(0.0, self._lost / self._expected))
            self._loss_at = self._window_at = now
            self._expected = self._lost = 0

    def note_asked(self, ssrc: int, lost: tuple[int, ...]) -> None:
        """A NACK's sequence numbers (RFC 4585 §6.2.1), of packets that went out."""
        for number in lost:
            if ssrc not in self._asked or 0 < (number - self._asked[ssrc]) & 0xFFFF < _HALF_CYCLE:
                self._asked[ssrc] = number
                self._missing_packets += 1

    def note_sent(self, packets: int, now: float) -> None:
        """So many more went out since the last time."""
        self._sent_packets += packets
        if now - self._missing_at < _MISSING_WINDOW_S:
            return
        enough = self._missing_packets >= _FEWEST_MISSING
        self._missing_before = self._missing
        self._missing = min(1.0, self._missing_packets / max(1, self._sent_packets)) if enough else 0.0
        self._sent_packets = self._missing_packets = 0
        self._missing_at = now

    @property
    def missing(self) -> float:
        """The share asked for again of the last fifth of a second, 0 to 1; 0 where that is a few packets."""
        return self._missing

    @property
    def still_missing(self) -> float:
        """The same, of the last two fifths the better one."""
        return min(self._missing, self._missing_before)

    @property
    def misses(self) -> bool:
        """Whether it asked for more than a few packets just now: to be looked at more often."""
        return self._missing_packets >= _FEWEST_MISSING or self._missing > 0.0

    def estimate_bps(self, now: float) -> int | None:
        """None: the receiver does not tell."""
        return self._remb_bps if now - self._remb_at < _REMB_AGE_S else None

    def is_late(self, rtt_s: float | None) -> bool:
        """Some times a second: whether the round trip takes clearly longer than usual, as with a full queue."""
        if rtt_s is None:
            return False
        if self._usual_rtt_s is None or rtt_s < self._usual_rtt_s:
            self._usual_rtt_s = rtt_s
        self._usual_rtt_s *= _RTT_RISE
        return rtt_s > self._usual_rtt_s + _LATE_S

    def loss(self, now: float) -> float:
        """0 to 1."""
        return self._loss if now - self._loss_at < _LOSS_AGE_S else 0.0
