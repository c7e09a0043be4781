"""Voting (biểu quyết): one open poll at a time, yes / no / abstain, one vote each.  Rules B1–B14 in SPEC.md.

Casting a vote costs the same however many were cast: a ballot of its own, and two counts moved by one. Nothing that
grows with the votes is in a record that everybody gets.
"""

from collections import Counter
from typing import Literal

import msgspec
from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor
from rooms.agenda import Item, MeetingFacts, facts, require_not_closed
from rooms.attendance import Attendance
from rooms.ids import DelegateId, HallId, ItemId, PollId
from rooms.meeting import Change, Command, Meeting, Record, new_id, put, text
from rooms.refusal import Refusal, Refused
from rooms.roster import Delegate, DelegateRole

PollState = Literal["created", "open", "closed", "published"]
Choice = Literal["yes", "no", "abstain"]
CHOICES: tuple[Choice, ...] = ("yes", "no", "abstain")
VOTING_ROLES: frozenset[DelegateRole] = frozenset({"official", "substitute"})
MOST_POLLS = 100


class Sums(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    yes: int = 0
    no: int = 0
    abstain: int = 0


class PollResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is published. `late`: of the votes `cast`, those of delegates not present when the poll opened."""

    cast: int
    late: int
    sums: Sums


class Poll(Record, frozen=True, kw_only=True, tag="poll"):
    """A question put to the vote. `shown`: on the hall pages and phones now.

    Frozen at the opening: `convened`, the delegates on the list who have a vote; `excused`, those of them who were
    never present and whose absence is accepted; `present`, those who were present.
    """

    title: str
    item: ItemId | None = None
    present_only: bool = True
    state: PollState = "created"
    made_at: float
    opened_at: float | None = None
    closed_at: float | None = None
    published_at: float | None = None
    convened: int = 0
    excused: int = 0
    present: int = 0
    shown: bool = False
    result: PollResult | None = None


class PollRoll(Record, frozen=True, kw_only=True, tag="poll_roll"):
    """Who was present, with a vote, when the poll opened; its id is the poll's. For the record, sent to nobody."""

    present: frozenset[DelegateId]


class PollCount(Record, frozen=True, kw_only=True, tag="poll_count"):
    """The turnout: of the whole poll (its id is the poll's) or of one hall ("<poll>:<hall>").

    `convened` and `present` are frozen at the opening. `sums` are of the whole poll only: those of a small hall would
    tell how somebody voted.
    """

    poll: PollId
    hall: HallId | None = None
    convened: int = 0
    present: int = 0
    cast: int = 0
    late: int = 0
    closed: bool = False
    sums: Sums | None = None


class Ballot(Record, frozen=True, kw_only=True, tag="ballot"):
    """One delegate's vote; its id is "<poll>:<delegate>". `hall` is where the delegate sat then."""

    poll: PollId
    delegate: DelegateId
    hall: HallId
    choice: Choice
    cast_at: float
    late: bool = False


class MakePoll(Command, frozen=True, kw_only=True, tag="vote.make"):
    """Prepare a poll. `present_only`: only who is checked in may vote."""

    title: str
    item: ItemId | None = None
    present_only: bool = True


class RemovePoll(Command, frozen=True, kw_only=True, tag="vote.remove"):
    """Take away a poll that was never opened."""

    poll: PollId


class OpenPoll(Command, frozen=True, kw_only=True, tag="vote.open"):
    poll: PollId


class CastVote(Command, frozen=True, kw_only=True, tag="vote.cast"):
    poll: PollId
    choice: Choice


class ClosePoll(Command, frozen=True, kw_only=True, tag="vote.close"):
    poll: PollId


class PublishPoll(Command, frozen=True, kw_only=True, tag="vote.publish"):
    """Let everyone see the result."""

    poll: PollId


class ShowPoll(Command, frozen=True, kw_only=True, tag="vote.show"):
    """Put a poll that was opened on the hall pages and phones, in place of the one shown, or take it off."""

    poll: PollId
    shown: bool


def make_poll(meeting: Meeting, actor: Actor, command: MakePoll, now: float) -> Change:
    require_not_closed(meeting)  # B1
    if meeting.count(Poll) >= MOST_POLLS:
        raise Refused(Refusal.BAD_VALUE, "polls")
    if command.item is not None:
        meeting.require(Item, command.item)
    return put(
        Poll(
            id=new_id(meeting, Poll, command),
            title=text(command.title, "title", 500),
            item=command.item,
            present_only=command.present_only,
            made_at=now,
        )
    )


def remove_poll(meeting: Meeting, actor: Actor, command: RemovePoll, now: float) -> Change:
    poll = meeting.require(Poll, command.poll)
    if poll.state != "created":
        raise Refused(Refusal.IN_USE)  # B2
    return Change(drop=(poll.key,))


def open_poll(meeting: Meeting, actor: Actor, command: OpenPoll, now: float) -> Change:
    state = facts(meeting).state
    if state != "open":
        raise Refused(Refusal.MEETING_NOT_OPEN if state == "planned" else Refusal.MEETING_CLOSED)  # B3
    poll = meeting.require(Poll, command.poll)
    if poll.state == "open":
        return Change()
    if poll.state != "created":
        raise Refused(Refusal.ALREADY_DECIDED)  # B2
    if any(meeting.select(Poll, state="open")):
        raise Refused(Refusal.POLL_OPEN)  # B4
    return _begin(meeting, poll, now)


def _begin(meeting: Meeting, poll: Poll, now: float) -> Change:
    """The open poll with its denominators frozen, in all and by hall (B5)."""
    voters = [delegate for delegate in meeting.select(Delegate) if delegate.role in VOTING_ROLES]
    attendances = {voter.id: meeting.get(Attendance, voter.id) for voter in voters}
    present = {id for id, attendance in attendances.items() if attendance is not None and attendance.present}
    excused = sum(a is not None and a.excused is not None and not a.intervals for a in attendances.values())
    convened_by = Counter(voter.hall for voter in voters)
    present_by = Counter(voter.hall for voter in voters if voter.id in present)
    id = PollId(poll.id)
    opened = replace(
        poll, state="open", opened_at=now, convened=len(voters), excused=excused, present=len(present), shown=True
    )
    total = PollCount(id=id, poll=id, convened=len(voters), present=len(present), sums=Sums())
    halls = [
        PollCount(id=f"{id}:{hall}", poll=id, hall=hall, convened=convened, present=present_by[hall])
        for hall, convened in convened_by.items()
    ]
    roll = PollRoll(id=id, present=frozenset(DelegateId(voter) for voter in present))
    return put(*_others_off(meeting, poll), opened, roll, total, *halls)


def _others_off(meeting: Meeting, poll: Poll) -> list[Poll]:
    """The polls that leave the pages when this one is put there (B13)."""
    return [replace(other, shown=False) for other in meeting.select(Poll, shown=True) if other.id != poll.id]


def cast_vote(meeting: Meeting, actor: Actor, command: CastVote, now: float) -> Change:
    poll = meeting.require(Poll, command.poll)
    if not isinstance(actor, DelegateActor):
        raise Refused(Refusal.NOT_ALLOWED)
    if poll.state == "created":
        raise Refused(Refusal.NOT_FOUND, "poll")  # B11: for delegates it does not exist yet
    id = f"{poll.id}:{actor.id}"
    if meeting.get(Ballot, id) is not None:
        raise Refused(Refusal.ALREADY_VOTED)  # B8
    if poll.state != "open":
        raise Refused(Refusal.POLL_NOT_OPEN)
    voter = meeting.require(Delegate, actor.id)
    if voter.role not in VOTING_ROLES:
        raise Refused(Refusal.NO_VOTE)  # B6
    attendance = meeting.get(Attendance, voter.id)
    if poll.present_only and (attendance is None or not attendance.present):
        raise Refused(Refusal.NOT_PRESENT)  # B7
    late = actor.id not in meeting.require(PollRoll, poll.id).present
    ballot = Ballot(
        id=id,
        poll=PollId(poll.id),
        delegate=actor.id,
        hall=voter.hall,
        choice=command.choice,
        cast_at=now,
        late=late,
    )
    return put(ballot, *_counted(meeting, ballot))


def _counted(meeting: Meeting, ballot: Ballot) -> tuple[PollCount, PollCount]:
    """The counts of the poll and of the voter's hall, moved by one ballot (B9)."""
    total = meeting.require(PollCount, ballot.poll)
    here = f"{ballot.poll}:{ballot.hall}"
    hall = meeting.get(PollCount, here) or PollCount(id=here, poll=ballot.poll, hall=ballot.hall)
    sums = total.sums or Sums()
    moved = replace(sums, **{ballot.choice: getattr(sums, ballot.choice) + 1})
    return (
        replace(total, cast=total.cast + 1, late=total.late + ballot.late, sums=moved),
        replace(hall, cast=hall.cast + 1, late=hall.late + ballot.late),
    )


def close_poll(meeting: Meeting, actor: Actor, command: ClosePoll, now: float) -> Change:
    poll = meeting.require(Poll, command.poll)
    if poll.state == "created":
        raise Refused(Refusal.POLL_NOT_OPEN)
    return _end(meeting, poll, now) if poll.state == "open" else Change()


def _end(meeting: Meeting, poll: Poll, now: float) -> Change:
    total = meeting.require(PollCount, poll.id)
    return put(replace(poll, state="closed", closed_at=now), replace(total, closed=True))


def publish_poll(meeting: Meeting, actor: Actor, command: PublishPoll, now: float) -> Change:
    poll = meeting.require(Poll, command.poll)
    if poll.state == "published":
        return Change()
    if poll.state != "closed":
        raise Refused(Refusal.POLL_OPEN if poll.state == "open" else Refusal.POLL_NOT_OPEN)  # B10
    total = meeting.require(PollCount, poll.id)
    result = PollResult(cast=total.cast, late=total.late, sums=total.sums or Sums())
    if any(meeting.select(Poll, state="open")):
        return put(replace(poll, state="published", published_at=now, result=result))  # B13: that one stays shown
    published = replace(poll, state="published", published_at=now, result=result, shown=True)
    return put(*_others_off(meeting, poll), published)


def show_poll(meeting: Meeting, actor: Actor, command: ShowPoll, now: float) -> Change:
    poll = meeting.require(Poll, command.poll)
    if poll.state == "created":
        raise Refused(Refusal.POLL_NOT_OPEN)
    if poll.shown == command.shown:
        return Change()
    if command.shown and any(meeting.select(Poll, shown=True, state="open")):
        raise Refused(Refusal.POLL_OPEN)  # B13
    if not command.shown and poll.state == "open":
        raise Refused(Refusal.POLL_OPEN)
    return put(*(_others_off(meeting, poll) if command.shown else ()), replace(poll, shown=command.shown))


def has_voted(meeting: Meeting, delegate: DelegateId | str) -> bool:
    """Whether the delegate has cast a vote in any poll."""
    return any(meeting.get(Ballot, f"{poll.id}:{delegate}") is not None for poll in meeting.select(Poll))


def settle(after: Meeting, now: float) -> Change:
    """What a closed meeting does to an open poll: it is closed (B14)."""
    found = after.get(MeetingFacts, "meeting")
    poll = next(after.select(Poll, state="open"), None)
    if found is None or found.state != "closed" or poll is None:
        return Change()
    return _end(after, poll, now)
