"""The report of a rehearsal: figures, verdicts, and both in words for a technician."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Verdict = Literal["good", "bad", "not_measured"]
Language = Literal["vi", "en"]

MOST_PICTURE_S = 3.0
MOST_SWITCH_MS = 400.0
MOST_LATENCY_MS = 10.0
MOST_NODE_SHARE = 0.5
MOST_JOIN_MS = 2.0


def percentile(values: Sequence[float], share: float) -> float:
    """Of at least one value."""
    ordered = sorted(values)
    return round(ordered[int(share * (len(ordered) - 1))], 3)


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds or milliseconds, as the field's name says."""

    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Delays | None":
        if not values:
            return None
        return cls(p50=percentile(values, 0.5), p95=percentile(values, 0.95), most=percentile(values, 1.0))


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """`node_join_cpu_ms`: per hall, without what forwarding took meanwhile. `node_cpu_share`: of one core.

    `lost` packets never came, `repaired` ones came when asked for again; `dropped_here` found a synthetic hall's own
    socket full. Of `verified` sampled packets `faults` were not what was sent, or not in place. None: not measured.
    """

    halls: int
    joined: int
    see_the_stage: int
    errors: tuple[str, ...]
    picture_s: Delays | None
    node_join_cpu_ms: float | None
    seconds: float
    packets: int
    node_cpu_share: float | None
    cpu_us_per_packet: float | None
    lost: int
    repaired: int
    dropped_here: int
    verified: int
    faults: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    switches: int
    switch_ms: Delays | None
    switch_late: int
    node_rss_mb: float | None
    server_rss_mb: float | None
    srtp_profiles: tuple[str, ...]
    verdicts: dict[str, Verdict]


def verdicts(report: RehearsalReport) -> dict[str, Verdict]:
    """Against the bounds above."""
    everyone = report.joined == report.see_the_stage == report.halls
    switch_ms = report.switch_ms.p95 if report.switch_ms is not None else None
    return {
        "joined": _judge(everyone),
        "picture": _bounded(report.picture_s.most if report.picture_s is not None else None, MOST_PICTURE_S),
        "join_cpu": _bounded(report.node_join_cpu_ms, MOST_JOIN_MS),
        "node_cpu": _bounded(report.node_cpu_share, MOST_NODE_SHARE),
        "loss": _judge(report.lost == 0 and report.faults == 0 and report.verified > 0),
        "latency": _bounded(report.latency_p99_ms, MOST_LATENCY_MS),
        "switch": "bad" if report.switch_late else _bounded(switch_ms, MOST_SWITCH_MS),
    }


def _judge(good: bool) -> Verdict:
    return "good" if good else "bad"


def _bounded(value: float | None, most: float) -> Verdict:
    return "not_measured" if value is None else _judge(value <= most)


_TEXTS: dict[Language, dict[str, str]] = {
    "vi": {
        "title": "DIỄN TẬP {halls} ĐIỂM CẦU, {seconds:.0f} giây",
        "joined": "Vào họp: {joined}/{halls}, thấy hình sân khấu: {see}",
        "picture": "Hình đầu tiên sau: {p50:.2f} s (giữa), {p95:.2f} s (95 %), {most:.2f} s (chậm nhất)",
        "join_cpu": "Máy chủ hình: {value:.2f} ms CPU cho mỗi điểm cầu vào họp",
        "node_cpu": "Máy chủ hình khi họp: {share:.0%} một nhân, {us:.2f} µs mỗi gói, {rate} gói/s, {rss} MB",
        "loss": "Gói mất: {lost}, gửi lại: {repaired}, sai nội dung: {faults} trong {verified} gói kiểm tra",
        "latency": "Độ trễ thêm: {p50:.2f} ms (giữa), {p99:.2f} ms (99 %)",
        "switch": "Chuyển người phát biểu ({count} lần): {p50:.0f} ms (giữa), {p95:.0f} ms (95 %), quá hạn: {late}",
        "none": "{what}: không đo được",
        "own": "Lưu ý: {count} gói bị bỏ ngay tại máy diễn tập, không phải do máy chủ.",
        "good": "ĐẠT",
        "bad": "KHÔNG ĐẠT",
        "not_measured": "—",
        "all_good": "Kết luận: ĐẠT. Hệ thống sẵn sàng cho {halls} điểm cầu trên máy này.",
        "not_good": "Kết luận: KHÔNG ĐẠT. Xem các dòng có dấu ✗.",
    },
    "en": {
        "title": "REHEARSAL OF {halls} HALLS, {seconds:.0f} seconds",
        "joined": "Joined: {joined}/{halls}, see the stage: {see}",
        "picture": "First picture after: {p50:.2f} s (median), {p95:.2f} s (95 %), {most:.2f} s (slowest)",
        "join_cpu": "Media node: {value:.2f} ms CPU for each hall that joins",
        "node_cpu": "Media node meanwhile: {share:.0%} of one core, {us:.2f} µs a packet, {rate} packets/s, {rss} MB",
        "loss": "Packets lost: {lost}, sent again: {repaired}, wrong: {faults} of {verified} looked into",
        "latency": "Added delay: {p50:.2f} ms (median), {p99:.2f} ms (99 %)",
        "switch": "Floor switch ({count} times): {p50:.0f} ms (median), {p95:.0f} ms (95 %), too late: {late}",
        "none": "{what}: not measured",
        "own": "Note: {count} packets were dropped at the rehearsal's own sockets, not by the server.",
        "good": "GOOD",
        "bad": "BAD",
        "not_measured": "—",
        "all_good": "Result: GOOD. Ready for {halls} halls on this machine.",
        "not_good": "Result: BAD. See the lines marked ✗.",
    },
}
_SIGNS = {"good": "✓", "bad": "✗", "not_measured": "–"}


def describe(report: RehearsalReport, language: Language) -> str:
    """For a technician to read."""
    texts = _TEXTS[language]
    lines = [texts["title"].format(halls=report.halls, seconds=report.seconds), ""]
    for name, verdict in report.verdicts.items():
        lines.append(f"  {_SIGNS[verdict]} {_line(name, report, texts)}  [{texts[verdict]}]")
    lines += [f"    {error}" for error in report.errors]
    if report.dropped_here:
        lines.append("  " + texts["own"].format(count=report.dropped_here))
    good = "bad" not in report.verdicts.values()
    return "\n".join([*lines, "", texts["all_good" if good else "not_good"].format(halls=report.halls)])


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
    return found[name]
