"""The attendance report of a meeting: a workbook of eight sheets, and two of its tables as CSV.

Times are ISO 8601 with +07:00, telephone numbers are text, counts and minutes are numbers.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from rooms.actor import DelegateActor
from rooms.floor import Speaker
from rooms.ids import DelegateId
from rooms.links import Link
from rooms.meeting import Meeting
from rooms.questions import Question
from rooms.roster import Hall
from server.exports.figures import Presence, Report, iso, minutes, tally
from server.exports.table import MOST_ROWS, Book, Cell, Column, Row, Table, write_csv
from server.exports.votes import opened_polls, polls, voters

_ROLES = {"official": "Đại biểu chính thức", "guest": "Khách mời", "substitute": "Dự thay"}
_MODES = {"in_hall": "Có mặt trực tiếp", "online": "Có mặt trực tuyến"}
_METHODS = {"phone": "Điện thoại (mã QR)", "staff": "Thủ công"}
_STATES = {"planned": "Chưa khai mạc", "open": "Đang họp", "closed": "Đã bế mạc"}
_QUESTIONS = {
    "pending": "Chờ duyệt",
    "approved": "Đã duyệt",
    "answered": "Đã trả lời",
    "dismissed": "Không duyệt",
    "withdrawn": "Đã rút",
}

Names = Mapping[str, str]
"""For an actor's key ("staff:<account>") the name to print."""


def attendance_xlsx(
    meeting: Meeting, now: float, names: Names | None = None, *, rows_per_sheet: int = MOST_ROWS
) -> bytes:
    """The workbook. It is written to a temporary file: a large meeting does not have to fit in memory twice."""
    report = Report(meeting, now)
    with tempfile.TemporaryDirectory(prefix="diemcau-") as folder:
        path = Path(folder, "attendance.xlsx")
        book = Book(str(path), title=report.facts.title, rows_per_sheet=rows_per_sheet)
        book.add_facts("Tổng hợp", _summary(report))
        for table in (
            _delegates(report, names or {}),
            _halls(report),
            _intervals(report, names or {}),
            _questions(report),
            _turns(report),
            polls(report),
            voters(report),
        ):
            book.add_table(table)
        book.close()
        return path.read_bytes()


def attendance_csv(meeting: Meeting, per: Literal["delegate", "hall"], now: float, names: Names | None = None) -> bytes:
    """One line for each delegate or for each hall."""
    report = Report(meeting, now)
    return write_csv(_delegates(report, names or {}) if per == "delegate" else _halls(report))


def _summary(report: Report) -> Iterator[tuple[str, Cell]]:
    facts = report.facts
    count = tally(report.presences, closed=report.closed)
    links = [link for hall in report.halls if (link := report.meeting.get(Link, hall.id))]
    yield "BÁO CÁO ĐIỂM DANH", None
    yield "Hội nghị", facts.title
    yield "Địa điểm", facts.place
    yield "Tình trạng", _STATES[facts.state]
    yield "Thời gian dự kiến", iso(facts.planned_at)
    yield "Khai mạc", iso(facts.opened_at)
    yield "Bế mạc", iso(facts.closed_at)
    yield "Thời lượng (phút)", minutes(report.duration_s)
    yield "Lập báo cáo lúc", iso(report.now)
    yield "Số hiệu bản ghi (rev)", report.meeting.rev
    yield "ĐIỂM CẦU", None
    yield "Số điểm cầu", len(report.halls)
    yield "Đã từng kết nối", len(links)
    yield "Đại biểu triệu tập (theo danh sách điểm cầu)", sum(hall.convened or 0 for hall in report.halls)
    yield "ĐẠI BIỂU", None
    yield "Đại biểu trong danh sách", count.listed
    yield "Có mặt", count.ever
    yield "– trực tiếp", count.in_hall
    yield "– trực tuyến", count.online
    yield "Tỷ lệ có mặt (%)", count.percent
    yield "Đến muộn", count.late
    yield "Vắng có lý do", count.excused
    yield "Vắng không lý do", count.unexcused
    yield "Chưa điểm danh", count.unknown
    yield "THEO THÀNH PHẦN (có mặt / danh sách)", None
    for role, label in _ROLES.items():
        part = tally((p for p in report.presences if p.delegate.role == role), closed=report.closed)
        yield label, f"{part.ever} / {part.listed}"
    yield "TRAO ĐỔI", None
    yield "Câu hỏi", report.meeting.count(Question)
    yield "Lượt phát biểu", sum(turn.began_at is not None for turn in report.meeting.select(Speaker))
    yield "Lần biểu quyết", len(opened_polls(report))


_DELEGATE_COLUMNS = (
    Column("STT", 5),
    Column("Họ và tên", 20),
    Column("Chức vụ", 14),
    Column("Đơn vị công tác", 18),
    Column("Điện thoại", 11),
    Column("Thành phần", 11),
    Column("Điểm cầu", 20),
    Column("Trạng thái", 12),
    Column("Phương thức", 11),
    Column("Giờ vào đầu", 25),
    Column("Giờ ra cuối", 25),
    Column("Tổng phút có mặt", 8),
    Column("Phút trong giờ họp", 8),
    Column("% thời lượng", 8),
    Column("Số lần vào", 6),
    Column("Đến muộn (phút)", 8),
    Column("Về sớm (phút)", 8),
    Column("Lý do vắng", 14),
    Column("Người xác nhận", 14),
    Column("Ghi chú", 12),
)


def _delegates(report: Report, names: Names) -> Table:
    return Table("Đại biểu", _DELEGATE_COLUMNS, (_delegate(report, p, names) for p in report.presences))


def _delegate(report: Report, presence: Presence, names: Names) -> Row:
    person, intervals = presence.delegate, presence.intervals
    spans = report.spans(intervals)
    here = presence.attendance is not None and presence.attendance.present and not report.closed
    share = 100 * presence.in_session_s / report.duration_s if report.duration_s else None
    return (
        person.order,
        person.name,
        person.position,
        person.unit,
        person.phone,
        _ROLES[person.role],
        report.names.get(person.hall, ""),
        _state(report, presence),
        ", ".join(dict.fromkeys(_METHODS[interval.method] for interval in intervals)),
        iso(spans[0][0]) if spans else "",
        iso(spans[-1][1]) if spans and not here else "",
        minutes(presence.total_s) if intervals else None,
        minutes(presence.in_session_s) if intervals else None,
        round(share, 1) if intervals and share is not None else None,
        len(intervals) or None,
        minutes(presence.late_s) if presence.late_s is not None else None,
        minutes(presence.early_s) if presence.early_s is not None and report.closed else None,
        (presence.attendance.excused or "") if presence.attendance else "",
        _witnesses(presence, names),
        person.note,
    )


def _state(report: Report, presence: Presence) -> str:
    """Who was there at some time was there; before the close nobody is absent without a reason."""
    if presence.ever:
        return _MODES[presence.intervals[-1].mode]
    if presence.excused:
        return "Vắng có lý do"
    return "Vắng không lý do" if report.closed else "Chưa điểm danh"


def _witnesses(presence: Presence, names: Names) -> str:
    """Who checked the delegate in, or accepted the absence."""
    keys = [interval.by for interval in presence.intervals]
    if not keys and presence.attendance and presence.attendance.excused_by:
        keys = [presence.attendance.excused_by]
    return ", ".join(dict.fromkeys(_witness(key, presence, names) for key in keys))


def _witness(key: str, presence: Presence, names: Names) -> str:
    own = key == DelegateActor(id=DelegateId(presence.delegate.id)).key
    return "Tự điểm danh" if own else names.get(key, key)


_HALL_COLUMNS = (
    Column("STT", 6),
    Column("Điểm cầu", 34),
    Column("Đơn vị", 26),
    Column("Điểm cầu chính", 9),
    Column("Triệu tập", 9),
    Column("Trong danh sách", 9),
    Column("Có mặt", 9),
    Column("Trực tiếp", 9),
    Column("Trực tuyến", 9),
    Column("Đang có mặt", 9),
    Column("Tỷ lệ có mặt (%)", 9),
    Column("Đến muộn", 9),
    Column("Vắng có lý do", 9),
    Column("Vắng không lý do", 9),
    Column("Chưa điểm danh", 9),
    Column("Giờ kết nối đầu", 26),
    Column("Phút mất tín hiệu", 9),
    Column("Số lần mất", 8),
    Column("Cán bộ kỹ thuật", 22),
    Column("Điện thoại", 13),
)


def _halls(report: Report) -> Table:
    people: defaultdict[str, list[Presence]] = defaultdict(list)
    for presence in report.presences:
        people[presence.delegate.hall].append(presence)
    rows = (_hall(report, n, hall, people[hall.id]) for n, hall in enumerate(report.halls, 1))
    return Table("Điểm cầu", _HALL_COLUMNS, rows)


def _hall(report: Report, number: int, hall: Hall, people: list[Presence]) -> Row:
    count = tally(people, closed=report.closed)
    link = report.meeting.get(Link, hall.id)
    return (
        number,
        hall.name,
        hall.unit,
        "x" if hall.chair else "",
        hall.convened,
        count.listed,
        count.ever,
        count.in_hall,
        count.online,
        count.now,
        count.percent,
        count.late,
        count.excused,
        count.unexcused,
        count.unknown,
        iso(link.first_at) if link else "",
        minutes(report.lost_s(link)) if link else None,
        link.drops if link else None,
        hall.technician,
        hall.phone,
    )


_INTERVAL_COLUMNS = (
    Column("STT", 6),
    Column("Họ và tên", 24),
    Column("Đơn vị công tác", 24),
    Column("Điểm cầu", 28),
    Column("Lượt", 6),
    Column("Giờ vào", 26),
    Column("Giờ ra", 26),
    Column("Số phút", 9),
    Column("Hình thức", 18),
    Column("Phương thức", 18),
    Column("Người xác nhận", 20),
)


def _intervals(report: Report, names: Names) -> Table:
    def rows() -> Iterator[Row]:
        for presence in report.presences:
            person = presence.delegate
            for n, (interval, (begin, end)) in enumerate(
                zip(presence.intervals, report.spans(presence.intervals), strict=True), 1
            ):
                yield (
                    person.order,
                    person.name,
                    person.unit,
                    report.names.get(person.hall, ""),
                    n,
                    iso(begin),
                    iso(end) if interval.out_at is not None or report.closed else "",
                    minutes(end - begin),
                    _MODES[interval.mode],
                    _METHODS[interval.method],
                    _witness(interval.by, presence, names),
                )

    return Table("Lượt vào ra", _INTERVAL_COLUMNS, rows())


_QUESTION_COLUMNS = (
    Column("STT", 6),
    Column("Người hỏi", 24),
    Column("Điểm cầu", 28),
    Column("Nội dung chương trình", 28),
    Column("Câu hỏi", 60),
    Column("Trạng thái", 14),
    Column("Gửi lúc", 26),
    Column("Xử lý lúc", 26),
    Column("Lý do không duyệt", 28),
    Column("Trả lời", 60),
)


def _questions(report: Report) -> Table:
    asked = sorted(report.meeting.select(Question), key=lambda q: (q.asked_at, q.id))
    rows = (
        (
            n,
            question.name,
            report.names.get(question.hall, ""),
            report.item_title(question.item),
            question.text,
            _QUESTIONS[question.state],
            iso(question.asked_at),
            iso(question.decided_at),
            question.reason,
            question.answer,
        )
        for n, question in enumerate(asked, 1)
    )
    return Table("Câu hỏi", _QUESTION_COLUMNS, rows)


_TURN_COLUMNS = (
    Column("Lượt", 6),
    Column("Người phát biểu", 24),
    Column("Điểm cầu", 28),
    Column("Nội dung chương trình", 28),
    Column("Chủ đề", 40),
    Column("Đăng ký lúc", 26),
    Column("Bắt đầu", 26),
    Column("Kết thúc", 26),
    Column("Số giây", 9),
    Column("Trạng thái", 14),
)


def _turns(report: Report) -> Table:
    def rows() -> Iterator[Row]:
        for turn in sorted(report.meeting.select(Speaker), key=lambda s: (s.turn, s.id)):
            until = report.end if turn.ended_at is None else turn.ended_at
            yield (
                turn.turn,
                turn.name,
                report.names.get(turn.hall, ""),
                report.item_title(turn.item),
                turn.topic,
                iso(turn.asked_at),
                iso(turn.began_at),
                iso(turn.ended_at),
                None if turn.began_at is None else round(max(0.0, until - turn.began_at)),
                _turn_state(turn),
            )

    return Table("Phát biểu", _TURN_COLUMNS, rows())


def _turn_state(turn: Speaker) -> str:
    if turn.waiting:
        return "Đang chờ"
    if turn.speaking:
        return "Đang phát biểu"
    return "Không phát biểu" if turn.began_at is None else "Đã phát biểu"
