"""Which hall each row of a delegate list means: names, ditto marks, headings, gaps."""

from collections.abc import Mapping, Sequence

import msgspec

from server.roster.clean import is_ditto
from server.roster.doubt import Doubt
from server.roster.halls import HallNames
from server.roster.lists import ListedDelegate


class Place(msgspec.Struct, frozen=True):
    """The hall a row means (None: it cannot be told), or with a doubt the likeliest. `taken` as in `Doubt`."""

    hall: str | None = None
    doubt: Doubt | None = None
    taken: bool = True

    @property
    def meant(self) -> str | None:
        """What a ditto mark below repeats."""
        return self.hall if self.taken else None


class Places:
    """Reads the rows of one list in their order. `units`: for a unit (as compared) the only hall that has it."""

    def __init__(self, names: HallNames, units: Mapping[str, str], rows: Sequence[ListedDelegate]) -> None:
        self._names = names
        self._units = units
        self._named_next = _named_next(rows)
        self._above: Place | None = None
        self._above_moved = False
        self._settled: Place | None = None

    def place(self, n: int, row: ListedDelegate, unit: str, *, moved: bool, twin: Place | None) -> Place:
        """The hall of row `n`. `twin`: that of the earlier row with the same number and name."""
        if row.hall is not None and is_ditto(row.hall):
            return self._ditto(row, moved=moved, twin=twin)
        if not row.hall:
            return self._missing(n, row, unit)
        reading = self._names.read(row.hall)
        if reading.hall is not None:
            return Place(reading.hall, None if reading.certain else Doubt.HALL_GUESSED)
        near = self._settled.hall if self._settled else None
        likeliest = near if near in reading.fits else next(iter(reading.fits), None)
        return Place(likeliest, Doubt.HALL_UNKNOWN, taken=False)

    def settle(self, place: Place, *, moved: bool) -> None:
        """The row above the next one has been placed."""
        self._above, self._above_moved = place, moved
        if not moved:
            self._settled = place

    def _ditto(self, row: ListedDelegate, *, moved: bool, twin: Place | None) -> Place:
        heading = self._names.exact(row.section) if row.opens_section else None
        above = self._above
        if moved and twin is not None:
            return twin
        if heading is not None and not moved:
            same = above is None or above.meant == heading
            return Place(heading, None if same else Doubt.SECTION_DIFFERS)
        if above is None:
            return Place(None, Doubt.HALL_MISSING, taken=False)
        if moved:
            return Place(above.hall, Doubt.DITTO_UNCLEAR, taken=False)
        if self._above_moved and (self._settled is None or self._settled.meant != above.meant):
            return Place(self._settled.hall if self._settled else above.hall, Doubt.DITTO_UNCLEAR, taken=False)
        if above.meant is None:
            return Place(above.hall, Doubt.HALL_UNKNOWN, taken=False)
        return Place(above.hall, Doubt.HALL_GUESSED if above.doubt is Doubt.HALL_GUESSED else None)

    def _missing(self, n: int, row: ListedDelegate, unit: str) -> Place:
        heading = self._names.exact(row.section) if row.section else None
        if row.hall is None:  # the list has headings instead of a column
            return Place(heading, None if heading else Doubt.HALL_MISSING, taken=heading is not None)
        above = self._settled.meant if self._settled else None
        if row.opens_section and heading is not None:
            above = heading
        below = self._names.exact(self._named_next[n] or "")
        only = above if above is not None and above == below else self._units.get(unit)
        return Place(only or above or below, Doubt.HALL_MISSING, taken=only is not None)


def _named_next(rows: Sequence[ListedDelegate]) -> list[str | None]:
    """For each row, what the next row that names its hall in words calls it."""
    found: list[str | None] = []
    name: str | None = None
    for row in reversed(rows):
        found.append(name)
        if row.hall and not is_ditto(row.hall):
            name = row.hall
    return found[::-1]
