"""The roster of 187 halls: every figure below was counted in the file by hand or by another program."""

import re
import unicodedata
from collections import Counter

import pytest

from rooms.actor import SERVER
from rooms.agenda import EditMeeting
from rooms.attendance import HallCount
from rooms.ids import CommandId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from rooms.rules import decide
from server.demo import ROSTER
from server.roster.lists import Lists, find_lists
from server.roster.plan import Plan, plan
from server.roster.workbook import read_workbook

pytestmark = pytest.mark.slow

HALLS, DELEGATES = "Điểm cầu", "Đại biểu"

DUPLICATES = {
    9890: 331,
    9891: 2751,
    9892: 3995,
    9893: 4495,
    9894: 4498,
    9895: 4804,
    9896: 5057,
    9897: 5139,
    9898: 5338,
    9899: 5350,
    9900: 5714,
    9901: 6577,
    9902: 6670,
    9903: 7242,
    9904: 8647,
    9905: 9784,
}
"""Row of the copy at the sheet's end, row of the original."""


@pytest.fixture(scope="module")
def lists() -> Lists:
    return find_lists(read_workbook(ROSTER.read_bytes()))


def fresh() -> Meeting:
    meeting = Meeting()
    edit = EditMeeting(id=CommandId("edit-meeting"), title="Hội nghị")
    meeting.apply(decide(meeting, SERVER, edit, 0.0))
    return meeting


@pytest.fixture(scope="module")
def made(lists: Lists) -> Plan:
    return plan(lists, fresh())


def test_counts(made: Plan) -> None:
    assert (len(made.halls), len(made.delegates)) == (187, 9845)
    assert (made.new_halls, made.new_delegates, made.changed, made.unchanged, made.missing) == (187, 9845, 0, 0, 0)
    assert Counter(line.role for line in made.delegates) == {"official": 9159, "guest": 508, "substitute": 178}
    assert sum(not line.phone for line in made.delegates) == 629


def test_every_row_is_accounted_for(made: Plan) -> None:
    assert made.rows == made.accounted == 190 + 9905
    assert made.recognised == {"title": 4, "header": 2, "section": 40, "total": 1}
    assert not made.skipped
    assert not made.unused


def test_the_doubtful_rows(made: Plan) -> None:
    """Sixteen copies at the end, one phone under two names, and the rows that say no part; nothing else."""
    found = [(row.sheet, row.row, row.code) for row in made.doubtful if row.code != "role_missing"]
    assert found == [*((DELEGATES, row, "duplicate") for row in DUPLICATES), (DELEGATES, 9611, "phone_shared")]
    assert {row.row: row.other_row for row in made.doubtful if row.code == "duplicate"} == DUPLICATES
    shared = next(row for row in made.doubtful if row.code == "phone_shared")
    assert (shared.name, shared.taken, shared.other_row) == ("Hảng Thu Tươi", True, 1707)


def test_the_rows_without_a_part(made: Plan, lists: Lists) -> None:
    blank = [row.row for row in lists.delegates if not row.role and row.row not in DUPLICATES]
    assert len(blank) == 290
    assert [row.row for row in made.doubtful if row.code == "role_missing"] == blank
    assert all(row.taken for row in made.doubtful if row.code == "role_missing")


def test_each_hall_gets_as_many_as_it_declares(made: Plan) -> None:
    counted = Counter(line.hall for line in made.delegates)
    assert {line.name: line.convened for line in made.halls} == counted
    assert sum(line.convened or 0 for line in made.halls) == 9845


def test_every_delegate_is_in_the_right_hall(made: Plan, lists: Lists) -> None:
    """The file lists the halls' delegates in the order of the halls: so position alone tells each one's hall."""
    expected = [line.name for line in made.halls for _ in range(line.convened or 0)]
    assert [line.hall for line in made.delegates] == expected
    assert [line.order for line in made.delegates] == list(range(1, 9846))


def test_what_was_read_otherwise_than_written(made: Plan) -> None:
    assert made.cleaned == {
        "name": 794,
        "phone": 5286,
        "hall_ditto": 849,
        "hall_short": 267,
        "order": 93,
        "detail_ditto": 584,
    }


def test_texts_are_clean(made: Plan) -> None:
    for line in made.delegates:
        for text in (line.name, line.position, line.unit, line.hall, line.note):
            assert unicodedata.is_normalized("NFC", text)
            assert text == " ".join(text.split())
        assert not line.name.startswith("Đ/c")
        assert not line.name.isupper()
        assert line.unit not in ("nt", "-nt-")
        assert re.fullmatch(r"|0[35789]\d{8}", line.phone)
    assert all(re.fullmatch(r"0[35789]\d{8}", line.phone) for line in made.halls)


def test_people_of_the_same_name_stay_apart(made: Plan) -> None:
    """Row 9201 and row 9207: same name, hall, unit and position, two phones."""
    twins = [line for line in made.delegates if line.name == "Lò Thị Dũng" and line.unit == "Đảng ủy khối 01"]
    assert [(line.order, line.phone) for line in twins] == [(9161, "0919722893"), (9167, "0986316867")]
    assert len({(line.name, line.hall) for line in made.delegates}) == 9845 - 11


def test_the_main_hall(made: Plan) -> None:
    assert [line.name for line in made.halls if line.chair] == ["Hội trường Tỉnh ủy (điểm cầu chính)"]


def test_importing_twice_changes_nothing(made: Plan, lists: Lists) -> None:
    meeting = fresh()
    meeting.apply(decide(meeting, SERVER, made.command(CommandId("import-first")), 1.0))
    assert (meeting.count(Hall), meeting.count(Delegate)) == (187, 9845)
    assert {c.id: c.convened for c in meeting.select(HallCount)} == {h.id: h.convened for h in meeting.select(Hall)}
    again = plan(lists, meeting)
    assert (again.new_halls, again.new_delegates, again.changed, again.unchanged, again.missing) == (0, 0, 0, 9845, 0)
    assert not decide(meeting, SERVER, again.command(CommandId("import-again")), 2.0)
