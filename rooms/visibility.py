"""What each audience sees of each record.  Rules V1–V8 and B11–B12 in SPEC.md.

Everyone of one kind sees the same (`of_kind`), except the few whom a record concerns personally (`concerned`):
that is what lets a patch be encoded once for thousands.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rooms.agenda import Item, MeetingFacts
from rooms.attendance import Attendance, HallCount
from rooms.documents import Document, Readership, Reading
from rooms.floor import Speaker
from rooms.ids import DelegateId, HallId, Key
from rooms.links import Link
from rooms.meeting import Record
from rooms.questions import Question
from rooms.roster import Delegate, Hall
from rooms.stage import Stage
from rooms.voting import Ballot, Poll, PollCount, PollRoll

AudienceKind = Literal["staff", "hall", "delegate"]
AUDIENCE_KINDS: tuple[AudienceKind, ...] = ("staff", "hall", "delegate")


class Audience(msgspec.Struct, frozen=True):
    """Who looks: staff, one hall's page, or one delegate's phone. Without an id: anyone of that kind."""

    kind: AudienceKind
    id: str | None = None

    def is_hall(self, hall: HallId | str) -> bool:
        return self.kind == "hall" and self.id is not None and self.id == hall

    def is_delegate(self, delegate: DelegateId | str | None) -> bool:
        return self.kind == "delegate" and self.id is not None and self.id == delegate


STAFF_AUDIENCE = Audience("staff")


def of_kind(kind: AudienceKind) -> Audience:
    return Audience(kind)


def _everyone(record: Record, audience: Audience) -> Record | None:
    return record


def _staff(record: Record, audience: Audience) -> Record | None:
    return record if audience.kind == "staff" else None


def _hall(record: Hall, audience: Audience) -> Hall:
    if audience.kind == "staff" or audience.is_hall(record.id):
        return record
    return replace(record, technician="", phone="", epoch=0)  # V2


def _delegate(record: Delegate, audience: Audience) -> Delegate | None:
    return record if audience.is_delegate(record.id) else None  # V3: staff read the list over HTTP


def _attendance(record: Attendance, audience: Audience) -> Attendance | None:
    return record if audience.is_delegate(record.id) else None  # V3


def _hall_count(record: HallCount, audience: Audience) -> HallCount | None:
    return record if audience.kind == "staff" or audience.is_hall(record.id) else None  # V4


def _link(record: Link, audience: Audience) -> Link | None:
    return record if audience.kind == "staff" or audience.is_hall(record.id) else None  # V4


def _question(record: Question, audience: Audience) -> Question | None:
    own = audience.is_delegate(record.delegate) or (record.delegate is None and audience.is_hall(record.hall))
    if audience.kind == "staff" or own or record.state in ("approved", "answered"):
        return record
    return None  # V5


def _reading(record: Reading, audience: Audience) -> Reading | None:
    own = audience.is_delegate(record.delegate) or (record.hall is not None and audience.is_hall(record.hall))
    return record if own else None  # V6


def _poll(record: Poll, audience: Audience) -> Poll | None:
    return record if audience.kind == "staff" or record.state != "created" else None  # B11


def _nobody(record: Record, audience: Audience) -> None:
    return None  # B12: for the record only


def _poll_count(record: PollCount, audience: Audience) -> PollCount | None:
    if audience.kind == "staff":
        return record if record.closed else replace(record, sums=None)  # B11
    if audience.kind == "delegate" or (record.hall is not None and not audience.is_hall(record.hall)):
        return None
    return replace(record, sums=None)


def _ballot(record: Ballot, audience: Audience) -> Ballot | None:
    return record if audience.is_delegate(record.delegate) else None  # B12


_VIEWS: dict[type[Record], Callable[[Any, Audience], Record | None]] = {
    MeetingFacts: _everyone,
    Item: _everyone,
    Hall: _hall,
    Delegate: _delegate,
    Attendance: _attendance,
    HallCount: _hall_count,
    Speaker: _everyone,
    Stage: _everyone,
    Question: _question,
    Document: _everyone,
    Readership: _staff,
    Reading: _reading,
    Link: _link,
    Poll: _poll,
    PollRoll: _nobody,
    PollCount: _poll_count,
    Ballot: _ballot,
}


def view(record: Record, audience: Audience) -> Record | None:
    """What the audience sees of the record; None if it does not exist for them."""
    return _VIEWS[type(record)](record, audience)


def concerned(record: Record) -> tuple[Audience, ...]:
    """The single halls and delegates who may see the record differently from others of their kind (V8)."""
    match record:
        case Hall() | HallCount() | Link():
            return (Audience("hall", record.id),)
        case Delegate() | Attendance():
            return (Audience("delegate", record.id),)
        case Question() | Reading():
            if record.delegate is not None:
                return (Audience("delegate", record.delegate),)
            return (Audience("hall", record.hall),) if record.hall is not None else ()
        case PollCount():
            return (Audience("hall", record.hall),) if record.hall is not None else ()
        case Ballot():
            return (Audience("delegate", record.delegate),)
        case _:
            return ()


class Patch(msgspec.Struct, frozen=True):
    """What one audience sees of a change."""

    put: tuple[Record, ...] = ()
    drop: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.drop)


Touched = dict[Key, tuple[Record | None, Record | None]]
"""For each key that changed: the record before and after."""


def patch_for(touched: Touched, audience: Audience) -> Patch:
    """Put what the audience now sees anew or differently; drop what it saw and sees no more (V7)."""
    put: list[Record] = []
    drop: list[Key] = []
    for key, (before, after) in touched.items():
        seen = view(before, audience) if before is not None else None
        sees = view(after, audience) if after is not None else None
        if sees is None:
            if seen is not None:
                drop.append(key)
        elif sees != seen:
            put.append(sees)
    return Patch(tuple(put), tuple(drop))


class Patches:
    """The patches of one change for every audience. Equal to `patch_for`, but what all of a kind see is filtered once,
    and for whom it concerns personally only that is looked at: in a burst a tick touches hundreds of people."""

    def __init__(self, touched: Touched) -> None:
        self._touched = touched
        self._shared: dict[AudienceKind, Patch] = {}
        self._own: dict[Audience, dict[Key, None]] = {}
        for key, pair in touched.items():
            for record in pair:
                for audience in concerned(record) if record is not None else ():
                    self._own.setdefault(audience, {})[key] = None

    @property
    def concerned(self) -> Iterable[Audience]:
        """Those whose patch differs from that of others of their kind."""
        return self._own.keys()

    def shared(self, kind: AudienceKind) -> Patch:
        """The patch of all of this kind who are not concerned."""
        if kind not in self._shared:
            self._shared[kind] = patch_for(self._touched, of_kind(kind))
        return self._shared[kind]

    def of(self, audience: Audience) -> Patch:
        shared = self.shared(audience.kind)
        own = self._own.get(audience)
        if own is None:
            return shared
        personal = patch_for({key: self._touched[key] for key in own}, audience)
        if not shared:
            return personal
        put = (record for record in shared.put if record.key not in own)
        drop = (key for key in shared.drop if key not in own)
        return Patch((*put, *personal.put), (*drop, *personal.drop))
