"""The line to each hall: when it was connected, and how long it was lost.  Rules L1–L4 in SPEC.md."""

from msgspec.structs import replace

from rooms.actor import Actor
from rooms.ids import HallId
from rooms.meeting import Change, Command, Meeting, Record, put
from rooms.roster import Hall


class Link(Record, frozen=True, kw_only=True, tag="link"):
    """A hall page's connection; its id is the hall's. `lost_s` sums its gaps, `drops` counts them."""

    up: bool
    since: float
    first_at: float
    lost_s: float = 0.0
    drops: int = 0


class LinkUp(Command, frozen=True, kw_only=True, tag="link.up"):
    hall: HallId


class LinkDown(Command, frozen=True, kw_only=True, tag="link.down"):
    hall: HallId


def link_up(meeting: Meeting, actor: Actor, command: LinkUp, now: float) -> Change:
    hall = meeting.require(Hall, command.hall)
    old = meeting.get(Link, hall.id)
    if old is None:
        return put(Link(id=hall.id, up=True, since=now, first_at=now))  # L1
    if old.up:
        return Change()
    return put(replace(old, up=True, since=now, lost_s=old.lost_s + max(0.0, now - old.since)))  # L2


def link_down(meeting: Meeting, actor: Actor, command: LinkDown, now: float) -> Change:
    old = meeting.get(Link, meeting.require(Hall, command.hall).id)
    if old is None or not old.up:
        return Change()
    return put(replace(old, up=False, since=now, drops=old.drops + 1))  # L3
