"""The figures of an attendance report, from the records of a meeting.  Pure.

Times end at the meeting's close, or now while it runs; presence before the opening counts as presence, but not as time
of the meeting.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from rooms.agenda import FACTS, Item, MeetingFacts
from rooms.attendance import Attendance, Interval
from rooms.links import Link
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall

VIETNAM = timezone(timedelta(hours=7))
"""Asia/Ho_Chi_Minh: no summer time since 1975, so no time zone data is needed."""


def iso(at: float | None) -> str:
    """The time in Vietnam, to the second: 2026-06-01T08:00:00+07:00."""
    if at is None:
        return ""
    return datetime.fromtimestamp(round(at), UTC).astimezone(VIETNAM).isoformat()


def minutes(seconds: float) -> float:
    return round(seconds / 60, 1)


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """One delegate's attendance. `late_s`, `early_s`: after the opening, before the close; None if never present."""

    delegate: Delegate
    attendance: Attendance | None
    total_s: float = 0.0
    in_session_s: float = 0.0
    late_s: float | None = None
    early_s: float | None = None

    @property
    def intervals(self) -> tuple[Interval, ...]:
        return self.attendance.intervals if self.attendance else ()

    @property
    def ever(self) -> bool:
        return bool(self.intervals)

    @property
    def excused(self) -> bool:
        return not self.ever and self.attendance is not None and self.attendance.excused is not None


class Report:
    """All that the sheets are made of, read once from the meeting."""

    def __init__(self, meeting: Meeting, now: float) -> None:
        self.meeting = meeting
        self.now = now
        self.facts = meeting.get(MeetingFacts, FACTS) or MeetingFacts(id=FACTS, title="")
        self.end = self.facts.closed_at or now
        self.closed = self.facts.state == "closed"
        self.halls = sorted(meeting.select(Hall), key=lambda hall: (hall.order, hall.id))
        places = {hall.id: n for n, hall in enumerate(self.halls)}
        self.names = {hall.id: hall.name for hall in self.halls}
        people = sorted(meeting.select(Delegate), key=lambda d: (places.get(d.hall, len(places)), d.order, d.id))
        self.presences = [self._presence(delegate) for delegate in people]

    @property
    def duration_s(self) -> float:
        """How long the meeting lasted so far."""
        opened = self.facts.opened_at
        return max(0.0, self.end - opened) if opened is not None else 0.0

    def spans(self, intervals: Iterable[Interval]) -> list[tuple[float, float]]:
        """The intervals' beginnings and ends; one that lasts, or outlasts the meeting, ends with it."""
        return [(i.in_at, max(i.in_at, min(self.end, self.end if i.out_at is None else i.out_at))) for i in intervals]

    def lost_s(self, link: Link) -> float:
        """How long the hall's line was lost, a gap that lasts included."""
        return link.lost_s + (0.0 if link.up else max(0.0, self.end - link.since))

    def item_title(self, item: str | None) -> str:
        found = self.meeting.get(Item, item) if item else None
        return found.title if found else ""

    def _presence(self, delegate: Delegate) -> Presence:
        attendance = self.meeting.get(Attendance, delegate.id)
        spans = self.spans(attendance.intervals) if attendance else []
        if not spans:
            return Presence(delegate=delegate, attendance=attendance)
        opened = self.facts.opened_at
        return Presence(
            delegate=delegate,
            attendance=attendance,
            total_s=sum(end - begin for begin, end in spans),
            in_session_s=sum(max(0.0, end - max(begin, opened)) for begin, end in spans) if opened is not None else 0.0,
            late_s=max(0.0, spans[0][0] - opened) if opened is not None else 0.0,
            early_s=max(0.0, self.end - spans[-1][1]) if self.closed else 0.0,
        )


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of some delegates were there."""

    listed: int
    ever: int
    in_hall: int
    online: int
    now: int
    late: int
    excused: int
    unexcused: int
    unknown: int

    @property
    def percent(self) -> float | None:
        return round(100 * self.ever / self.listed, 1) if self.listed else None


def tally(presences: Iterable[Presence], *, closed: bool) -> Tally:
    """`unexcused` after the close, `unknown` (not checked in yet) before it."""
    counted = list(presences)
    ever = [p for p in counted if p.ever]
    excused = sum(p.excused for p in counted)
    missing = len(counted) - len(ever) - excused
    online = sum(p.intervals[-1].mode == "online" for p in ever)
    return Tally(
        listed=len(counted),
        ever=len(ever),
        in_hall=len(ever) - online,
        online=online,
        now=0 if closed else sum(p.attendance is not None and p.attendance.present for p in ever),
        late=sum(bool(p.late_s) for p in ever),
        excused=excused,
        unexcused=missing if closed else 0,
        unknown=0 if closed else missing,
    )
