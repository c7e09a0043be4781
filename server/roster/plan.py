"""From the lists as written to the lines that `roster.import` takes, and every row that somebody should look at.

The rule for all of it: what can be read in one way only is read so, and counted in `Plan.cleaned`; what cannot is
listed in `Plan.doubtful`, with the best guess. A doubtful row is still imported (`taken`) when leaving it out would
lose a person and the guess harms nobody; it is not when it would put a person in a hall nobody named, or twice on the
list.

Invariant: every row of the workbook is a line, a doubtful row that is not taken, left out by a clerk's correction, or a
row recognised as none (title, header, section, total …): see `Plan.accounted`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from rooms.actor import SERVER
from rooms.enrolment import DelegateLine, HallLine, ImportRoster, import_roster
from rooms.ids import CommandId
from rooms.meeting import Change, Meeting
from rooms.names import name_key
from rooms.roster import Delegate, Hall
from server.roster.clean import folded, person_name, phone, total, whole_number
from server.roster.delegates import LONGEST_FIELD, LONGEST_NAME, Delegates, by_hall
from server.roster.doubt import Doubt, Doubts
from server.roster.halls import HallNames, is_chair
from server.roster.lists import ListedHall, Lists, OtherRow, find_lists
from server.roster.workbook import read_workbook
from server.wire import DoubtfulRow, RosterPreview, RowCorrection

RowPlace = tuple[str, int]
"""A sheet's name and a row number."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import would do, and why.

    `hall_rows` and `delegate_rows` say for each line which row it came from. `skipped` are the rows that corrections
    leave out, `unused` the corrections that fit no row or name no hall. `cleaned` counts the certain readings by kind,
    `recognised` the rows that are neither a hall nor a delegate. The counts after them are those of RosterPreview.
    """

    halls: tuple[HallLine, ...]
    delegates: tuple[DelegateLine, ...]
    hall_rows: tuple[RowPlace, ...]
    delegate_rows: tuple[RowPlace, ...]
    doubtful: tuple[DoubtfulRow, ...]
    skipped: tuple[RowPlace, ...]
    unused: tuple[RowCorrection, ...]
    cleaned: dict[str, int]
    recognised: dict[str, int]
    rows: int
    new_halls: int
    new_delegates: int
    changed: int
    unchanged: int
    missing: int

    def command(self, id: CommandId) -> ImportRoster:
        return ImportRoster(id=id, halls=self.halls, delegates=self.delegates)

    def preview(self, upload: str) -> RosterPreview:
        return RosterPreview(
            upload=upload,
            halls=self.halls,
            delegates=len(self.delegates),
            new_halls=self.new_halls,
            new_delegates=self.new_delegates,
            changed=self.changed,
            unchanged=self.unchanged,
            missing=self.missing,
            doubtful=self.doubtful,
        )

    @property
    def left_out(self) -> frozenset[RowPlace]:
        """The rows of halls and delegates that are not imported: not taken, or skipped by a correction."""
        refused = {(row.sheet, row.row) for row in self.doubtful if not row.taken}
        return frozenset(refused.union(self.skipped))

    @property
    def accounted(self) -> int:
        """How many rows have an end that somebody can see; equal to `rows`."""
        recognised = sum(self.recognised.values())
        return len(self.hall_rows) + len(self.delegate_rows) + len(self.left_out) + recognised


def plan_workbook(data: bytes, meeting: Meeting, corrections: Iterable[RowCorrection] = (), now: float = 0.0) -> Plan:
    """Read an uploaded file and plan its import. Raises `WorkbookError`, and `Refused` like `plan`."""
    return plan(find_lists(read_workbook(data)), meeting, corrections, now)


def plan(lists: Lists, meeting: Meeting, corrections: Iterable[RowCorrection] = (), now: float = 0.0) -> Plan:
    """The import of these lists into this meeting, which is not touched.

    Raises `Refused` if the meeting takes no import at all: it is closed, or the lists are too large for it.
    """
    wanted = {(correction.sheet, correction.row): correction for correction in corrections}
    doubts = Doubts()
    halls = _Halls(meeting, wanted, doubts)
    halls.read(lists.halls)
    known = [*(line.name for line in halls.lines), *(hall.name for hall in meeting.select(Hall))]
    names = HallNames(known)
    delegates = Delegates(names, _units(halls.lines, meeting), wanted, doubts)
    delegates.read(lists)
    lines = tuple(entry.line for entry in delegates.taken)
    if lists.delegates:
        _compare_convened(halls, by_hall(delegates.taken), doubts)
    _compare_totals(lists, halls, delegates, doubts)
    change = import_roster(meeting, SERVER, ImportRoster(id=_PREVIEW, halls=tuple(halls.lines), delegates=lines), now)
    return Plan(
        halls=tuple(halls.lines),
        delegates=lines,
        hall_rows=tuple((row.sheet, row.row) for row in halls.rows),
        delegate_rows=tuple((entry.row.sheet, entry.row.row) for entry in delegates.taken),
        doubtful=doubts.sorted(),
        skipped=(*halls.skipped, *((entry.row.sheet, entry.row.row) for entry in delegates.skipped)),
        unused=_unused(wanted, lists, names),
        cleaned=dict(+delegates.cleaned),
        recognised=dict(Counter(row.kind for row in lists.others)),
        rows=len(lists.halls) + len(lists.delegates) + len(lists.others),
        **_counts(meeting, change, len(lines)),
    )


_PREVIEW = CommandId("roster-preview")


def _counts(meeting: Meeting, change: Change, lines: int) -> dict[str, int]:
    delegates = [record for record in change.put if isinstance(record, Delegate)]
    new = sum(meeting.get(Delegate, delegate.id) is None for delegate in delegates)
    return {
        "new_halls": sum(isinstance(r, Hall) and meeting.get(Hall, r.id) is None for r in change.put),
        "new_delegates": new,
        "changed": len(delegates) - new,
        "unchanged": lines - len(delegates),
        "missing": meeting.count(Delegate) - (lines - new),
    }


class _Halls:
    """The list of halls as lines for the meeting."""

    def __init__(self, meeting: Meeting, corrections: Mapping[RowPlace, RowCorrection], doubts: Doubts) -> None:
        self.lines: list[HallLine] = []
        self.rows: list[ListedHall] = []
        self.skipped: list[RowPlace] = []
        self._known = HallNames(hall.name for hall in meeting.select(Hall))
        self._chair = next((hall.name for hall in meeting.select(Hall, chair=True)), None)
        self._corrections = corrections
        self._doubts = doubts
        self._seen: dict[str, ListedHall] = {}

    def read(self, listed: Iterable[ListedHall]) -> None:
        for row in listed:
            correction = self._corrections.get((row.sheet, row.row))
            if correction is not None and correction.skip:
                self.skipped.append((row.sheet, row.row))
            else:
                self._take(row)
        if self.rows and self._chair is None:
            self._doubts.add(self.rows[0], Doubt.CHAIR_MISSING, taken=True, hall=self.lines[0].name)

    def _take(self, row: ListedHall) -> None:
        name = folded(row.name)
        if not 0 < len(name) <= LONGEST_NAME:
            self._doubts.add(row, Doubt.HALL_NAME_MISSING, taken=False)
            return
        name = self._known.exact(name) or name
        first = self._seen.setdefault(name_key(name), row)
        if first is not row:
            self._doubts.add(row, Doubt.HALL_REPEATED, taken=False, hall=name, other_row=first.row)
            return
        self.rows.append(row)
        self.lines.append(
            HallLine(
                name=name,
                unit=self._cut(row, name, row.unit),
                convened=self._convened(row, name),
                technician=self._cut(row, name, person_name(row.technician)),
                phone=self._phone(row, name),
                chair=self._is_chair(row, name),
            )
        )

    def _is_chair(self, row: ListedHall, name: str) -> bool:
        if not is_chair(row.name) and not is_chair(name):
            return False
        if self._chair is not None and name_key(self._chair) != name_key(name):
            self._doubts.add(row, Doubt.CHAIR_REPEATED, taken=True, hall=name)
            return False
        self._chair = name
        return True

    def _convened(self, row: ListedHall, name: str) -> int | None:
        number = whole_number(row.convened)
        if number is None and folded(row.convened):
            self._doubts.add(row, Doubt.CONVENED_UNREADABLE, taken=True, hall=name)
        return number

    def _phone(self, row: ListedHall, name: str) -> str:
        found = phone(row.phone)
        if found.doubt:
            doubt = Doubt.PHONE_SEVERAL if found.doubt == "several" else Doubt.PHONE_UNREADABLE
            self._doubts.add(row, doubt, taken=True, hall=name)
        return found.number

    def _cut(self, row: ListedHall, name: str, text: str) -> str:
        text = folded(text)
        if len(text) > LONGEST_FIELD:
            self._doubts.add(row, Doubt.TEXT_CUT, taken=True, hall=name)
        return text[:LONGEST_FIELD]


def _units(lines: Iterable[HallLine], meeting: Meeting) -> dict[str, str]:
    """For each unit that exactly one hall has, that hall."""
    pairs = [(line.name, line.unit) for line in lines] + [(hall.name, hall.unit) for hall in meeting.select(Hall)]
    halls: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, unit in pairs:
        if unit:
            halls[name_key(unit)].setdefault(name_key(name), name)
    return {unit: next(iter(names.values())) for unit, names in halls.items() if len(names) == 1}


def _compare_convened(halls: _Halls, listed: Counter[str], doubts: Doubts) -> None:
    for row, line in zip(halls.rows, halls.lines, strict=True):
        if line.convened is not None and line.convened != listed[name_key(line.name)]:
            doubts.add(row, Doubt.CONVENED_DIFFERS, taken=True, hall=line.name)


def _compare_totals(lists: Lists, halls: _Halls, delegates: Delegates, doubts: Doubts) -> None:
    """A total is right if it says how many the import takes from its sheet (of halls: convenes on it)."""
    for row in lists.others:
        if row.kind != "total":
            continue
        stated = _stated(row)
        if row.of == "delegates":
            counted = sum(entry.row.sheet == row.sheet for entry in delegates.taken)
        else:
            pairs = zip(halls.rows, halls.lines, strict=True)
            counted = sum(line.convened or 0 for listed, line in pairs if listed.sheet == row.sheet)
        if stated is not None and counted not in stated:
            doubts.add(row, Doubt.TOTAL_DIFFERS, taken=True)


def _stated(row: OtherRow) -> list[int] | None:
    """The numbers a total row gives; None if it gives none."""
    counts = [count for cell in row.cells if (count := total(cell)) is not None]
    return counts or None


def _unused(wanted: Mapping[RowPlace, RowCorrection], lists: Lists, names: HallNames) -> tuple[RowCorrection, ...]:
    places = {(row.sheet, row.row) for row in lists.delegates} | {(row.sheet, row.row) for row in lists.halls}
    return tuple(
        correction
        for place, correction in wanted.items()
        if place not in places or (correction.hall is not None and names.exact(correction.hall) is None)
    )
