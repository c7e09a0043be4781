"""Who is present: intervals of presence, never only first and last.  Rules A1–A8 in SPEC.md."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor
from rooms.agenda import require_not_closed
from rooms.ids import DelegateId, HallId
from rooms.meeting import Change, Command, Meeting, Record, put, text
from rooms.refusal import Refusal, Refused
from rooms.roster import Delegate

Mode = Literal["in_hall", "online"]
Method = Literal["phone", "staff"]
MOST_INTERVALS = 200


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stretch of presence; `out_at` is None while it lasts. `by` is the actor who opened it."""

    in_at: float
    out_at: float | None = None
    mode: Mode
    method: Method
    by: str


class Attendance(Record, frozen=True, kw_only=True, tag="attendance"):
    """A delegate's presence; its id is the delegate's. `excused` is the reason of an accepted absence."""

    hall: HallId
    intervals: tuple[Interval, ...] = ()
    excused: str | None = None
    excused_by: str | None = None

    @property
    def present(self) -> bool:
        return bool(self.intervals) and self.intervals[-1].out_at is None


class HallCount(Record, frozen=True, kw_only=True, tag="hall_count"):
    """What the console shows of a hall's attendance; its id is the hall's.

    convened: delegates on the list; present: now, of which `online` not in the hall; ever: present at some time.
    """

    convened: int = 0
    present: int = 0
    online: int = 0
    ever: int = 0
    excused: int = 0


class CheckIn(Command, frozen=True, kw_only=True, tag="attendance.check_in"):
    """A delegate's phone names nobody; staff name the delegate."""

    delegate: DelegateId | None = None
    mode: Mode = "in_hall"


class CheckOut(Command, frozen=True, kw_only=True, tag="attendance.check_out"):
    delegate: DelegateId | None = None


class Excuse(Command, frozen=True, kw_only=True, tag="attendance.excuse"):
    """Accept an absence (vắng có lý do). An empty reason takes it back."""

    delegate: DelegateId
    reason: str


def hall_count(hall: HallId, convened: int, attendances: Iterable[Attendance]) -> HallCount:
    counted = list(attendances)
    present = [a for a in counted if a.present]
    return HallCount(
        id=hall,
        convened=convened,
        present=len(present),
        online=sum(a.intervals[-1].mode == "online" for a in present),
        ever=sum(bool(a.intervals) for a in counted),
        excused=sum(a.excused is not None and not a.intervals for a in counted),
    )


def _subject(meeting: Meeting, actor: Actor, delegate: DelegateId | None) -> Attendance:
    """The attendance meant by the command, empty if there is none yet (A1)."""
    if isinstance(actor, DelegateActor):
        if delegate not in (None, actor.id):
            raise Refused(Refusal.NOT_ALLOWED)
        delegate = actor.id
    if delegate is None:
        raise Refused(Refusal.BAD_VALUE, "delegate")
    person = meeting.require(Delegate, delegate)
    return meeting.get(Attendance, person.id) or Attendance(id=person.id, hall=person.hall)


def _counted(meeting: Meeting, old: Attendance, new: Attendance) -> Change:
    """The new attendance with the hall's count moved by the difference (A6)."""
    count = meeting.get(HallCount, new.hall) or HallCount(id=new.hall)
    before = hall_count(new.hall, 0, [old])
    after = hall_count(new.hall, 0, [new])
    moved = {
        f: getattr(count, f) + getattr(after, f) - getattr(before, f) for f in ("present", "online", "ever", "excused")
    }
    return put(new, replace(count, **moved))


def check_in(meeting: Meeting, actor: Actor, command: CheckIn, now: float) -> Change:
    require_not_closed(meeting)  # A2
    old = _subject(meeting, actor, command.delegate)
    if old.present:
        return Change()  # A3
    if len(old.intervals) >= MOST_INTERVALS:
        raise Refused(Refusal.BAD_VALUE, "intervals")
    method: Method = "phone" if isinstance(actor, DelegateActor) else "staff"
    start = max([now, *(i.out_at for i in old.intervals[-1:] if i.out_at is not None)])  # A5
    interval = Interval(in_at=start, mode=command.mode, method=method, by=actor.key)
    return _counted(meeting, old, replace(old, intervals=(*old.intervals, interval)))


def check_out(meeting: Meeting, actor: Actor, command: CheckOut, now: float) -> Change:
    require_not_closed(meeting)
    old = _subject(meeting, actor, command.delegate)
    if not old.present:
        return Change()  # A4
    last = old.intervals[-1]
    ended = replace(last, out_at=max(now, last.in_at))
    return _counted(meeting, old, replace(old, intervals=(*old.intervals[:-1], ended)))


def excuse(meeting: Meeting, actor: Actor, command: Excuse, now: float) -> Change:
    require_not_closed(meeting)
    old = _subject(meeting, actor, command.delegate)
    reason = text(command.reason, "reason", 500, empty=True) or None
    return _counted(meeting, old, replace(old, excused=reason, excused_by=actor.key if reason else None))  # A7
