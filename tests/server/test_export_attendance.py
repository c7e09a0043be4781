"""The report of a meeting made by real commands, read back with other programs than wrote it."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.actor import SERVER, Actor
from rooms.agenda import AddItem, CloseMeeting, EditMeeting, OpenMeeting, SetCurrentItem
from rooms.attendance import CheckIn, CheckOut, Excuse
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.floor import GiveFloor, RequestFloor, TakeFloor
from rooms.ids import CommandId, DelegateId, HallId, ItemId, QuestionId
from rooms.links import LinkDown, LinkUp
from rooms.meeting import Command, Meeting
from rooms.questions import AnswerQuestion, AskQuestion, DismissQuestion
from rooms.roster import Delegate
from server.exports.attendance import attendance_csv, attendance_xlsx
from server.exports.figures import Report, iso
from server.exports.table import Column, Table, write_csv
from tests.support.meetings import D1, D2, H2, HOST, give
from tests.support.workbooks import open_book

EIGHT = 1_780_275_600.0  # 2026-06-01 08:00 in Vietnam
MINUTE = 60.0
CLERKS = {HOST.key: "Lò Thị Thư"}
BO, HON = "Điểm cầu Xã Bản Bo", "Điểm cầu Xã Bản Hon"
FORMULA = '=HYPERLINK("http://x.example","Lò Văn An")'

LINES = (
    DelegateLine(hall=HON, name="Vàng A Pó", order=3, phone="0912345680", role="guest", note="đến muộn"),
    DelegateLine(hall=BO, name=FORMULA, order=1, phone="0912345678", position="Bí thư", unit="+84 xã"),
    DelegateLine(hall=BO, name="Lò Thị Bình", order=2, unit="Xã Bản Bo", role="substitute"),
    DelegateLine(hall=HON, name="Má Văn Nga", order=4, phone="0912345681"),
    DelegateLine(hall=HON, name="Tao Văn Sơn", order=5),
)
"""They become d1 … d5; d2 and d3 sit in hall h1, the others in h2."""


def at(meeting: Meeting, minute: float, actor: Actor, kind: type[Command], **fields: Any) -> None:
    """Give the command, so many minutes after eight."""
    give(meeting, actor, kind, EIGHT + minute * MINUTE, **fields)


def enrolled() -> Meeting:
    meeting = Meeting()
    at(meeting, -60, SERVER, EditMeeting, title="Hội nghị & tập huấn", place="Lai Châu", planned_at=EIGHT)
    halls = (HallLine(name=BO, unit="Tam Đường", convened=3, chair=True), HallLine(name=HON, technician="Cứ A Long"))
    at(meeting, -60, SERVER, ImportRoster, halls=halls, delegates=LINES)
    return meeting


def held(*, closed: bool = True) -> Meeting:
    """08:00 to 10:00. d2 is in the hall from 07:50 but for 09:00–09:10; d1 comes online 08:15 and stays; d3 is checked
    in by staff 09:00–09:30; d4 is excused; d5 never comes. h1 loses its line for six minutes, h2 from 09:54 on."""
    meeting = enrolled()
    item, question, rude = CommandId("the-item"), CommandId("the-question"), CommandId("rude-one")
    at(meeting, -20, SERVER, LinkUp, hall=HallId("h1"))
    at(meeting, -15, SERVER, LinkUp, hall=HallId("h2"))
    at(meeting, -10, D2, CheckIn)
    at(meeting, -5, HOST, Excuse, delegate=DelegateId("d4"), reason="xin vắng (ốm)")
    at(meeting, 0, HOST, OpenMeeting)
    at(meeting, 1, HOST, AddItem, title="Thảo luận", id=item)
    at(meeting, 2, HOST, SetCurrentItem, item=ItemId(item))
    at(meeting, 15, D1, CheckIn, mode="online")
    at(meeting, 20, SERVER, LinkDown, hall=HallId("h1"))
    at(meeting, 26, SERVER, LinkUp, hall=HallId("h1"))
    at(meeting, 30, D1, RequestFloor, topic="Hạ tầng")
    at(meeting, 31, D2, AskQuestion, text="Khi nào có\nđường truyền?", id=question)
    at(meeting, 32, H2, AskQuestion, text="=1+1", id=rude)
    at(meeting, 33, HOST, AnswerQuestion, question=QuestionId(question), answer="Trong quý III.")
    at(meeting, 34, HOST, DismissQuestion, question=QuestionId(rude), reason="Không rõ ý")
    at(meeting, 40, HOST, GiveFloor, hall=HallId("h2"))
    at(meeting, 42, HOST, TakeFloor)
    at(meeting, 60, D2, CheckOut)
    at(meeting, 60, HOST, CheckIn, delegate=DelegateId("d3"))
    at(meeting, 70, D2, CheckIn)
    at(meeting, 90, HOST, CheckOut, delegate=DelegateId("d3"))
    at(meeting, 114, SERVER, LinkDown, hall=HallId("h2"))
    if closed:
        at(meeting, 120, HOST, CloseMeeting)
    return meeting


def xlsx(meeting: Meeting, minute: float = 150.0, **options: Any) -> Any:
    """The workbook as openpyxl reads it."""
    return open_book(io.BytesIO(attendance_xlsx(meeting, EIGHT + minute * MINUTE, CLERKS, **options)))


def rows_of(book: Any, sheet: str) -> list[dict[str, Any]]:
    """The sheet's rows by its headings."""
    head, *rows = book[sheet].iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def clock(hour: int, minute: int) -> str:
    return f"2026-06-01T{hour:02}:{minute:02}:00+07:00"


def test_times_are_iso_8601_in_vietnam() -> None:
    assert iso(EIGHT) == "2026-06-01T08:00:00+07:00"
    assert iso(EIGHT + 0.6) == "2026-06-01T08:00:01+07:00"
    assert iso(None) == ""


def test_the_delegates_sheet() -> None:
    rows = rows_of(xlsx(held()), "Đại biểu")
    assert [row["Họ và tên"] for row in rows] == [FORMULA, "Lò Thị Bình", "Vàng A Pó", "Má Văn Nga", "Tao Văn Sơn"]
    in_hall, by_staff, online, excused, absent = rows
    assert in_hall == {
        "STT": 1,
        "Họ và tên": FORMULA,
        "Chức vụ": "Bí thư",
        "Đơn vị công tác": "+84 xã",
        "Điện thoại": "0912345678",
        "Thành phần": "Đại biểu chính thức",
        "Điểm cầu": BO,
        "Trạng thái": "Có mặt trực tiếp",
        "Phương thức": "Điện thoại (mã QR)",
        "Giờ vào đầu": clock(7, 50),
        "Giờ ra cuối": clock(10, 0),
        "Tổng phút có mặt": 120,
        "Phút trong giờ họp": 110,
        "% thời lượng": 91.7,
        "Số lần vào": 2,
        "Đến muộn (phút)": 0,
        "Về sớm (phút)": 0,
        "Lý do vắng": None,
        "Người xác nhận": "Tự điểm danh",
        "Ghi chú": None,
    }
    assert (by_staff["Phương thức"], by_staff["Người xác nhận"]) == ("Thủ công", "Lò Thị Thư")
    assert (by_staff["Thành phần"], by_staff["Đến muộn (phút)"], by_staff["Về sớm (phút)"]) == ("Dự thay", 60, 30)
    assert (online["Trạng thái"], online["Đến muộn (phút)"], online["% thời lượng"]) == ("Có mặt trực tuyến", 15, 87.5)
    assert (online["Ghi chú"], online["Thành phần"]) == ("đến muộn", "Khách mời")
    assert (excused["Trạng thái"], excused["Lý do vắng"]) == ("Vắng có lý do", "xin vắng (ốm)")
    assert (excused["Người xác nhận"], excused["Số lần vào"]) == ("Lò Thị Thư", None)
    assert (absent["Trạng thái"], absent["Giờ vào đầu"], absent["Tổng phút có mặt"]) == ("Vắng không lý do", None, None)


def test_before_the_close_nobody_is_absent_without_a_reason() -> None:
    *_, online, excused, absent = rows_of(xlsx(held(closed=False), minute=115), "Đại biểu")
    assert (online["Giờ ra cuối"], online["Tổng phút có mặt"], online["Về sớm (phút)"]) == (None, 100, None)
    assert (excused["Trạng thái"], absent["Trạng thái"]) == ("Vắng có lý do", "Chưa điểm danh")


def test_before_the_opening_nobody_is_late() -> None:
    meeting = enrolled()
    at(meeting, -10, D2, CheckIn)
    first = rows_of(xlsx(meeting, minute=-5), "Đại biểu")[0]
    assert (first["Đến muộn (phút)"], first["Phút trong giờ họp"], first["% thời lượng"]) == (0, 0, None)
    assert first["Tổng phút có mặt"] == 5


def test_the_halls_sheet() -> None:
    bo, hon = rows_of(xlsx(held()), "Điểm cầu")
    assert bo == {
        "STT": 1,
        "Điểm cầu": BO,
        "Đơn vị": "Tam Đường",
        "Điểm cầu chính": "x",
        "Triệu tập": 3,
        "Trong danh sách": 2,
        "Có mặt": 2,
        "Trực tiếp": 2,
        "Trực tuyến": 0,
        "Đang có mặt": 0,
        "Tỷ lệ có mặt (%)": 100,
        "Đến muộn": 1,
        "Vắng có lý do": 0,
        "Vắng không lý do": 0,
        "Chưa điểm danh": 0,
        "Giờ kết nối đầu": clock(7, 40),
        "Phút mất tín hiệu": 6,
        "Số lần mất": 1,
        "Cán bộ kỹ thuật": None,
        "Điện thoại": None,
    }
    assert (hon["Trong danh sách"], hon["Có mặt"], hon["Trực tuyến"], hon["Tỷ lệ có mặt (%)"]) == (3, 1, 1, 33.3)
    assert (hon["Vắng có lý do"], hon["Vắng không lý do"], hon["Chưa điểm danh"]) == (1, 1, 0)
    assert (hon["Phút mất tín hiệu"], hon["Số lần mất"], hon["Cán bộ kỹ thuật"]) == (6, 1, "Cứ A Long")


def test_each_interval_has_its_row() -> None:
    rows = rows_of(xlsx(held()), "Lượt vào ra")
    assert [(row["Họ và tên"], row["Lượt"], row["Giờ vào"], row["Giờ ra"], row["Số phút"]) for row in rows] == [
        (FORMULA, 1, clock(7, 50), clock(9, 0), 70),
        (FORMULA, 2, clock(9, 10), clock(10, 0), 50),
        ("Lò Thị Bình", 1, clock(9, 0), clock(9, 30), 30),
        ("Vàng A Pó", 1, clock(8, 15), clock(10, 0), 105),
    ]


def test_questions_and_turns() -> None:
    book = xlsx(held())
    answered, dismissed = rows_of(book, "Câu hỏi")
    assert (answered["Người hỏi"], answered["Câu hỏi"]) == (FORMULA, "Khi nào có\nđường truyền?")
    assert (answered["Trạng thái"], answered["Trả lời"]) == ("Đã trả lời", "Trong quý III.")
    assert (answered["Nội dung chương trình"], answered["Gửi lúc"]) == ("Thảo luận", clock(8, 31))
    assert (dismissed["Trạng thái"], dismissed["Lý do không duyệt"]) == ("Không duyệt", "Không rõ ý")
    waiting, spoke = rows_of(book, "Phát biểu")
    assert (waiting["Người phát biểu"], waiting["Chủ đề"], waiting["Số giây"]) == ("Vàng A Pó", "Hạ tầng", None)
    assert waiting["Trạng thái"] == "Không phát biểu"
    assert (spoke["Người phát biểu"], spoke["Số giây"], spoke["Kết thúc"]) == (HON, 120, clock(8, 42))


def test_the_summary() -> None:
    meeting = held()
    book = xlsx(meeting)
    summary = dict(book["Tổng hợp"].iter_rows(values_only=True))
    assert summary["Hội nghị"] == "Hội nghị & tập huấn"
    assert summary["Lập báo cáo lúc"] == clock(10, 30)
    assert summary["Số hiệu bản ghi (rev)"] == meeting.rev
    assert summary["Thời lượng (phút)"] == 120
    assert [summary[f] for f in ("Đại biểu trong danh sách", "Có mặt", "– trực tiếp", "– trực tuyến")] == [5, 3, 2, 1]
    assert [summary[f] for f in ("Vắng có lý do", "Vắng không lý do", "Chưa điểm danh")] == [1, 1, 0]
    assert [summary[f] for f in ("Đại biểu chính thức", "Khách mời", "Dự thay")] == ["1 / 3", "1 / 1", "1 / 1"]
    assert [summary[f] for f in ("Câu hỏi", "Lượt phát biểu")] == [2, 1]
    assert book.sheetnames == [
        "Tổng hợp",
        "Đại biểu",
        "Điểm cầu",
        "Lượt vào ra",
        "Câu hỏi",
        "Phát biểu",
        "Biểu quyết",
        "Người biểu quyết",
    ]


def test_text_stays_text_in_the_workbook() -> None:
    sheet = xlsx(held())["Đại biểu"]
    cell = sheet["B2"]
    assert (cell.value, cell.data_type, cell.hyperlink) == (FORMULA, "s", None)
    assert sheet["E2"].data_type == "s"  # a telephone number keeps its 0
    assert sheet["L2"].data_type == "n"


def test_it_prints_with_its_header_on_every_page() -> None:
    for sheet in xlsx(held()).worksheets[1:]:
        assert sheet.page_setup.orientation == "landscape"
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight) == (1, 0)
        assert sheet.print_title_rows == "$1:$1"
        assert sheet.freeze_panes == "C2"
        assert sheet.auto_filter.ref.startswith("A1:")


def test_a_table_longer_than_a_sheet_goes_on_in_the_next() -> None:
    book = xlsx(held(), rows_per_sheet=3)
    assert book.sheetnames[1:5] == ["Đại biểu", "Đại biểu (2)", "Đại biểu (3)", "Điểm cầu"]
    names = [row["Họ và tên"] for sheet in book.sheetnames[1:4] for row in rows_of(book, sheet)]
    assert len(names) == 5


def test_an_empty_meeting_is_a_report_too() -> None:
    book = xlsx(Meeting())
    assert rows_of(book, "Đại biểu") == []


def read_csv(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\n") == data.count(b"\r\n")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(("per", "sheet"), [("delegate", "Đại biểu"), ("hall", "Điểm cầu")])
def test_csv_says_what_the_workbook_says(per: Any, sheet: str) -> None:
    meeting = held()
    expected = rows_of(xlsx(meeting), sheet)
    rows = read_csv(attendance_csv(meeting, per, EIGHT + 150 * MINUTE, CLERKS))
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        for heading, value in wanted.items():
            written = row[heading].removeprefix("'")
            assert written == ("" if value is None else str(value)) or float(written) == value


def test_csv_runs_no_formula() -> None:
    first = read_csv(attendance_csv(held(), "delegate", EIGHT))[0]
    assert first["Họ và tên"] == f"'{FORMULA}"
    assert first["Đơn vị công tác"] == "'+84 xã"
    assert first["Điện thoại"] == "0912345678"


@given(st.text(max_size=20))
def test_no_csv_cell_begins_like_a_formula(text: str) -> None:
    data = write_csv(Table("T", (Column("a"), Column("b")), [(text, 1)]))
    _, row = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert not row[0].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row[0].removeprefix("'") == text.removeprefix("'")


@given(
    st.lists(st.tuples(st.floats(-60, 130), st.floats(0, 60)), max_size=6),
    st.floats(0, 200),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_minutes_never_exceed_the_time_there_was(stays: list[tuple[float, float]], minute: float, closed: bool) -> None:
    """Whatever the comings and goings: presence in session ≤ all presence, and ≤ the meeting's length."""
    meeting = enrolled()
    events: list[tuple[float, type[Command]]] = [(0.0, OpenMeeting), *([(120.0, CloseMeeting)] if closed else [])]
    for begin, length in stays:
        events += [(begin, CheckIn), (begin + length, CheckOut)]
    now = 0.0
    for when, kind in sorted(events, key=lambda event: event[0]):
        if kind in (CheckIn, CheckOut) and closed and when >= 120:
            continue
        at(meeting, when, HOST if kind in (OpenMeeting, CloseMeeting) else D2, kind)
        now = max(now, when)
    report = Report(meeting, EIGHT + max(now, minute) * MINUTE)
    presence = next(p for p in report.presences if p.delegate.id == D2.id)
    assert 0 <= presence.in_session_s <= presence.total_s + 1e-6
    assert presence.in_session_s <= report.duration_s + 1e-6


def test_order_is_by_hall_then_number() -> None:
    report = Report(held(), EIGHT)
    assert [(p.delegate.hall, p.delegate.order) for p in report.presences] == [
        ("h1", 1),
        ("h1", 2),
        ("h2", 3),
        ("h2", 4),
        ("h2", 5),
    ]
    assert len(report.presences) == report.meeting.count(Delegate)
