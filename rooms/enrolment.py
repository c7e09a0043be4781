"""Merging lists of halls and delegates into the meeting, and single corrections.  Rules R1–R8 in SPEC.md."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec.structs import replace

from rooms.actor import Actor
from rooms.agenda import require_not_closed
from rooms.attendance import Attendance, HallCount, hall_count
from rooms.ids import DelegateId, HallId
from rooms.meeting import Change, Command, Meeting, Record, put, text
from rooms.names import name_key
from rooms.refusal import Refusal, Refused
from rooms.roster import Delegate, DelegateRole, Hall
from rooms.voting import has_voted

MOST_HALLS = 1_000
MOST_DELEGATES = 50_000


class HallLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    unit: str = ""
    convened: int | None = None
    technician: str = ""
    phone: str = ""
    chair: bool = False


class DelegateLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hall` is the full name of a hall in the same import or already in the meeting."""

    hall: str
    name: str
    position: str = ""
    unit: str = ""
    phone: str = ""
    role: DelegateRole = "official"
    note: str = ""
    order: int = 0


class ImportRoster(Command, frozen=True, kw_only=True, tag="roster.import"):
    """Merge cleaned lists into the meeting: lines already there change nothing, others are added or updated."""

    halls: tuple[HallLine, ...]
    delegates: tuple[DelegateLine, ...]


class PutHall(Command, frozen=True, kw_only=True, tag="roster.put_hall"):
    """Add a hall (`hall` absent) or correct one."""

    hall: HallId | None = None
    line: HallLine


class PutDelegate(Command, frozen=True, kw_only=True, tag="roster.put_delegate"):
    """Add a delegate (`delegate` absent) or correct one."""

    delegate: DelegateId | None = None
    line: DelegateLine


class RemoveDelegate(Command, frozen=True, kw_only=True, tag="roster.remove_delegate"):
    delegate: DelegateId


def import_roster(meeting: Meeting, actor: Actor, command: ImportRoster, now: float) -> Change:
    require_not_closed(meeting)
    if len(command.halls) > MOST_HALLS or len(command.delegates) > MOST_DELEGATES:
        raise Refused(Refusal.BAD_VALUE, "size")  # R1
    halls = merge_halls(meeting, command.halls)
    by_name = {name_key(hall.name): hall for hall in [*meeting.select(Hall), *halls]}
    delegates = merge_delegates(meeting, command.delegates, by_name)
    return with_counts(meeting, [h for h in halls if meeting.get(Hall, h.id) != h], delegates)  # R2


def merge_halls(meeting: Meeting, lines: Iterable[HallLine]) -> list[Hall]:
    """Each line's hall as it will be: the one of the same name brought up to date, or a new one (R3)."""
    known = {name_key(hall.name): hall for hall in meeting.select(Hall)}
    numbers = _numbers("h", (hall.id for hall in meeting.select(Hall)))
    order = max((hall.order for hall in known.values()), default=0)
    merged: list[Hall] = []
    for line in lines:
        key = name_key(line.name)
        old = known.get(key)
        if old is None:
            order += 1
            old = Hall(id=next(numbers), name=text(line.name, "name", 200), order=order)
        fields = {f: getattr(line, f) for f in ("unit", "convened", "technician", "phone")}
        chair = old.chair or (line.chair and not any(hall.chair for hall in known.values()))  # R7
        known[key] = replace(old, **fields, chair=chair)
        merged.append(known[key])
    return merged


def merge_delegates(meeting: Meeting, lines: Iterable[DelegateLine], halls: dict[str, Hall]) -> list[Delegate]:
    """The delegates that are new or differ from what the meeting has (R4, R5)."""
    lines = list(lines)
    places: list[HallId] = []
    for line in lines:
        hall = halls.get(name_key(line.hall))
        if hall is None:
            raise Refused(Refusal.NOT_FOUND, "hall")
        places.append(HallId(hall.id))
    matches = match_delegates(meeting, lines, places)
    numbers = _numbers("d", (delegate.id for delegate in meeting.select(Delegate)))
    merged: list[Delegate] = []
    for line, place, old in zip(lines, places, matches, strict=True):
        fields = {f: getattr(line, f) for f in ("position", "unit", "phone", "role", "note", "order")}
        name = text(line.name, "name", 200)
        if old is None:
            merged.append(Delegate(id=next(numbers), hall=place, name=name, **fields))
        elif (new := replace(old, hall=place, name=name, **fields)) != old:
            merged.append(new)
    return merged


Likeness = Callable[[Delegate | DelegateLine, HallId], object]


def match_delegates(meeting: Meeting, lines: list[DelegateLine], places: list[HallId]) -> list[Delegate | None]:
    """For each line the delegate it means, each delegate at most once: by the closest likeness first (R5).

    People of one name are many. So with another phone it is another person, unless hall and number are the same: to
    take two for one would lose somebody unseen, to take one for two shows in the counts of the preview.
    """
    likenesses: tuple[Likeness, ...] = (
        lambda d, hall: (name_key(d.name), d.phone, hall, d.position, d.unit, d.order),
        lambda d, hall: (name_key(d.name), d.phone) if d.phone else None,
        *_with_a_phone_missing(lambda d, hall: (name_key(d.name), hall, d.position, d.unit)),
        lambda d, hall: (name_key(d.name), hall, d.order),
        *_with_a_phone_missing(lambda d, hall: (name_key(d.name), d.position, d.unit, d.order)),
        lambda d, hall: (d.phone, d.order) if d.phone else None,
    )
    free = {delegate.id: delegate for delegate in meeting.select(Delegate)}
    found: list[Delegate | None] = [None] * len(lines)
    for likeness in likenesses:
        index: defaultdict[object, list[str]] = defaultdict(list)
        for delegate in free.values():
            index[likeness(delegate, delegate.hall)].append(delegate.id)
        index.pop(None, None)
        for n, line in enumerate(lines):
            candidates = index.get(likeness(line, places[n])) if found[n] is None else None
            while candidates:
                id = candidates.pop(0)
                if id in free:
                    found[n] = free.pop(id)
                    break
    return found


def _with_a_phone_missing(likeness: Likeness) -> tuple[Likeness, Likeness]:
    """The likeness between a line and a delegate one of whom has no phone."""

    def old_without(d: Delegate | DelegateLine, hall: HallId) -> object:
        return None if isinstance(d, Delegate) and d.phone else likeness(d, hall)

    def new_without(d: Delegate | DelegateLine, hall: HallId) -> object:
        return None if isinstance(d, DelegateLine) and d.phone else likeness(d, hall)

    return old_without, new_without


def _numbers(letter: str, used: Iterable[str]) -> Iterator[str]:
    """Fresh ids h1, h2 … above the highest one used."""
    highest = max((int(id[1:]) for id in used if id[:1] == letter and id[1:].isdecimal()), default=0)
    while True:
        highest += 1
        yield f"{letter}{highest}"


def with_counts(meeting: Meeting, halls: list[Hall], delegates: list[Delegate]) -> Change:
    """The records with what follows from them: attendance moves along; the counts of touched halls stay true (R6)."""
    moved: list[Attendance] = []
    touched: set[str] = {hall.id for hall in halls if meeting.get(Hall, hall.id) is None}
    for delegate in delegates:
        old = meeting.get(Delegate, delegate.id)
        attendance = meeting.get(Attendance, delegate.id)
        if old is None or old.hall != delegate.hall:
            touched.add(delegate.hall)
            if old:
                touched.add(old.hall)
        if attendance and attendance.hall != delegate.hall:
            moved.append(replace(attendance, hall=delegate.hall))
    records: list[Record] = [*halls, *delegates, *moved]
    return Change(put=(*records, *_recount(meeting.after(Change(put=tuple(records))), touched)))


def _recount(after: Meeting, touched: set[str]) -> list[HallCount]:
    if not touched:
        return []
    convened: defaultdict[str, int] = defaultdict(int)
    for delegate in after.select(Delegate):
        convened[delegate.hall] += 1
    present: defaultdict[str, list[Attendance]] = defaultdict(list)
    for attendance in after.select(Attendance):
        present[attendance.hall].append(attendance)
    return [hall_count(HallId(id), convened[id], present[id]) for id in sorted(touched)]


def put_hall(meeting: Meeting, actor: Actor, command: PutHall, now: float) -> Change:
    require_not_closed(meeting)
    same_name = [h for h in meeting.select(Hall) if name_key(h.name) == name_key(command.line.name)]
    if command.hall is None:
        if same_name:
            raise Refused(Refusal.BAD_VALUE, "name")  # R3
        return with_counts(meeting, merge_halls(meeting, [command.line]), [])
    old = meeting.require(Hall, command.hall)
    if any(hall.id != old.id for hall in same_name):
        raise Refused(Refusal.BAD_VALUE, "name")
    line = command.line
    new = replace(
        old,
        name=text(line.name, "name", 200),
        unit=line.unit,
        convened=line.convened,
        technician=line.technician,
        phone=line.phone,
        chair=line.chair,
    )
    others = [replace(h, chair=False) for h in meeting.select(Hall, chair=True) if line.chair and h.id != old.id]  # R7
    return put(new, *others)


def put_delegate(meeting: Meeting, actor: Actor, command: PutDelegate, now: float) -> Change:
    require_not_closed(meeting)
    line = command.line
    hall = next((h for h in meeting.select(Hall) if name_key(h.name) == name_key(line.hall)), None)
    if hall is None:
        raise Refused(Refusal.NOT_FOUND, "hall")
    name = text(line.name, "name", 200)
    fields = {f: getattr(line, f) for f in ("position", "unit", "phone", "role", "note", "order")}
    if command.delegate is None:
        id = next(iter(_numbers("d", (d.id for d in meeting.select(Delegate)))))
        new = Delegate(id=id, hall=HallId(hall.id), name=name, **fields)
    else:
        old = meeting.require(Delegate, command.delegate)
        new = replace(old, hall=HallId(hall.id), name=name, **fields)
    return with_counts(meeting, [], [new])


def remove_delegate(meeting: Meeting, actor: Actor, command: RemoveDelegate, now: float) -> Change:
    require_not_closed(meeting)
    delegate = meeting.require(Delegate, command.delegate)
    attendance = meeting.get(Attendance, delegate.id)
    if (attendance and attendance.intervals) or has_voted(meeting, delegate.id):
        raise Refused(Refusal.IN_USE)  # R8: who was ever present, or voted, stays in the record
    drop = (delegate.key, attendance.key) if attendance else (delegate.key,)
    after = meeting.after(Change(drop=drop))
    return Change(put=tuple(_recount(after, {delegate.hall})), drop=drop)
