"""How well one stream comes in: RFC 3550 §6.4.1, A.3 (loss) and A.8 (jitter)."""

from collections.abc import Sequence

from media.rtp.header import Came
from media.rtp.rtcp import ReportBlock

_MASK32 = 0xFFFFFFFF
_HALF_CYCLE = 0x8000
_HALF_RANGE = 0x80000000


class Reception:
    def __init__(self, sequence: int, clock_rate: int) -> None:
        self._highest = self._base = sequence
        self._clock_rate = clock_rate
        self._transit: int | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._report_middle = 0
        self._report_at: float | None = None
        self.received = 0
        self.octets = 0

    def record(self, came: Came) -> None:
        ahead = (came.packet.sequence - self._highest) & 0xFFFF
        if ahead < _HALF_CYCLE:
            self._highest += ahead
        self._count((came,))

    def record_run(self, run: Sequence[Came]) -> None:
        """Packets that follow the highest one, and each other, without a gap."""
        self._highest += len(run)
        self._count(run)

    def _count(self, run: Sequence[Came]) -> None:
        rate, transit, jitter, octets = self._clock_rate, self._transit, self._jitter, self.octets
        for packet, size, at in run:
            octets += size
            before, transit = transit, (int(at * rate) - packet.timestamp) & _MASK32
            if before is not None:
                difference = (transit - before) & _MASK32
                jitter += ((difference if difference < _HALF_RANGE else _MASK32 + 1 - difference) - jitter) / 16
        self._transit, self._jitter, self.octets = transit, jitter, octets
        self.received += len(run)

    def record_sender_report(self, ntp: int, now: float) -> None:
        self._report_middle = ntp >> 16 & _MASK32
        self._report_at = now

    @property
    def newest(self) -> int:
        """The highest sequence number that came in."""
        return self._highest & 0xFFFF

    @property
    def lost(self) -> int:
        return self._highest - self._base + 1 - self.received

    @property
    def jitter_s(self) -> float:
        return self._jitter / self._clock_rate

    def report(self, ssrc: int, now: float) -> ReportBlock:
        """The block of a receiver report; the fraction counts from the report before."""
        expected = self._highest - self._base + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = min(255, (lost_now << 8) // expected_now) if lost_now > 0 and expected_now > 0 else 0
        delay = 0 if self._report_at is None else round((now - self._report_at) * 65536)
        return ReportBlock(
            ssrc,
            fraction,
            self.lost,
            self._highest & _MASK32,
            int(self._jitter),
            self._report_middle,
            delay,
        )
