"""A node process with real headless Chromium on both sides."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from media.control import FeedChanged, PeerChanged, SetTiles
from tests.support.media_browser import Browsers, chromium
from tests.support.media_control import ControlClient, NodeProcess, running_node
from tests.support.media_loss import lossy_network

pytestmark = pytest.mark.slow

HALL = ["stage.0", "stage.1", "audio.0", "audio.1", "audio.2"]
TILES = [f"tile.{number}" for number in range(25)]


@pytest.fixture(params=["loopback", "all"])
async def control(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[ControlClient]:
    """A node that names its loopback address alone, and one that names every address of the machine."""
    options = (
        ("--udp", "127.0.0.1:0", "--candidate", "127.0.0.1") if request.param == "loopback" else ("--udp", "0.0.0.0:0")
    )
    async with running_node(tmp_path, *options) as node, node.client() as client:
        await client.attach()
        yield client


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    async with running_node(tmp_path) as process:
        yield process


@pytest.fixture
async def loopback(node: NodeProcess) -> AsyncIterator[ControlClient]:
    async with node.client() as client:
        await client.attach()
        yield client


@pytest.fixture
def port(node: NodeProcess) -> int:
    return node.ready.port


@pytest.fixture
async def browsers() -> AsyncIterator[Browsers]:
    async with chromium() as opened:
        yield opened


def camera(**source: Any) -> dict[str, Any]:
    return {"name": "camera", "kind": "video", "simulcast": True, **source}


def microphone(hertz: int) -> dict[str, Any]:
    return {"name": "microphone", "kind": "audio", "hertz": hertz}


async def test_a_camera_is_seen_within_a_second_and_becomes_720p(control: ControlClient, browsers: Browsers) -> None:
    publisher, viewer = await browsers.endpoint("h1"), await browsers.endpoint("h2")
    await publisher.join(control, "g", [camera(), microphone(440)], HALL)
    await viewer.join(control, "g", [], HALL)
    await control.event(FeedChanged, lambda event: event.feed == "h1/camera" and event.active)
    await control.stage("g", ["h1/camera"], ["h1/microphone"])
    await viewer.frames("stage.0", 1, timeout_s=1)
    await viewer.tone("audio.0", 440)

    first = await viewer.stats()
    assert first["srtp"] == "SRTP_AEAD_AES_128_GCM"
    assert (await publisher.stats())["srtp"] == "SRTP_AEAD_AES_128_GCM"
    await viewer.frames("stage.0", first["inbound"]["stage.0"]["framesDecoded"] + 20, timeout_s=5)

    await publisher.until("sendsHeight('f', 720)", 20)
    await viewer.until("slot('stage.0').element.videoHeight === 720", 10)
    seen = (await viewer.stats())["inbound"]["stage.0"]
    assert seen["lost"] == 0
    # Its own microphone did not come back to the speaker.
    assert (await publisher.stats())["inbound"].get("audio.0", {}).get("packets", 0) == 0


async def test_the_stage_shows_and_sounds_as_it_is_set(loopback: ControlClient, browsers: Browsers) -> None:
    one, two, viewer = [await browsers.endpoint(name) for name in ("h1", "h2", "h3")]
    await one.join(loopback, "g", [camera(colour="#ff0000"), microphone(440)], HALL)
    await two.join(loopback, "g", [camera(colour="#0000ff"), microphone(1320)], HALL)
    await viewer.join(loopback, "g", [], HALL)
    for name, colour, hertz in (("h1", "red", 440), ("h2", "blue", 1320), ("h1", "red", 440)):
        await loopback.stage("g", [f"{name}/camera"], [f"{name}/microphone"])
        await viewer.colour("stage.0", colour)
        await viewer.tone("audio.0", hertz)
        decoded = (await viewer.stats())["inbound"]["stage.0"]["framesDecoded"]
        await viewer.frames("stage.0", decoded + 10, timeout_s=5)
    await loopback.stage("g", ["h1/camera", "h2/camera"], ["h1/microphone", "h2/microphone"])
    await viewer.colour("stage.1", "blue")
    await viewer.tone("audio.1", 1320)
    await viewer.colour("stage.0", "red")
    # The speakers hear each other and not themselves.
    await one.tone("audio.1", 1320)
    heard = (await one.stats())["inbound"]["audio.0"]["packets"]
    await asyncio.sleep(0.5)
    assert (await one.stats())["inbound"]["audio.0"]["packets"] == heard

    await loopback.stage("g", ["h1/camera"], [None])
    await asyncio.sleep(0.5)
    before = (await viewer.stats())["inbound"]
    await asyncio.sleep(1)
    after = (await viewer.stats())["inbound"]
    for slot in ("audio.0", "audio.1"):
        assert after[slot]["packets"] == before[slot]["packets"]
    assert after["stage.0"]["framesDecoded"] > before["stage.0"]["framesDecoded"]


async def test_the_hosts_tiles_are_small(loopback: ControlClient, browsers: Browsers) -> None:
    one, two, host = [await browsers.endpoint(name) for name in ("h1", "h2", "host")]
    await one.join(loopback, "g", [camera(colour="#ff0000", width=1280, height=720)])
    await two.join(loopback, "g", [camera(colour="#00ff00", width=1280, height=720)])
    await host.join(loopback, "g", [], [*HALL, *TILES])
    await loopback.request(SetTiles(group="g", endpoint="host", feeds=("h1/camera", None, "h2/camera")))
    await host.colour("tile.0", "red")
    await host.colour("tile.2", "green")
    await host.until("slot('tile.0').element.videoHeight === 180")
    await loopback.request(SetTiles(group="g", endpoint="host", feeds=("h2/camera", "h1/camera")))
    await host.colour("tile.0", "green")
    await host.colour("tile.1", "red")


async def test_h264_and_vp8_publishers_share_a_slot(loopback: ControlClient, browsers: Browsers) -> None:
    one, two, viewer = [await browsers.endpoint(name) for name in ("h1", "h2", "h3")]
    await one.page.evaluate("useCodec('video/H264')")
    await one.join(loopback, "g", [{**camera(colour="#ff0000"), "simulcast": False}])
    await two.join(loopback, "g", [camera(colour="#0000ff")])
    await viewer.join(loopback, "g", [], HALL)
    codecs = {}
    for name, colour in (("h1", "red"), ("h2", "blue"), ("h1", "red")):
        await loopback.stage("g", [f"{name}/camera"])
        await viewer.colour("stage.0", colour)
        codecs[name] = {feed.codec for feed in (await loopback.peer_stats(name)).feeds}
    assert codecs == {"h1": {"h264"}, "h2": {"vp8"}}


async def test_loss_is_repaired_and_a_change_of_address_is_followed(
    loopback: ControlClient, port: int, browsers: Browsers
) -> None:
    publisher, viewer = await browsers.endpoint("h1"), await browsers.endpoint("h2")
    async with lossy_network(port) as network:
        await publisher.join(
            loopback, "g", [camera(), microphone(440)], change=lambda answer: network.through(answer, port)
        )
        await viewer.join(loopback, "g", [], HALL, change=lambda answer: network.through(answer, port))
        await loopback.stage("g", ["h1/camera"], ["h1/microphone"])
        await viewer.frames("stage.0", 30, timeout_s=10)
        network.loss = 0.05
        before = (await viewer.stats())["inbound"]["stage.0"]
        await asyncio.sleep(8)
        after = (await viewer.stats())["inbound"]["stage.0"]
        assert network.lost > 50
        assert after["nack"] > before["nack"]
        assert after["framesDecoded"] - before["framesDecoded"] > 80  # of 160: what is lost is mostly sent again
        network.loss = 0.0
        network.move()
        seen = (await viewer.stats())["inbound"]["stage.0"]["framesDecoded"]
        await viewer.frames("stage.0", seen + 40, timeout_s=15)
        await viewer.tone("audio.0", 440)


async def test_a_page_that_reloads_and_one_that_is_killed(loopback: ControlClient, browsers: Browsers) -> None:
    publisher, viewer = await browsers.endpoint("h1"), await browsers.endpoint("h2")
    await loopback.stage("g", ["h1/camera"])
    await publisher.join(loopback, "g", [camera(colour="#ff0000")])
    await viewer.join(loopback, "g", [], HALL)
    await viewer.colour("stage.0", "red")
    await publisher.page.reload()
    await publisher.page.wait_for_function("window.ready === true")
    await publisher.join(loopback, "g", [camera(colour="#0000ff")])
    await viewer.colour("stage.0", "blue")
    loopback.events.clear()
    await publisher.page.close()
    await loopback.event(PeerChanged, lambda event: event.endpoint == "h1" and event.state == "closed", timeout_s=35)
    assert {peer.endpoint for peer in (await loopback.stats()).peers} == {"h2"}
