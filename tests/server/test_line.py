"""The line to the server without a socket: hello, patches by long poll and commands over plain HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rooms.attendance import CheckIn
from rooms.ids import DelegateId
from rooms.questions import AskQuestion
from rooms.roster import RenewLink
from rooms.visibility import Audience
from server import polling
from tests.support.live import Live, client, live
from tests.support.meetings import D1, D2, HOST, command_id, make

pytestmark = pytest.mark.slow


class PollClient:
    """A delegate's page without a socket, exactly as PROTOCOL.md says."""

    def __init__(self, server: Live, token: str, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.token = token
        self.http = http
        self.replica: dict[str, Any] = {}
        self.welcome: dict[str, Any] = {}
        self.rev = -1

    async def hello(self, **more: Any) -> tuple[int, dict[str, Any]]:
        said = {"protocol": 1, "token": self.token, **more}
        async with self.http.post(f"{self.server.url}/api/line/hello", json=said) as answer:
            told = await answer.json()
            if answer.status == 200:
                self.welcome = told
                if told["reset"]:
                    self.replica.clear()
                self._apply(told)
            return answer.status, told

    async def poll(self, **query: Any) -> tuple[int, dict[str, Any]]:
        place = {"log_id": self.welcome.get("log_id", ""), "since": str(self.rev), **query}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.get(f"{self.server.url}/api/line/patches", params=place, headers=headers) as answer:
            told = await answer.json()
            if answer.status == 200 and told["patch"]:
                self._apply(told["patch"])
            return answer.status, told

    def _apply(self, patch: dict[str, Any]) -> None:
        for record in patch["put"]:
            self.replica[f"{record['kind']}/{record['id']}"] = record
        for key in patch["drop"]:
            self.replica.pop(key, None)
        self.rev = patch["rev"]

    async def command(self, type: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        body = {"type": type, "id": command_id(), **fields}
        return await self.server.post("/api/line/command", body, self.token)


@asynccontextmanager
async def polling_client(server: Live, delegate: str = "d1") -> AsyncIterator[PollClient]:
    async with aiohttp.ClientSession() as http:
        one = PollClient(server, server.delegate_token(delegate), http)
        assert (await one.hello())[0] == 200
        yield one


async def test_it_sees_what_the_socket_sees(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone, client(server, phone.token) as socket:
        assert phone.welcome["me"] == socket.welcome["me"]
        assert phone.replica == socket.replica
        waiting = asyncio.create_task(phone.poll())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        status, accepted = await phone.command("attendance.check_in", mode="in_hall")
        assert status == 200
        assert (await waiting)[1]["patch"]["rev"] == accepted["rev"] == phone.rev
        assert phone.replica["attendance/d1"]["intervals"][0]["mode"] == "in_hall"
        await socket.until(lambda c: c.rev >= accepted["rev"])
        assert phone.replica == socket.replica


async def test_what_happens_between_two_polls_is_in_the_second(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        await server.runner.submit(D1, make(CheckIn))
        await server.runner.submit(D1, make(AskQuestion, text="Khi nào có đường mới?"))
        _, told = await phone.poll()
        assert told["patch"]["rev"] == server.runner.meeting.rev
        assert [key for key in phone.replica if key.startswith("question/")]
        assert set(phone.replica) == {
            record.key for record in server.service.room_of(server.runner).views.replica(_audience("d1")).put
        }


def _audience(delegate: str) -> Audience:
    return Audience("delegate", delegate)


async def test_what_others_do_in_private_ends_no_wait_but_moves_the_place(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        waiting = asyncio.create_task(phone.poll(wait="1"))
        await asyncio.sleep(0.1)
        await server.runner.submit(D2, make(CheckIn))
        _, told = await waiting
        private = [record for record in told["patch"]["put"] if record["id"] == "d2"]
        assert (private, told["goodbye"]) == ([], None)
        assert told["patch"]["rev"] == server.runner.meeting.rev


async def test_a_retried_command_counts_once_whichever_way_it_came(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone, client(server, phone.token) as socket:
        command = {"type": "question.ask", "id": command_id(), "text": "Một lần thôi"}
        await phone.command("attendance.check_in", mode="in_hall")
        first = await server.post("/api/line/command", command, phone.token)
        again = await server.post("/api/line/command", command, phone.token)
        assert first == again == (200, await socket.command(command))
        assert len([r for r in server.runner.meeting.records() if r.key.startswith("question/")]) == 1


async def test_refusals_and_nonsense_have_the_sockets_codes(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        assert (await phone.command("floor.request", topic=""))[1]["code"] == "not_present"
        assert (await phone.command("no.such"))[1]["code"] == "bad_request"
        assert (await phone.command("roster.import", halls=[], delegates=[]))[1]["code"] == "not_allowed"
        assert (await phone.hello(protocol=0))[1]["code"] == "wrong_protocol"
        assert (await phone.poll(since="-1"))[1] == {"code": "bad_request", "field": "since"}
        assert (await phone.poll(since="9" * 400))[0] == 400
        for token in (server.hall_token(), await server.staff_token()):
            other = PollClient(server, token, phone.http)
            assert (await other.hello())[1]["code"] == "not_allowed"
            assert (await other.command("attendance.check_in"))[1]["code"] == "not_allowed"
        for token in ("", "nonsense", server.seat_token()):
            other = PollClient(server, token, phone.http)
            assert [(await other.hello())[0], (await other.poll())[0]] == [401, 401]


async def test_an_unknown_place_is_told_to_come_again(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        lagging = {"patch": None, "goodbye": {"code": "lagging", "retry": True}}
        assert (await phone.poll(since=str(phone.rev + 1000)))[1] == lagging
        assert (await phone.poll(log_id="another"))[1] == lagging
        assert (await phone.hello(log_id=phone.welcome["log_id"], since=phone.rev))[1]["reset"] is False


async def test_a_renewed_link_ends_the_wait_for_good(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        waiting = asyncio.create_task(phone.poll())
        await asyncio.sleep(0.1)
        await server.runner.submit(HOST, make(RenewLink, delegate=DelegateId("d1")))
        assert (await waiting)[1]["goodbye"] == {"code": "bad_token", "retry": False}
        assert (await phone.poll())[1]["code"] == "bad_token"


async def test_it_goes_on_over_a_restart(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with live(tmp_path) as server:
            phone = PollClient(server, server.delegate_token(), http)
            await phone.hello()
            await phone.command("attendance.check_in", mode="in_hall")
            await phone.poll()
            waiting = asyncio.create_task(phone.poll())
            await asyncio.sleep(0.1)
        assert (await waiting)[1]["goodbye"] == {"code": "restart", "retry": True}
        async with live(tmp_path) as server:
            phone.server = server
            status, told = await phone.hello(log_id=phone.welcome["log_id"], since=phone.rev)
            assert (status, told["rev"]) == (200, phone.rev)
            assert phone.replica["attendance/d1"]["intervals"]


async def test_polls_are_bounded_and_so_are_commands(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        polls = [asyncio.create_task(phone.poll(wait="5")) for _ in range(polling.MOST_PER_DELEGATE)]
        await asyncio.sleep(0.2)
        room = server.service.room_of(server.runner)
        assert len(room.fanout.of(_audience("d1"))) == polling.MOST_PER_DELEGATE
        last = asyncio.create_task(phone.poll(wait="1"))
        done, _ = await asyncio.wait(polls, timeout=2, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        await last
        answers = [await phone.command("attendance.check_in", mode="in_hall") for _ in range(80)]
        assert answers[0][0] == 200
        assert answers[-1] == (429, {"code": "too_many", "field": None})
        await asyncio.gather(*polls)
        assert not room.fanout.of(_audience("d1"))


async def test_the_console_counts_the_phone_while_it_polls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LINGER_S", 0.5)
    async with live(tmp_path) as server, polling_client(server) as phone:
        presence = server.service.room_of(server.runner).presence
        for _ in range(3):
            await phone.poll(wait="0")
            assert presence.of(phone.welcome["me"]["hall"]).phones == 1
        await asyncio.sleep(0.8)
        assert presence.of(phone.welcome["me"]["hall"]).phones == 0


async def test_an_impatient_clients_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    async with live(tmp_path) as server, polling_client(server) as phone:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await phone.poll(wait="1")
        await asyncio.sleep(1.3)
        assert server.service.metrics.long_polls._value.get() == 0
        assert not server.service.room_of(server.runner).fanout.of(_audience("d1"))
