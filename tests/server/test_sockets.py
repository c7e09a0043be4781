"""The socket as PROTOCOL.md tells it, against a real server."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from rooms.actor import SERVER, DelegateActor
from rooms.agenda import AddItem
from rooms.attendance import CheckIn
from rooms.floor import GiveFloor
from rooms.ids import DelegateId, HallId
from rooms.questions import Question
from rooms.roster import RenewLink
from rooms.visibility import Audience
from server.offline import offline
from tests.support.live import Live, WireClient, client, live
from tests.support.meetings import HOST, command_id, make
from tests.support.raw_phone import RawPhone

pytestmark = pytest.mark.slow


def pending(one: WireClient) -> list[str]:
    return [q["text"] for q in one.records("question") if q["state"] == "pending"]


async def test_everyone_sees_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        host_token = await server.staff_token()
        async with (
            client(server, host_token) as host,
            client(server, server.hall_token("h1")) as hall,
            client(server, server.delegate_token("d1")) as author,
            client(server, server.delegate_token("d2")) as neighbour,
        ):
            assert host.welcome["me"]["kind"] == "staff" and hall.welcome["me"]["endpoint"] == "h1"
            assert author.welcome["me"]["name"] == "Lò Thị Ánh" and author.welcome["me"]["hall"] == "h1"
            assert [d["id"] for d in author.records("delegate")] == ["d1"]
            assert not host.records("delegate") and not hall.records("delegate")
            assert {h["phone"] for h in author.records("hall")} == {""}

            assert (await author.give("attendance.check_in"))["ok"]
            await host.until(lambda c: c.replica["hall_count/h1"]["present"] == 1)
            await hall.until(lambda c: c.replica["hall_count/h1"]["present"] == 1)
            assert not neighbour.records("attendance") and not neighbour.records("hall_count")

            assert (await author.give("question.ask", text="Bao giờ có đường?"))["ok"]
            await host.until(pending)
            await author.until(pending)
            question = host.records("question")[0]["id"]
            assert not hall.records("question") and not neighbour.records("question")
            assert (await host.give("question.approve", question=question))["ok"]
            for one in (hall, neighbour, author):
                await one.until(lambda c: [q for q in c.records("question") if q["state"] == "approved"])
            assert (await host.give("question.dismiss", question=question, reason="Nhầm"))["ok"]
            for one in (hall, neighbour):
                await one.until(lambda c: not c.records("question"))
            await author.until(lambda c: c.records("question")[0]["reason"] == "Nhầm")


def assert_equal_to_the_state(server: Live, one: WireClient) -> None:
    me = one.welcome["me"]
    audience = Audience(me["kind"], None if me["kind"] == "staff" else me["id"])
    views = server.service.room_of(server.runner).views
    seen = {r.key: msgspec.json.decode(msgspec.json.encode(r)) for r in views.replica(audience).put}
    assert one.replica == seen


async def test_who_comes_back_gets_only_what_was_missed(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        host = WireClient(server.url)
        author, neighbour = WireClient(server.url), WireClient(server.url)
        await host.connect(await server.staff_token())
        await author.connect(server.delegate_token("d1"))
        await neighbour.connect(server.delegate_token("d2"))
        for text in ("Một", "Hai"):
            await author.give("question.ask", text=text)
        await host.until(lambda c: len(pending(c)) == 2)
        first, second = (q["id"] for q in host.records("question"))
        await host.give("question.approve", question=first)
        await neighbour.until(lambda c: c.records("question"))
        await neighbour.close()
        await host.give("question.dismiss", question=first, reason="Nhầm")
        await host.give("question.approve", question=second)
        answer = await neighbour.connect(server.delegate_token("d2"), resume=True)
        assert answer["reset"] is False
        assert [r["id"] for r in answer["put"]] == [second] and answer["drop"] == [f"question/{first}"]
        for one in (host, author, neighbour):
            await one.until(lambda c: c.rev >= 0)
            await asyncio.sleep(0.2)
            assert_equal_to_the_state(server, one)
            await one.close()


async def test_a_foreign_or_future_position_starts_anew(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        one = WireClient(server.url)
        await one.connect(server.delegate_token("d1"))
        await one.close()
        for log_id, since in (("another", one.rev), (one.welcome["log_id"], one.rev + 99), (one.welcome["log_id"], -5)):
            again = WireClient(server.url)
            again.welcome, again.rev = {"log_id": log_id}, since
            answer = await again.connect(server.delegate_token("d1"), resume=True)
            assert answer["reset"] is True
            assert_equal_to_the_state(server, again)
            await again.close()


async def test_a_retried_command_gets_the_same_answer(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        command = {"type": "question.ask", "id": command_id(), "text": "Một lần"}
        async with client(server, server.delegate_token("d1")) as one:
            first = await one.command(command)
        async with client(server, server.delegate_token("d1")) as one:
            assert await one.command(command) == first
            await one.until(lambda c: len(c.records("question")) == 1)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"protocol": 1, "token": "nonsense"}, "bad_token"),
        ({"protocol": 1, "token": "x" * 5000}, "bad_token"),
        ({"protocol": 0, "token": "nonsense"}, "wrong_protocol"),
        ({"protocol": 99, "token": "nonsense"}, "unavailable"),
        ({"protocol": 1}, "bad_request"),
        ({"protocol": 1, "token": "x", "more": 1}, "bad_request"),
        ("hello", "bad_request"),
        (None, "bad_request"),
        ([[[[]]]], "bad_request"),
    ],
)
async def test_a_bad_hello_is_told_why_and_closed(tmp_path: Path, hello: Any, code: str) -> None:
    async with live(tmp_path) as server:
        one = WireClient(server.url)
        await one.open()
        assert await one.call("hello", hello) == {"ok": False, "code": code, "field": None}
        async with asyncio.timeout(5):
            await one.gone.wait()


async def test_a_renewed_link_makes_the_old_one_void(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        old = server.hall_token("h1")
        connected = WireClient(server.url)
        await connected.connect(old)
        await server.runner.submit(HOST, make(RenewLink, hall=HallId("h1")))
        async with asyncio.timeout(5):
            await connected.gone.wait()
        assert ("goodbye", {"code": "bad_token", "retry": False}) in connected.events
        one = WireClient(server.url)
        assert (await one.connect(old))["code"] == "bad_token"
        async with client(server, server.hall_token("h1")):
            pass


async def test_before_hello_and_bad_bodies_are_refused_and_others_notice_nothing(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.delegate_token("d2")) as calm:
        one = WireClient(server.url)
        await one.open()
        assert (await one.give("attendance.check_in"))["code"] == "unauthorised"
        assert (await one.call("offer", {"sdp": "v=0", "slots": {}}))["code"] == "unauthorised"
        assert (await one.call("no_such_event", {}))["code"] == "bad_request"
        await one.call("hello", {"protocol": 1, "token": server.delegate_token("d1")})
        bodies: tuple[Any, ...] = (
            None,
            7,
            "x",
            [],
            {},
            {"type": "no.such"},
            {"type": "question.ask", "id": command_id(), "text": 5},
        )
        for body in bodies:
            assert (await one.call("command", body))["code"] == "bad_request", body
        assert (await one.give("meeting.open"))["code"] == "not_allowed"
        assert (await one.give("roster.import", halls=[], delegates=[]))["code"] == "not_allowed"
        assert (await one.call("offer", {"sdp": "v=0", "slots": {}}))["code"] == "not_allowed"
        assert (await one.call("hello", {"protocol": 1, "token": server.delegate_token("d1")}))["code"] == "bad_request"
        assert (await calm.give("attendance.check_in"))["ok"]
        await one.close()


RAW: list[str | bytes] = [
    b"\x00\xff\xfe",
    "",
    "9",
    "4",
    "42",
    "42[",
    '42["command"',
    "42[1,2,3]",
    "42[]",
    '42{"a":1}',
    "43",
    "45-[]",
    '451-["x",{"_placeholder":true,"num":0}]',
    "4" + "9" * 500,
    "2" * 10_000,
    "4" + "[" * 50_000,
    "42" + "1" * 5_000 + '["x"]',
]


async def all_gone(server: Live, but: int) -> None:
    """No ghost is left of clients that were cut off."""
    for _ in range(150):
        if len(server.running.sockets.connected) == but:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(server.running.sockets.connected)} sockets are still open")


async def test_malformed_frames_disturb_nobody_else(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.delegate_token("d2")) as calm:
        address = f"{server.url}/socket.io/?EIO=4&transport=websocket"
        for raw in RAW:
            async with server.http.ws_connect(address) as ws:
                await ws.send_str("40")
                if isinstance(raw, bytes):
                    await ws.send_bytes(raw)
                else:
                    await ws.send_str(raw)
                await asyncio.sleep(0.02)
        async with server.http.ws_connect(address) as ws:
            await ws.send_str("4" + "x" * 2_000_000)
            async with asyncio.timeout(5):
                while (await ws.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                    pass
        assert (await calm.give("attendance.check_in"))["ok"]
        status, health = await server.get("/readyz")
        assert (status, health["ok"]) == (200, True)
        await all_gone(server, but=1)


async def test_polling_transport_is_not_offered(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        status, _ = await server.get("/socket.io/", EIO="4", transport="polling")
        assert status == 400


async def test_a_newer_hall_page_replaces_the_older(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, await server.staff_token()) as host:
        older = WireClient(server.url)
        await older.connect(server.hall_token("h1"))
        await host.until(lambda c: c.replica.get("link/h1", {}).get("up"))
        async with client(server, server.hall_token("h1")):
            async with asyncio.timeout(5):
                await older.gone.wait()
            assert ("goodbye", {"code": "replaced", "retry": False}) in older.events
            assert host.replica["link/h1"]["up"] and host.replica["link/h1"]["drops"] == 0
        await host.until(lambda c: not c.replica["link/h1"]["up"])


def hall_presence(one: WireClient, hall: str) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for event, body in one.events:
        if event == "presence":
            last |= next((h for h in body["halls"] if h["hall"] == hall), {})
    return last


async def test_presence_reaches_staff_only(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, await server.staff_token()) as host:
        async with (
            client(server, server.hall_token("h1")) as hall,
            client(server, server.delegate_token("d1")) as phone,
        ):
            await host.until(lambda c: hall_presence(c, "h1").get("online") and hall_presence(c, "h1")["phones"] == 1)
            report = {"camera": True, "microphone": True, "viewing": True, "trouble": "weak_line", "still": "/9j/AAAA"}
            assert (await hall.call("report", report))["ok"]
            await host.until(lambda c: hall_presence(c, "h1")["trouble"] == "weak_line")
            assert not [e for e, _ in hall.events + phone.events if e in ("presence", "stills")]
            for bad in ({**report, "still": "x" * 30_000}, {**report, "still": "<svg>"}, {**report, "trouble": "?"}):
                assert (await hall.call("report", bad))["code"] == "bad_request"
            assert (await phone.call("report", report))["code"] == "not_allowed"
            assert (await phone.call("tiles", {"halls": []}))["code"] == "not_allowed"
        await host.until(lambda c: hall_presence(c, "h1")["online"] is False and hall_presence(c, "h1")["phones"] == 0)


async def test_a_flood_is_slowed_and_the_others_go_on(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        async with (
            client(server, server.delegate_token("d1")) as flood,
            client(server, server.delegate_token("d2")) as calm,
        ):
            answers = await asyncio.gather(*(flood.give("attendance.check_in") for _ in range(150)))
            assert {a.get("code") for a in answers} == {None, "too_many"}
            assert (await calm.give("attendance.check_in"))["ok"]


async def test_stage_is_told_by_records(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.hall_token("h2")) as hall:
        await server.runner.submit(HOST, make(GiveFloor, hall=HallId("h1")))
        await hall.until(lambda c: c.replica["stage/stage"]["audio"][0] == "h1/microphone")
        assert hall.replica["stage/stage"]["video"] == ["h1/camera", None]
        assert [s["hall"] for s in hall.records("speaker")] == ["h1"]


async def test_nonsense_offers_are_refused_and_the_node_lives(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.hall_token("h1")) as hall:
        await hall.until(lambda c: c.welcome["media_epoch"] or ("media" in [e for e, _ in c.events]))
        epoch = server.running.nodes.each[0].epoch
        nonsense = [
            "",
            "v=0",
            "x" * 1000,
            "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=video 9 X 96\r\n",
            "\0\r\n" * 500,
        ]
        for sdp in nonsense:
            answer = await hall.call("offer", {"sdp": sdp, "slots": {"0": "camera"}})
            assert answer["code"] in ("bad_sdp", "too_many"), answer
        assert (await hall.call("offer", {"sdp": 5, "slots": {}}))["code"] == "bad_request"
        assert server.running.nodes.each[0].epoch == epoch
        assert (await server.get("/readyz"))[0] == 200


async def test_a_command_beside_the_server_is_seen_and_disturbs_no_hall(tmp_path: Path) -> None:
    """As `diemcau import` does: another process opens the meeting and writes into its log."""
    async with live(tmp_path) as server, client(server, await server.staff_token()) as host:
        async with client(server, server.hall_token("h1")):
            await host.until(lambda c: c.replica.get("link/h1", {}).get("up"))
            async with offline(server.service.settings) as parts:
                beside = await parts.meetings.get(server.meeting)
                await beside.submit(SERVER, make(AddItem, title="Từ bên cạnh"))
            await host.until(lambda c: [i for i in c.records("item") if i["title"] == "Từ bên cạnh"])
            assert host.replica["link/h1"]["up"] and host.replica["link/h1"]["drops"] == 0


async def test_what_was_sent_before_a_line_was_lost_counts_all_the_same(tmp_path: Path) -> None:
    """A delegate asks three things, the browser goes away at once: the answers are lost, the questions are not."""
    async with live(tmp_path) as server:
        await server.runner.submit(DelegateActor(DelegateId("d1")), make(CheckIn))
        phone = await RawPhone.open(server.url)
        await phone.hello(server.delegate_token("d1"))
        for number in range(3):
            command = {"type": "question.ask", "id": command_id(), "text": f"Câu {number}"}
            phone.say(f"42{number + 1}" + msgspec.json.encode(["command", command]).decode())
        await phone.writer.drain()
        phone.writer.close()
        async with asyncio.timeout(5):
            while len(list(server.runner.meeting.select(Question))) < 3:
                await asyncio.sleep(0.02)
            while server.running.sockets.connected:
                await asyncio.sleep(0.02)


async def test_a_console_may_offer_as_much_as_browsers_do(tmp_path: Path) -> None:
    """Chromium's offer for a stage and 25 tiles is longer than 64 KiB; what the node says of it is another matter."""
    async with live(tmp_path) as server, client(server, await server.staff_token()) as host:
        await server.media_up()
        answer = await host.call("offer", {"sdp": "v=0\r\n" + "a=filler\r\n" * 12_000, "slots": {}})
        assert answer == {"ok": False, "code": "bad_sdp", "field": None}
