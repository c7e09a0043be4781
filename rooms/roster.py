"""The halls and the delegates of a meeting.  How lists are merged into them: enrolment.py.  Rule R9 in SPEC.md."""

from typing import Literal

from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor, HallActor
from rooms.ids import DelegateId, HallId
from rooms.meeting import Change, Command, Meeting, Record, put
from rooms.refusal import Refusal, Refused

DelegateRole = Literal["official", "guest", "substitute"]


class Hall(Record, frozen=True, kw_only=True, tag="hall"):
    """A physical room taking part (điểm cầu). `convened` is what the list of halls declares.

    `epoch` goes up when the hall's join link is replaced: older links stop working.
    """

    name: str
    unit: str = ""
    order: int = 0
    convened: int | None = None
    technician: str = ""
    phone: str = ""
    chair: bool = False
    epoch: int = 0


class Delegate(Record, frozen=True, kw_only=True, tag="delegate"):
    """A person with a seat. `order` is the running number of the list."""

    hall: HallId
    name: str
    position: str = ""
    unit: str = ""
    phone: str = ""
    role: DelegateRole = "official"
    note: str = ""
    order: int = 0
    epoch: int = 0


class RenewLink(Command, frozen=True, kw_only=True, tag="roster.renew_link"):
    """Make the join links and QR codes given out so far for a hall or a delegate stop working."""

    hall: HallId | None = None
    delegate: DelegateId | None = None


def asking(meeting: Meeting, actor: Actor) -> tuple[HallId, DelegateId | None, str]:
    """In whose name an actor asks or registers: hall, delegate (None when the hall itself does), and the name shown."""
    if isinstance(actor, DelegateActor):
        person = meeting.require(Delegate, actor.id)
        return person.hall, DelegateId(person.id), person.name
    if isinstance(actor, HallActor):
        room = meeting.require(Hall, actor.id)
        return HallId(room.id), None, room.name
    raise Refused(Refusal.NOT_ALLOWED)


def renew_link(meeting: Meeting, actor: Actor, command: RenewLink, now: float) -> Change:
    if (command.hall is None) == (command.delegate is None):
        raise Refused(Refusal.BAD_VALUE, "hall")
    if command.hall is not None:
        hall = meeting.require(Hall, command.hall)
        return put(replace(hall, epoch=hall.epoch + 1))  # R9
    delegate = meeting.require(Delegate, str(command.delegate))
    return put(replace(delegate, epoch=delegate.epoch + 1))
