"""Rules B1–B14."""

from typing import Any

import pytest

from rooms.actor import SERVER, DelegateActor
from rooms.agenda import AddItem, CloseMeeting, OpenMeeting
from rooms.attendance import CheckIn, CheckOut, Excuse
from rooms.enrolment import DelegateLine, ImportRoster, PutDelegate, RemoveDelegate
from rooms.ids import DelegateId
from rooms.meeting import Meeting
from rooms.refusal import Refusal
from rooms.roster import Delegate
from rooms.rules import decide
from rooms.visibility import Audience, view
from rooms.voting import (
    Ballot,
    CastVote,
    ClosePoll,
    MakePoll,
    OpenPoll,
    Poll,
    PollCount,
    PollResult,
    PollRoll,
    PublishPoll,
    RemovePoll,
    ShowPoll,
    Sums,
)
from tests.rooms.test_agenda import refusal
from tests.support.meetings import (
    D1,
    D2,
    D3,
    D4,
    H1,
    HOST,
    NOON,
    SECRETARY,
    TECHNICIAN,
    command_id,
    give,
    make,
    open_meeting,
    planned_meeting,
    roster_meeting,
)


def made(meeting: Meeting, **fields: Any) -> str:
    return give(meeting, SECRETARY, MakePoll, **{"title": "Thông qua nghị quyết", **fields}).put[0].id


def opened(meeting: Meeting, *present: DelegateActor, **fields: Any) -> str:
    """An open poll, those named checked in before."""
    for delegate in present:
        give(meeting, delegate, CheckIn)
    id = made(meeting, **fields)
    give(meeting, HOST, OpenPoll, NOON + 60, poll=id)
    return id


def poll(meeting: Meeting, id: str) -> Poll:
    return meeting.require(Poll, id)


def count(meeting: Meeting, id: str, hall: str | None = None) -> PollCount:
    return meeting.require(PollCount, f"{id}:{hall}" if hall else id)


def test_B1_made_before_or_during_the_meeting_on_an_item_that_exists() -> None:
    meeting = roster_meeting()
    item = give(meeting, HOST, AddItem, title="Nghị quyết").put[0].id
    assert poll(meeting, made(meeting, item=item)).item == item
    assert refusal(meeting, HOST, MakePoll, title="A", item="nothing-1") is Refusal.NOT_FOUND
    assert refusal(meeting, HOST, MakePoll, title=" ") is Refusal.BAD_VALUE
    assert refusal(meeting, TECHNICIAN, MakePoll, title="A") is Refusal.NOT_ALLOWED
    for _ in range(99):
        made(meeting)
    assert refusal(meeting, HOST, MakePoll, title="A") is Refusal.BAD_VALUE
    give(meeting, HOST, OpenMeeting)
    give(meeting, HOST, CloseMeeting)
    assert refusal(meeting, HOST, MakePoll, title="A") is Refusal.MEETING_CLOSED


def test_B2_never_back() -> None:
    meeting = open_meeting()
    gone = made(meeting)
    give(meeting, HOST, RemovePoll, poll=gone)
    assert meeting.get(Poll, gone) is None
    id = opened(meeting)
    assert not give(meeting, HOST, OpenPoll, poll=id)
    for step in (ClosePoll, PublishPoll):
        assert refusal(meeting, HOST, RemovePoll, poll=id) is Refusal.IN_USE
        give(meeting, HOST, step, poll=id)
        assert refusal(meeting, HOST, OpenPoll, poll=id) is Refusal.ALREADY_DECIDED
        assert not give(meeting, HOST, step, poll=id)
        assert not give(meeting, HOST, ClosePoll, poll=id)


def test_B3_opened_in_an_open_meeting_only() -> None:
    meeting = roster_meeting()
    id = made(meeting)
    assert refusal(meeting, HOST, OpenPoll, poll=id) is Refusal.MEETING_NOT_OPEN
    give(meeting, HOST, OpenMeeting)
    give(meeting, HOST, CloseMeeting)
    assert refusal(meeting, HOST, OpenPoll, poll=id) is Refusal.MEETING_CLOSED


def test_B4_one_open_at_a_time() -> None:
    meeting = open_meeting()
    first, second = opened(meeting), made(meeting)
    assert refusal(meeting, HOST, OpenPoll, poll=second) is Refusal.POLL_OPEN
    give(meeting, HOST, ClosePoll, poll=first)
    give(meeting, HOST, OpenPoll, poll=second)
    assert [p.id for p in meeting.select(Poll, state="open")] == [second]


def test_B5_the_denominators_are_frozen_at_the_opening() -> None:
    meeting = open_meeting()
    guest = DelegateLine(hall="Điểm cầu 1", name="Khách", role="guest", phone="0900000099")
    give(meeting, HOST, PutDelegate, line=guest)
    give(meeting, DelegateActor(DelegateId("d5")), CheckIn)
    give(meeting, HOST, Excuse, delegate=DelegateId("d4"), reason="ốm")
    id = opened(meeting, D1, D3)
    frozen = (4, 1, 2)
    now = poll(meeting, id)
    assert (now.convened, now.excused, now.present) == frozen
    assert [(count(meeting, id, h).convened, count(meeting, id, h).present) for h in ("h1", "h2", "h3")] == [
        (2, 1),
        (1, 1),
        (1, 0),
    ]
    assert meeting.require(PollRoll, id).present == {"d1", "d3"}
    give(meeting, D3, CheckOut)
    give(meeting, D2, CheckIn)
    give(meeting, HOST, PutDelegate, line=DelegateLine(hall="Điểm cầu 2", name="Người mới"))
    later = poll(meeting, id)
    assert (later.convened, later.excused, later.present) == frozen
    assert (count(meeting, id).convened, count(meeting, id).present) == (4, 2)


def test_B6_guests_have_no_vote_and_who_stands_in_has() -> None:
    meeting = open_meeting()
    for role in ("guest", "substitute"):
        give(meeting, HOST, PutDelegate, line=DelegateLine(hall="Điểm cầu 1", name=role, role=role))
    guest, substitute = (DelegateActor(DelegateId(d)) for d in ("d5", "d6"))
    id = opened(meeting, guest, substitute)
    assert refusal(meeting, guest, CastVote, poll=id, choice="yes") is Refusal.NO_VOTE
    give(meeting, substitute, CastVote, poll=id, choice="yes")
    for other in (HOST, H1, SERVER):
        assert refusal(meeting, other, CastVote, poll=id, choice="yes") is Refusal.NOT_ALLOWED


def test_B7_who_is_present_votes_and_who_comes_later_is_counted_beside() -> None:
    meeting = open_meeting()
    id = opened(meeting, D1)
    assert refusal(meeting, D2, CastVote, poll=id, choice="yes") is Refusal.NOT_PRESENT
    give(meeting, D2, CheckIn, NOON + 61)
    give(meeting, D2, CastVote, NOON + 62, poll=id, choice="yes")
    give(meeting, D1, CastVote, NOON + 63, poll=id, choice="no")
    assert (count(meeting, id).cast, count(meeting, id).late, count(meeting, id).present) == (2, 1, 1)
    give(meeting, D1, CheckOut)
    give(meeting, HOST, ClosePoll, poll=id)
    everyone = opened(meeting, present_only=False)
    give(meeting, D4, CastVote, poll=everyone, choice="abstain")
    assert (count(meeting, everyone).cast, count(meeting, everyone).late) == (1, 1)


def test_B8_one_vote_for_good() -> None:
    meeting = open_meeting()
    id = opened(meeting, D1)
    give(meeting, D1, CastVote, NOON + 70, poll=id, choice="no")
    for choice in ("no", "yes"):
        assert refusal(meeting, D1, CastVote, poll=id, choice=choice) is Refusal.ALREADY_VOTED
    give(meeting, HOST, ClosePoll, poll=id)
    assert refusal(meeting, D1, CastVote, poll=id, choice="yes") is Refusal.ALREADY_VOTED
    assert meeting.require(Ballot, f"{id}:d1").choice == "no"
    assert refusal(meeting, D2, CastVote, poll=id, choice="yes") is Refusal.POLL_NOT_OPEN


def test_B9_a_delegate_who_moves_keeps_the_vote_where_it_was_cast() -> None:
    meeting = open_meeting()
    id = opened(meeting, D1, D2)
    give(meeting, D1, CastVote, poll=id, choice="yes")
    person = meeting.require(Delegate, "d2")
    moved = DelegateLine(hall="Điểm cầu 3", name=person.name, phone=person.phone, order=person.order)
    give(meeting, HOST, PutDelegate, delegate=DelegateId("d2"), line=moved)
    give(meeting, D2, CastVote, poll=id, choice="abstain")
    assert [count(meeting, id, h).cast for h in ("h1", "h2", "h3")] == [1, 0, 1]
    assert count(meeting, id).sums == Sums(yes=1, abstain=1)


@pytest.mark.parametrize("others", [0, 5_000])
def test_B9_a_vote_touches_three_small_records_however_many_were_cast(others: int) -> None:
    meeting = open_meeting()
    people = tuple(DelegateLine(hall="Điểm cầu 1", name=f"Đại biểu {n}", order=100 + n) for n in range(others))
    give(meeting, SERVER, ImportRoster, halls=(), delegates=people)
    id = opened(meeting, D1, present_only=False)
    for n in range(others):
        give(meeting, DelegateActor(DelegateId(f"d{n + 5}")), CastVote, poll=id, choice="yes")
    change = decide(meeting, D1, make(CastVote, poll=id, choice="yes"), NOON)
    assert [record.key for record in change.put] == [f"ballot/{id}:d1", f"poll_count/{id}", f"poll_count/{id}:h1"]


def test_B10_a_closed_poll_is_published() -> None:
    meeting = open_meeting()
    id = made(meeting)
    assert refusal(meeting, HOST, PublishPoll, poll=id) is Refusal.POLL_NOT_OPEN
    assert refusal(meeting, HOST, ClosePoll, poll=id) is Refusal.POLL_NOT_OPEN
    give(meeting, D1, CheckIn)
    give(meeting, HOST, OpenPoll, poll=id)
    give(meeting, D1, CastVote, poll=id, choice="abstain")
    assert refusal(meeting, HOST, PublishPoll, poll=id) is Refusal.POLL_OPEN
    give(meeting, HOST, ClosePoll, NOON + 99, poll=id)
    assert poll(meeting, id).result is None
    give(meeting, HOST, CloseMeeting)
    give(meeting, HOST, PublishPoll, NOON + 100, poll=id)
    published = poll(meeting, id)
    assert published.result == PollResult(cast=1, late=0, sums=Sums(abstain=1))
    assert (published.closed_at, published.published_at) == (NOON + 99, NOON + 100)


STAFF, HALL, OTHER = Audience("staff"), Audience("hall", "h1"), Audience("hall", "h2")
ME, NEIGHBOUR = Audience("delegate", "d1"), Audience("delegate", "d2")
ALL = (STAFF, HALL, OTHER, ME, NEIGHBOUR)


def seen_sums(meeting: Meeting, id: str) -> list[bool]:
    """Who sees the sums of the poll, of `ALL`."""
    seen = []
    for audience in ALL:
        turnout, question = view(count(meeting, id), audience), view(poll(meeting, id), audience)
        counted = isinstance(turnout, PollCount) and turnout.sums is not None
        seen.append(counted or (isinstance(question, Poll) and question.result is not None))
    return seen


def test_B11_who_sees_the_poll_its_turnout_and_its_sums() -> None:
    meeting = open_meeting()
    id = made(meeting)
    assert [view(poll(meeting, id), a) is not None for a in ALL] == [True, False, False, False, False]
    assert refusal(meeting, D1, CastVote, poll=id, choice="yes") is Refusal.NOT_FOUND
    give(meeting, D1, CheckIn)
    give(meeting, HOST, OpenPoll, poll=id)
    give(meeting, D1, CastVote, poll=id, choice="yes")
    assert all(view(poll(meeting, id), a) for a in ALL)
    assert [view(count(meeting, id), a) is not None for a in ALL] == [True, True, True, False, False]
    assert [view(count(meeting, id, "h1"), a) is not None for a in ALL] == [True, True, False, False, False]
    assert count(meeting, id, "h1").sums is None
    assert seen_sums(meeting, id) == [False, False, False, False, False]
    give(meeting, HOST, ClosePoll, poll=id)
    assert seen_sums(meeting, id) == [True, False, False, False, False]
    give(meeting, HOST, PublishPoll, poll=id)
    assert seen_sums(meeting, id) == [True, True, True, True, True]


def test_B12_a_ballot_is_for_its_voter() -> None:
    meeting = open_meeting()
    id = opened(meeting, D1)
    give(meeting, D1, CastVote, poll=id, choice="yes")
    for step in (None, ClosePoll, PublishPoll):
        if step:
            give(meeting, HOST, step, poll=id)
        ballot, roll = meeting.require(Ballot, f"{id}:d1"), meeting.require(PollRoll, id)
        assert [view(ballot, a) is not None for a in ALL] == [False, False, False, True, False]
        assert not any(view(roll, a) for a in ALL)


def test_B13_one_is_shown_and_an_open_one_always_is() -> None:
    meeting = open_meeting()
    first, second = opened(meeting), made(meeting)
    assert refusal(meeting, HOST, ShowPoll, poll=second, shown=True) is Refusal.POLL_NOT_OPEN
    assert refusal(meeting, HOST, ShowPoll, poll=first, shown=False) is Refusal.POLL_OPEN
    give(meeting, HOST, ClosePoll, poll=first)
    give(meeting, HOST, ShowPoll, poll=first, shown=False)
    give(meeting, HOST, OpenPoll, poll=second)
    assert refusal(meeting, HOST, ShowPoll, poll=first, shown=True) is Refusal.POLL_OPEN
    give(meeting, HOST, ClosePoll, poll=second)
    give(meeting, HOST, PublishPoll, poll=first)
    assert [p.id for p in meeting.select(Poll, shown=True)] == [first]
    give(meeting, HOST, ShowPoll, poll=second, shown=True)
    assert [p.id for p in meeting.select(Poll, shown=True)] == [second]


def test_B13_an_earlier_result_cannot_take_the_place_of_an_open_poll() -> None:
    meeting = open_meeting()
    first = opened(meeting)
    give(meeting, HOST, ClosePoll, poll=first)
    second = opened(meeting)
    give(meeting, HOST, PublishPoll, poll=first)
    assert [p.id for p in meeting.select(Poll, shown=True)] == [second]


def test_B14_closing_the_meeting_closes_the_poll() -> None:
    meeting = open_meeting()
    id = opened(meeting, D1)
    give(meeting, D1, CastVote, poll=id, choice="yes")
    give(meeting, HOST, CloseMeeting, NOON + 200)
    assert (poll(meeting, id).state, poll(meeting, id).closed_at) == ("closed", NOON + 200)
    assert count(meeting, id).closed
    give(meeting, HOST, OpenMeeting)
    assert refusal(meeting, D2, CastVote, poll=id, choice="yes") is Refusal.POLL_NOT_OPEN


def test_R8_who_voted_stays_on_the_list() -> None:
    meeting = open_meeting()
    id = opened(meeting, present_only=False)
    give(meeting, D4, CastVote, poll=id, choice="yes")
    assert refusal(meeting, HOST, RemoveDelegate, delegate=DelegateId("d4")) is Refusal.IN_USE
    give(meeting, HOST, RemoveDelegate, delegate=DelegateId("d3"))


def test_a_poll_cannot_be_made_where_there_is_no_meeting() -> None:
    assert refusal(Meeting(), HOST, MakePoll, title="A") is Refusal.NOT_FOUND
    assert refusal(planned_meeting(), HOST, OpenPoll, poll=command_id()) is Refusal.MEETING_NOT_OPEN
