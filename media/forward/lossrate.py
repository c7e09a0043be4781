"""A receiver-side rate by loss alone, for publishers that understand REMB but not transport-wide feedback.

Galene's rule: below 2 % loss up by 5 %, above 10 % down by half of the loss.
"""

_START_BPS = 1_500_000
_FLOOR_BPS = 100_000
_CEILING_BPS = 4_000_000


class LossRate:
    def __init__(self) -> None:
        self._bps = float(_START_BPS)

    def update(self, fraction_lost: float) -> int:
        """One report interval with this loss (0 to 1) went by: the rate to allow from now on."""
        if fraction_lost < 0.02:
            self._bps *= 1.05
        elif fraction_lost > 0.1:
            self._bps *= 1 - fraction_lost / 2
        self._bps = min(max(self._bps, _FLOOR_BPS), _CEILING_BPS)
        return int(self._bps)
