"""Tables as CSV and as sheets of a workbook.

Whatever a cell says stays text: a name such as `=HYPERLINK(…)` is written as a string in the workbook, and with an
apostrophe before it in CSV, where a program would otherwise run it.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import xlsxwriter

Cell = str | int | float | None
Row = Sequence[Cell]

MOST_ROWS = 1_048_576
"""Of one sheet in Excel, the header included."""

LONGEST_CELL = 32_767
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Column(msgspec.Struct, frozen=True):
    heading: str
    width: int = 12


class Table(msgspec.Struct, frozen=True):
    """`rows` may be read once."""

    name: str
    columns: tuple[Column, ...]
    rows: Iterable[Row]


def write_csv(table: Table) -> bytes:
    """UTF-8 with a mark at the beginning and CRLF, as Excel wants it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.heading for column in table.columns])
    for row in table.rows:
        writer.writerow([_harmless(cell) for cell in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _harmless(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_DANGEROUS):
        return f"'{cell}"
    return "" if cell is None else cell


class Book:
    """A workbook being written, in constant memory. Sheets and rows are written once, in order."""

    def __init__(self, path: str, *, title: str, rows_per_sheet: int = MOST_ROWS) -> None:
        self._book: Any = xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_formulas": False})
        self._book.set_properties({"title": title})
        self._title = title
        self._rows_per_sheet = rows_per_sheet
        self._head = self._book.add_format(
            {
                "bold": True,
                "text_wrap": True,
                "valign": "vcenter",
                "align": "center",
                "border": 1,
                "bg_color": "#E7EEF7",
            }
        )
        self._text = self._book.add_format({"valign": "top", "text_wrap": True, "border": 1})
        self._label = self._book.add_format({"bold": True, "valign": "top", "text_wrap": True})
        self._value = self._book.add_format({"valign": "top", "text_wrap": True, "align": "left"})

    def close(self) -> None:
        self._book.close()

    def add_facts(self, name: str, facts: Iterable[tuple[str, Cell]]) -> None:
        """A sheet of labels and values; a label without a value is a heading."""
        sheet = self._sheet(name, landscape=False)
        sheet.set_column(0, 0, 38)
        sheet.set_column(1, 1, 60)
        for n, (label, value) in enumerate(facts):
            sheet.write_string(n, 0, label, self._label)
            self._put(sheet, n, 1, value, self._value)

    def add_table(self, table: Table) -> None:
        """The table as a sheet, or as several if Excel's rows do not suffice."""
        rows = iter(table.rows)
        part, more = 1, True
        while more:
            more = self._add_part(table, table.name if part == 1 else f"{table.name} ({part})", rows)
            part += 1

    def _add_part(self, table: Table, name: str, rows: Iterator[Row]) -> bool:
        """Whether the sheet was filled to the last row."""
        sheet = self._sheet(name, landscape=True)
        for n, column in enumerate(table.columns):
            sheet.set_column(n, n, column.width)
        sheet.set_row(0, 48)
        for n, column in enumerate(table.columns):
            sheet.write_string(0, n, column.heading, self._head)
        written = 0
        while written < self._rows_per_sheet - 1 and (row := next(rows, None)) is not None:
            written += 1
            for n, cell in enumerate(row):
                self._put(sheet, written, n, cell, self._text)
        sheet.freeze_panes(1, 2)
        sheet.repeat_rows(0)
        sheet.autofilter(0, 0, written, len(table.columns) - 1)
        return written == self._rows_per_sheet - 1

    def _sheet(self, name: str, *, landscape: bool) -> Any:
        sheet = self._book.add_worksheet(name)
        if landscape:
            sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4, top=0.75, bottom=0.6)
        sheet.set_header(f"&L&9{self._title[:180].replace('&', '&&')}&R&9{name}")
        sheet.set_footer("&C&9&P/&N")
        return sheet

    def _put(self, sheet: Any, row: int, column: int, cell: Cell, style: Any) -> None:
        if cell is None or cell == "":
            sheet.write_blank(row, column, None, style)
        elif isinstance(cell, str):
            sheet.write_string(row, column, cell[:LONGEST_CELL], style)
        else:
            sheet.write_number(row, column, cell, style)
