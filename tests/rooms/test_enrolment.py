"""Rules R1–R9."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.attendance import Attendance, CheckIn, HallCount
from rooms.enrolment import (
    MOST_HALLS,
    DelegateLine,
    HallLine,
    ImportRoster,
    PutDelegate,
    PutHall,
    RemoveDelegate,
)
from rooms.ids import DelegateId, HallId
from rooms.meeting import Meeting
from rooms.refusal import Refusal
from rooms.roster import Delegate, Hall, RenewLink
from tests.rooms.test_agenda import refusal
from tests.support.meetings import D1, HOST, give, open_meeting, planned_meeting, roster_meeting

HALLS = tuple(HallLine(name=f"Điểm cầu Xã {name}") for name in ("Bản Bo", "Nà Tăm", "Tả Lèng"))


def person(name: str, hall: str = "Điểm cầu Xã Bản Bo", phone: str = "", order: int = 0, **more: str) -> DelegateLine:
    return DelegateLine(hall=hall, name=name, phone=phone, order=order, **more)  # type: ignore[arg-type]


def enrol(meeting: Meeting, *lines: DelegateLine, halls: tuple[HallLine, ...] = HALLS) -> bool:
    return bool(give(meeting, HOST, ImportRoster, halls=halls, delegates=lines))


def people(meeting: Meeting) -> list[tuple[str, str]]:
    return [(p.name, meeting.require(Hall, p.hall).name) for p in meeting.select(Delegate)]


def test_R1_lists_are_bounded() -> None:
    halls = tuple(HallLine(name=f"Điểm cầu {n}") for n in range(MOST_HALLS + 1))
    assert refusal(planned_meeting(), HOST, ImportRoster, halls=halls, delegates=()) is Refusal.BAD_VALUE


_line = st.builds(
    person,
    name=st.sampled_from(["Lò Thị Ánh", "Tẩn A Sử", "Hoàng Văn Đức"]),
    hall=st.sampled_from([h.name for h in HALLS]),
    phone=st.sampled_from(["", "0912345678", "0987654321"]),
    order=st.integers(0, 5),
    position=st.sampled_from(["", "Bí thư"]),
)


@given(st.lists(_line, max_size=12))
def test_R2_R4_each_line_is_one_delegate_and_again_changes_nothing(lines: list[DelegateLine]) -> None:
    meeting = planned_meeting()
    enrol(meeting, *lines)
    assert sorted(people(meeting)) == sorted((line.name, line.hall) for line in lines)
    assert not enrol(meeting, *lines)
    for hall in meeting.select(Hall):
        inside = sum(1 for _ in meeting.select(Delegate, hall=hall.id))
        assert meeting.require(HallCount, hall.id).convened == inside


@given(st.lists(_line, min_size=1, max_size=12), st.data())
def test_R5_a_corrected_line_doubles_nobody(lines: list[DelegateLine], data: st.DataObject) -> None:
    """Numbered lines, as in a list: any one field of any one line corrected."""
    lines = [person(x.name, x.hall, x.phone, n, position=x.position) for n, x in enumerate(lines, 1)]
    meeting = planned_meeting()
    enrol(meeting, *lines)
    n = data.draw(st.integers(0, len(lines) - 1))
    x = lines[n]
    lines[n] = data.draw(
        st.sampled_from(
            [
                person(x.name, HALLS[2].name, x.phone, x.order, position=x.position),
                person(x.name, x.hall, "0999999999", x.order, position=x.position),
                person(x.name, x.hall, x.phone, x.order, position="Chủ tịch"),
            ]
        )
    )
    enrol(meeting, *lines)
    assert sorted(people(meeting)) == sorted((line.name, line.hall) for line in lines)


def test_R3_halls_of_the_same_name_are_the_same() -> None:
    meeting = planned_meeting()
    enrol(meeting)
    twins = tuple(
        HallLine(name=unicodedata.normalize("NFD", h.name.upper()).replace(" ", "  "), technician="Mới") for h in HALLS
    )
    enrol(meeting, halls=twins)
    assert [h.technician for h in meeting.select(Hall)] == ["Mới"] * 3
    line = HallLine(name="điểm cầu xã bản bo")
    assert refusal(meeting, HOST, PutHall, line=line) is Refusal.BAD_VALUE
    assert refusal(meeting, HOST, PutHall, hall=HallId("h2"), line=line) is Refusal.BAD_VALUE


def test_R4_an_unknown_hall_is_refused() -> None:
    meeting = planned_meeting()
    assert refusal(meeting, HOST, ImportRoster, halls=HALLS, delegates=(person("A", "Đâu đó"),)) is Refusal.NOT_FOUND
    assert refusal(meeting, HOST, PutDelegate, line=person("A", "Đâu đó")) is Refusal.NOT_FOUND


def test_R6_who_moves_takes_the_attendance_along() -> None:
    meeting = open_meeting()
    give(meeting, D1, CheckIn)
    line = DelegateLine(hall="Điểm cầu 2", name="Lò Thị Ánh", order=1)
    give(meeting, HOST, PutDelegate, delegate=DelegateId("d1"), line=line)
    assert meeting.require(Attendance, "d1").hall == "h2"
    counts = [(c.convened, c.present) for c in (meeting.require(HallCount, h) for h in ("h1", "h2"))]
    assert counts == [(1, 0), (2, 1)]


def test_R7_one_hall_is_the_chairs() -> None:
    meeting = roster_meeting(chair=True)
    give(meeting, HOST, PutHall, hall=HallId("h1"), line=HallLine(name="Điểm cầu 1", chair=True))
    assert [h.id for h in meeting.select(Hall, chair=True)] == ["h1"]
    many = tuple(HallLine(name=f"Điểm cầu {n}", chair=True) for n in (2, 3))
    give(meeting, HOST, ImportRoster, halls=many, delegates=())
    assert len(list(meeting.select(Hall, chair=True))) == 1


def test_R8_who_was_present_stays() -> None:
    meeting = open_meeting()
    give(meeting, D1, CheckIn)
    assert refusal(meeting, HOST, RemoveDelegate, delegate=DelegateId("d1")) is Refusal.IN_USE
    give(meeting, HOST, RemoveDelegate, delegate=DelegateId("d2"))
    assert meeting.get(Delegate, "d2") is None
    assert meeting.require(HallCount, "h1").convened == 1


def test_R9_renewing_raises_the_epoch() -> None:
    meeting = roster_meeting()
    give(meeting, HOST, RenewLink, hall=HallId("h1"))
    give(meeting, HOST, RenewLink, delegate=DelegateId("d1"))
    assert (meeting.require(Hall, "h1").epoch, meeting.require(Delegate, "d1").epoch) == (1, 1)
    assert refusal(meeting, HOST, RenewLink) is Refusal.BAD_VALUE


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_R4_names_are_texts(name: str) -> None:
    assert refusal(planned_meeting(), HOST, ImportRoster, halls=HALLS, delegates=(person(name),)) is Refusal.BAD_VALUE
