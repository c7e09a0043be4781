"""Finds the list of halls and the list of delegates in a workbook, by their header rows, wherever they are.

Invariant: every row of every sheet comes out exactly once: as a listed hall, as a listed delegate, or as an `OtherRow`
that says what it was taken for. What the cells mean is not judged here.
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from server.roster.clean import folded, is_total, plain, whole_number
from server.roster.halls import sounds_like_hall
from server.roster.workbook import Sheet, SheetRow, WorkbookError

OtherKind = Literal["title", "header", "section", "total", "number_only", "remark", "outside"]


class ListedHall(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list of halls, its cells as written."""

    sheet: str
    row: int
    cells: tuple[str, ...]
    name: str
    unit: str = ""
    convened: str = ""
    technician: str = ""
    phone: str = ""


class ListedDelegate(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a list of delegates, its cells as written.

    `list` numbers the delegate lists of the workbook. `hall` is None if the list has no such column. `section` is the
    heading above the row, `opens_section` whether it stands right above.
    """

    sheet: str
    row: int
    cells: tuple[str, ...]
    list: int
    number: str = ""
    name: str
    position: str = ""
    unit: str = ""
    hall: str | None = None
    phone: str = ""
    role: str = ""
    note: str = ""
    section: str = ""
    opens_section: bool = False


class OtherRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is neither.

    title: above a list's header; header: names the columns; section: a heading between rows; total: of a list;
    number_only: a numbered row left blank; remark: a line without a name; outside: on a sheet without a list.
    """

    sheet: str
    row: int
    cells: tuple[str, ...]
    kind: OtherKind
    of: Literal["", "halls", "delegates"] = ""


class Lists(msgspec.Struct, frozen=True, kw_only=True):
    """`numbered`: the delegate lists that have a column of running numbers."""

    halls: tuple[ListedHall, ...]
    delegates: tuple[ListedDelegate, ...]
    others: tuple[OtherRow, ...]
    numbered: frozenset[int] = frozenset()


_ALIASES: dict[str, tuple[str, ...]] = {
    "number": ("stt", "tt", "so tt", "so thu tu"),
    "name": ("ho va ten", "ho ten", "ho va ten dai bieu", "ho ten dai bieu", "ten dai bieu", "dai bieu"),
    "position": ("chuc vu", "chuc danh", "chuc vu chuc danh", "chuc vu don vi", "chuc vu dang chinh quyen"),
    "unit": ("don vi cong tac", "don vi", "co quan", "noi cong tac", "co quan don vi", "don vi huyen", "huyen"),
    "hall": ("diem cau", "ten diem cau", "diem cau du hop", "diem cau tham du", "hoi truong", "diem cau hoi truong"),
    "phone": (
        "dien thoai",
        "so dien thoai",
        "sdt",
        "so dt",
        "dt",
        "di dong",
        "dien thoai di dong",
        "dien thoai lien he",
    ),
    "role": ("thanh phan", "vai tro", "loai dai bieu", "thanh phan du hop"),
    "note": ("ghi chu",),
    "convened": ("so dai bieu trieu tap", "so dai bieu", "trieu tap", "so luong", "so luong dai bieu", "so nguoi"),
    "technician": ("can bo ky thuat", "ky thuat", "ky thuat vien", "nguoi phu trach", "can bo phu trach"),
}
_FIELD = {alias: field for field, aliases in _ALIASES.items() for alias in aliases}
_FIELD_WORDS = max(len(alias) for alias in _FIELD)
_ORDINAL = re.compile(r"(?:[IVXLC]+|[A-Z])[.)]?")


def find_lists(sheets: Iterable[Sheet]) -> Lists:
    """Raises `WorkbookError("no_lists_found")` if no sheet has a header row of either list."""
    reader = _Reader()
    for sheet in sheets:
        reader.read(sheet)
    if not reader.found:
        raise WorkbookError("no_lists_found")
    return Lists(
        halls=tuple(reader.halls),
        delegates=tuple(reader.delegates),
        others=tuple(reader.others),
        numbered=frozenset(reader.numbered),
    )


def _columns(row: SheetRow) -> dict[str, int]:
    """The fields that a header row names, with their columns; empty if it is no header row."""
    columns: dict[str, int] = {}
    if row.cells[0][:1].isdigit():
        return columns
    for column, cell in enumerate(row.cells):
        field = _FIELD.get(plain(cell)) if len(cell) <= 2 * _FIELD_WORDS else None
        if field is not None:
            columns.setdefault(field, column)
    needed = "name" if "name" in columns else "hall"
    return columns if needed in columns and len(columns) >= 3 else {}


class _Reader:
    """Goes down the sheets; a header row begins a list, which ends with the sheet or at another header."""

    def __init__(self) -> None:
        self.halls: list[ListedHall] = []
        self.delegates: list[ListedDelegate] = []
        self.others: list[OtherRow] = []
        self.numbered: set[int] = set()
        self.found = False
        self._lists = 0
        self._sheet = ""
        self._columns: dict[str, int] = {}
        self._section = ""
        self._opens = False
        self._header = 0

    def read(self, sheet: Sheet) -> None:
        self._sheet, self._columns, self._section = sheet.name, {}, ""
        before: list[SheetRow] = []
        for row in sheet.rows:
            columns = _columns(row)
            if columns:
                self._begin(row, columns)
            elif self._columns:
                self._row(row)
            else:
                before.append(row)
        for row in before:
            self._other(row, "title" if self._columns else "outside")

    def _begin(self, row: SheetRow, columns: dict[str, int]) -> None:
        self.found = True
        self._header = row.number
        if columns != self._columns:  # else the header is repeated on the next printed page
            self._columns, self._section, self._opens = columns, "", False
            if "name" in columns:
                self._lists += 1
                if "number" in columns:
                    self.numbered.add(self._lists)
        self._other(row, "header")

    def _row(self, row: SheetRow) -> None:
        of_delegates = "name" in self._columns
        kind = self._kind(row, "name" if of_delegates else "hall")
        if kind is not None:
            if kind == "section":
                self._section, self._opens = _only(row), True
            self._other(row, kind)
        elif of_delegates:
            self.delegates.append(self._delegate(row))
            self._opens = False
        else:
            self.halls.append(self._hall(row))

    def _kind(self, row: SheetRow, key: str) -> OtherKind | None:
        """What the row is, None if it is an entry of the list."""
        cell = self._cell(row)
        filled = [text for text in row.cells if text]
        alone = len(filled) == 1
        if row.number == self._header + 1 and all(whole_number(text) is not None for text in filled):
            return "header"  # the columns' numbers below their names
        if any(is_total(text) for text in filled[:2]) and not any(cell(f) for f in ("position", "phone", "role")):
            return "total"
        if cell(key):
            heading = sounds_like_hall(cell(key)) if key == "name" else not sounds_like_hall(cell(key))
            is_heading = alone and heading and "number" in self._columns
            under = len(filled) == 2 and _ORDINAL.fullmatch(folded(cell("number"))) is not None
            return "section" if is_heading or under else None
        if alone:
            return _alone(row, self._columns.get("number", 0))
        return None if any(cell(field) for field in self._columns if field != "number") else "remark"

    def _other(self, row: SheetRow, kind: OtherKind) -> None:
        of: Literal["", "halls", "delegates"] = ""
        if self._columns:
            of = "delegates" if "name" in self._columns else "halls"
        self.others.append(OtherRow(sheet=self._sheet, row=row.number, cells=row.cells, kind=kind, of=of))

    def _cell(self, row: SheetRow) -> Callable[[str], str]:
        def cell(field: str) -> str:
            column = self._columns.get(field)
            return row.cells[column] if column is not None and column < len(row.cells) else ""

        return cell

    def _hall(self, row: SheetRow) -> ListedHall:
        cell = self._cell(row)
        return ListedHall(
            sheet=self._sheet,
            row=row.number,
            cells=row.cells,
            name=cell("hall"),
            unit=cell("unit"),
            convened=cell("convened"),
            technician=cell("technician"),
            phone=cell("phone"),
        )

    def _delegate(self, row: SheetRow) -> ListedDelegate:
        cell = self._cell(row)
        return ListedDelegate(
            sheet=self._sheet,
            row=row.number,
            cells=row.cells,
            list=self._lists,
            number=cell("number"),
            name=cell("name"),
            position=cell("position"),
            unit=cell("unit"),
            hall=cell("hall") if "hall" in self._columns else None,
            phone=cell("phone"),
            role=cell("role"),
            note=cell("note"),
            section=self._section,
            opens_section=self._opens,
        )


def _only(row: SheetRow) -> str:
    """A heading's text: its longest cell, past a number like "II"."""
    return max(row.cells, key=len)


def _alone(row: SheetRow, number_column: int) -> OtherKind:
    """What a row with one filled cell is, if that is not the cell of the name."""
    column = len(row.cells) - 1
    if whole_number(row.cells[column]) is not None:
        return "number_only"
    return "section" if column <= number_column or sounds_like_hall(row.cells[column]) else "remark"
