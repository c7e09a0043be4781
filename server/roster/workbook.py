"""An XLSX file as plain rows of text, whatever the bytes are.

The file comes from outside, so it is read here with zipfile and expat and nothing else:

- every part is unpacked in pieces against one budget, so a zip bomb ends at `MOST_UNPACKED` bytes;
- a document type declaration is refused, so there are no entities to expand and no files or addresses to fetch;
- cells, rows and columns are counted while reading, so memory is bounded before a list of them exists;
- styles, themes, formulas and drawings are never looked at. openpyxl reads them all, needs a tree of each part and a
  process of its own with limits to be safe, and fails with any of a dozen exceptions on workbooks of other offices'
  programs whose styles it dislikes; the ten elements wanted here are less code than that guard.

Invariant: whatever `data` is, `read_workbook` gives sheets or raises `WorkbookError`.
"""

import io
import math
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar
from xml.parsers import expat

import msgspec

WorkbookCode = Literal["not_a_workbook", "too_large", "no_lists_found"]

MOST_BYTES = 20 * 1024 * 1024
MOST_UNPACKED = 128 * 1024 * 1024
MOST_ROWS = 200_000
MOST_COLUMNS = 64
MOST_CELLS = 1_000_000
MOST_ELEMENTS = 6_000_000
MOST_PARTS = 2_000
MOST_SHEETS = 200
MOST_STRINGS = 1_000_000
LONGEST_CELL = 32_767
LAST_ROW = 1_048_576
_PIECE = 1024 * 1024

_FALLEN_APART = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    OSError,
    UnicodeError,
)
"""What zipfile raises on bytes that are no sound archive; it documents only the first."""

_CELL_REF = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_WRITTEN_BREAK = re.compile(r"_x000[9AD]_")

H = TypeVar("H", bound="_Handler")


class WorkbookError(Exception):
    """The file cannot be used as a roster. `code` is one of wire.ErrorCode."""

    def __init__(self, code: WorkbookCode) -> None:
        super().__init__(code)
        self.code: WorkbookCode = code


class SheetRow(msgspec.Struct, frozen=True):
    """A row with something in it. `number` is Excel's; `cells[0]` is column A; the last cell is not empty.

    Cells are text as written, a whole number without ".0"; what a cell shows by its format is not known.
    """

    number: int
    cells: tuple[str, ...]


class Sheet(msgspec.Struct, frozen=True):
    name: str
    rows: tuple[SheetRow, ...]


class _Budget:
    """What reading one file may still cost."""

    def __init__(self) -> None:
        self._left = {"bytes": MOST_UNPACKED, "elements": MOST_ELEMENTS, "cells": MOST_CELLS, "rows": MOST_ROWS}

    def take(self, what: str, amount: int = 1) -> None:
        left = self._left[what] - amount
        if left < 0:
            raise WorkbookError("too_large")
        self._left[what] = left


def read_workbook(data: bytes) -> tuple[Sheet, ...]:
    """The worksheets in the workbook's order, hidden ones too. Raises `WorkbookError`."""
    if len(data) > MOST_BYTES:
        raise WorkbookError("too_large")
    with _sound():
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except ValueError as error:  # an offset before the beginning of the file
            raise WorkbookError("not_a_workbook") from error
        with archive:
            return _Parts(archive).sheets()


@contextmanager
def _sound() -> Iterator[None]:
    try:
        yield
    except (*_FALLEN_APART, expat.ExpatError) as error:
        raise WorkbookError("not_a_workbook") from error


class _Parts:
    """The archive's parts by name, found through their relationships."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        parts = archive.infolist()
        if len(parts) > MOST_PARTS:
            raise WorkbookError("too_large")
        self._archive = archive
        self._parts = {part.filename.lower(): part for part in parts}
        self._budget = _Budget()

    def sheets(self) -> tuple[Sheet, ...]:
        workbook = self._related("", "/officeDocument")
        if not workbook or workbook[0] not in self._parts:
            raise WorkbookError("not_a_workbook")
        shared: list[str] = []
        for part in self._related(workbook[0], "/sharedStrings")[:1]:
            shared = self._parse(part, _SharedStrings()).strings
        targets = self._relations(workbook[0])
        named = self._parse(workbook[0], _Names()).sheets
        if len(named) > MOST_SHEETS:
            raise WorkbookError("too_large")
        if len({name for name, _ in named}) != len(named):
            raise WorkbookError("not_a_workbook")
        found = []
        for name, relation in named:
            kind, part = targets.get(relation, ("", ""))
            if kind.endswith("/worksheet"):
                found.append(Sheet(name, self._parse(part, _Cells(shared, self._budget)).finished()))
        if not found:
            raise WorkbookError("not_a_workbook")
        return tuple(found)

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """The part's relationships: id to (kind, name of the part meant)."""
        folder, name = posixpath.split(part)
        described = posixpath.join(folder, "_rels", f"{name}.rels").lower()
        if described not in self._parts:
            return {}
        return {
            id: (kind, posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/").lower())
            for id, kind, target in self._parse(described, _Relations()).found
        }

    def _related(self, part: str, kind: str) -> list[str]:
        return [name for found, name in self._relations(part).values() if found.endswith(kind)]

    def _parse(self, name: str, handler: H) -> H:
        """Read a part's XML into the handler, piece by piece."""
        part = self._parts.get(name)
        if part is None or part.flag_bits & 1 or part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WorkbookError("not_a_workbook")
        parser = expat.ParserCreate("utf-8", " ")  # OOXML may be UTF-16 by its letter; no program writes it
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = handler.counted(self._budget)
        parser.EndElementHandler = handler.end
        parser.CharacterDataHandler = handler.text
        with self._archive.open(part) as stream:
            while piece := stream.read(_PIECE):
                self._budget.take("bytes", len(piece))
                parser.Parse(piece, False)
        parser.Parse(b"", True)
        return handler


def _refuse_doctype(*_: object) -> None:
    raise WorkbookError("not_a_workbook")


class _Handler:
    """Takes the elements of one part. Names are local: Excel's namespaces differ between its two dialects."""

    def counted(self, budget: _Budget) -> Callable[[str, dict[str, str]], None]:
        def start(name: str, attributes: dict[str, str]) -> None:
            budget.take("elements")
            self.start(name.rpartition(" ")[2], attributes)

        return start

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends; the name comes with its namespace."""

    def text(self, data: str) -> None:
        """Text inside the element."""


class _Relations(_Handler):
    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            self.found.append((attributes.get("Id", ""), attributes.get("Type", ""), attributes.get("Target", "")))


class _Names(_Handler):
    """The sheets of the workbook: name and relationship."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            relation = next((value for key, value in attributes.items() if key.endswith("relationships id")), "")
            self.sheets.append((attributes.get("name", ""), relation))


class _Texts(_Handler):
    """Gathers what is written in <t> (and what `also` names), but not the readings of letters in <rPh>."""

    also: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._inside = False
        self._reading = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rPh":
            self._reading = True
        self._inside = name == "t" or name in self.also

    def end(self, name: str) -> None:
        self._inside = False
        if name.endswith(" rPh"):
            self._reading = False

    def text(self, data: str) -> None:
        if self._inside and not self._reading:
            self._length += len(data)
            if self._length > LONGEST_CELL:
                raise WorkbookError("too_large")
            self._parts.append(data)

    def taken(self) -> str:
        """The text gathered so far, which begins anew."""
        text = _WRITTEN_BREAK.sub("\n", "".join(self._parts))
        self._parts.clear()
        self._length = 0
        return text


class _SharedStrings(_Texts):
    def __init__(self) -> None:
        super().__init__()
        self.strings: list[str] = []

    def end(self, name: str) -> None:
        super().end(name)
        if name.endswith(" si"):
            if len(self.strings) >= MOST_STRINGS:
                raise WorkbookError("too_large")
            self.strings.append(self.taken())


class _Cells(_Texts):
    """The rows of one worksheet."""

    also = frozenset({"v"})

    def __init__(self, shared: list[str], budget: _Budget) -> None:
        super().__init__()
        self._shared = shared
        self._budget = budget
        self._rows: dict[int, dict[int, str]] = {}
        self._row: dict[int, str] = {}
        self._number = 0
        self._column = -1
        self._type = "n"
        self._merged: list[tuple[int, int, int]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        super().start(name, attributes)
        if name == "c":
            self._column = _column(attributes["r"]) if "r" in attributes else self._column + 1
            self._type = attributes.get("t", "n")
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))

    def end(self, name: str) -> None:
        super().end(name)
        if name.endswith(" c"):
            value = self._value(self.taken())
            if value:
                self._put(value)

    def finished(self) -> tuple[SheetRow, ...]:
        """The rows that are not empty; a cell merged over several rows stands in each of them that has others."""
        for column, first, last in self._merged:
            value = self._rows.get(first, {}).get(column)
            for number in range(first + 1, last + 1) if value else ():
                self._budget.take("elements")
                if number in self._rows:
                    self._rows[number].setdefault(column, value or "")
        return tuple(
            SheetRow(number, tuple(row.get(column, "") for column in range(max(row) + 1)))
            for number, row in self._rows.items()
        )

    def _begin_row(self, written: str | None) -> None:
        number = self._number + 1 if written is None else _whole(written)
        if not self._number < number <= LAST_ROW:
            raise WorkbookError("not_a_workbook")
        self._number = number
        self._column = -1
        self._row = {}

    def _put(self, value: str) -> None:
        if self._column >= MOST_COLUMNS:
            raise WorkbookError("too_large")
        if not self._row:
            if self._number == 0:
                raise WorkbookError("not_a_workbook")
            self._budget.take("rows")
            self._rows[self._number] = self._row
        self._budget.take("cells")
        self._row[self._column] = value

    def _value(self, text: str) -> str:
        if self._type == "n":
            return _number(text)
        if self._type == "s" and text:
            index = _whole(text)
            if index >= len(self._shared):
                raise WorkbookError("not_a_workbook")
            text = self._shared[index]
        return text if text.strip() else ""

    def _merge(self, ref: str) -> None:
        first, _, last = ref.partition(":")
        if first and last and _column(first) == _column(last):
            self._merged.append((_column(first), _row_of(first), _row_of(last)))


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise WorkbookError("not_a_workbook")
    return int(text)


def _reference(ref: str) -> re.Match[str]:
    found = _CELL_REF.fullmatch(ref)
    if found is None:
        raise WorkbookError("not_a_workbook")
    return found


def _column(ref: str) -> int:
    """The column of "B7", from 0."""
    column = 0
    for letter in _reference(ref)[1]:
        column = column * 26 + ord(letter) - 64
    return column - 1


def _row_of(ref: str) -> int:
    return int(_reference(ref)[2])


def _number(text: str) -> str:
    """A number as a person would write it: 944378823.0 and 9.44378823E8 are 944378823."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if math.isfinite(value) and value.is_integer() and abs(value) < 1e15 else text
