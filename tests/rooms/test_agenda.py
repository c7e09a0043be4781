"""Rules G1–G8 and C1–C6."""

from typing import Any

import pytest

from rooms.actor import SERVER, Actor
from rooms.agenda import (
    AddItem,
    CloseMeeting,
    EditItem,
    EditMeeting,
    Item,
    MeetingFacts,
    MoveItem,
    OpenMeeting,
    RemoveItem,
    SetCurrentItem,
)
from rooms.attendance import CheckIn, CheckOut, Excuse
from rooms.documents import PublishDocument
from rooms.enrolment import ImportRoster
from rooms.ids import DelegateId
from rooms.meeting import Change, Command, Meeting
from rooms.refusal import Refusal, Refused
from rooms.rules import decide
from tests.support.meetings import D1, H1, HOST, NOON, SECRETARY, TECHNICIAN, give, make, open_meeting, planned_meeting


def refusal(meeting: Meeting, actor: Actor, kind: type, now: float = NOON, **fields: Any) -> Refusal:
    with pytest.raises(Refused) as refused:
        give(meeting, actor, kind, now, **fields)
    return refused.value.code


def facts(meeting: Meeting) -> MeetingFacts:
    return meeting.require(MeetingFacts, "meeting")


def agenda(meeting: Meeting) -> list[str]:
    return [item.title for item in sorted(meeting.select(Item), key=lambda i: i.order)]


def add(meeting: Meeting, title: str, **fields: Any) -> str:
    change = give(meeting, HOST, AddItem, title=title, **fields)
    return change.put[0].id


def test_G1_first_edit_makes_a_planned_meeting() -> None:
    meeting = planned_meeting()
    assert facts(meeting).state == "planned"
    give(meeting, HOST, EditMeeting, title="  Hội   nghị  mới ", planned_at=NOON)
    assert (facts(meeting).title, facts(meeting).planned_at) == ("Hội nghị mới", NOON)
    assert refusal(meeting, HOST, EditMeeting, title=" ") is Refusal.BAD_VALUE


def test_G2_reopening_keeps_the_first_opening_time() -> None:
    meeting = open_meeting()
    assert not give(meeting, HOST, OpenMeeting, NOON + 5)
    give(meeting, HOST, CloseMeeting, NOON + 10)
    give(meeting, HOST, OpenMeeting, NOON + 20)
    assert (facts(meeting).state, facts(meeting).opened_at, facts(meeting).closed_at) == ("open", NOON, None)


def test_G3_closing_ends_the_current_item() -> None:
    meeting = open_meeting()
    item = add(meeting, "Báo cáo")
    give(meeting, HOST, SetCurrentItem, NOON + 1, item=item)
    give(meeting, HOST, CloseMeeting, NOON + 9)
    assert (facts(meeting).closed_at, facts(meeting).item) == (NOON + 9, None)
    assert meeting.require(Item, item).ended_at == NOON + 9
    assert refusal(planned_meeting(), HOST, CloseMeeting) is Refusal.MEETING_NOT_OPEN


def test_G4_at_most_200_items() -> None:
    meeting = planned_meeting()
    for n in range(200):
        add(meeting, f"Mục {n}")
    assert refusal(meeting, HOST, AddItem, title="Mục thừa") is Refusal.BAD_VALUE


def test_G5_moving_keeps_the_order_of_the_others() -> None:
    meeting = planned_meeting()
    ids = [add(meeting, name) for name in "ABCD"]
    give(meeting, HOST, MoveItem, item=ids[3], place=1)
    assert agenda(meeting) == ["A", "D", "B", "C"]
    give(meeting, HOST, MoveItem, item=ids[0], place=99)
    assert agenda(meeting) == ["D", "B", "C", "A"]
    assert sorted(i.order for i in meeting.select(Item)) == [0, 1, 2, 3]


def test_G6_a_begun_item_cannot_be_removed() -> None:
    meeting = open_meeting()
    begun, free = add(meeting, "A"), add(meeting, "B")
    give(meeting, HOST, SetCurrentItem, item=begun)
    assert refusal(meeting, HOST, RemoveItem, item=begun) is Refusal.IN_USE
    give(meeting, HOST, SetCurrentItem, item=None)
    assert refusal(meeting, HOST, RemoveItem, item=begun) is Refusal.IN_USE
    give(meeting, HOST, RemoveItem, item=free)
    assert agenda(meeting) == ["A"]


def test_G7_the_item_before_ends_and_a_resumed_one_keeps_its_beginning() -> None:
    meeting = open_meeting()
    first, second = add(meeting, "A"), add(meeting, "B")
    for at, item in ((1, first), (2, second), (3, first)):
        give(meeting, HOST, SetCurrentItem, NOON + at, item=item)
    assert meeting.require(Item, second).ended_at == NOON + 3
    resumed = meeting.require(Item, first)
    assert (resumed.began_at, resumed.ended_at) == (NOON + 1, None)
    assert refusal(meeting, HOST, SetCurrentItem, item="nowhere!") is Refusal.NOT_FOUND


def test_G8_a_closed_meeting_changes_no_more() -> None:
    meeting = open_meeting()
    item = add(meeting, "A")
    give(meeting, HOST, CloseMeeting)
    d1 = DelegateId("d1")
    refused: tuple[tuple[Actor, type[Command], dict[str, Any]], ...] = (
        (HOST, AddItem, {"title": "B"}),
        (HOST, EditItem, {"item": item, "title": "B"}),
        (HOST, MoveItem, {"item": item, "place": 0}),
        (HOST, RemoveItem, {"item": item}),
        (HOST, SetCurrentItem, {"item": item}),
        (HOST, ImportRoster, {"halls": (), "delegates": ()}),
        (D1, CheckIn, {}),
        (D1, CheckOut, {}),
        (HOST, Excuse, {"delegate": d1, "reason": "ốm"}),
        (HOST, PublishDocument, dict(title="T", filename="t.pdf", sha256="0", size=1, pages=1, searchable=True)),
    )
    for actor, kind, fields in refused:
        assert refusal(meeting, actor, kind, **fields) is Refusal.MEETING_CLOSED, kind


@pytest.mark.parametrize("id", ["", "short", "x" * 41, "has space", "tiếng-việt", "a/b/c/d/e", "newline\n1"])
def test_C1_command_ids_are_plain(id: str) -> None:
    assert refusal(planned_meeting(), HOST, OpenMeeting, id=id) is Refusal.BAD_VALUE


def test_C2_only_those_in_the_table_may() -> None:
    meeting = open_meeting()
    for actor in (D1, H1, TECHNICIAN):
        assert refusal(meeting, actor, OpenMeeting) is Refusal.NOT_ALLOWED
    assert refusal(meeting, SECRETARY, CloseMeeting) is Refusal.NOT_ALLOWED


def test_C3_a_stranger_may_do_nothing() -> None:
    assert refusal(planned_meeting(), D1, CheckIn) is Refusal.NOT_FOUND
    assert refusal(planned_meeting(), H1, CheckIn) is Refusal.NOT_ALLOWED


def test_C4_a_record_is_never_overwritten_by_a_new_one() -> None:
    meeting = planned_meeting()
    item = add(meeting, "A")
    assert refusal(meeting, SECRETARY, AddItem, id=item, title="B") is Refusal.BAD_VALUE
    assert agenda(meeting) == ["A"]


def test_C6_deciding_changes_nothing() -> None:
    meeting = planned_meeting()
    before = list(meeting.records())
    change = decide(meeting, SERVER, make(EditMeeting, title="Khác"), NOON)
    assert change != Change()
    assert list(meeting.records()) == before
