"""A node process with real aiortc peers, over the real control channel."""

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.control import (
    CloseEndpoint,
    Done,
    Dump,
    Failed,
    FeedChanged,
    Levels,
    Offer,
    PeerChanged,
    SetStage,
    SetTiles,
    Shutdown,
    Text,
)
from tests.support.media_control import ControlClient, NodeProcess, running_node
from tests.support.media_peers import AiortcEndpoint, ColourTrack, ToneTrack, joined

pytestmark = pytest.mark.slow

STAGE = ["stage.0", "audio.0"]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    async with running_node(tmp_path) as process:
        yield process


@pytest.fixture
async def control(node: NodeProcess) -> AsyncIterator[ControlClient]:
    async with node.client() as client:
        attached = await client.attach()
        assert (attached.epoch, attached.port, attached.pid) == (node.ready.epoch, node.ready.port, node.ready.pid)
        yield client


async def test_picture_and_sound_of_the_stage_reach_a_hall(control: ControlClient) -> None:
    await control.stage("g", ["h1/camera"], ["h1/microphone"])  # named before it exists
    async with (
        joined(control, "g", "h1", {"camera": ColourTrack("red"), "microphone": ToneTrack(440)}),
        joined(control, "g", "h2", {}, STAGE) as hall,
    ):
        await hall.receivers["stage.0"].colour("red")
        await hall.receivers["audio.0"].tone(440)
        await hall.receivers["stage.0"].frames(30)
        await control.event(FeedChanged, lambda event: event.feed == "h1/camera" and event.active)
        levels = await control.event(Levels)
        assert -60 < levels.levels["h1/microphone"] <= 0
        stats = await control.peer_stats("h1")
        assert stats.srtp_profile == "SRTP_AEAD_AES_128_GCM"
        assert {feed.codec for feed in stats.feeds} == {"vp8", "opus"}
        dump = await control.request(Dump())
        assert isinstance(dump, Text) and "h1/camera" in dump.text


async def test_the_floor_decides_whose_picture_and_sound_are_forwarded(control: ControlClient) -> None:
    async with (
        joined(control, "g", "h1", {"camera": ColourTrack("red"), "microphone": ToneTrack(440)}),
        joined(control, "g", "h2", {"camera": ColourTrack("blue"), "microphone": ToneTrack(880)}),
        joined(control, "g", "h3", {}, STAGE) as hall,
    ):
        picture, sound = hall.receivers["stage.0"], hall.receivers["audio.0"]
        for name, colour, hertz in [("h1", "red", 440), ("h2", "blue", 880), ("h1", "red", 440)]:
            await control.stage("g", [f"{name}/camera"], [f"{name}/microphone"])
            await picture.colour(colour)
            await sound.tone(hertz)
            await picture.frames(5)
        await control.stage("g", ["h1/camera"], [])
        await asyncio.sleep(0.3)
        before = (await control.peer_stats("h3")).packets_out
        heard = sound.count
        await picture.frames(15)
        after = (await control.peer_stats("h3")).packets_out
        assert sound.count - heard <= 2  # what was in the jitter buffer
        assert after > before


async def test_a_microphone_is_not_returned_to_its_own_endpoint(control: ControlClient) -> None:
    await control.stage("g", [], ["h1/microphone"])
    async with (
        joined(control, "g", "h1", {"microphone": ToneTrack(440)}, ["audio.0"]) as speaker,
        joined(control, "g", "h2", {"microphone": ToneTrack(880)}, ["audio.0"]) as other,
    ):
        await other.receivers["audio.0"].tone(440)
        assert speaker.receivers["audio.0"].count == 0
        await control.stage("g", [], ["h2/microphone"])
        await speaker.receivers["audio.0"].tone(880)


async def test_peers_of_both_srtp_profiles_share_a_group(control: ControlClient) -> None:
    from aiortc.rtcdtlstransport import SRTP_AES128_CM_SHA1_80

    old = AiortcEndpoint("h2", {"camera": ColourTrack("green"), "microphone": ToneTrack(880)}, STAGE)
    old.restrict_srtp([SRTP_AES128_CM_SHA1_80])
    async with joined(
        control, "g", "h1", {"camera": ColourTrack("red"), "microphone": ToneTrack(440)}, STAGE
    ) as modern:
        try:
            await old.join(control, "g")
            assert (await control.peer_stats("h1")).srtp_profile == "SRTP_AEAD_AES_128_GCM"
            assert (await control.peer_stats("h2")).srtp_profile == "SRTP_AES128_CM_SHA1_80"
            await control.stage("g", ["h2/camera"], ["h2/microphone"])
            await modern.receivers["stage.0"].colour("green")
            await modern.receivers["audio.0"].tone(880)
            await control.stage("g", ["h1/camera"], ["h1/microphone"])
            await old.receivers["stage.0"].colour("red")
            await old.receivers["audio.0"].tone(440)
        finally:
            await old.close()


async def test_tiles_are_one_endpoints_own(control: ControlClient) -> None:
    async with (
        joined(control, "g", "h1", {"camera": ColourTrack("red")}),
        joined(control, "g", "h2", {"camera": ColourTrack("blue")}),
        joined(control, "g", "host", {}, ["stage.0", "tile.0", "tile.1"]) as host,
    ):
        await control.stage("g", ["h1/camera"])
        await control.request(SetTiles(group="g", endpoint="host", feeds=("h2/camera", "h1/camera")))
        await host.receivers["stage.0"].colour("red")
        await host.receivers["tile.0"].colour("blue")
        await host.receivers["tile.1"].colour("red")


async def test_a_new_offer_replaces_the_endpoints_connection(control: ControlClient) -> None:
    await control.stage("g", ["h1/camera"])
    async with joined(control, "g", "h2", {}, ["stage.0"]) as hall:
        async with joined(control, "g", "h1", {"camera": ColourTrack("red")}) as first:
            await hall.receivers["stage.0"].colour("red")
            async with joined(control, "g", "h1", {"camera": ColourTrack("blue")}):
                await hall.receivers["stage.0"].colour("blue")
                await first.state("closed", 5)
                attached = await control.attach()
                assert [each.state for each in attached.endpoints if each.endpoint == "h1"] == ["connected"]
                assert len((await control.stats()).peers) == 2


async def test_a_peer_that_vanishes_is_noticed_and_the_others_go_on(control: ControlClient) -> None:
    await control.stage("g", ["h1/camera"])
    async with (
        joined(control, "g", "h1", {"camera": ColourTrack("red")}),
        joined(control, "g", "h2", {}, ["stage.0"]) as hall,
        joined(control, "g", "h3", {"camera": ColourTrack("blue")}, ["stage.0"]) as victim,
    ):
        await hall.receivers["stage.0"].colour("red")
        await victim.receivers["stage.0"].colour("red")
        await control.event(FeedChanged, lambda event: event.feed == "h3/camera" and event.active)
        victim.vanish()
        began = time.monotonic()
        gone = {"h3"}
        await control.event(
            PeerChanged, lambda event: event.endpoint in gone and event.state == "disconnected", timeout_s=12
        )
        await control.event(FeedChanged, lambda event: event.feed == "h3/camera" and not event.active)
        await control.event(PeerChanged, lambda event: event.endpoint in gone and event.state == "closed", timeout_s=40)
        assert 25 < time.monotonic() - began < 40
        await hall.receivers["stage.0"].frames(10)
        assert {peer.endpoint for peer in (await control.stats()).peers} == {"h1", "h2"}


async def test_a_peer_that_says_goodbye_is_gone_at_once(control: ControlClient) -> None:
    async with joined(control, "g", "h1", {"microphone": ToneTrack(440)}):
        await control.event(FeedChanged, lambda event: event.active)
    await control.event(PeerChanged, lambda event: event.state == "closed", timeout_s=2)
    await control.event(FeedChanged, lambda event: not event.active, timeout_s=2)
    assert (await control.stats()).peers == ()


async def test_closing_an_endpoint_tells_it(control: ControlClient) -> None:
    async with joined(control, "g", "h1", {"microphone": ToneTrack(440)}) as endpoint:
        assert await control.request(CloseEndpoint(group="g", endpoint="h1")) == Done()
        await endpoint.state("closed", 5)
    reply = await control.request(CloseEndpoint(group="g", endpoint="h1"))
    assert isinstance(reply, Failed) and reply.code == "unknown_endpoint"


async def test_garbage_on_the_port_disturbs_nobody(node: NodeProcess, control: ControlClient) -> None:
    await control.stage("g", ["h1/camera"])
    async with (
        joined(control, "g", "h1", {"camera": ColourTrack("red")}),
        joined(control, "g", "h2", {}, ["stage.0"]) as hall,
    ):
        await hall.receivers["stage.0"].colour("red")
        before = (await control.stats()).dropped
        dice = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", node.ready.port))
            for number in range(3000):
                first = dice.choice((0, 1, 20, 22, 63, 128, 144, 191, 255))
                stranger.send(bytes((first,)) + dice.randbytes(dice.randrange(0, 1400)))
                if number % 100 == 0:
                    await asyncio.sleep(0.01)
        await hall.receivers["stage.0"].frames(20)
        assert (await control.stats()).dropped - before >= 1000


async def test_nonsense_offers_are_refused_quickly(control: ControlClient) -> None:
    began = time.monotonic()
    for sdp in (
        "",
        "v=0\r\n",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        "x" * 300_000,
        "v=0\r\n" + "m=a 9 b 1\r\n" * 99,
    ):
        reply = await control.request(Offer(group="g", endpoint="h1", sdp=sdp, slots={}))
        assert isinstance(reply, Failed) and reply.code in ("bad_sdp", "unsupported")
    assert time.monotonic() - began < 2
    assert (await control.stats()).peers == ()


async def test_malformed_frames_cost_the_request_or_the_connection_but_not_the_node(node: NodeProcess) -> None:
    async with node.client() as client:
        reply = await client.request(SetStage(group="g", video=(), audio=()))
        assert isinstance(reply, Failed) and reply.code == "bad_request"  # not attached yet
        await client.attach()
        await client.send_raw(b"no json")
        await client.ended()
    async with node.client() as client:
        await client.attach()
        reply = await client.request(SetStage(group="g", video=("h1/microphone",), audio=()))
        assert isinstance(reply, Failed) and reply.code == "bad_request"
        assert isinstance(await client.request(SetStage(group="g", video=(None,), audio=())), Done)


async def test_pictures_flow_on_while_the_server_is_away(node: NodeProcess) -> None:
    async with node.client() as first:
        epoch = (await first.attach()).epoch
        await first.stage("g", ["h1/camera"])
        publisher = AiortcEndpoint("h1", {"camera": ColourTrack("red")}, [])
        await publisher.join(first, "g")
        hall = AiortcEndpoint("h2", {}, ["stage.0"])
        await hall.join(first, "g")
        await hall.receivers["stage.0"].colour("red")
    try:
        await hall.receivers["stage.0"].frames(30)
        async with node.client() as second:
            attached = await second.attach()
            assert attached.epoch == epoch
            assert {(each.endpoint, each.state) for each in attached.endpoints} == {
                ("h1", "connected"),
                ("h2", "connected"),
            }
            async with node.client() as third:
                await third.attach()
                await third.stage("g", [None])
                await asyncio.sleep(0.5)
                seen = hall.receivers["stage.0"].count
                await asyncio.sleep(0.5)
                assert hall.receivers["stage.0"].count - seen <= 1
    finally:
        await publisher.close()
        await hall.close()


@pytest.mark.parametrize("way", ["SIGTERM", "Shutdown"])
async def test_the_node_says_goodbye_when_it_ends(node: NodeProcess, way: str) -> None:
    async with node.client() as client:
        await client.attach()
        async with joined(client, "g", "h1", {"microphone": ToneTrack(440)}) as endpoint:
            if way == "SIGTERM":
                assert await node.terminate() == 0
            else:
                assert await client.request(Shutdown()) == Done()
                assert await asyncio.wait_for(node.process.wait(), 5) == 0
            await endpoint.state("closed", 5)
    assert not node.control.exists()


async def test_an_orphan_ends_by_itself(tmp_path: Path) -> None:
    stale = tmp_path / "node.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(stale))  # left behind by a node that was killed
    async with running_node(tmp_path, "--udp", "127.0.0.1:0", "--orphan-s", "1") as node:
        async with node.client() as client:
            await client.attach()
            await asyncio.sleep(1.5)
            assert node.process.returncode is None
        assert await asyncio.wait_for(node.process.wait(), 5) == 0


async def test_the_log_names_no_addresses_and_no_secrets(node: NodeProcess, control: ControlClient) -> None:
    async with joined(control, "g", "h1", {"microphone": ToneTrack(440)}) as endpoint:
        sdp = endpoint.connection.localDescription.sdp
    await control.event(PeerChanged, lambda event: event.state == "closed")
    log = node.log.read_text()
    assert "peer_connected" in log
    secrets = [line.partition(":")[2] for line in sdp.splitlines() if line.startswith(("a=ice-", "a=fingerprint"))]
    for word in ["127.0.0.1", "candidate", os.fspath(node.control), *secrets]:
        assert word not in log
