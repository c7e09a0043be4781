"""Each kind of doubt, on small lists; and what a second import does."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.actor import SERVER
from rooms.agenda import CloseMeeting, EditMeeting, OpenMeeting
from rooms.ids import CommandId
from rooms.meeting import Change, Command, Meeting
from rooms.refusal import Refusal, Refused
from rooms.roster import Delegate, Hall
from rooms.rules import decide
from server.roster.doubt import Doubt
from server.roster.plan import Plan, plan_workbook
from server.wire import RowCorrection
from tests.support.workbooks import Cell, Rows, roster

pytestmark = pytest.mark.slow

BO, HON, TD = "Điểm cầu Xã Bản Bo", "Điểm cầu Xã Bản Hon", "Điểm cầu Huyện Tam Đường"
HALLS: Rows = [
    (1, "Hội trường Tỉnh ủy (điểm cầu chính)", "Tỉnh ủy", None, "Má Văn Nga", "+84887788875"),
    (2, BO, "Huyện Tam Đường", None, "Cứ Kim Trang", 369237899),
    (3, HON, "Huyện Tam Đường", None, "Sùng Kim Linh", "0940810556"),
    (4, TD, "Huyện Tam Đường", None, "", ""),
    (5, "Điểm cầu Thị trấn Tam Đường", "Huyện Tam Đường", None, "", ""),
    (6, "Điểm cầu Sở Y tế", "Sở Y tế", None, "", ""),
]
SHEET = "Đại biểu"


def fresh() -> Meeting:
    meeting = Meeting()
    give(meeting, EditMeeting(id=CommandId("edit-meeting"), title="Hội nghị"))
    return meeting


def give(meeting: Meeting, command: Command) -> Change:
    change = decide(meeting, SERVER, command, 0.0)
    meeting.apply(change)
    return change


def person(number: Cell, name: Cell, hall: Cell, phone: Cell = None, **other: Cell) -> tuple[Cell, ...]:
    fields = {"position": "Đảng viên", "unit": "Huyện Tam Đường", "role": "Khách mời", "note": None} | other
    return (number, name, fields["position"], fields["unit"], hall, phone, fields["role"], fields["note"])


def planned(
    *delegates: tuple[Cell, ...],
    halls: Rows = HALLS,
    corrections: Sequence[RowCorrection] = (),
    into: Meeting | None = None,
) -> Plan:
    made = plan_workbook(roster(halls, delegates), into or fresh(), corrections)
    assert made.accounted == made.rows
    return made


def doubts(plan: Plan) -> list[tuple[int, str, bool]]:
    return [(row.row, row.code, row.taken) for row in plan.doubtful]


def places(plan: Plan) -> dict[int, str]:
    """The hall of each row taken."""
    return {row: line.hall for (_, row), line in zip(plan.delegate_rows, plan.delegates, strict=True)}


def test_what_is_certain_is_read_and_counted() -> None:
    made = planned(
        person(1, "Đ/c LÒ VĂN AN", BO, 912345678),
        person(2, "  Lò  Thị Bình", "nt", "+84 912 345 679", unit="nt", position="nt", role="nt"),
        person(3, "Vàng A Pó", "ĐC Xã Bản Hon", "0912.345.680"),
        person(None, "Má Văn Nga", '"'),
        person(5, "Tao Văn Sơn", "như trên"),
    )
    assert doubts(made) == []
    assert places(made) == {2: BO, 3: BO, 4: HON, 5: HON, 6: HON}
    first, second, *_, fourth, _ = made.delegates
    assert (first.name, first.phone, first.role, first.order) == ("Lò Văn An", "0912345678", "guest", 1)
    assert (second.name, second.phone, second.unit) == ("Lò Thị Bình", "0912345679", "Huyện Tam Đường")
    assert (second.position, second.role) == ("Đảng viên", "guest")
    assert fourth.order == 4
    assert made.cleaned == {"name": 2, "phone": 3, "hall_ditto": 3, "hall_short": 1, "order": 1, "detail_ditto": 2}
    assert [(line.name, line.phone, line.chair) for line in made.halls][:2] == [
        ("Hội trường Tỉnh ủy (điểm cầu chính)", "0887788875", True),
        (BO, "0369237899", False),
    ]


def test_hall_unknown() -> None:
    """A name that fits two halls, and one that fits none; what repeats them is as unknown."""
    made = planned(
        person(1, "Lò Văn An", TD),
        person(2, "Lò Thị Bình", "ĐC Tam Đường"),
        person(3, "Vàng A Pó", "nt"),
        person(4, "Má Văn Nga", "Rạp chiếu bóng"),
        person(5, "Tao Văn Sơn", HON),
    )
    assert doubts(made) == [(n, "hall_unknown", False) for n in (3, 4, 5)]
    assert [row.hall for row in made.doubtful] == [TD, TD, None]
    assert places(made) == {2: TD, 6: HON}


def test_hall_missing_between_rows_of_one_hall() -> None:
    made = planned(person(1, "Lò Văn An", BO), person(2, "Lò Thị Bình", None), person(3, "Vàng A Pó", BO))
    assert doubts(made) == [(3, "hall_missing", True)]
    assert places(made)[3] == BO


def test_hall_missing_between_two_halls() -> None:
    """Not taken, except for a unit that one hall alone has."""
    made = planned(
        person(1, "Lò Văn An", BO),
        person(2, "Lò Thị Bình", None),
        person(3, "Vàng A Pó", None, unit="Sở Y tế"),
        person(4, "Má Văn Nga", HON),
    )
    assert doubts(made) == [(3, "hall_missing", False), (4, "hall_missing", True)]
    assert made.doubtful[0].hall == BO
    assert places(made) == {2: BO, 4: "Điểm cầu Sở Y tế", 5: HON}


def test_ditto_unclear_in_a_row_that_was_moved() -> None:
    """Row 5 was pasted from elsewhere; row 6 may repeat it or the row above it."""
    made = planned(
        person(10, "Lò Văn An", BO),
        person(11, "Lò Thị Bình", "nt"),
        person(7, "Vàng A Pó", HON),
        person(5, "Má Văn Nga", "nt"),
        person(12, "Tao Văn Sơn", "nt"),
        person(13, "Cứ A Long", BO),
    )
    assert doubts(made) == [(5, "ditto_unclear", False), (6, "ditto_unclear", False)]
    assert [row.hall for row in made.doubtful] == [HON, BO]
    assert places(made) == {2: BO, 3: BO, 4: HON, 7: BO}


def test_name_missing() -> None:
    made = planned(person(1, None, BO, "0912345678"), person(2, "nt", BO), person(3, "Lò " * 100, BO))
    assert doubts(made) == [(n, "name_missing", False) for n in (2, 3, 4)]


def test_duplicate_by_name_and_phone() -> None:
    made = planned(
        person(1, "Lò Văn An", BO, "0912345678"),
        person(2, "LÒ VĂN AN", BO, "+84912345678", position="Bí thư"),
        person(3, "Lò Văn An", HON, 912345678),
        person(4, "Lò Văn An", BO, "0912345679"),
    )
    assert doubts(made) == [(3, "duplicate", False), (4, "duplicate_other_hall", False)]
    assert [row.other_row for row in made.doubtful] == [2, 2]
    assert list(places(made)) == [2, 5]  # same name, another phone: another person


def test_duplicate_without_phones() -> None:
    made = planned(
        person(1, "Lò Văn An", BO),
        person(2, "Lò Văn An", BO),
        person(3, "Lò Văn An", BO, position="Bí thư"),
        person(4, "Lò Văn An", HON),
    )
    assert doubts(made) == [(3, "duplicate", False)]
    assert list(places(made)) == [2, 4, 5]


def test_a_copied_row_at_the_end_repeats_its_original_not_the_row_above() -> None:
    made = planned(
        person(1, "Lò Văn An", BO),
        person(2, "Lò Thị Bình", "nt"),
        person(3, "Vàng A Pó", HON),
        person(2, "Lò Thị Bình", "nt"),
    )
    assert [(row.code, row.hall, row.other_row) for row in made.doubtful] == [("duplicate", BO, 3)]


def test_a_duplicate_of_a_row_that_is_not_taken_is_taken_itself() -> None:
    made = planned(person(1, "Lò Văn An", "Rạp chiếu bóng", "0912345678"), person(2, "Lò Văn An", BO, "0912345678"))
    assert doubts(made) == [(2, "hall_unknown", False)]
    assert places(made) == {3: BO}


def test_duplicate_possible() -> None:
    made = planned(person(1, "Lò Văn An", BO), person(2, "Lò Văn An", BO, "0912345678"))
    assert [(row.row, row.code, row.taken, row.other_row) for row in made.doubtful] == [
        (3, "duplicate_possible", True, 2)
    ]


def test_phone_shared() -> None:
    made = planned(person(1, "Lò Văn An", BO, "0912345678"), person(2, "Lò Thị Bình", HON, 912345678))
    assert [(row.row, row.code, row.taken, row.other_row) for row in made.doubtful] == [(3, "phone_shared", True, 2)]


def test_hall_guessed_and_what_repeats_it() -> None:
    made = planned(
        person(1, "Lò Văn An", "Bản Bo"), person(2, "Lò Thị Bình", "nt"), person(3, "Vàng A Pó", "xa ban hon")
    )
    assert doubts(made) == [(n, "hall_guessed", True) for n in (2, 3, 4)]
    assert places(made) == {2: BO, 3: BO, 4: HON}


def test_section_differs() -> None:
    made = planned(
        person(1, "Lò Văn An", BO),
        ("ĐIỂM CẦU XÃ BẢN HON",),
        person(2, "Lò Thị Bình", "nt"),
        person(3, "Vàng A Pó", "nt"),
    )
    assert doubts(made) == [(4, "section_differs", True)]
    assert places(made) == {2: BO, 4: HON, 5: HON}


def test_order_repeated_and_missing() -> None:
    made = planned(
        person(1, "Lò Văn An", BO),
        person(2, "Lò Thị Bình", BO),
        person(1, "Vàng A Pó", BO),
        person(None, "Má Văn Nga", BO),
        person(9, "Tao Văn Sơn", BO),
    )
    assert doubts(made) == [(4, "order_repeated", True), (5, "order_missing", True)]
    assert made.doubtful[0].other_row == 2


def test_numbers_may_begin_anew_in_each_hall() -> None:
    made = planned(
        ("ĐIỂM CẦU XÃ BẢN BO",),
        person(1, "Lò Văn An", BO),
        person(2, "Lò Thị Bình", "nt"),
        ("ĐIỂM CẦU XÃ BẢN HON",),
        person(1, "Vàng A Pó", HON),
        person(2, "Má Văn Nga", "nt"),
    )
    assert doubts(made) == []
    assert places(made) == {3: BO, 4: BO, 6: HON, 7: HON}


def test_a_wrong_number_does_not_make_the_rows_after_it_moved_ones() -> None:
    made = planned(
        person(1, "Lò Văn An", BO),
        person(900, "Lò Thị Bình", "nt"),
        person(3, "Vàng A Pó", BO),
        person(4, "Má Văn Nga", "nt"),
        person(5, "Tao Văn Sơn", "nt"),
    )
    assert doubts(made) == []
    assert set(places(made).values()) == {BO}


def test_phones_and_roles_in_doubt() -> None:
    made = planned(
        person(1, "Lò Văn An", BO, "không có"),
        person(2, "Lò Thị Bình", BO, "0912345678/0987654321"),
        person(3, "Vàng A Pó", BO, role=None),
        person(4, "Má Văn Nga", BO, role="Quan sát viên"),
        person(5, "Tao Văn Sơn", BO, role="Dự thay đ/c Cứ A Long", note="đến muộn"),
    )
    assert doubts(made) == [
        (2, "phone_unreadable", True),
        (3, "phone_several", True),
        (5, "role_unknown", True),
        (4, "role_missing", True),
    ]
    assert [(line.phone, line.role, line.note) for line in made.delegates] == [
        ("", "guest", ""),
        ("0912345678", "guest", ""),
        ("", "official", ""),
        ("", "official", "Quan sát viên"),
        ("", "substitute", "Dự thay đ/c Cứ A Long; đến muộn"),
    ]


def test_detail_unclear_and_text_cut() -> None:
    made = planned(person(1, "Lò Văn An", BO, unit="nt"), person(2, "Lò Thị Bình", BO, position="x" * 400))
    assert doubts(made) == [(2, "detail_unclear", True), (3, "text_cut", True)]
    assert len(made.delegates[1].position) == 300


def test_doubts_about_halls() -> None:
    halls: Rows = [
        (1, BO, "Huyện Tam Đường", "năm mươi", "", "abc"),
        (2, "  " + BO.upper(), "", 3, "", ""),
        (3, None, "Huyện Tam Đường", 3, "", ""),
        (4, "Hội trường A (điểm cầu chính)", "", 1, "", ""),
        (5, "Hội trường B (điểm cầu chính)", "", None, "", "0912345678/0987654321"),
    ]
    made = planned(person(1, "Lò Văn An", BO), halls=halls)
    assert doubts(made) == [
        (3, "hall_repeated", False),
        (4, "hall_name_missing", False),
        (2, "phone_unreadable", True),
        (6, "phone_several", True),
        (2, "convened_unreadable", True),
        (6, "chair_repeated", True),
        (5, "convened_differs", True),
    ]
    assert [(line.name, line.chair) for line in made.halls] == [
        (BO, False),
        ("Hội trường A (điểm cầu chính)", True),
        ("Hội trường B (điểm cầu chính)", False),
    ]


def test_chair_missing() -> None:
    made = planned(person(1, "Lò Văn An", BO), halls=HALLS[1:])
    assert [(row.row, row.code, row.hall) for row in made.doubtful] == [(2, "chair_missing", BO)]


def test_totals_are_compared() -> None:
    halls = [(1, HALLS[0][1], "", 1, "", ""), (2, BO, "", 1, "", ""), (None, "Tổng cộng", None, 3)]
    made = planned(
        person(1, "Lò Văn An", BO), person(2, "Lò Thị Bình", BO), (None, "Tổng cộng: 3 đại biểu"), halls=halls
    )
    assert [(row.sheet, row.row, row.code) for row in made.doubtful] == [
        ("Điểm cầu", 2, "convened_differs"),
        ("Điểm cầu", 3, "convened_differs"),
        ("Điểm cầu", 4, "total_differs"),
        ("Đại biểu", 4, "total_differs"),
    ]


def test_every_doubt_has_a_test_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [doubt for doubt in Doubt if f'"{doubt.value}"' not in source] == []


CORRECTED = [
    person(1, "Lò Văn An", "Rạp chiếu bóng", "0912345678"),
    person(2, "Lò Thị Bình", "nt"),
    person(3, "Vàng A Pó", BO),
    person(3, "Vàng A Pó", BO),
]


def test_a_correction_puts_a_row_into_a_hall_and_what_repeats_it_too() -> None:
    made = planned(*CORRECTED, corrections=[RowCorrection(sheet=SHEET, row=2, hall=HON)])
    assert places(made) == {2: HON, 3: HON, 4: BO}
    assert doubts(made) == [(5, "duplicate", False)]


def test_a_correction_leaves_a_row_out() -> None:
    made = planned(*CORRECTED, corrections=[RowCorrection(sheet=SHEET, row=2, skip=True)])
    assert made.skipped == ((SHEET, 2),)
    assert places(made) == {4: BO}


def test_a_correction_moves_a_row_that_was_not_in_doubt_and_it_alone() -> None:
    rows = [person(1, "Lò Văn An", BO), person(2, "Lò Thị Bình", "nt")]
    assert places(planned(*rows, corrections=[RowCorrection(sheet=SHEET, row=2, hall=HON)])) == {2: HON, 3: BO}


def test_a_correction_imports_what_looked_like_a_duplicate() -> None:
    made = planned(*CORRECTED, corrections=[RowCorrection(sheet=SHEET, row=5, hall=HON)])
    assert places(made) == {4: BO, 5: HON}


def test_corrections_that_fit_nothing_are_returned() -> None:
    wrong = [RowCorrection(sheet=SHEET, row=99, skip=True), RowCorrection(sheet=SHEET, row=2, hall="Rạp hát")]
    made = planned(*CORRECTED, corrections=wrong)
    assert made.unused == tuple(wrong)
    assert made.doubtful[0].code == "hall_unknown"


def test_a_correction_skips_a_hall() -> None:
    made = planned(person(1, "Lò Văn An", BO), corrections=[RowCorrection(sheet="Điểm cầu", row=4, skip=True)])
    assert HON not in [line.name for line in made.halls]
    assert made.skipped == (("Điểm cầu", 4),)


PEOPLE = [
    person(1, "Lò Văn An", BO, "0912345678"),
    person(2, "Lò Thị Bình", BO),
    person(3, "Vàng A Pó", HON, "0912345680"),
    person(4, "Má Văn Nga", HON),
]


def imported(*delegates: tuple[Cell, ...], into: Meeting | None = None, halls: Rows = HALLS) -> Meeting:
    meeting = into or fresh()
    give(meeting, planned(*delegates, into=meeting, halls=halls).command(CommandId("import-roster")))
    return meeting


def names(meeting: Meeting) -> dict[str, tuple[str, str, str]]:
    halls = {hall.id: hall.name for hall in meeting.select(Hall)}
    return {d.id: (d.name, halls[d.hall], d.phone) for d in meeting.select(Delegate)}


def test_the_same_file_again_changes_nothing() -> None:
    meeting = imported(*PEOPLE)
    again = planned(*PEOPLE, into=meeting)
    assert not decide(meeting, SERVER, again.command(CommandId("import-again")), 1.0)
    assert (again.new_halls, again.new_delegates, again.changed, again.unchanged, again.missing) == (0, 0, 0, 4, 0)


def test_lists_in_separate_files() -> None:
    meeting = imported(into=imported())
    assert meeting.count(Hall) == len(HALLS)
    made = planned(*PEOPLE, halls=(), into=meeting)
    assert (made.halls, made.new_delegates, doubts(made)) == ((), 4, [])
    imported(*PEOPLE, halls=(), into=meeting)
    assert [place[1] for place in names(meeting).values()] == [BO, BO, HON, HON]


def test_halls_written_otherwise_the_second_time_are_the_same_halls() -> None:
    meeting = imported(*PEOPLE)
    short = [(1, "ĐC XÃ BẢN BO", "Huyện Tam Đường", None, "Cứ Kim Trang", "0369.237.899")]
    made = planned(person(1, "Lò Văn An", "nt", "0912345678"), halls=short, into=meeting)
    assert [line.name for line in made.halls] == [BO]
    assert made.new_halls == 0


@pytest.mark.parametrize(
    ("row", "change"),
    [
        pytest.param(0, {"hall": HON}, id="hall of one with a phone"),
        pytest.param(1, {"hall": HON}, id="hall of one without"),
        pytest.param(2, {"phone": "0999999999"}, id="phone"),
        pytest.param(3, {"phone": "0999999999"}, id="phone added"),
        pytest.param(2, {"phone": None}, id="phone taken away"),
        pytest.param(0, {"name": "Lò Văn Ân"}, id="name of one with a phone"),
        pytest.param(3, {"unit": "Xã Bản Hon", "position": "Bí thư"}, id="unit and position"),
    ],
)
def test_a_corrected_file_doubles_nobody(row: int, change: dict[str, str | None]) -> None:
    meeting = imported(*PEOPLE)
    before = names(meeting)
    number, name, position, unit, hall, phone, role, note = PEOPLE[row]
    fields: dict[str, Cell] = {"position": position, "unit": unit, "role": role, "note": note}
    fields |= {"name": name, "hall": hall, "phone": phone} | change
    rows = [*PEOPLE[:row], person(number, fields.pop("name"), fields.pop("hall"), fields.pop("phone"), **fields)]
    rows += PEOPLE[row + 1 :]
    made = planned(*rows, into=meeting)
    assert (made.new_delegates, made.changed, made.unchanged, made.missing) == (0, 1, 3, 0)
    imported(*rows, into=meeting)
    after = names(meeting)
    assert set(after) == set(before)
    assert sum(after[id] != before[id] for id in before) == ("hall" in change or "phone" in change or "name" in change)


def test_a_row_inserted_above_moves_all_numbers_and_doubles_nobody() -> None:
    meeting = imported(*PEOPLE)
    rows = [person(1, "Cứ A Long", BO, "0912345699"), *((n + 2, *row[1:]) for n, row in enumerate(PEOPLE))]
    made = planned(*rows, into=meeting)
    assert (made.new_delegates, made.changed, made.missing) == (1, 4, 0)


def test_another_districts_list_does_not_overwrite_people_of_the_same_name_and_number() -> None:
    meeting = imported(*PEOPLE)
    others = [
        person(1, "Lò Văn An", TD, "0999999991", unit="Huyện Sìn Hồ"),
        person(2, "Lò Thị Bình", TD, unit="Huyện Sìn Hồ"),
        person(3, "Vàng A Pó", HON, "0999999993", unit="Huyện Tam Đường", position="Bí thư"),
        person(4, "Vàng A Pó", HON, "0999999994"),
    ]
    made = planned(*others, halls=(), into=meeting)
    assert (made.new_delegates, made.changed) == (3, 1)  # row 4: hall and number are the same, the phone was corrected


def test_people_of_the_same_name_in_one_hall_keep_apart_when_numbers_move() -> None:
    rows = [person(5, "Lò Văn An", BO, position="Bí thư"), person(6, "Lò Văn An", BO, position="Đảng viên")]
    meeting = imported(*rows)
    before = {d.position: d.id for d in meeting.select(Delegate)}
    imported(person(5, "Cứ A Long", BO), *((n + 6, *row[1:]) for n, row in enumerate(rows)), into=meeting)
    assert {d.position: d.id for d in meeting.select(Delegate, name="Lò Văn An")} == before


def test_who_is_no_longer_on_the_list_is_counted_and_kept() -> None:
    meeting = imported(*PEOPLE)
    assert planned(*PEOPLE[:3], into=meeting).missing == 1
    imported(*PEOPLE[:3], into=meeting)
    assert meeting.count(Delegate) == 4


def test_a_closed_meeting_takes_no_list() -> None:
    meeting = imported(*PEOPLE)
    give(meeting, OpenMeeting(id=CommandId("open-meeting")))
    give(meeting, CloseMeeting(id=CommandId("close-meeting")))
    with pytest.raises(Refused) as caught:
        planned(*PEOPLE, into=meeting)
    assert caught.value.code == Refusal.MEETING_CLOSED


texts = st.one_of(
    st.none(),
    st.integers(0, 30),
    st.sampled_from(
        ["nt", '"', "-nt-", BO, HON, "ĐC Tam Đường", "Bản Bo", "Rạp", "0912345678", "+84912345678", "Tổng cộng: 3"]
    ),
    st.sampled_from(
        ["Lò Văn An", "LÒ VĂN AN", "Đ/c Lò Văn An", "Khách mời", "Huyện Tam Đường", "ĐIỂM CẦU XÃ BẢN BO", "II"]
    ),
)


@given(st.lists(st.lists(texts, min_size=8, max_size=8), max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_the_list_every_row_is_accounted_for_and_a_second_import_changes_nothing(
    rows: list[list[Cell]],
) -> None:
    delegates = [tuple(row) for row in rows]
    meeting = imported(*delegates)
    halls = {hall.name for hall in meeting.select(Hall)}
    made = planned(*delegates, into=meeting)
    assert {line.hall for line in made.delegates} <= halls
    assert not decide(meeting, SERVER, made.command(CommandId("import-again")), 1.0)
