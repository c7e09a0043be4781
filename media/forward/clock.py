"""From a publisher's clock to the node's, so that everything a receiver gets is on one clock (RFC 3550 §6.4.1).

Audio and video of one publisher share one offset, which keeps them together at the receiver; the offset is the
smallest seen (the fastest way its reports took) and follows drift slowly.
"""

NTP_FRACTION = 1 << 32
_DRIFT_S_PER_REPORT = 0.001


class PublisherClock:
    def __init__(self) -> None:
        self._offset_s: float | None = None

    def observe(self, ntp: int, wall: float) -> None:
        """A sender report with this NTP time arrived at `wall` (seconds since 1900 on the node's clock)."""
        offset = wall - ntp / NTP_FRACTION
        if self._offset_s is None or offset < self._offset_s or offset - self._offset_s > 1.0:
            self._offset_s = offset
        else:
            self._offset_s += min(_DRIFT_S_PER_REPORT, offset - self._offset_s)

    def to_wall(self, ntp: int) -> float | None:
        return None if self._offset_s is None else ntp / NTP_FRACTION + self._offset_s
