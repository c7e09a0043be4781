"""Workbooks for tests: made by openpyxl, which the reader under test does not use, or put together part by part."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openpyxl.reader.excel import load_workbook
from openpyxl.workbook.workbook import Workbook

new_book: Any = Workbook
open_book: Any = load_workbook

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]

HALLS_HEADER = ("STT", "Tên điểm cầu", "Đơn vị / Huyện", "Số đại biểu triệu tập", "Cán bộ kỹ thuật", "Điện thoại")
DELEGATES_HEADER = (
    "STT",
    "Họ và tên",
    "Chức vụ",
    "Đơn vị công tác",
    "Điểm cầu",
    "Điện thoại",
    "Thành phần",
    "Ghi chú",
)


def workbook(sheets: Mapping[str, Rows], merged: Mapping[str, Iterable[str]] | None = None) -> bytes:
    """A workbook with these sheets; `merged` names ranges of cells to merge."""
    book = new_book()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        for area in (merged or {}).get(name, ()):
            sheet.merge_cells(area)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def roster(halls: Rows = (), delegates: Rows = ()) -> bytes:
    """A workbook with the usual headers above the rows; a list without rows has no sheet."""
    sheets: dict[str, Rows] = {}
    if halls:
        sheets["Điểm cầu"] = [HALLS_HEADER, *halls]
    if delegates:
        sheets["Đại biểu"] = [DELEGATES_HEADER, *delegates]
    return workbook(sheets)


_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def parts(sheet: str, shared: str = "") -> dict[str, str]:
    """The parts of a workbook with one sheet, whose XML (inside <worksheet>) is given."""
    return {
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">'
        f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{_OFFICE}/sharedStrings" Target="/xl/sharedStrings.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}">{sheet}</worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{shared}</sst>',
    }


def packed(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def text_row(number: int, *cells: str) -> str:
    """A row's XML with inline strings."""
    inline = "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
    return f'<row r="{number}">{inline}</row>'
