"""The report of a rehearsal: figures, verdicts, and both in words for a technician."""

from typing import Literal

import msgspec

from clients.rehearsal.phones_report import PhonesReport
from clients.rehearsal.report_values import Delays

Verdict = Literal["good", "bad", "not_measured"]
Language = Literal["vi", "en"]

MOST_PICTURE_S = 3.0
MOST_SWITCH_MS = 400.0
MOST_LATENCY_MS = 10.0
MOST_NODE_SHARE = 0.5
MOST_JOIN_MS = 2.0
MOST_ANSWER_MS = 300.0
MOST_TOLD_MS = 200.0
MOST_LAG_MS = 50.0
UNHARMED = 1.25


class MediaDuringVote(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures while all phones vote, to be read beside the figures of the quiet meeting before."""

    seconds: float
    packets: int
    lost: int
    faults: int
    node_cpu_share: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """`node_join_cpu_ms`: per hall, without what forwarding took meanwhile. `node_cpu_share`: of one core.

    `lost` packets never came, `repaired` ones came when asked for again; `dropped_here` found a synthetic hall's own
    socket full. Of `verified` sampled packets `faults` were not what was sent, or not in place. None: not measured.
    `node_ended`: a media node did in the middle, so that nothing of them is measured. `phones` and `vote` with
    delegates only.
    """

    halls: int
    joined: int = 0
    see_the_stage: int = 0
    errors: tuple[str, ...] = ()
    node_ended: bool = False
    picture_s: Delays | None = None
    node_join_cpu_ms: float | None = None
    seconds: float = 0.0
    packets: int = 0
    node_cpu_share: float | None = None
    cpu_us_per_packet: float | None = None
    lost: int = 0
    repaired: int = 0
    dropped_here: int = 0
    verified: int = 0
    faults: int = 0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    switches: int = 0
    switch_ms: Delays | None = None
    switch_late: int = 0
    node_rss_mb: float | None = None
    server_rss_mb: float | None = None
    srtp_profiles: tuple[str, ...] = ()
    phones: PhonesReport | None = None
    vote: MediaDuringVote | None = None
    verdicts: dict[str, Verdict] = {}


def verdicts(report: RehearsalReport) -> dict[str, Verdict]:
    """Against the bounds above."""
    found: dict[str, Verdict] = _of_halls(report) if report.halls else {}
    if report.phones is not None:
        found |= _of_phones(report.phones)
    if report.vote is not None:
        found["vote_media"] = _of_vote(report, report.vote)
    return found


def _of_halls(report: RehearsalReport) -> dict[str, Verdict]:
    everyone = report.joined == report.see_the_stage == report.halls
    switch_ms = report.switch_ms.p95 if report.switch_ms is not None else None
    return {
        "joined": _judge(everyone),
        "picture": _bounded(report.picture_s.most if report.picture_s is not None else None, MOST_PICTURE_S),
        "join_cpu": _bounded(report.node_join_cpu_ms, MOST_JOIN_MS),
        "node_cpu": "bad" if report.node_ended else _bounded(report.node_cpu_share, MOST_NODE_SHARE),
        "loss": _judge(report.lost == 0 and report.faults == 0 and report.verified > 0),
        "latency": _bounded(report.latency_p99_ms, MOST_LATENCY_MS),
        "switch": "bad" if report.switch_late else _bounded(switch_ms, MOST_SWITCH_MS),
    }


def _of_phones(phones: PhonesReport) -> dict[str, Verdict]:
    interrupted = phones.interrupted
    return {
        "phones_joined": _judge(phones.joined == phones.delegates),
        "phones_answers": _bounded(max(phones.check_in.p99_ms, phones.votes.p99_ms), MOST_ANSWER_MS),
        "phones_told": _bounded(phones.told.p99_ms, MOST_TOLD_MS),
        "phones_back": _judge(
            interrupted.back == interrupted.cut + interrupted.slept and interrupted.resumed >= interrupted.cut
        ),
        "phones_loss": _judge(phones.lost == 0 and phones.counted.right and not phones.faults),
        "phones_replicas": _judge(phones.compared > 0 and phones.differing == 0),
        "phones_loop": _bounded(phones.loop_lag_max_ms, MOST_LAG_MS),
    }


def _of_vote(report: RehearsalReport, vote: MediaDuringVote) -> Verdict:
    """Unharmed: no more lost and no later than in the quiet before, or than is good anyway."""
    if vote.faults or vote.lost * report.packets > UNHARMED * report.lost * vote.packets:
        return "bad"
    return _bounded(vote.latency_p99_ms, max(MOST_LATENCY_MS, UNHARMED * (report.latency_p99_ms or 0.0)))


def _judge(good: bool) -> Verdict:
    return "good" if good else "bad"


def _bounded(value: float | None, most: float) -> Verdict:
    return "not_measured" if value is None else _judge(value <= most)


_TEXTS: dict[Language, dict[str, str]] = {
    "vi": {
        "title": "DIỄN TẬP {halls} ĐIỂM CẦU, {seconds:.0f} giây",
        "title_phones": "DIỄN TẬP {delegates} ĐẠI BIỂU",
        "joined": "Vào họp: {joined}/{halls}, thấy hình sân khấu: {see}",
        "picture": "Hình đầu tiên sau: {p50:.2f} s (giữa), {p95:.2f} s (95 %), {most:.2f} s (chậm nhất)",
        "join_cpu": "Máy chủ hình: {value:.2f} ms CPU cho mỗi điểm cầu vào họp",
        "node_cpu": "Máy chủ hình khi họp: {share:.0%} một nhân, {us:.2f} µs mỗi gói, {rate} gói/s, {rss} MB",
        "loss": "Gói mất: {lost}, gửi lại: {repaired}, sai nội dung: {faults} trong {verified} gói kiểm tra",
        "latency": "Độ trễ thêm: {p50:.2f} ms (giữa), {p99:.2f} ms (99 %)",
        "switch": "Chuyển người phát biểu ({count} lần): {p50:.0f} ms (giữa), {p95:.0f} ms (95 %), quá hạn: {late}",
        "phones_joined": "Điện thoại vào họp: {joined}/{delegates}, sau {p50:.2f} s (giữa), "
        "{most:.2f} s (chậm nhất), {cpu} µs CPU",
        "phones_answers": "Điểm danh, biểu quyết: trả lời sau {check_in} ms, {votes} ms (99 %), {cpu} µs CPU mỗi lệnh",
        "phones_told": "Thay đổi đến điện thoại sau: {p50} ms (giữa), {p99} ms (99 %)",
        "phones_back": "Mất kết nối {cut}, ngủ {slept}: trở lại {back}, nhận tiếp phần còn thiếu {resumed}",
        "phones_loss": "Lệnh hoặc tin bị mất: {lost}, gửi lặp {twice}, có mặt {present}, câu hỏi {questions}, "
        "phiếu {ballots}",
        "phones_replicas": "Bản sao trên điện thoại khác máy chủ: {differing} trong {compared}",
        "phones_loop": "Máy chủ chậm nhất: {lag} ms",
        "vote_media": "Hình khi mọi người biểu quyết: trễ {p50:.2f} ms (giữa), {p99:.2f} ms (99 %), mất {lost} gói",
        "none": "{what}: không đo được",
        "own": "Lưu ý: {count} gói bị bỏ ngay tại máy diễn tập, không phải do máy chủ.",
        "node_ended": "Lưu ý: một máy chủ hình đã dừng giữa buổi diễn tập.",
        "good": "ĐẠT",
        "bad": "KHÔNG ĐẠT",
        "not_measured": "—",
        "all_good": "Kết luận: ĐẠT. Hệ thống sẵn sàng cho {halls} điểm cầu trên máy này.",
        "all_good_phones": "Kết luận: ĐẠT. Hệ thống sẵn sàng cho {halls} điểm cầu và {delegates} đại biểu trên máy "
        "này.",
        "not_good": "Kết luận: KHÔNG ĐẠT. Xem các dòng có dấu ✗.",
    },
    "en": {
        "title": "REHEARSAL OF {halls} HALLS, {seconds:.0f} seconds",
        "title_phones": "REHEARSAL OF {delegates} DELEGATES",
        "joined": "Joined: {joined}/{halls}, see the stage: {see}",
        "picture": "First picture after: {p50:.2f} s (median), {p95:.2f} s (95 %), {most:.2f} s (slowest)",
        "join_cpu": "Media node: {value:.2f} ms CPU for each hall that joins",
        "node_cpu": "Media node meanwhile: {share:.0%} of one core, {us:.2f} µs a packet, {rate} packets/s, {rss} MB",
        "loss": "Packets lost: {lost}, sent again: {repaired}, wrong: {faults} of {verified} looked into",
        "latency": "Added delay: {p50:.2f} ms (median), {p99:.2f} ms (99 %)",
        "switch": "Floor switch ({count} times): {p50:.0f} ms (median), {p95:.0f} ms (95 %), too late: {late}",
        "phones_joined": "Phones joined: {joined}/{delegates}, after {p50:.2f} s (median), {most:.2f} s (slowest), "
        "{cpu} µs CPU",
        "phones_answers": "Check-in, vote: answered after {check_in} ms, {votes} ms (99 %), {cpu} µs CPU a command",
        "phones_told": "Changes reach the phones after: {p50} ms (median), {p99} ms (99 %)",
        "phones_back": "Lines cut {cut}, asleep {slept}: back {back}, told what they missed {resumed}",
        "phones_loss": "Commands or news lost: {lost}, sent twice {twice}, present {present}, "
        "questions {questions}, votes {ballots}",
        "phones_replicas": "Phones that differ from the server: {differing} of {compared}",
        "phones_loop": "Server's loop at its latest: {lag} ms",
        "vote_media": "Pictures while all vote: delay {p50:.2f} ms (median), {p99:.2f} ms (99 %), {lost} packets lost",
        "none": "{what}: not measured",
        "own": "Note: {count} packets were dropped at the rehearsal's own sockets, not by the server.",
        "node_ended": "Note: a media node ended in the middle of the rehearsal.",
        "good": "GOOD",
        "bad": "BAD",
        "not_measured": "—",
        "all_good": "Result: GOOD. Ready for {halls} halls on this machine.",
        "all_good_phones": "Result: GOOD. Ready for {halls} halls and {delegates} delegates on this machine.",
        "not_good": "Result: BAD. See the lines marked ✗.",
    },
}
_SIGNS = {"good": "✓", "bad": "✗", "not_measured": "–"}


def describe(report: RehearsalReport, language: Language) -> str:
    """For a technician to read."""
    texts, phones = _TEXTS[language], report.phones
    delegates = phones.delegates if phones is not None else 0
    titles = (*(("title",) if report.halls else ()), *(("title_phones",) if delegates else ()))
    lines = [texts[title].format(halls=report.halls, seconds=report.seconds, delegates=delegates) for title in titles]
    lines.append("")
    for name, verdict in report.verdicts.items():
        lines.append(f"  {_SIGNS[verdict]} {_line(name, report, texts)}  [{texts[verdict]}]")
    lines += [f"    {error}" for error in report.errors]
    if report.node_ended:
        lines.append("  " + texts["node_ended"])
    if phones is not None:
        lines += [f"    {code}: {count}" for code, count in phones.faults.items()]
    if report.dropped_here:
        lines.append("  " + texts["own"].format(count=report.dropped_here))
    good = "not_good" if "bad" in report.verdicts.values() else "all_good_phones" if delegates else "all_good"
    return "\n".join([*lines, "", texts[good].format(halls=report.halls, delegates=delegates)])


def _line(name: str, report: RehearsalReport, texts: dict[str, str]) -> str:
    values = _values(name, report)
    return texts["none"].format(what=texts[name].partition(":")[0]) if values is None else texts[name].format(**values)


def _values(name: str, report: RehearsalReport) -> dict[str, object] | None:
    """What the line's text needs; None: not measured."""
    picture, switch = report.picture_s, report.switch_ms
    found: dict[str, dict[str, object] | None] = {
        "joined": {"joined": report.joined, "halls": report.halls, "see": report.see_the_stage},
        "picture": msgspec.structs.asdict(picture) if picture else None,
        "join_cpu": {"value": report.node_join_cpu_ms} if report.node_join_cpu_ms is not None else None,
        "node_cpu": {
            "share": report.node_cpu_share,
            "us": report.cpu_us_per_packet,
            "rate": round(report.packets / report.seconds) if report.seconds else 0,
            "rss": report.node_rss_mb,
        }
        if report.node_cpu_share is not None
        else None,
        "loss": {
            "lost": report.lost,
            "repaired": report.repaired,
            "faults": report.faults,
            "verified": report.verified,
        },
        "latency": {"p50": report.latency_p50_ms, "p99": report.latency_p99_ms}
        if report.latency_p99_ms is not None
        else None,
        "switch": {**msgspec.structs.asdict(switch), "count": report.switches, "late": report.switch_late}
        if switch
        else None,
    }
    return found[name] if name in found else _phone_values(name, report)


def _or_dash(value: float | None) -> object:
    return "–" if value is None else value


def _phone_values(name: str, report: RehearsalReport) -> dict[str, object] | None:
    phones, vote = report.phones, report.vote
    if name == "vote_media":
        measured = vote is not None and vote.latency_p99_ms is not None
        return (
            {"p50": vote.latency_p50_ms, "p99": vote.latency_p99_ms, "lost": vote.lost} if vote and measured else None
        )
    if phones is None or (name == "phones_loop" and phones.loop_lag_max_ms is None):
        return None
    join, counted = phones.join_s, phones.counted
    found: dict[str, dict[str, object]] = {
        "phones_joined": {
            "joined": phones.joined,
            "delegates": phones.delegates,
            "p50": join.p50 if join else 0.0,
            "most": join.most if join else 0.0,
            "cpu": _or_dash(phones.connect_cpu_us),
        },
        "phones_answers": {
            "check_in": phones.check_in.p99_ms,
            "votes": phones.votes.p99_ms,
            "cpu": _or_dash(phones.votes.cpu_us),
        },
        "phones_told": {"p50": phones.told.p50_ms, "p99": phones.told.p99_ms},
        "phones_back": msgspec.structs.asdict(phones.interrupted),
        "phones_loss": {
            "lost": phones.lost,
            "twice": counted.twice,
            "present": counted.present,
            "questions": counted.questions,
            "ballots": counted.votes,
        },
        "phones_replicas": {"differing": phones.differing, "compared": phones.compared},
        "phones_loop": {"lag": phones.loop_lag_max_ms},
    }
    return found[name]
