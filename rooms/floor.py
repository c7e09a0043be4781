"""The floor: who may speak, who waits, and since when.  Rules F1–F10 in SPEC.md."""

from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor, HallActor, Staff
from rooms.agenda import MeetingFacts, facts
from rooms.attendance import Attendance
from rooms.ids import DelegateId, HallId, ItemId, SpeakerId
from rooms.meeting import Change, Command, Meeting, Record, new_id, put, text
from rooms.refusal import Refusal, Refused
from rooms.roster import Hall, asking

LONGEST_TURN_S = 4 * 3600


class Speaker(Record, frozen=True, kw_only=True, tag="speaker"):
    """One turn at the floor: waiting (`began_at` None), speaking (`ended_at` None) or over.

    `delegate` is None when the hall itself speaks. `ends_at` is when the allotted time is used up; the floor is not
    taken by the clock.
    """

    found_by = ("hall", "delegate")

    hall: HallId
    delegate: DelegateId | None = None
    name: str
    item: ItemId | None = None
    topic: str = ""
    turn: int
    asked_at: float
    began_at: float | None = None
    ends_at: float | None = None
    ended_at: float | None = None

    @property
    def waiting(self) -> bool:
        return self.began_at is None and self.ended_at is None

    @property
    def speaking(self) -> bool:
        return self.began_at is not None and self.ended_at is None


class RequestFloor(Command, frozen=True, kw_only=True, tag="floor.request"):
    """Register to speak: a delegate for themself, a hall for itself."""

    topic: str = ""


class WithdrawRequest(Command, frozen=True, kw_only=True, tag="floor.withdraw"):
    speaker: SpeakerId


class GiveFloor(Command, frozen=True, kw_only=True, tag="floor.give"):
    """To a waiting speaker, or straight to a hall. Whoever speaks now is ended first."""

    speaker: SpeakerId | None = None
    hall: HallId | None = None
    duration_s: int | None = None


class TakeFloor(Command, frozen=True, kw_only=True, tag="floor.take"):
    """End the turn of whoever speaks."""


class ExtendFloor(Command, frozen=True, kw_only=True, tag="floor.extend"):
    """Allot the current speaker so many seconds more (less, if negative)."""

    add_s: int


def speaking(meeting: Meeting) -> Speaker | None:
    return next((s for s in meeting.select(Speaker, ended_at=None) if s.speaking), None)


def _open(meeting: Meeting) -> MeetingFacts:
    found = facts(meeting)
    if found.state != "open":
        raise Refused(Refusal.MEETING_NOT_OPEN if found.state == "planned" else Refusal.MEETING_CLOSED)  # F1
    return found


def _next_turn(meeting: Meeting) -> int:
    return max((s.turn for s in meeting.select(Speaker)), default=0) + 1


def request_floor(meeting: Meeting, actor: Actor, command: RequestFloor, now: float) -> Change:
    item = _open(meeting).item
    topic = text(command.topic, "topic", 300, empty=True)
    hall, delegate, name = asking(meeting, actor)
    attendance = meeting.get(Attendance, delegate) if delegate else None
    if delegate and (attendance is None or not attendance.present):
        raise Refused(Refusal.NOT_PRESENT)  # F2
    if any(meeting.select(Speaker, hall=hall, delegate=delegate, ended_at=None)):
        raise Refused(Refusal.ALREADY_WAITING)  # F3
    return put(
        Speaker(
            id=new_id(meeting, Speaker, command),
            hall=hall,
            delegate=delegate,
            name=name,
            item=item,
            topic=topic,
            turn=_next_turn(meeting),
            asked_at=now,
        )
    )


def withdraw_request(meeting: Meeting, actor: Actor, command: WithdrawRequest, now: float) -> Change:
    speaker = meeting.require(Speaker, command.speaker)
    if not isinstance(actor, Staff):
        own = speaker.delegate == actor.id if isinstance(actor, DelegateActor) else speaker.hall == _hall_of(actor)
        if not own or (isinstance(actor, HallActor) and speaker.delegate is not None):
            raise Refused(Refusal.NOT_ALLOWED)  # F4
    if not speaker.waiting:
        raise Refused(Refusal.TURN_OVER)
    return put(replace(speaker, ended_at=now))


def _hall_of(actor: Actor) -> HallId | None:
    return actor.id if isinstance(actor, HallActor) else None


def _duration(value: int | None) -> int | None:
    if value is not None and not 0 < value <= LONGEST_TURN_S:
        raise Refused(Refusal.BAD_VALUE, "duration_s")
    return value


def give_floor(meeting: Meeting, actor: Actor, command: GiveFloor, now: float) -> Change:
    item = _open(meeting).item
    duration_s = _duration(command.duration_s)
    before = speaking(meeting)
    if (command.speaker is None) == (command.hall is None):
        raise Refused(Refusal.BAD_VALUE, "hall")
    if command.speaker is not None:
        turn = meeting.require(Speaker, command.speaker)
        if not turn.waiting:
            raise Refused(Refusal.TURN_OVER)
    else:
        hall = meeting.require(Hall, str(command.hall))
        if before and before.hall == hall.id and before.delegate is None:
            return Change()  # F6
        turn = next(
            (s for s in meeting.select(Speaker, hall=hall.id, delegate=None, ended_at=None) if s.waiting),
            None,
        ) or Speaker(
            id=new_id(meeting, Speaker, command),
            hall=HallId(hall.id),
            name=hall.name,
            item=item,
            turn=_next_turn(meeting),
            asked_at=now,
        )
    began = replace(turn, began_at=now, ends_at=now + duration_s if duration_s else None)
    ended = (replace(before, ended_at=now),) if before else ()
    return put(*ended, began)  # F5


def take_floor(meeting: Meeting, actor: Actor, command: TakeFloor, now: float) -> Change:
    before = speaking(meeting)
    if before is None:
        return Change()
    return put(replace(before, ended_at=now))  # F7


def extend_floor(meeting: Meeting, actor: Actor, command: ExtendFloor, now: float) -> Change:
    before = speaking(meeting)
    if before is None:
        raise Refused(Refusal.FLOOR_NOT_HELD)
    ends_at = max(before.ends_at or now, now) + command.add_s
    if not now <= ends_at <= now + LONGEST_TURN_S:
        raise Refused(Refusal.BAD_VALUE, "add_s")
    return put(replace(before, ends_at=ends_at))  # F8


def settle(after: Meeting, now: float) -> Change:
    """What a closed meeting does to the floor: every turn is over (F9)."""
    found = after.get(MeetingFacts, "meeting")
    if found is None or found.state != "closed":
        return Change()
    return put(*(replace(s, ended_at=now) for s in after.select(Speaker, ended_at=None)))
