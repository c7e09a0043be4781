"""The votes of a meeting, as two sheets of its workbook: the figures of each poll, and who took part.

The sums are of the whole poll and come once it is closed (rule B11). How somebody voted is in no report (B12).
"""

from collections.abc import Iterator

from rooms.voting import Ballot, Poll, PollCount, PollRoll
from server.exports.figures import Report, iso
from server.exports.table import Column, Row, Table

_POLL_STATES = {"open": "Đang biểu quyết", "closed": "Đã kết thúc, chưa công bố", "published": "Đã công bố"}
_POLL_COLUMNS = (
    Column("Lần", 6),
    Column("Nội dung biểu quyết", 50),
    Column("Nội dung chương trình", 28),
    Column("Trạng thái", 16),
    Column("Ai được biểu quyết", 18),
    Column("Mở lúc", 26),
    Column("Kết thúc lúc", 26),
    Column("Công bố lúc", 26),
    Column("Triệu tập", 9),
    Column("Vắng có lý do", 9),
    Column("Có mặt lúc mở", 9),
    Column("Số phiếu", 9),
    Column("Phiếu người đến sau", 9),
    Column("Đồng ý", 9),
    Column("Không đồng ý", 9),
    Column("Phiếu trắng", 9),
    Column("Đồng ý (% triệu tập)", 9),
    Column("Không đồng ý (% triệu tập)", 9),
    Column("Phiếu trắng (% triệu tập)", 9),
)


def opened_polls(report: Report) -> list[tuple[Poll, PollCount]]:
    """The polls that were opened, in that order, with their counts."""
    known = sorted(report.meeting.select(Poll), key=lambda poll: (poll.opened_at or 0.0, poll.id))
    return [(poll, count) for poll in known if (count := report.meeting.get(PollCount, poll.id)) is not None]


def polls(report: Report) -> Table:
    return Table(
        "Biểu quyết", _POLL_COLUMNS, (_poll(report, n, *both) for n, both in enumerate(opened_polls(report), 1))
    )


def _poll(report: Report, number: int, poll: Poll, count: PollCount) -> Row:
    """The figures frozen with the poll, and its sums once it is closed (B11)."""
    sums = count.sums if count.closed else None
    votes = (sums.yes, sums.no, sums.abstain) if sums else (None, None, None)
    return (
        number,
        poll.title,
        report.item_title(poll.item),
        _POLL_STATES[poll.state],
        "Đại biểu có mặt" if poll.present_only else "Mọi đại biểu trong danh sách",
        iso(poll.opened_at),
        iso(poll.closed_at),
        iso(poll.published_at),
        poll.convened,
        poll.excused,
        poll.present,
        count.cast,
        count.late,
        *votes,
        *(round(100 * n / poll.convened, 1) if n is not None and poll.convened else None for n in votes),
    )


_VOTER_COLUMNS = (
    Column("Lần", 6),
    Column("STT", 6),
    Column("Họ và tên", 24),
    Column("Đơn vị công tác", 24),
    Column("Điểm cầu lúc biểu quyết", 28),
    Column("Có mặt lúc mở", 10),
    Column("Đã bỏ phiếu", 10),
)


def voters(report: Report) -> Table:
    """Who was present at each opening and who voted; how is in no report (B12)."""

    def rows() -> Iterator[Row]:
        for number, (poll, _) in enumerate(opened_polls(report), 1):
            roll = report.meeting.require(PollRoll, poll.id)
            for presence in report.presences:
                person = presence.delegate
                ballot = report.meeting.get(Ballot, f"{poll.id}:{person.id}")
                there = person.id in roll.present
                if there or ballot:
                    hall = ballot.hall if ballot else person.hall
                    seat = report.names.get(hall, "")
                    marks = ("x" if there else "", "x" if ballot else "")
                    yield (number, person.order, person.name, person.unit, seat, *marks)

    return Table("Người biểu quyết", _VOTER_COLUMNS, rows())
