"""Rules A1–A8."""

from hypothesis import given
from hypothesis import strategies as st

from rooms.actor import DelegateActor
from rooms.agenda import CloseMeeting
from rooms.attendance import Attendance, CheckIn, CheckOut, Excuse, HallCount
from rooms.ids import DelegateId
from rooms.refusal import Refusal
from tests.rooms.test_agenda import refusal
from tests.support.meetings import D1, D2, HOST, NOON, give, open_meeting, roster_meeting

d = DelegateId


def attendance(meeting, id="d1") -> Attendance:  # type: ignore[no-untyped-def]
    found = meeting.require(Attendance, id)
    assert isinstance(found, Attendance)
    return found


def test_A1_a_phone_checks_in_its_own_delegate_only() -> None:
    meeting = open_meeting()
    assert refusal(meeting, D1, CheckIn, delegate=d("d2")) is Refusal.NOT_ALLOWED
    give(meeting, D1, CheckIn)
    give(meeting, D2, CheckIn, delegate=d("d2"), mode="online")
    give(meeting, HOST, CheckIn, delegate=d("d3"))
    assert refusal(meeting, HOST, CheckIn) is Refusal.BAD_VALUE
    assert [attendance(meeting, i).intervals[0].method for i in ("d1", "d2", "d3")] == ["phone", "phone", "staff"]
    assert attendance(meeting, "d3").intervals[0].by == "staff:a-host"


def test_A2_from_planning_to_close() -> None:
    meeting = roster_meeting()
    give(meeting, D1, CheckIn)
    assert attendance(meeting).present
    meeting = open_meeting()
    give(meeting, HOST, CloseMeeting)
    assert refusal(meeting, D1, CheckIn) is Refusal.MEETING_CLOSED


def test_A3_A4_repeating_changes_nothing() -> None:
    meeting = open_meeting()
    assert not give(meeting, D1, CheckOut)
    give(meeting, D1, CheckIn, NOON)
    assert not give(meeting, D1, CheckIn, NOON + 5)
    give(meeting, D1, CheckOut, NOON + 10)
    assert not give(meeting, D1, CheckOut, NOON + 20)
    assert [(i.in_at, i.out_at) for i in attendance(meeting).intervals] == [(NOON, NOON + 10)]


@given(st.lists(st.tuples(st.sampled_from([CheckIn, CheckOut]), st.floats(-100, 100)), max_size=30))
def test_A5_intervals_never_overlap_whatever_the_clock_does(steps: list[tuple[type, float]]) -> None:
    meeting = open_meeting()
    for kind, offset in steps:
        give(meeting, D1, kind, NOON + offset)
    found = meeting.get(Attendance, "d1")
    times = [t for i in (found.intervals if found else ()) for t in (i.in_at, i.out_at) if t is not None]
    assert times == sorted(times)


_step = st.tuples(
    st.sampled_from(["d1", "d2", "d3", "d4"]),
    st.sampled_from([CheckIn, CheckOut, Excuse]),
    st.sampled_from(["in_hall", "online"]),
    st.sampled_from(["", "ốm"]),
)


@given(st.lists(_step, max_size=40))
def test_A6_counts_equal_what_the_attendances_say(steps: list[tuple[str, type, str, str]]) -> None:
    meeting = open_meeting()
    for n, (id, kind, mode, reason) in enumerate(steps):
        if kind is Excuse:
            give(meeting, HOST, kind, NOON + n, delegate=d(id), reason=reason)
        else:
            fields = {"mode": mode} if kind is CheckIn else {}
            give(meeting, DelegateActor(d(id)), kind, NOON + n, **fields)
        for hall, convened in (("h1", 2), ("h2", 1), ("h3", 1)):
            inside = list(meeting.select(Attendance, hall=hall))
            count = meeting.require(HallCount, hall)
            assert count == HallCount(
                id=hall,
                convened=convened,
                present=sum(a.present for a in inside),
                online=sum(a.present and a.intervals[-1].mode == "online" for a in inside),
                ever=sum(bool(a.intervals) for a in inside),
                excused=sum(a.excused is not None and not a.intervals for a in inside),
            )


def test_A7_an_accepted_absence_has_a_reason_and_an_author() -> None:
    meeting = open_meeting()
    give(meeting, HOST, Excuse, delegate=d("d1"), reason="đi công tác")
    assert (attendance(meeting).excused, attendance(meeting).excused_by) == ("đi công tác", "staff:a-host")
    give(meeting, HOST, Excuse, delegate=d("d1"), reason="  ")
    assert (attendance(meeting).excused, attendance(meeting).excused_by) == (None, None)


def test_A8_closing_changes_no_attendance() -> None:
    meeting = open_meeting()
    give(meeting, D1, CheckIn)
    change = give(meeting, HOST, CloseMeeting, NOON + 60)
    assert not any(isinstance(record, Attendance) for record in change.put)
    assert attendance(meeting).intervals[0].out_at is None
