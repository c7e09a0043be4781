"""Limits by key, on a clock of the test's own."""

from server import limits
from server.limits import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_rate_for_each_key_alone() -> None:
    clock = Clock()
    rates = Rates(2.0, 5.0, clock)
    assert [rates.take("a") for _ in range(6)] == [True] * 5 + [False]
    assert rates.take("b")
    clock.now = 1.0
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    clock.now = 1_000.0
    assert [rates.take("a") for _ in range(6)] == [True] * 5 + [False]


def test_keys_are_forgotten_and_not_hoarded() -> None:
    rates = Rates(1.0, 1.0, Clock())
    for number in range(limits.MOST_ADDRESSES + 10):
        rates.take(str(number))
    assert len(rates._buckets) == limits.MOST_ADDRESSES
