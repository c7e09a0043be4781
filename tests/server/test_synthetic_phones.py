"""The synthetic phones that rehearsal and benchmark trust: what they count against a real server in this loop."""

import asyncio
from pathlib import Path

from clients.rehearsal.line import Line, text_frame
from clients.rehearsal.phone import MARK, Seat
from clients.rehearsal.phones import Phones
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
