import unicodedata
from collections import Counter

import pytest

from server.demo import ROSTER
from server.roster.lists import Lists, find_lists
from server.roster.workbook import WorkbookError, read_workbook
from tests.support.workbooks import DELEGATES_HEADER, HALLS_HEADER, Rows, workbook

PERSON = (1, "Lò Văn An", "Bí thư", "Xã Bản Bo", "ĐC Xã Bản Bo", "0912345678", "Khách mời", "đến muộn")


def lists(rows: Rows, merged: tuple[str, ...] = ()) -> Lists:
    return find_lists(read_workbook(workbook({"S": rows}, {"S": merged})))


def kinds(found: Lists) -> list[tuple[int, str]]:
    return [(row.row, row.kind) for row in found.others]


def test_finds_both_lists_whatever_the_sheets_order_and_names() -> None:
    halls = [
        ["DANH SÁCH"],
        [],
        HALLS_HEADER,
        (1, "Điểm cầu Xã Bản Bo", "Huyện Tam Đường", 58, "Cứ Kim Trang", 369237899),
    ]
    found = find_lists(read_workbook(workbook({"Trang tính 2": [DELEGATES_HEADER, PERSON], "a": halls, "b": [["x"]]})))
    (hall,), (person,) = found.halls, found.delegates
    assert (hall.sheet, hall.row, hall.name, hall.unit) == ("a", 4, "Điểm cầu Xã Bản Bo", "Huyện Tam Đường")
    assert (hall.convened, hall.technician, hall.phone) == ("58", "Cứ Kim Trang", "369237899")
    assert (person.sheet, person.row, person.number, person.name) == ("Trang tính 2", 2, "1", "Lò Văn An")
    assert (person.position, person.unit, person.hall, person.phone, person.role, person.note) == PERSON[2:]
    assert person.cells == tuple(str(cell) for cell in PERSON)
    assert [(row.sheet, row.row, row.kind) for row in found.others] == [
        ("Trang tính 2", 1, "header"),
        ("a", 3, "header"),
        ("a", 1, "title"),
        ("b", 1, "outside"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        ["TT", "HỌ VÀ TÊN", "CHỨC VỤ", "ĐIỂM CẦU"],
        ["Stt.", "Họ, tên", "Chức danh", "Điểm cầu dự họp"],
        ["So TT", "Ho va ten dai bieu", "Chuc vu", "Diem cau"],
        [unicodedata.normalize("NFD", text) for text in ("STT", "Họ và tên:", "Chức vụ", "Hội trường")],
        ["Stt", " Họ  và\ntên ", "Chức vụ / Chức danh", "Tên điểm cầu"],
    ],
)
def test_headings_vary(header: list[str]) -> None:
    (person,) = lists([header, [1, "Lò Văn An", "Bí thư", "nt"]]).delegates
    assert (person.number, person.name, person.position, person.hall) == ("1", "Lò Văn An", "Bí thư", "nt")


def test_extra_columns_are_ignored_and_order_is_free() -> None:
    (person,) = lists(
        [["Ảnh", "Điểm cầu", "Cỡ áo", "Họ và tên", "Số ĐT"], ["x", "nt", "L", "Lò Văn An", 912345678]]
    ).delegates
    assert (person.hall, person.name, person.phone, person.number) == ("nt", "Lò Văn An", "912345678", "")


@pytest.mark.parametrize(
    "rows", [[["a", "b", "c"]], [["Họ và tên", "Lò Văn An"]], [["STT", "Đơn vị", "Ghi chú"]], [[]]]
)
def test_no_lists(rows: Rows) -> None:
    with pytest.raises(WorkbookError) as caught:
        lists(rows)
    assert caught.value.code == "no_lists_found"


def test_rows_that_are_no_delegates_are_named_for_what_they_are() -> None:
    found = lists(
        [
            DELEGATES_HEADER,
            tuple(range(1, 9)),
            PERSON,
            ("ĐIỂM CẦU XÃ BẢN HON",),
            (2, *PERSON[1:]),
            DELEGATES_HEADER,
            (3, *PERSON[1:]),
            ("II", "KHỐI CÁC XÃ"),
            (4,),
            (None, "ĐC Xã Bản Bo"),
            (5, *PERSON[1:]),
            (),
            (None, "Tổng cộng: 4 đại biểu"),
            (None, None, None, None, None, "Lai Châu, ngày 1 tháng 6"),
        ]
    )
    assert [row.row for row in found.delegates] == [3, 5, 7, 11]
    assert kinds(found) == [
        (1, "header"),
        (2, "header"),
        (4, "section"),
        (6, "header"),
        (8, "section"),
        (9, "number_only"),
        (10, "section"),
        (13, "total"),
        (14, "remark"),
    ]
    assert [(row.section, row.opens_section) for row in found.delegates] == [
        ("", False),
        ("ĐIỂM CẦU XÃ BẢN HON", True),
        ("ĐIỂM CẦU XÃ BẢN HON", False),
        ("ĐC Xã Bản Bo", True),
    ]


def test_a_delegate_without_a_name_is_still_a_row_of_the_list() -> None:
    found = lists([DELEGATES_HEADER, (1, None, *PERSON[2:]), (None, "Lò Văn An")])
    assert [row.name for row in found.delegates] == ["", "Lò Văn An"]


def test_two_lists_one_below_the_other() -> None:
    found = lists(
        [HALLS_HEADER, (1, "Điểm cầu Xã Bản Bo"), ("Tổng cộng", None, None, 58), [], DELEGATES_HEADER, PERSON]
    )
    assert (len(found.halls), len(found.delegates)) == (1, 1)
    assert [(row.kind, row.of) for row in found.others] == [
        ("header", "halls"),
        ("total", "halls"),
        ("header", "delegates"),
    ]


def test_a_hall_merged_over_its_delegates_is_each_ones_hall() -> None:
    rows: Rows = [
        DELEGATES_HEADER,
        PERSON,
        (2, "Lò Thị Bình"),
        (3, "Vàng A Pó"),
        (4, "Má Văn Nga", None, None, "ĐC Xã Bản Hon"),
    ]
    assert [row.hall for row in lists(rows, ("E2:E4",)).delegates] == [*["ĐC Xã Bản Bo"] * 3, "ĐC Xã Bản Hon"]


def test_every_row_of_the_real_roster_comes_out_once() -> None:
    sheets = read_workbook(ROSTER.read_bytes())
    found = find_lists(sheets)
    out = [(row.sheet, row.row) for row in found.halls]
    out += [(row.sheet, row.row) for row in found.delegates]
    out += [(row.sheet, row.row) for row in found.others]
    assert sorted(out) == sorted((sheet.name, row.number) for sheet in sheets for row in sheet.rows)
    assert (len(found.halls), len(found.delegates)) == (187, 9861)
    assert Counter(row.kind for row in found.others) == {"title": 4, "header": 2, "section": 40, "total": 1}
