"""The server's side of the media node: what it passes on to halls, what consoles and scrapers are told."""

import asyncio
from pathlib import Path
from typing import Any

from media.control import DownlinkChanged, FeedChanged, Levels, PeerChanged, SourceWanted
from tests.server.test_sockets import hall_presence
from tests.support.control_tap import ControlTap, tapped_node
from tests.support.live import Live, WireClient, client, live

STILL = "/9j/" + "A" * 8000
ON = {"camera": True, "microphone": True, "viewing": True, "trouble": "none"}


def told(one: WireClient, event: str) -> list[Any]:
    return [body for name, body in one.events if name == event]


def want(tap: ControlTap, server: Live, source: str, *rids: str, hall: str = "h1") -> None:
    tap.say(SourceWanted(group=server.meeting, endpoint=hall, source=source, rids=rids))


async def test_a_hall_is_told_what_is_wanted_of_it_and_told_again_when_its_socket_comes_back(tmp_path: Path) -> None:
    async with tapped_node(tmp_path) as tap, live(tmp_path) as server:
        await tap.attached()
        async with client(server, server.hall_token("h1")) as hall, client(server, server.hall_token("h2")) as other:
            want(tap, server, "camera", "q", "h", "f")
            want(tap, server, "camera", "q")
            want(tap, server, "microphone", "")
            want(tap, server, "nonsense", "q")
            await hall.until(lambda c: len(told(c, "wanted")) == 3)
            assert told(hall, "wanted") == [
                {"source": "camera", "rids": ["q", "h", "f"]},
                {"source": "camera", "rids": ["q"]},
                {"source": "microphone", "rids": [""]},
            ]
            assert told(other, "wanted") == []
        async with client(server, server.hall_token("h1")) as hall:
            await hall.until(lambda c: len(told(c, "wanted")) == 2)
            assert told(hall, "wanted")[0] == {"source": "camera", "rids": ["q"]}
        tap.say(PeerChanged(group=server.meeting, endpoint="h1", state="closed"))
        await asyncio.sleep(0.2)
        async with client(server, server.hall_token("h1")) as hall:
            await asyncio.sleep(0.2)
            assert told(hall, "wanted") == [], "a connection that has ended wants nothing"


async def test_the_rung_of_a_line_is_told_to_the_hall_and_to_staff(tmp_path: Path) -> None:
    async with tapped_node(tmp_path) as tap, live(tmp_path) as server:
        await tap.attached()
        async with (
            client(server, await server.staff_token()) as host,
            client(server, server.hall_token("h1")) as hall,
        ):
            tap.say(DownlinkChanged(group=server.meeting, endpoint="h1", rung="high", estimate_bps=2_000_000))
            tap.say(DownlinkChanged(group=server.meeting, endpoint="h1", rung="audio", estimate_bps=90_000))
            await hall.until(lambda c: {"rung": "audio", "estimate_bps": 90_000} in told(c, "downlink"))
            await host.until(lambda c: hall_presence(c, "h1").get("rung") == "audio")
            assert hall_presence(host, "h1")["estimate_bps"] == 90_000
        async with client(server, server.hall_token("h1")) as hall:
            await hall.until(lambda c: {"rung": "audio", "estimate_bps": 90_000} in told(c, "downlink"))


async def test_a_paused_camera_is_ready_and_only_one_asked_for_in_vain_is_lost(tmp_path: Path) -> None:
    async with tapped_node(tmp_path) as tap, live(tmp_path) as server:
        await tap.attached()

        def feed(active: bool, source: str = "camera") -> None:
            tap.say(FeedChanged(group=server.meeting, feed=f"h1/{source}", active=active))

        async with (
            client(server, await server.staff_token()) as host,
            client(server, server.hall_token("h1")) as hall,
        ):

            async def becomes(state: str, source: str = "camera", timeout_s: float = 3.0) -> None:
                await host.until(lambda c: hall_presence(c, "h1").get(source) == state, timeout_s)

            tap.say(PeerChanged(group=server.meeting, endpoint="h1", state="connected"))
            assert (await hall.call("report", ON))["ok"]
            await becomes("ready")
            feed(True)
            await becomes("sending")
            feed(False)  # nobody looks: the node let it pause
            await becomes("ready")
            want(tap, server, "camera", "q")
            await asyncio.sleep(1.5)
            assert hall_presence(host, "h1")["camera"] == "ready", "it has a moment to begin"
            await becomes("lost", timeout_s=5.0)
            feed(True)
            await becomes("sending")
            assert (await hall.call("report", {**ON, "camera": False}))["ok"]
            feed(False)
            await becomes("off")
            await asyncio.sleep(5.0)
            assert hall_presence(host, "h1")["camera"] == "off", "what a hall switched off is not missed"

            feed(True, "microphone")
            tap.say(Levels(group=server.meeting, levels={"h1/microphone": -31}))
            await host.until(lambda c: hall_presence(c, "h1").get("level") == -30)
            tap.say(Levels(group=server.meeting, levels={"h1/microphone": -90}))
            await host.until(lambda c: hall_presence(c, "h1").get("level") == -127)
            tap.say(Levels(group=server.meeting, levels={"h1/microphone": -20}))
            await host.until(lambda c: hall_presence(c, "h1").get("level") == -18)
            assert (await hall.call("report", {**ON, "microphone": False}))["ok"]
            await becomes("off", "microphone")
            assert hall_presence(host, "h1")["level"] == -127


async def test_stills_go_to_consoles_that_look_and_halls_know_whether_anybody_does(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        async with (
            client(server, await server.staff_token()) as wall,
            client(server, await server.staff_token()) as closed,
            client(server, server.hall_token("h1")) as hall,
            client(server, server.hall_token("h2")) as second,
        ):
            assert (await hall.call("report", {**ON, "still": STILL}))["ok"]
            assert (await second.call("report", {**ON, "still": STILL}))["ok"]
            assert (await wall.call("wall", {"halls": ["h1", "h3"]}))["ok"]
            await wall.until(lambda c: {"stills": [{"hall": "h1", "jpeg": STILL}]} in told(c, "stills"))
            await hall.until(lambda c: {"source": "still", "rids": [""]} in told(c, "wanted"))
            assert (await second.call("report", {**ON, "still": STILL + "B"}))["ok"]
            assert (await hall.call("report", {**ON, "still": STILL + "C"}))["ok"]
            await wall.until(lambda c: {"stills": [{"hall": "h1", "jpeg": STILL + "C"}]} in told(c, "stills"))
            assert len(told(wall, "stills")) == 2, "the other hall is not on this wall"
            assert told(closed, "stills") == [] and told(second, "wanted") == []
            for bad in ("/9j/" + "A" * 11_000, "<svg>"):
                assert (await hall.call("report", {**ON, "still": bad}))["code"] == "bad_request"
            assert (await hall.call("wall", {"halls": ["h2"]}))["code"] == "not_allowed"
            assert (await wall.call("wall", {"halls": "all"}))["code"] == "bad_request"

            await hall.close()
            async with client(server, server.hall_token("h1")) as back:
                await back.until(lambda c: {"source": "still", "rids": [""]} in told(c, "wanted"))
                await wall.close()
                await back.until(lambda c: told(c, "wanted")[-1] == {"source": "still", "rids": []})


async def test_media_figures_are_asked_of_the_node_once_a_second(tmp_path: Path) -> None:
    async with tapped_node(tmp_path) as tap, live(tmp_path) as server:
        await tap.attached()
        path = f"/api/meetings/{server.meeting}/media"
        assert (await server.get(path))[0] == 401
        await server.login("technician")
        await asyncio.sleep(0.3)
        asked = tap.asked.get("GetStats", 0)
        answers = await asyncio.gather(*(server.get(path, hall="h1") for _ in range(10)))
        assert all(status == 200 for status, _ in answers), answers
        assert tap.asked["GetStats"] == asked + 1
        body = answers[0][1]
        assert body["peers"] == [] and body["cpu_s"] > 0 and body["rss_bytes"] > 10_000_000
        await asyncio.sleep(1.1)
        assert (await server.get(path))[0] == 200
        assert tap.asked["GetStats"] == asked + 2


async def test_figures_dump_and_metrics_without_a_node(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        await server.running.nodes.stop()
        path = f"/api/meetings/{server.meeting}/media"
        async with asyncio.timeout(5):
            while (await server.get(path))[0] == 200:
                await asyncio.sleep(0.2)
        assert await server.get(path) == (503, {"code": "media_down", "field": None})
        assert await server.get("/api/media/dump") == (503, {"code": "media_down", "field": None})
        status, text = await server.get("/metrics")
        assert status == 200 and b'diemcau_media_up{node="node0"} 0.0' in text


async def test_only_an_operator_gets_metrics_and_the_dump(tmp_path: Path) -> None:
    async with live(tmp_path, metrics_token="geheim") as server:
        for path in ("/metrics", "/api/media/dump"):
            for headers, status in (
                ({}, 200),
                ({"X-Forwarded-For": "203.0.113.5"}, 403),
                ({"X-Forwarded-For": "203.0.113.5", "Authorization": "Bearer geheim"}, 200),
            ):
                await _node_up(server)
                async with server.http.get(server.url + path, headers=headers) as answer:
                    assert answer.status == status, (path, headers)


async def _node_up(server: Live) -> None:
    async with asyncio.timeout(10):
        while not (await server.get("/readyz"))[1]["media"]:
            await asyncio.sleep(0.05)
