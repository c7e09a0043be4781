"""Rules F1–F10 and S1–S4."""

from rooms.actor import Actor
from rooms.agenda import CloseMeeting
from rooms.attendance import CheckIn
from rooms.floor import ExtendFloor, GiveFloor, RequestFloor, Speaker, TakeFloor, WithdrawRequest, speaking
from rooms.ids import HallId
from rooms.meeting import Meeting
from rooms.refusal import Refusal
from rooms.stage import HearChair, ShowHall, Stage, current
from tests.rooms.test_agenda import refusal
from tests.support.meetings import D1, D2, H1, H2, HOST, NOON, TECHNICIAN, give, open_meeting, roster_meeting

h = HallId


def ask(meeting: Meeting, actor: Actor, now: float = NOON) -> str:
    return give(meeting, actor, RequestFloor, now, topic="Ý kiến").put[0].id


def test_F1_only_in_an_open_meeting() -> None:
    assert refusal(roster_meeting(), H1, RequestFloor) is Refusal.MEETING_NOT_OPEN
    assert refusal(roster_meeting(), HOST, GiveFloor, hall=h("h1")) is Refusal.MEETING_NOT_OPEN
    meeting = open_meeting()
    give(meeting, HOST, CloseMeeting)
    assert refusal(meeting, H1, RequestFloor) is Refusal.MEETING_CLOSED


def test_F2_a_delegate_must_be_checked_in() -> None:
    meeting = open_meeting()
    assert refusal(meeting, D1, RequestFloor) is Refusal.NOT_PRESENT
    give(meeting, D1, CheckIn)
    ask(meeting, D1)


def test_F3_nobody_waits_twice() -> None:
    meeting = open_meeting()
    first = ask(meeting, H1)
    assert refusal(meeting, H1, RequestFloor) is Refusal.ALREADY_WAITING
    give(meeting, HOST, GiveFloor, speaker=first)
    assert refusal(meeting, H1, RequestFloor) is Refusal.ALREADY_WAITING
    give(meeting, HOST, TakeFloor)
    ask(meeting, H1)


def test_F4_own_requests_only() -> None:
    meeting = open_meeting()
    for actor in (D1, D2):
        give(meeting, actor, CheckIn)
    own, halls = ask(meeting, D1), ask(meeting, H1)
    tries: tuple[tuple[Actor, str], ...] = ((D2, own), (H1, own), (H2, halls), (D1, halls))
    for other, speaker in tries:
        assert refusal(meeting, other, WithdrawRequest, speaker=speaker) is Refusal.NOT_ALLOWED
    give(meeting, D1, WithdrawRequest, speaker=own)
    give(meeting, HOST, WithdrawRequest, speaker=halls)
    assert refusal(meeting, D1, WithdrawRequest, speaker=own) is Refusal.TURN_OVER
    assert not [s for s in meeting.select(Speaker) if s.waiting]


def test_F5_giving_ends_the_turn_before() -> None:
    meeting = open_meeting()
    give(meeting, HOST, GiveFloor, NOON, hall=h("h1"), duration_s=300)
    first = speaking(meeting)
    assert first and (first.hall, first.ends_at) == ("h1", NOON + 300)
    give(meeting, HOST, GiveFloor, NOON + 60, speaker=ask(meeting, H2))
    second = speaking(meeting)
    assert second and (second.hall, second.began_at) == ("h2", NOON + 60)
    assert meeting.require(Speaker, first.id).ended_at == NOON + 60
    assert refusal(meeting, HOST, GiveFloor, speaker=first.id) is Refusal.TURN_OVER
    assert refusal(meeting, HOST, GiveFloor) is Refusal.BAD_VALUE
    assert refusal(meeting, HOST, GiveFloor, hall=h("h9")) is Refusal.NOT_FOUND


def test_F6_a_halls_own_request_is_used() -> None:
    meeting = open_meeting()
    waiting = ask(meeting, H1)
    give(meeting, HOST, GiveFloor, hall=h("h1"))
    now_speaking = speaking(meeting)
    assert now_speaking and now_speaking.id == waiting
    assert not give(meeting, HOST, GiveFloor, hall=h("h1"))


def test_F7_taking_nothing_changes_nothing() -> None:
    meeting = open_meeting()
    assert not give(meeting, HOST, TakeFloor)


def test_F8_time_is_added_within_bounds() -> None:
    meeting = open_meeting()
    assert refusal(meeting, HOST, ExtendFloor, add_s=60) is Refusal.FLOOR_NOT_HELD
    give(meeting, HOST, GiveFloor, NOON, hall=h("h1"), duration_s=60)
    give(meeting, HOST, ExtendFloor, NOON + 30, add_s=60)
    assert speaking(meeting).ends_at == NOON + 120  # type: ignore[union-attr]
    assert refusal(meeting, HOST, ExtendFloor, NOON + 30, add_s=-3600) is Refusal.BAD_VALUE
    assert refusal(meeting, HOST, ExtendFloor, NOON + 30, add_s=5 * 3600) is Refusal.BAD_VALUE


def test_F9_closing_ends_every_turn() -> None:
    meeting = open_meeting()
    ask(meeting, H1)
    give(meeting, HOST, GiveFloor, hall=h("h2"))
    give(meeting, HOST, CloseMeeting, NOON + 5)
    assert [s.ended_at for s in meeting.select(Speaker)] == [NOON + 5, NOON + 5]


def test_F10_turns_are_numbered_once() -> None:
    meeting = open_meeting()
    give(meeting, H1, WithdrawRequest, speaker=ask(meeting, H1))
    ask(meeting, H2)
    ask(meeting, H1)
    assert [s.turn for s in meeting.select(Speaker)] == [1, 2, 3]


def stage(meeting: Meeting) -> Stage:
    return current(meeting)


def test_S1_S2_S3_floor_then_shown_then_chair() -> None:
    meeting = open_meeting(chair=True)
    assert stage(meeting).video == ("h3/camera", None)
    assert stage(meeting).audio == ("h3/microphone", None, None)
    give(meeting, TECHNICIAN, ShowHall, hall=h("h2"))
    assert stage(meeting).video == ("h2/camera", "h3/camera")
    assert stage(meeting).audio == ("h3/microphone", None, None)
    give(meeting, HOST, GiveFloor, hall=h("h1"))
    assert stage(meeting).video == ("h1/camera", "h2/camera")
    assert stage(meeting).audio == ("h1/microphone", "h3/microphone", None)
    give(meeting, HOST, HearChair, heard=False)
    assert stage(meeting).audio == ("h1/microphone", None, None)
    give(meeting, HOST, TakeFloor)
    give(meeting, HOST, ShowHall, hall=None)
    assert (stage(meeting).video, stage(meeting).audio) == (("h3/camera", None), (None, None, None))


def test_S3_without_a_chair_only_the_floor_is_heard() -> None:
    meeting = open_meeting()
    assert stage(meeting).audio == (None, None, None)
    give(meeting, HOST, GiveFloor, hall=h("h1"))
    assert stage(meeting).audio == ("h1/microphone", None, None)


def test_S4_a_closed_meeting_has_an_empty_stage() -> None:
    meeting = open_meeting(chair=True)
    give(meeting, HOST, GiveFloor, hall=h("h1"))
    give(meeting, HOST, CloseMeeting)
    assert (stage(meeting).video, stage(meeting).audio) == ((None, None), (None, None, None))
