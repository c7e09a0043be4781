"""WHIP and WHEP as HTTP: who may, what comes back, what ends a session; on the real server and node."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rooms.roster import RenewLink
from server.http.whip import FRAGMENT, MOST_SDP, SDP
from server.whip import MOST_ENCODERS
from tests.support.live import Live, live
from tests.support.media_client import OFFER
from tests.support.meetings import HOST, make

pytestmark = pytest.mark.slow

OFFERED = OFFER.format(fingerprint=":".join(["AB"] * 32)).replace("\n", "\r\n")
NEWS = "a=ice-ufrag:news\r\na=ice-pwd:0123456789012345678901\r\n"


class Web:
    """Requests with a bearer token, and the status, headers and text of their answers."""

    def __init__(self, server: Live) -> None:
        self.server = server
        self.token = server.hall_token()

    async def ask(
        self, method: str, path: str, body: str | bytes = b"", **headers: str
    ) -> tuple[int, Mapping[str, str], str]:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        async with self.server.http.request(method, self.server.url + path, data=data, headers=sent) as answer:
            return answer.status, answer.headers, (await answer.read()).decode()

    async def offer(self, path: str, sdp: str | bytes = OFFERED, kind: str = SDP) -> tuple[int, Mapping[str, str], str]:
        return await self.ask("POST", path, sdp, Content_Type=kind)

    async def patch(self, path: str, body: str = NEWS, kind: str = FRAGMENT, **headers: str) -> tuple[int, str, str]:
        status, got, text = await self.ask("PATCH", path, body, Content_Type=kind, **headers)
        return status, got.get("ETag", ""), text

    def whip(self, hall: str = "h1") -> str:
        return f"/whip/{self.server.meeting}/{hall}"

    @property
    def whep(self) -> str:
        return f"/whep/{self.server.meeting}/stage"

    async def peers(self) -> set[str]:
        from media.control import GetStats, Stats

        stats = await self.server.service.nodes.each[0].request(GetStats())
        assert isinstance(stats, Stats)
        return {peer.endpoint for peer in stats.peers}


async def test_an_offer_is_answered_and_its_session_ended(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        for path in (web.whip(), web.whep):
            status, headers, answer = await web.offer(path)
            assert status == 201 and headers["Content-Type"].startswith(SDP)
            assert headers["Accept-Patch"] == FRAGMENT and headers["Access-Control-Allow-Origin"] == "*"
            ufrag = next(line for line in answer.splitlines() if line.startswith("a=ice-ufrag:"))[12:]
            assert headers["ETag"] == f'"{ufrag}"'
            location = headers["Location"]
            assert location.startswith(path + "/")
            assert await web.peers() == {location.rpartition("/")[2]}
            assert (await web.ask("DELETE", location))[0] == 200
            assert await web.peers() == set()
            assert (await web.ask("DELETE", location))[0] == 404
            assert (await web.patch(location, If_Match="*"))[0] == 404
        assert len(server.service.whip) == 0


async def test_the_halls_card_says_what_obs_asks_for(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        _, card = await server.get(f"/api/meetings/{server.meeting}/halls/h1/card")
        web = Web(server)
        assert card["encoder_url"] == server.service.settings.public_url + web.whip()
        web.token = card["encoder_token"]
        assert (await web.offer(web.whip()))[0] == 201


async def test_microphones_publish_and_slots_receive_by_kind(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        _, _, published = await web.offer(web.whip())
        assert [line for line in published.splitlines() if line in ("a=recvonly", "a=sendonly", "a=inactive")] == [
            "a=recvonly",
            "a=inactive",
        ]
        assert "usedtx=1;useinbandfec=1" in published
        _, _, played = await web.offer(web.whep)
        assert [line for line in played.splitlines() if line in ("a=recvonly", "a=sendonly", "a=inactive")] == [
            "a=inactive",
            "a=sendonly",
        ]


async def test_who_may_and_who_may_not(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        hall, staff = web.token, await server.staff_token()
        _, headers, _ = await web.offer(web.whip())
        session = headers["Location"]
        for token, path, status in (
            ("", web.whip(), 401),
            ("nonsense", web.whip(), 401),
            ("", web.whep, 401),
            (server.seat_token(), web.whip(), 401),
            (server.delegate_token(), web.whip(), 403),
            (server.delegate_token(), web.whep, 403),
            (server.hall_token("h2"), web.whip(), 403),
            (hall, web.whip("h2"), 403),
            (hall, web.whip("h9"), 404),
            (hall, "/whip/nowhere/h1", 403),
            (staff, web.whip("h9"), 404),
            (staff, web.whip("h2"), 201),
            (staff, web.whep, 201),
            (server.hall_token("h2"), web.whep, 201),
        ):
            web.token = token
            got, headers, text = await web.offer(path)
            assert got == status, (path, got, text)
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert got != 401 or headers["WWW-Authenticate"] == "Bearer"
        for token, status in (("", 401), (server.hall_token("h2"), 403), (server.delegate_token(), 403)):
            web.token = token
            assert (await web.ask("DELETE", session))[0] == status
            assert (await web.patch(session, If_Match="*"))[0] == status
        web.token = staff
        assert (await web.ask("DELETE", session))[0] == 200


async def test_wrong_tokens_are_limited_by_address(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        web.token = "wrong"
        assert {(await web.offer(web.whip()))[0] for _ in range(60)} == {401}
        web.token = server.hall_token()
        assert (await web.offer(web.whip()))[0] == 429


async def test_bodies_that_are_no_offer(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        no_role = OFFERED.replace("a=setup:actpass", "a=setup:holdconn")
        for sdp, status, code in (
            ("hello", 400, "bad_sdp"),
            (b"v=0\r\n\xff", 400, "bad_sdp"),
            (b"", 400, "bad_sdp"),
            (b"v=0\r\n" + b"a=x\r\n" * (MOST_SDP // 5), 413, "too_large"),
            (no_role, 422, "unsupported"),
            (OFFERED.replace("opus", "PCMU"), 422, "unsupported"),
            (OFFERED.replace("a=sendonly", "a=recvonly"), 406, "not_acceptable"),
            (OFFERED.replace("a=recvonly", "a=sendonly"), 406, "not_acceptable"),
        ):
            got, _, text = await web.offer(web.whip(), sdp)
            assert (got, msgspec.json.decode(text)["code"]) == (status, code), sdp[:200]
        assert (await web.offer(web.whip() + "?source=content"))[0] == 406  # no picture in it
        assert (await web.offer(web.whip() + "?source=everything"))[0] == 400
        assert (await web.offer(web.whip(), kind="application/json"))[0] == 415
        assert await web.peers() == set()


async def test_ice_restarts_candidates_and_preconditions(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        _, headers, _ = await web.offer(web.whip())
        session, tag = headers["Location"], headers["ETag"]
        trickled = NEWS + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"
        assert (await web.patch(session, trickled))[0] == 428
        assert (await web.patch(session, trickled, If_Match='"other"'))[0] == 412
        assert (await web.patch(session, trickled, If_Match=tag)) == (204, "", "")
        assert (await web.patch(session, trickled, If_Match=f'"other", {tag}'))[0] == 204
        assert (await web.patch(session, "no fragment", If_Match=tag))[0] == 400
        assert (await web.patch(session, trickled, kind=SDP, If_Match=tag))[0] == 415
        status, fresh, fragment = await web.patch(session, If_Match="*")
        assert status == 200 and fresh not in ("", tag)
        assert f"a=ice-ufrag:{fresh[1:-1]}" in fragment.splitlines()
        assert any(line.startswith("a=candidate:") for line in fragment.splitlines())
        assert (await web.patch(session, trickled, If_Match=tag))[0] == 412
        assert (await web.patch(session, trickled, If_Match=fresh))[0] == 204
        assert (await web.patch(session, "a=ice-ufrag:x", If_Match="*"))[0] == 400
        assert (await web.patch(session, "a=x\r\n" * (MOST_SDP // 4), If_Match="*"))[0] == 413
        assert len(server.service.whip) == 1  # what failed ended nothing


async def test_other_methods_and_preflights(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        _, made, _ = await web.offer(web.whip())
        session = made["Location"]
        web.token = ""
        for path, methods, accept in (
            (web.whip(), {"POST"}, ("Accept-Post", SDP)),
            (web.whep, {"POST"}, ("Accept-Post", SDP)),
            (session, {"PATCH", "DELETE"}, ("Accept-Patch", FRAGMENT)),
        ):
            status, headers, _ = await web.ask(
                "OPTIONS", path, Origin="https://player.example", Access_Control_Request_Method="POST"
            )
            assert status == 200 and headers[accept[0]] == accept[1]
            assert methods <= set(headers["Access-Control-Allow-Methods"].split(", "))
            assert "Authorization" in headers["Access-Control-Allow-Headers"]
            assert headers["Access-Control-Allow-Origin"] == "*"
            for method in {"GET", "PUT", "POST", "PATCH", "DELETE"} - methods:
                status, headers, _ = await web.ask(method, path)
                assert status == 405, (method, path)
                assert methods <= set(headers["Allow"].split(","))


async def test_relays_come_as_link_headers(tmp_path: Path) -> None:
    urls = ("turn:turn.example.vn?transport=udp", "turns:turn.example.vn?transport=tcp")
    async with live(tmp_path, turn_urls=urls, turn_secret="a secret") as server:
        web = Web(server)
        for path in (web.whip(), web.whep):
            _, headers, _ = await web.offer(path)
            endpoint = headers["Location"].rpartition("/")[2]
            links = headers.getall("Link")  # type: ignore[attr-defined]
            assert [each.partition(">")[0][1:] for each in links] == list(urls)
            for each in links:
                assert 'rel="ice-server"' in each and 'credential-type="password"' in each
                assert f':{endpoint}"' in each.partition("username=")[2].partition(";")[0]


async def test_one_encoder_too_many_ends_the_oldest(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        made = [(await web.offer(web.whip()))[1]["Location"] for _ in range(MOST_ENCODERS + 1)]
        web.token = server.hall_token("h2")
        other = (await web.offer(web.whip("h2")))[1]["Location"]
        assert await web.peers() == {path.rpartition("/")[2] for path in (*made[1:], other)}


async def test_a_renewed_link_ends_the_sessions_of_its_hall(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        web = Web(server)
        await web.offer(web.whip())
        await web.offer(web.whep)
        web.token = server.hall_token("h2")
        left = (await web.offer(web.whep))[1]["Location"]
        await server.runner.submit(HOST, make(RenewLink, hall="h1"))
        async with asyncio.timeout(5):
            while len(await web.peers()) > 1:
                await asyncio.sleep(0.05)
        assert await web.peers() == {left.rpartition("/")[2]}
        assert len(server.service.whip) == 1


async def test_sessions_outlive_the_server_and_end_with_the_node(tmp_path: Path) -> None:
    from server.app import serving
    from tests.support.live import _session, settings

    async with serving(settings(tmp_path), keep_media=True) as running, _session() as http:
        runner = await running.service.meetings.create("Hội nghị", "")
        from tests.support.live import fill

        await fill(runner)
        web = Web(Live(running, runner, http))
        async with asyncio.timeout(10):
            while (began := await web.offer(web.whip()))[0] != 201:
                assert began[0] == 503 and began[1]["Retry-After"]  # the node is still starting
                await asyncio.sleep(0.1)
        session = began[1]["Location"]
    async with live(tmp_path) as server:
        web = Web(server)
        assert (await web.patch(session, If_Match="*"))[0] == 200
        assert len(server.service.whip) == 1
        assert server.running.nodes.each[0].epoch is not None
        await _kill_the_node(server)
        assert (await web.ask("DELETE", session))[0] in (404, 503)
        async with asyncio.timeout(10):
            while (await web.offer(web.whip()))[0] != 201:
                await asyncio.sleep(0.1)
        assert len(server.service.whip) == 1


async def _kill_the_node(server: Live) -> None:
    from media.control import Attach, Attached

    told: Any = await server.running.nodes.each[0].request(Attach())
    assert isinstance(told, Attached)
    os.kill(told.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while len(server.service.whip):
            await asyncio.sleep(0.05)
