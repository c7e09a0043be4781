"""The synthetic phones that rehearsal and benchmark trust: what they count against a real server in this loop."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from clients.bench.sockets import Broadcast, Commands, SocketsPeer, SocketsReport, describe_sockets
from clients.rehearsal.line import Line, text_frame
from clients.rehearsal.phone import MARK, Seat
from clients.rehearsal.phones import Phones
from clients.rehearsal.phones_report import Answered, Counted, Interrupted, PhonesReport, Told
from clients.rehearsal.report import MediaDuringVote, RehearsalReport, describe, verdicts
from clients.rehearsal.report_values import Delays
from rooms.attendance import Attendance
from tests.support.live import Live, client, live


class Heard:
    """What a line hands on."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.answers: list[bytes] = []
        self.reasons: list[str] = []
        self.opened = 0

    def connected(self) -> None:
        self.opened += 1

    def heard(self, payload: bytes) -> None:
        self.events.append(payload)

    def answered(self, payload: bytes) -> None:
        self.answers.append(payload)

    def lost(self, line: Line, reason: str) -> None:
        self.reasons.append(reason)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def server_frame(payload: bytes, kind: int = 0x81) -> bytes:
    size = len(payload)
    head = bytes((kind, size)) if size < 126 else bytes((kind, 126)) + size.to_bytes(2, "big")
    return head + payload


def test_a_line_reads_frames_however_they_are_cut() -> None:
    told = b'42["patch",{"rev":7,"put":[],"drop":[],"more":"' + b"x" * 200 + b'"}]'
    stream = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" + b"".join(
        server_frame(payload) for payload in (b'0{"sid":"a"}', b'40{"sid":"b"}', told, b'431[{"ok":true}]', b"2")
    )
    for step in (1, 2, 3, 50, len(stream)):
        listener, wire = Heard(), Wire()
        line = Line(listener, b"GET")
        line.connection_made(wire)
        for at in range(0, len(stream), step):
            line.data_received(stream[at : at + step])
        assert (listener.opened, listener.events, listener.answers) == (1, [told], [b'431[{"ok":true}]'])
        assert wire.written == [b"GET", text_frame(b"40"), text_frame(b"3")]


def test_a_line_is_given_up_for_nonsense_and_says_why() -> None:
    for stream, reason in (
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 101 x\r\n\r\n" + server_frame(b"x", 0x82), "not a text frame"),
        (b"HTTP/1.1 101 x\r\n\r\n" + server_frame((1011).to_bytes(2, "big"), 0x88), "closed with 1011"),
    ):
        listener, wire = Heard(), Wire()
        line = Line(listener, b"GET")
        line.connection_made(wire)
        line.data_received(stream)
        assert wire.aborted
        line.connection_lost(None)
        assert listener.reasons == [reason]


def crowd(server: Live) -> Phones:
    return Phones(server.url, [Seat(server.delegate_token(f"d{n}"), n % 2) for n in (1, 2, 3)])


async def test_phones_hold_what_the_server_says_through_a_cut_line_and_a_repeated_command(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, await server.staff_token()) as host:
        phones = crowd(server)
        assert await phones.come(phones.all, 2, 10.0)
        assert (await host.give("agenda.add", title=f"{MARK.decode()}0"))["ok"]
        item = next(iter(await host.until(lambda host: host.records("item"))))["id"]
        phones.all[0].give("attendance.check_in", twice=True, mode="in_hall")
        assert await phones.until(lambda: not phones.waiting, 5.0)
        phones.all[1].give("attendance.check_in", mode="in_hall")
        phones.all[1].lose()
        phones.all[2].sleep()
        phones.waves.send(1)
        assert (await host.give("agenda.edit", item=item, title=f"{MARK.decode()}1"))["ok"]
        await asyncio.sleep(0.2)
        assert phones.missing(1) >= 1, "who sleeps hears nothing"
        phones.all[2].wake()
        assert await phones.until(lambda: not phones.missing(1) and not phones.waiting, 10.0)
        tally = phones.tally
        assert (tally.resets, tally.resumes, tally.repeated, tally.resent) == (3, 1, 1, 1)
        assert (len(tally.acks_s), len(tally.late_acks_s), tally.given) == (1, 1, 2)
        assert not tally.faults and not tally.refused and dict(tally.setbacks) == {"cut": 1}
        assert await phones.differing() == (3, 0)
        present = list(server.runner.meeting.select(Attendance))
        assert {(each.id, len(each.intervals), each.present) for each in present} == {("d1", 1, True), ("d2", 1, True)}
        await phones.leave()


async def test_a_replica_that_differs_is_found(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        phones = crowd(server)
        assert await phones.come(phones.all, 3, 10.0)
        replica = phones.all[0].replica
        assert replica is not None
        replica.pop(next(iter(replica)))
        assert await phones.differing(within_s=0.1) == (3, 1)
        await phones.leave()


async def test_a_phone_whose_link_was_renewed_does_not_come_again(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        phones = Phones(server.url, [Seat("nonsense", 0)])
        assert not await phones.come(phones.all, 1, 5.0)
        assert phones.all[0].gone == "bad_token" and dict(phones.tally.faults) == {"goodbye bad_token": 1}
        await phones.leave()


ANSWERED = Answered(given=100, lost=0, again=2, seconds=10.0, p50_ms=5.0, p99_ms=40.0, cpu_us=200.0)
COUNTED = Counted(
    present=100,
    present_acknowledged=100,
    questions=5,
    questions_acknowledged=5,
    votes=100,
    votes_acknowledged=100,
    sums_right=True,
    twice=4,
    second_votes=1,
    second_votes_refused=1,
)
PHONES = PhonesReport(
    delegates=100,
    joined=100,
    storm_s=2.0,
    join_s=Delays(p50=0.01, p95=0.02, most=0.03),
    connect_cpu_us=300.0,
    check_in=ANSWERED,
    questions=ANSWERED,
    told=Told(changes=10, missed=0, p50_ms=20.0, p99_ms=90.0),
    interrupted=Interrupted(cut=20, slept=10, back=30, back_s=None, resumed=20, reset=0),
    votes=ANSWERED,
    counted=COUNTED,
    compared=100,
    differing=0,
    setbacks={"cut": 22},
    faults={},
    loop_lag_max_ms=20.0,
)
VOTE = MediaDuringVote(
    seconds=10.0, packets=1000, lost=0, faults=0, node_cpu_share=0.1, latency_p50_ms=1.0, latency_p99_ms=8.0
)


def judged(phones: PhonesReport) -> RehearsalReport:
    report = RehearsalReport(halls=0, phones=phones)
    return replace(report, verdicts=verdicts(report))


def bad(phones: PhonesReport) -> set[str]:
    return {name for name, verdict in judged(phones).verdicts.items() if verdict == "bad"}


def test_a_rehearsal_of_phones_is_good_only_when_nothing_is_lost_or_counted_wrongly() -> None:
    assert bad(PHONES) == set()
    assert bad(replace(PHONES, votes=replace(ANSWERED, lost=1))) == {"phones_loss"}
    assert bad(replace(PHONES, told=replace(PHONES.told, missed=1))) == {"phones_loss"}
    assert bad(replace(PHONES, counted=replace(COUNTED, votes=101))) == {"phones_loss"}
    assert bad(replace(PHONES, counted=replace(COUNTED, second_votes_refused=0))) == {"phones_loss"}
    assert bad(replace(PHONES, faults={"patch out of order": 1})) == {"phones_loss"}
    assert bad(replace(PHONES, differing=1)) == bad(replace(PHONES, compared=0)) == {"phones_replicas"}
    assert bad(replace(PHONES, interrupted=replace(PHONES.interrupted, back=29))) == {"phones_back"}
    assert bad(replace(PHONES, votes=replace(ANSWERED, p99_ms=301.0))) == {"phones_answers"}
    assert bad(replace(PHONES, told=replace(PHONES.told, p99_ms=201.0))) == {"phones_told"}
    assert bad(replace(PHONES, joined=99)) == {"phones_joined"} and bad(replace(PHONES, loop_lag_max_ms=51)) == {
        "phones_loop"
    }


def test_a_vote_harms_the_pictures_when_they_are_later_or_more_are_lost_than_before() -> None:
    def verdict(vote: MediaDuringVote, p99_ms: float, lost: int) -> str:
        report = RehearsalReport(halls=4, packets=1000, lost=lost, latency_p99_ms=p99_ms, vote=vote)
        return verdicts(report)["vote_media"]

    assert verdict(VOTE, 2.0, 0) == "good", "10 ms are good whatever was before"
    assert verdict(replace(VOTE, latency_p99_ms=20.0), 8.0, 0) == "bad"
    assert verdict(replace(VOTE, latency_p99_ms=20.0), 18.0, 0) == "good"
    assert verdict(replace(VOTE, lost=1), 2.0, 0) == "bad" and verdict(replace(VOTE, lost=1), 2.0, 1) == "good"


def test_the_report_is_told_in_both_languages() -> None:
    vi, en = describe(judged(PHONES), "vi"), describe(judged(PHONES), "en")
    assert "DIỄN TẬP 100 ĐẠI BIỂU" in vi and "Kết luận: ĐẠT" in vi and "có mặt 100, câu hỏi 5, phiếu 100" in vi
    assert "REHEARSAL OF 100 DELEGATES" in en and "Result: GOOD" in en and "300.0 µs CPU" in en
    elsewhere = judged(replace(PHONES, connect_cpu_us=None, loop_lag_max_ms=None, faults={"goodbye replaced": 2}))
    assert "– Máy chủ chậm nhất: không đo được" in describe(elsewhere, "vi")
    assert "goodbye replaced: 2" in describe(elsewhere, "en") and "None" not in describe(elsewhere, "en")


def test_the_sockets_report_is_told_with_ratios() -> None:
    broadcast = Broadcast(cpu_us_per_recipient=8.0, p50_ms=60.0, p99_ms=150.0)
    commands = Commands(per_s=990, ack_p50_ms=5.0, ack_p99_ms=50.0, lost=0)
    figures = {"clients": 100, "rss_kb_per_client": 20.0, "commands": commands, "loop_lag_max_ms": 30.0}
    stock = SocketsPeer(connect_cpu_us=600.0, broadcast=replace(broadcast, cpu_us_per_recipient=96.0), **figures)  # type: ignore[arg-type]
    ours = SocketsReport(
        connect_cpu_us=300.0,
        broadcast=broadcast,
        peers={"socketio": stock},
        ratio={"socketio": 12.0},
        **figures,  # type: ignore[arg-type]
    )
    assert "socketio takes 12.0 times ours to broadcast, 2.0 times to connect" in describe_sockets(ours)
