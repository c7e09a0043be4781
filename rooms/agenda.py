"""The meeting's own facts and its agenda.  Rules G1–G7 in SPEC.md."""

from typing import Literal

from msgspec.structs import replace

from rooms.actor import Actor
from rooms.ids import ItemId
from rooms.meeting import Change, Command, Meeting, Record, new_id, put, text
from rooms.refusal import Refusal, Refused

MeetingState = Literal["planned", "open", "closed"]
FACTS = "meeting"


class MeetingFacts(Record, frozen=True, kw_only=True, tag="meeting"):
    """The one record that every audience has. Its id is "meeting"."""

    title: str
    place: str = ""
    planned_at: float | None = None
    state: MeetingState = "planned"
    opened_at: float | None = None
    closed_at: float | None = None
    item: ItemId | None = None


class Item(Record, frozen=True, kw_only=True, tag="item"):
    """An agenda item. `order` sorts the agenda; it is unique."""

    title: str
    presenter: str = ""
    duration_s: int | None = None
    order: int = 0
    began_at: float | None = None
    ended_at: float | None = None


class EditMeeting(Command, frozen=True, kw_only=True, tag="meeting.edit"):
    """Set the title, place and planned time; the first one makes the meeting."""

    title: str
    place: str = ""
    planned_at: float | None = None


class OpenMeeting(Command, frozen=True, kw_only=True, tag="meeting.open"):
    pass


class CloseMeeting(Command, frozen=True, kw_only=True, tag="meeting.close"):
    pass


class AddItem(Command, frozen=True, kw_only=True, tag="agenda.add"):
    title: str
    presenter: str = ""
    duration_s: int | None = None


class EditItem(Command, frozen=True, kw_only=True, tag="agenda.edit"):
    item: ItemId
    title: str
    presenter: str = ""
    duration_s: int | None = None


class MoveItem(Command, frozen=True, kw_only=True, tag="agenda.move"):
    """Put the item at the given place, 0 first."""

    item: ItemId
    place: int


class RemoveItem(Command, frozen=True, kw_only=True, tag="agenda.remove"):
    item: ItemId


class SetCurrentItem(Command, frozen=True, kw_only=True, tag="agenda.current"):
    item: ItemId | None


def facts(meeting: Meeting) -> MeetingFacts:
    return meeting.require(MeetingFacts, FACTS)


def require_not_closed(meeting: Meeting) -> MeetingFacts:
    """The facts of a meeting that is not over."""
    found = facts(meeting)
    if found.state == "closed":
        raise Refused(Refusal.MEETING_CLOSED)
    return found


def edit_meeting(meeting: Meeting, actor: Actor, command: EditMeeting, now: float) -> Change:
    title = text(command.title, "title", 300)
    place = text(command.place, "place", 300, empty=True)
    old = meeting.get(MeetingFacts, FACTS)
    if old is None:
        return put(MeetingFacts(id=FACTS, title=title, place=place, planned_at=command.planned_at))  # G1
    return put(replace(old, title=title, place=place, planned_at=command.planned_at))


def open_meeting(meeting: Meeting, actor: Actor, command: OpenMeeting, now: float) -> Change:
    old = facts(meeting)
    if old.state == "open":
        return Change()
    return put(replace(old, state="open", opened_at=old.opened_at or now, closed_at=None))  # G2


def close_meeting(meeting: Meeting, actor: Actor, command: CloseMeeting, now: float) -> Change:
    old = facts(meeting)
    if old.state == "closed":
        return Change()
    if old.state == "planned":
        raise Refused(Refusal.MEETING_NOT_OPEN)
    records: list[Record] = [replace(old, state="closed", closed_at=now, item=None)]
    current = meeting.get(Item, old.item) if old.item else None
    if current:
        records.append(replace(current, ended_at=now))
    return put(*records)  # G3; the floor and the stage follow in rules.py


def _duration(value: int | None) -> int | None:
    if value is not None and not 0 < value <= 24 * 3600:
        raise Refused(Refusal.BAD_VALUE, "duration_s")
    return value


def add_item(meeting: Meeting, actor: Actor, command: AddItem, now: float) -> Change:
    require_not_closed(meeting)
    if meeting.count(Item) >= 200:
        raise Refused(Refusal.BAD_VALUE, "agenda")  # G4
    order = max((item.order for item in meeting.select(Item)), default=-1) + 1
    return put(
        Item(
            id=new_id(meeting, Item, command),
            title=text(command.title, "title", 500),
            presenter=text(command.presenter, "presenter", 200, empty=True),
            duration_s=_duration(command.duration_s),
            order=order,
        )
    )


def edit_item(meeting: Meeting, actor: Actor, command: EditItem, now: float) -> Change:
    require_not_closed(meeting)
    item = meeting.require(Item, command.item)
    return put(
        replace(
            item,
            title=text(command.title, "title", 500),
            presenter=text(command.presenter, "presenter", 200, empty=True),
            duration_s=_duration(command.duration_s),
        )
    )


def move_item(meeting: Meeting, actor: Actor, command: MoveItem, now: float) -> Change:
    require_not_closed(meeting)
    moved = meeting.require(Item, command.item)
    others = sorted((i for i in meeting.select(Item) if i.id != moved.id), key=lambda i: i.order)
    others.insert(max(0, min(command.place, len(others))), moved)
    return put(*(replace(i, order=n) for n, i in enumerate(others) if i.order != n))  # G5


def remove_item(meeting: Meeting, actor: Actor, command: RemoveItem, now: float) -> Change:
    current = require_not_closed(meeting).item
    item = meeting.require(Item, command.item)
    if item.id == current or item.began_at is not None:
        raise Refused(Refusal.IN_USE)  # G6
    return Change(drop=(item.key,))


def set_current_item(meeting: Meeting, actor: Actor, command: SetCurrentItem, now: float) -> Change:
    old = require_not_closed(meeting)
    if old.item == command.item:
        return Change()
    records: list[Record] = [replace(old, item=command.item)]
    before = meeting.get(Item, old.item) if old.item else None
    if before:
        records.append(replace(before, ended_at=now))
    if command.item is not None:
        after = meeting.require(Item, command.item)
        records.append(replace(after, began_at=after.began_at or now, ended_at=None))  # G7
    return put(*records)
