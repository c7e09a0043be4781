import io
import random
import struct
import time
import zipfile

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from server.demo import ROSTER
from server.roster import workbook as limits
from server.roster.workbook import WorkbookError, read_workbook
from tests.support.workbooks import Rows, new_book, open_book, packed, parts, text_row, workbook

pytestmark = pytest.mark.slow


def code_of(data: bytes) -> str:
    with pytest.raises(WorkbookError) as caught:
        read_workbook(data)
    return caught.value.code


def test_reads_what_openpyxl_reads() -> None:
    """Two readers that share no code agree on every cell of the real roster."""
    book = open_book(ROSTER)
    sheets = read_workbook(ROSTER.read_bytes())
    assert [sheet.name for sheet in sheets] == book.sheetnames
    for sheet in sheets:
        expected = {}
        for number, row in enumerate(book[sheet.name].iter_rows(values_only=True), 1):
            cells = ["" if cell is None else str(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                expected[number] = tuple(cells)
        assert {row.number: row.cells for row in sheet.rows} == expected


cell_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30).filter(
    lambda text: not text.startswith("=") and "_x" not in text
)


@given(st.lists(st.lists(cell_texts, max_size=6), max_size=8))
@settings(max_examples=60, deadline=None)
def test_reads_what_xlsxwriter_writes(rows: list[list[str]]) -> None:
    """Shared strings, spaces at the ends and all."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet("Một")
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            sheet.write_string(y, x, text)
    book.close()
    (read,) = read_workbook(out.getvalue())
    found = {(row.number - 1, x): text for row in read.rows for x, text in enumerate(row.cells) if text}
    assert found == {(y, x): t for y, row in enumerate(rows) for x, t in enumerate(row) if t.strip()}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (944378823, "944378823"),
        (944378823.0, "944378823"),
        (9.44378823e8, "944378823"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        (-3, "-3"),
    ],
)
def test_numbers_as_a_person_writes_them(number: float, text: str) -> None:
    assert read_workbook(workbook({"S": [[number]]}))[0].rows[0].cells == (text,)


def test_rich_text_is_joined_and_readings_left_out() -> None:
    shared = "<si><r><t>Lò </t></r><r><t>Văn An</t></r><rPh sb='0' eb='1'><t>lo van an</t></rPh></si>"
    data = packed(parts("<sheetData><row><c t='s'><v>0</v></c></row></sheetData>", shared))
    assert read_workbook(data)[0].rows[0].cells == ("Lò Văn An",)


def test_a_cell_merged_down_stands_in_each_row_below_that_has_others() -> None:
    rows: Rows = [["A", "Hội trường"], ["B", None], ["C", None], [None, None], ["D", "x"]]
    (sheet,) = read_workbook(workbook({"S": rows}, {"S": ["B1:B4"]}))
    assert [row.cells for row in sheet.rows] == [
        ("A", "Hội trường"),
        ("B", "Hội trường"),
        ("C", "Hội trường"),
        ("D", "x"),
    ]


def test_rows_keep_their_numbers() -> None:
    (sheet,) = read_workbook(workbook({"S": [[None], ["a"], [None], [" "], ["b"]]}))
    assert [(row.number, row.cells) for row in sheet.rows] == [(2, ("a",)), (5, ("b",))]


def test_hidden_sheets_are_read_too() -> None:
    book = new_book()
    book.worksheets[0].append(["a"])
    hidden = book.create_sheet("Ẩn")
    hidden.append(["b"])
    hidden.sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    assert [sheet.name for sheet in read_workbook(out.getvalue())][1] == "Ẩn"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"%PDF-1.7",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000),  # .xls, and every encrypted workbook
        b"<html><table><tr><td>Ho va ten</td></tr></table></html>",
        "STT;Họ và tên\r\n1;Lò Văn An\r\n".encode(),
        packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"}),
        packed({"xl/workbook.bin": b"\x00"}),
        packed({**parts("<sheetData/>"), "xl/workbook.xml": "<workbook"}),
        packed({k: v for k, v in parts("<sheetData/>").items() if "sheet1" not in k}),
        packed(parts("<sheetData><row r='x'/></sheetData>")),
        packed(parts("<sheetData><row r='0'/></sheetData>")),
        packed(parts("<sheetData><row r='1048577'/></sheetData>")),
        packed(parts("<sheetData><row r='2'/><row r='2'/></sheetData>")),
        packed(parts("<sheetData><row><c t='s'><v>7</v></c></row></sheetData>")),
        packed(parts("<sheetData><row><c r='7A'><v>7</v></c></row></sheetData>")),
        packed(parts("<c t='n'><v>7</v></c>")),
        packed(parts("<mergeCells><mergeCell ref='A1:A'/></mergeCells>")),
    ],
)
def test_no_workbook(data: bytes) -> None:
    assert code_of(data) == "not_a_workbook"


def test_an_encrypted_part_is_no_workbook() -> None:
    data = bytearray(packed(parts("<sheetData/>")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + offset] |= 1
    assert code_of(bytes(data)) == "not_a_workbook"


BILLION_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("declared", [BILLION_LAUGHS, OUTSIDE, "<!DOCTYPE x>"])
@pytest.mark.parametrize("part", ["_rels/.rels", "xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"])
def test_a_document_type_is_refused_in_every_part(part: str, declared: str) -> None:
    files = parts(text_row(1, "&a;") if "sheet1" in part else "<sheetData/>", "<si><t>x</t></si>")
    assert code_of(packed({**files, part: declared + files[part]})) == "not_a_workbook"


def test_other_encodings_of_xml_are_no_way_around() -> None:
    files: dict[str, str | bytes] = dict(parts("<sheetData/>"))
    sheet = f'<?xml version="1.0" encoding="UTF-16"?>{BILLION_LAUGHS}{files["xl/worksheets/sheet1.xml"]!s}'
    assert code_of(packed({**files, "xl/worksheets/sheet1.xml": sheet.encode("utf-16")})) == "not_a_workbook"
    sheet = f'<?xml version="1.0" encoding="no-such-encoding"?>{files["xl/worksheets/sheet1.xml"]!s}'
    assert read_workbook(packed({**files, "xl/worksheets/sheet1.xml": sheet}))[0].rows == ()


def test_too_many_bytes() -> None:
    assert code_of(bytes(limits.MOST_BYTES + 1)) == "too_large"


def test_a_zip_bomb_ends_at_the_budget() -> None:
    """Two hundred megabytes of spaces in a fifth of one."""
    out = io.BytesIO()
    files = parts("")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            if "sheet1" not in name:
                archive.writestr(name, text)
        with archive.open("xl/worksheets/sheet1.xml", "w") as part:
            part.write(b"<worksheet>")
            for _ in range(200):
                part.write(b" " * 1024 * 1024)
    began = time.perf_counter()
    assert len(out.getvalue()) < 400_000
    assert code_of(out.getvalue()) == "too_large"
    assert time.perf_counter() - began < 20


def test_the_same_part_many_times_counts_each_time() -> None:
    files = parts(text_row(1, "x") + "<x>" + " " * 3_000_000 + "</x>")
    sheet = '<sheet name="{}" sheetId="1" r:id="r1"/>'
    files["xl/workbook.xml"] = files["xl/workbook.xml"].replace(
        sheet.format("S"), "".join(sheet.format(f"S{n}") for n in range(190))
    )
    assert code_of(packed(files)) == "too_large"


@pytest.mark.parametrize(
    "sheet",
    [
        pytest.param("".join(text_row(n, "x") for n in range(1, limits.MOST_ROWS + 2)), id="rows"),
        pytest.param(text_row(1, *("x" for _ in range(limits.MOST_COLUMNS + 1))), id="columns"),
        pytest.param(text_row(1, "x" * (limits.LONGEST_CELL + 1)), id="long cell"),
        pytest.param(
            f"<row>{'<c><v>1</v></c>' * 50}</row>" * (limits.MOST_CELLS // 50 + 1), id="cells", marks=pytest.mark.slow
        ),
    ],
)
def test_too_large(sheet: str) -> None:
    assert code_of(packed(parts(f"<sheetData>{sheet}</sheetData>"))) == "too_large"


def test_merged_ranges_cannot_be_used_to_fill_memory() -> None:
    merged = "<mergeCell ref='A1:A1048576'/>" * 1_000
    sheet = f"<sheetData>{text_row(1, 'x')}</sheetData><mergeCells>{merged}</mergeCells>"
    assert code_of(packed(parts(sheet))) == "too_large"


def outcome(data: bytes) -> str:
    """The only two: sheets, or the documented error."""
    try:
        sheets = read_workbook(data)
    except WorkbookError as error:
        return error.code
    assert all(row.cells and row.cells[-1] for sheet in sheets for row in sheet.rows)
    return "read"


@given(st.binary(max_size=2_000))
def test_random_bytes_are_no_workbook(data: bytes) -> None:
    assert outcome(data) == "not_a_workbook"


def test_truncated_at_many_lengths_it_is_no_workbook() -> None:
    data = ROSTER.read_bytes()
    lengths = [*range(0, 400), *range(400, len(data), 4_999), *range(len(data) - 400, len(data))]
    assert {outcome(data[:length]) for length in lengths} == {"not_a_workbook"}


SMALL = workbook({"Một": [["STT", "Họ và tên", "Điểm cầu"], [1, "Lò Văn An", "nt"]], "Hai": [["x", 0.5]]})


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_changed_bytes_are_read_or_refused(data: st.DataObject) -> None:
    changed = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 12))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(changed))


@given(st.sampled_from(sorted(parts(""))), st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_part_may_hold_anything(part: str, content: bytes) -> None:
    outcome(packed({**parts(text_row(1, "x")), part: content}))


XML_PIECES = (
    "<row> <row_r='3'> </row> <c> <c_t='s'> <c_t='b'_r='B2'> <c_r='ZZZ9'> </c> <v> </v> 1 nan 1e400 <is> </is> <t> "
    "</t> <rPh> </rPh> <mergeCell_ref='A1:A3'/> <mergeCell_ref='A9:A3'/> ừ &lt; <c_t='e'/> <sheetData> </sheetData> "
    "<![CDATA[x]]> <?x?> <!--_-->"
).split()


@given(st.lists(st.sampled_from(XML_PIECES), max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_order_of_elements_is_read_or_refused(pieces: list[str]) -> None:
    outcome(packed(parts("".join(pieces).replace("_", " "), "<si><t>a</t></si>")))


def test_damaged_archive_headers_are_refused() -> None:
    """Sizes, offsets and counts in the directory, which zipfile believes."""
    seeded = random.Random(187)
    for _ in range(400):
        data = bytearray(SMALL)
        at = seeded.choice(
            [n for n in range(len(data) - 4) if bytes(data[n : n + 3]) in (b"PK\x01", b"PK\x05", b"PK\x03")]
        )
        field = at + seeded.randrange(4, 44)
        if field + 4 <= len(data):
            struct.pack_into("<I", data, field, seeded.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
        outcome(bytes(data))
