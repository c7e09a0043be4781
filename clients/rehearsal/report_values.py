"""Figures of many values."""

from collections.abc import Sequence

import msgspec


def percentile(values: Sequence[float], share: float) -> float:
    """Of at least one value."""
    ordered = sorted(values)
    return round(ordered[int(share * (len(ordered) - 1))], 3)


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds or milliseconds, as the field's name says."""

    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Delays | None":
        if not values:
            return None
        return cls(p50=percentile(values, 0.5), p95=percentile(values, 0.95), most=percentile(values, 1.0))
