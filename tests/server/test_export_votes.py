"""The votes in the workbook, read back: frozen denominators, sums, who took part and never how."""

from rooms.attendance import CheckIn, CheckOut, Excuse
from rooms.enrolment import DelegateLine, PutDelegate
from rooms.ids import DelegateId, PollId
from rooms.meeting import Meeting
from rooms.voting import CastVote, ClosePoll, MakePoll, OpenPoll, PublishPoll
from tests.server.test_export_attendance import EIGHT, at, clock, rows_of, xlsx
from tests.support.meetings import D1, D2, D3, HOST, give, open_meeting


def voted(meeting: Meeting) -> PollId:
    """08:10 to 08:12. d1 and d2 are there, d3 comes later; d2 does not vote; d4 is excused. Moved and gone since."""
    for delegate in (D1, D2):
        at(meeting, 0, delegate, CheckIn)
    at(meeting, 1, HOST, Excuse, delegate=DelegateId("d4"), reason="ốm")
    poll = PollId(give(meeting, HOST, MakePoll, EIGHT, title="=Thông qua").put[0].id)
    at(meeting, 10, HOST, OpenPoll, poll=poll)
    at(meeting, 10, D1, CastVote, poll=poll, choice="yes")
    at(meeting, 11, D3, CheckIn)
    at(meeting, 11, D3, CastVote, poll=poll, choice="abstain")
    return poll


def finished(meeting: Meeting, poll: PollId) -> None:
    at(meeting, 12, HOST, ClosePoll, poll=poll)
    at(meeting, 13, HOST, PublishPoll, poll=poll)
    at(meeting, 14, D1, CheckOut)
    line = DelegateLine(hall="Điểm cầu 2", name="Lò Thị Ánh", phone="0900000001", order=1)
    at(meeting, 14, HOST, PutDelegate, delegate=DelegateId("d1"), line=line)
    at(meeting, 14, HOST, PutDelegate, line=DelegateLine(hall="Điểm cầu 2", name="Người mới", order=9))


def test_B5_B10_a_published_poll_with_its_frozen_denominators() -> None:
    meeting = open_meeting()
    finished(meeting, voted(meeting))
    book = xlsx(meeting)
    (row,) = rows_of(book, "Biểu quyết")
    assert row == {
        "Lần": 1,
        "Nội dung biểu quyết": "=Thông qua",
        "Nội dung chương trình": None,
        "Trạng thái": "Đã công bố",
        "Ai được biểu quyết": "Đại biểu có mặt",
        "Mở lúc": clock(8, 10),
        "Kết thúc lúc": clock(8, 12),
        "Công bố lúc": clock(8, 13),
        "Triệu tập": 4,
        "Vắng có lý do": 1,
        "Có mặt lúc mở": 2,
        "Số phiếu": 2,
        "Phiếu người đến sau": 1,
        "Đồng ý": 1,
        "Không đồng ý": 0,
        "Phiếu trắng": 1,
        "Đồng ý (% triệu tập)": 25,
        "Không đồng ý (% triệu tập)": 0,
        "Phiếu trắng (% triệu tập)": 25,
    }
    assert book["Biểu quyết"]["B2"].data_type == "s"
    assert dict(book["Tổng hợp"].iter_rows(values_only=True))["Lần biểu quyết"] == 1


def test_B12_who_took_part_and_never_how() -> None:
    meeting = open_meeting()
    finished(meeting, voted(meeting))
    rows = rows_of(xlsx(meeting), "Người biểu quyết")
    parts = {
        row["Họ và tên"]: (row["Điểm cầu lúc biểu quyết"], row["Có mặt lúc mở"], row["Đã bỏ phiếu"]) for row in rows
    }
    assert parts == {
        "Lò Thị Ánh": ("Điểm cầu 1", "x", "x"),
        "Tẩn A Sử": ("Điểm cầu 1", "x", None),
        "Hoàng Văn Đức": ("Điểm cầu 2", None, "x"),
    }
    words = {"Đồng ý", "Không đồng ý", "Phiếu trắng", "yes", "no", "abstain"}
    assert not words & {cell for row in rows for cell in row.values()}


def test_B11_an_open_poll_has_no_sums_in_the_report() -> None:
    meeting = open_meeting()
    poll = voted(meeting)
    (row,) = rows_of(xlsx(meeting), "Biểu quyết")
    assert (row["Trạng thái"], row["Số phiếu"], row["Đồng ý"], row["Phiếu trắng"]) == ("Đang biểu quyết", 2, None, None)
    at(meeting, 12, HOST, ClosePoll, poll=poll)
    (row,) = rows_of(xlsx(meeting), "Biểu quyết")
    assert (row["Trạng thái"], row["Đồng ý"], row["Công bố lúc"]) == ("Đã kết thúc, chưa công bố", 1, None)


def test_a_poll_that_was_never_opened_is_in_no_report() -> None:
    meeting = open_meeting()
    give(meeting, HOST, MakePoll, title="Dự phòng")
    assert rows_of(xlsx(meeting), "Biểu quyết") == []
