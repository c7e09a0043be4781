"""The rows of delegate lists as lines for the meeting, each with what is doubtful about it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from rooms.enrolment import DelegateLine
from rooms.names import name_key
from rooms.roster import DelegateRole
from server.roster.clean import folded, is_ditto, person_name, phone, role
from server.roster.doubt import Doubt, Doubts
from server.roster.halls import HallNames
from server.roster.lists import ListedDelegate, Lists
from server.roster.places import Place, Places
from server.roster.running import Running, running
from server.wire import RowCorrection

LONGEST_NAME = 200
LONGEST_FIELD = 300
LONGEST_NOTE = 500


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row read: its line (in the hall `line.hall`, "" if none) and what the next row's ditto marks repeat."""

    row: ListedDelegate
    line: DelegateLine
    place: Place
    moved: bool


class Delegates:
    """Reads the delegate lists of one workbook."""

    def __init__(
        self,
        names: HallNames,
        units: Mapping[str, str],
        corrections: Mapping[tuple[str, int], RowCorrection],
        doubts: Doubts,
    ) -> None:
        self.taken: list[Entry] = []
        self.skipped: list[Entry] = []
        self.cleaned: Counter[str] = Counter()
        self._names = names
        self._units = units
        self._corrections = corrections
        self._doubts = doubts
        self._people = _People()

    def read(self, lists: Lists) -> None:
        for number in sorted({row.list for row in lists.delegates}):
            rows = [row for row in lists.delegates if row.list == number]
            self._read_list(rows, running(rows, numbered=number in lists.numbered))

    def _read_list(self, rows: list[ListedDelegate], numbers: list[Running]) -> None:
        places = Places(self._names, self._units, rows)
        twins: dict[tuple[int, str], Entry] = {}
        units: dict[str, str] = {}
        above: Entry | None = None
        for n, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            key = (number.order, name_key(person_name(row.name)))
            twin = twins.get(key) if number.source == "written" else None
            repeated = twin if number.moved else above
            unit = "" if is_ditto(row.unit) else folded(row.unit)
            place = places.place(n, row, name_key(unit), moved=number.moved, twin=twin.place if twin else None)
            place = self._corrected(row, place)
            details = _Details(row, repeated, units.get(place.meant or "", ""), self.cleaned)
            entry = Entry(row=row, line=details.line(place, number.order), place=place, moved=number.moved)
            places.settle(place, moved=number.moved)
            if entry.line.unit and place.meant:
                units[place.meant] = entry.line.unit
            twins.setdefault(key, entry)
            above = entry
            self._judge(entry, twin, number, details.doubts)

    def _corrected(self, row: ListedDelegate, place: Place) -> Place:
        """The place as the clerk's word makes it, where the list's own is in doubt."""
        correction = self._corrections.get((row.sheet, row.row))
        if correction is None or correction.hall is None or place.doubt is None:
            return place
        hall = self._names.exact(correction.hall)
        return place if hall is None else Place(hall)

    def _judge(self, entry: Entry, twin: Entry | None, number: Running, details: list[Doubt]) -> None:
        """Put the entry where it belongs: imported, left out, or doubtful."""
        correction = self._corrections.get((entry.row.sheet, entry.row.row))
        if correction is not None and correction.skip:
            self.skipped.append(entry)
            return
        forced = self._names.exact(correction.hall) if correction is not None and correction.hall else None
        if forced is not None:
            entry = replace(entry, line=replace(entry.line, hall=forced), place=Place(forced))
        obstacle, other = self._obstacle(entry, twin, forced=forced is not None)
        if obstacle is not None:
            self._doubt(entry, obstacle, taken=False, other=other)
            return
        for doubt, earlier in self._questions(entry, twin, number):
            self._doubt(entry, doubt, taken=True, other=earlier)
        for doubt in details:
            self._doubt(entry, doubt, taken=True)
        self._count(entry, number)
        self._people.add(entry)
        self.taken.append(entry)

    def _obstacle(self, entry: Entry, twin: Entry | None, *, forced: bool) -> tuple[Doubt | None, Entry | None]:
        """Why the row is not imported, and the row it repeats."""
        if not 0 < len(entry.line.name) <= LONGEST_NAME or is_ditto(entry.row.name):
            return Doubt.NAME_MISSING, None
        if forced:
            return None, None
        same = self._people.same(entry)
        copied = twin is not None and entry.moved and twin.row.cells == entry.row.cells
        if copied and same is None and twin is not None and self._people.has(twin):
            same = twin
        if same is not None:
            elsewhere = entry.place.meant is not None and entry.place.meant != same.line.hall
            return (Doubt.DUPLICATE_OTHER_HALL if elsewhere else Doubt.DUPLICATE), same
        return (None if entry.place.taken else entry.place.doubt), None

    def _questions(self, entry: Entry, twin: Entry | None, number: Running) -> list[tuple[Doubt, Entry | None]]:
        """What somebody should look at in a row that is imported all the same."""
        found: list[tuple[Doubt, Entry | None]] = []
        if entry.place.doubt is not None:
            found.append((entry.place.doubt, None))
        for doubt, earlier in (
            (Doubt.DUPLICATE_POSSIBLE, self._people.possible(entry)),
            (Doubt.PHONE_SHARED, self._people.sharing(entry)),
        ):
            if earlier is not None:
                found.append((doubt, earlier))
        if number.source == "assumed":
            found.append((Doubt.ORDER_MISSING, None))
        elif number.moved and (used := self._people.numbered(entry) or twin) is not None:
            found.append((Doubt.ORDER_REPEATED, used))
        return found

    def _doubt(self, entry: Entry, code: Doubt, *, taken: bool, other: Entry | None = None) -> None:
        self._doubts.add(
            entry.row,
            code,
            taken=taken,
            name=entry.line.name[:LONGEST_NAME],
            hall=entry.line.hall or None,
            other_row=other.row.row if other else None,
        )

    def _count(self, entry: Entry, number: Running) -> None:
        """Count what was read otherwise than it is written, without a doubt."""
        row, line = entry.row, entry.line
        hall = row.hall or ""
        self.cleaned.update(
            {
                "name": row.name != line.name,
                "phone": row.phone != line.phone and line.phone != "",
                "hall_ditto": is_ditto(hall),
                "hall_short": not is_ditto(hall) and entry.place.doubt is None and folded(hall) != line.hall,
                "order": number.source == "restored",
            }
        )


class _Details:
    """The cells of one row beside number and hall. `repeated`: the row whose cells the ditto marks repeat."""

    def __init__(self, row: ListedDelegate, repeated: Entry | None, hall_unit: str, cleaned: Counter[str]) -> None:
        self.doubts: list[Doubt] = []
        self._row = row
        self._repeated = repeated
        self._hall_unit = hall_unit
        self._cleaned = cleaned

    def line(self, place: Place, order: int) -> DelegateLine:
        number = phone(self._row.phone)
        if number.doubt:
            self.doubts.append(Doubt.PHONE_SEVERAL if number.doubt == "several" else Doubt.PHONE_UNREADABLE)
        part, beyond = self._role()
        line = DelegateLine(
            hall=place.hall or "",
            name=person_name(self._row.name),
            position=self._cut(self._again("position"), LONGEST_FIELD),
            unit=self._cut(self._again("unit") or self._unit_of_ditto(), LONGEST_FIELD),
            phone=number.number,
            role=part,
            note=self._cut("; ".join(text for text in (beyond, self._again("note")) if text), LONGEST_NOTE),
            order=order,
        )
        for field in ("position", "unit"):
            if is_ditto(getattr(self._row, field)) and not getattr(line, field):
                self.doubts.append(Doubt.DETAIL_UNCLEAR)
        return line

    def _again(self, field: str) -> str:
        """The cell's text, or what its ditto mark repeats."""
        text: str = getattr(self._row, field)
        if not is_ditto(text):
            return folded(text)
        self._cleaned["detail_ditto"] += 1
        return str(getattr(self._repeated.line, field)) if self._repeated else ""

    def _unit_of_ditto(self) -> str:
        """A ditto mark below an empty cell means the last unit written in the same hall."""
        return self._hall_unit if is_ditto(self._row.unit) else ""

    def _role(self) -> tuple[DelegateRole, str]:
        text = self._row.role
        if is_ditto(text) and self._repeated is not None:
            return self._repeated.line.role, ""
        if not folded(text):
            self.doubts.append(Doubt.ROLE_MISSING)
            return "official", ""
        found = role(text)
        if found is None:
            self.doubts.append(Doubt.ROLE_UNKNOWN)
            return "official", folded(text)
        return found

    def _cut(self, text: str, longest: int) -> str:
        if len(text) > longest:
            self.doubts.append(Doubt.TEXT_CUT)
        return text[:longest]


class _People:
    """Who is on the list already: the rows imported so far."""

    def __init__(self) -> None:
        self._by_phone: dict[tuple[str, str], Entry] = {}
        self._by_number: dict[str, Entry] = {}
        self._by_seat: defaultdict[tuple[str, str, str, str], list[Entry]] = defaultdict(list)
        self._orders: dict[tuple[int, int], Entry] = {}
        self._rows: set[tuple[str, int]] = set()

    def add(self, entry: Entry) -> None:
        line = entry.line
        if line.phone:
            self._by_phone.setdefault((name_key(line.name), line.phone), entry)
            self._by_number.setdefault(line.phone, entry)
        self._by_seat[_seat(line)].append(entry)
        self._orders.setdefault((entry.row.list, line.order), entry)
        self._rows.add((entry.row.sheet, entry.row.row))

    def has(self, entry: Entry) -> bool:
        return (entry.row.sheet, entry.row.row) in self._rows

    def same(self, entry: Entry) -> Entry | None:
        """The same person for certain."""
        if entry.line.phone:
            return self._by_phone.get((name_key(entry.line.name), entry.line.phone))
        return next((other for other in self._seated(entry) if not other.line.phone), None)

    def possible(self, entry: Entry) -> Entry | None:
        """Perhaps the same person: one of the two has no phone."""
        return next((o for o in self._seated(entry) if bool(o.line.phone) != bool(entry.line.phone)), None)

    def sharing(self, entry: Entry) -> Entry | None:
        other = self._by_number.get(entry.line.phone) if entry.line.phone else None
        return other if other and name_key(other.line.name) != name_key(entry.line.name) else None

    def numbered(self, entry: Entry) -> Entry | None:
        return self._orders.get((entry.row.list, entry.line.order))

    def _seated(self, entry: Entry) -> list[Entry]:
        return self._by_seat.get(_seat(entry.line), []) if entry.place.meant else []


def _seat(line: DelegateLine) -> tuple[str, str, str, str]:
    return name_key(line.name), name_key(line.hall), name_key(line.unit), name_key(line.position)


def by_hall(entries: Iterable[Entry]) -> Counter[str]:
    """How many delegates are imported into each hall (by its name as compared)."""
    return Counter(name_key(entry.line.hall) for entry in entries)
