"""What a rehearsal tells of its phones."""

from collections.abc import Sequence

import msgspec

from clients.rehearsal.report_values import Delays, percentile


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A burst of commands: how many were `given`, how many got no answer, milliseconds to the durable answer.

    `again`: those that were sent again, because the line was lost or the server said so; their time is not in here.
    `cpu_us`: of the server's process for each, all that follows from it included; None if it runs elsewhere.
    """

    given: int
    lost: int
    again: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float | None

    @classmethod
    def of(cls, given: int, acks_s: Sequence[float], again: int, seconds: float, cpu_s: float | None) -> "Answered":
        acks_ms = [1e3 * each for each in acks_s] or [0.0]
        return cls(
            given=given,
            lost=given - len(acks_s) - again,
            again=again,
            seconds=round(seconds, 1),
            p50_ms=round(percentile(acks_ms, 0.5), 1),
            p99_ms=round(percentile(acks_ms, 0.99), 1),
            cpu_us=round(1e6 * cpu_s / max(1, given), 1) if cpu_s is not None else None,
        )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of the host: milliseconds from its sending to each phone, `missed` of all that should have come."""

    changes: int
    missed: int
    p50_ms: float
    p99_ms: float


class Interrupted(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that were `cut`, phones that `slept`. `resumed` by `since`, `reset`: everything told anew."""

    cut: int
    slept: int
    back: int
    back_s: Delays | None
    resumed: int
    reset: int


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has at the end, beside what the phones were told it has. `twice`: commands sent again as well."""

    present: int
    present_acknowledged: int
    questions: int
    questions_acknowledged: int
    votes: int
    votes_acknowledged: int
    sums_right: bool
    twice: int
    second_votes: int
    second_votes_refused: int

    @property
    def right(self) -> bool:
        return (
            self.present == self.present_acknowledged
            and self.questions == self.questions_acknowledged
            and self.votes == self.votes_acknowledged
            and self.sums_right
            and self.second_votes == self.second_votes_refused
        )


class PhonesReport(msgspec.Struct, frozen=True, kw_only=True):
    """`join_s`: from asking for a connection to the welcome, of a storm of all within `storm_s` seconds.

    `setbacks`: what went wrong on the way and was made good by coming again; `faults`: what must not be.
    Of `compared` replicas `differing` were not what a fresh welcome says. `loop_lag_max_ms`: from joining to the end.
    """

    delegates: int
    joined: int
    storm_s: float
    join_s: Delays | None
    connect_cpu_us: float | None
    check_in: Answered
    questions: Answered
    told: Told
    interrupted: Interrupted
    votes: Answered
    counted: Counted
    compared: int
    differing: int
    setbacks: dict[str, int]
    faults: dict[str, int]
    loop_lag_max_ms: float | None

    @property
    def lost(self) -> int:
        return self.check_in.lost + self.questions.lost + self.votes.lost + self.told.missed
