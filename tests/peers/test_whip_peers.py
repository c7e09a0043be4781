"""Real encoders and players by WHIP and WHEP, through the real server and node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rooms.floor import GiveFloor
from rooms.ids import HallId
from tests.support.certificates import write_certificate
from tests.support.live import Live, live
from tests.support.media_peers import ColourTrack, ToneTrack
from tests.support.meetings import HOST, make
from tests.support.whip import ffmpeg, gstreamer, http_peer

pytestmark = pytest.mark.slow


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Live]:
    async with live(tmp_path) as running:
        await running.media_up()
        yield running


def whip(server: Live, hall: str = "h1") -> str:
    return f"/whip/{server.meeting}/{hall}"


def whep(server: Live) -> str:
    return f"/whep/{server.meeting}/stage"


async def give_floor(server: Live, hall: str = "h1") -> None:
    await server.runner.submit(HOST, make(GiveFloor, hall=hall))


async def until_feed(server: Live, hall: HallId, *, camera: bool) -> None:
    """Until the host's console shows whether the hall sends a picture."""
    presence = server.service.room_of(server.runner).presence
    async with asyncio.timeout(10):
        while (presence.of(hall).camera == "sending") is not camera:
            await asyncio.sleep(0.05)


async def test_aiortc_publishes_by_whip_and_is_played_by_whep(server: Live) -> None:
    await give_floor(server)
    async with (
        http_peer(server.http, server.url, server.hall_token()) as encoder,
        http_peer(server.http, server.url, server.hall_token("h2")) as player,
    ):
        await encoder.begin(whip(server), (ColourTrack("red"), ToneTrack(440)))
        await player.begin(whep(server), receives=("audio", "video"))
        sound, picture = player.receivers
        await picture.colour("red", 10)
        await sound.tone(440, 10)
        await picture.frames(20)
        await until_feed(server, HallId("h1"), camera=True)
        await give_floor(server, "h2")
        await asyncio.sleep(0.5)
        heard = sound.count
        await asyncio.sleep(0.7)
        assert sound.count - heard <= 3  # without the floor nobody hears it
        assert await encoder.end() == 200
        assert await encoder.end() == 404
        await encoder.endpoint.state("closed")
        await until_feed(server, HallId("h1"), camera=False)
        assert len(server.service.whip) == 1
    async with asyncio.timeout(5):  # who says goodbye is forgotten
        while len(server.service.whip):
            await asyncio.sleep(0.05)


async def test_two_encoders_of_a_hall_the_newest_is_seen_and_the_other_comes_back(server: Live) -> None:
    await give_floor(server)
    token = server.hall_token()
    async with (
        http_peer(server.http, server.url, token) as first,
        http_peer(server.http, server.url, token) as second,
        http_peer(server.http, server.url, await server.staff_token()) as player,
    ):
        await first.begin(whip(server), (ColourTrack("red"),))
        await player.begin(whep(server), receives=("video",))
        [picture] = player.receivers
        await picture.colour("red", 10)
        await second.begin(whip(server), (ColourTrack("blue"),))
        await picture.colour("blue", 10)
        assert await second.end() == 200
        await picture.colour("red", 10)
        await picture.frames(10)


async def test_an_encoder_that_will_only_be_the_dtls_server(server: Live) -> None:
    """As FFmpeg's WHIP offers; the node is the client then."""
    await give_floor(server)
    async with (
        http_peer(server.http, server.url, server.hall_token()) as encoder,
        http_peer(server.http, server.url, server.hall_token("h2")) as player,
    ):
        await encoder.begin(whip(server), (ColourTrack("green"), ToneTrack(440)), setup="passive")
        await player.begin(whep(server), receives=("video", "audio"), setup="passive")
        await player.receivers[0].colour("green", 10)
        await player.receivers[1].tone(440, 10)


async def test_ice_restarts_under_a_live_stream(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent checks, made frequent here, end the client's connection when the node does not answer them."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 4)
    await give_floor(server)
    async with (
        http_peer(server.http, server.url, server.hall_token()) as encoder,
        http_peer(server.http, server.url, server.hall_token("h2")) as player,
    ):
        await encoder.begin(whip(server), (ColourTrack("red"),))
        await player.begin(whep(server), receives=("video",))
        [picture] = player.receivers
        await picture.frames(10, 10)
        for peer in (encoder, player, encoder):
            await peer.restart()
            await picture.frames(45)  # a second and a half: several times what a lost consent takes
            assert peer.endpoint.connection.connectionState == "connected"
        assert await encoder.end() == 200


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_gstreamer_publishes_by_whip_and_is_played_by_whep(tmp_path: Path, codec: str) -> None:
    async with (
        live(tmp_path, media_host="0.0.0.0", media_candidates=()) as server,  # libnice has no loopback candidates
        gstreamer(server.url + whip(server), server.hall_token(), codec) as encoder,
        http_peer(server.http, server.url, server.hall_token("h2")) as player,
    ):
        await encoder.tells("answered")
        while await encoder.tells("state") != "connected":
            pass
        await give_floor(server)
        await player.begin(whep(server), receives=("video", "audio"))
        picture, sound = player.receivers
        await picture.colour("red", 15)
        await sound.tone(440, 15)
        await picture.frames(60, 10)
        encoder.do("end")
        assert await encoder.tells("ended") == "200"
        await until_feed(server, HallId("h1"), camera=False)
        assert len(server.service.whip) == 1


@pytest.mark.parametrize("active", [0, 1], ids=["dtls server", "dtls client"])
async def test_ffmpeg_publishes_by_whip(tmp_path: Path, active: int) -> None:
    """FFmpeg's own certificate is on P-224 where it is built with GnuTLS, which OpenSSL no longer takes."""
    cert_file, key_file = write_certificate(tmp_path)
    async with (
        live(tmp_path, media_host="0.0.0.0", media_candidates=()) as server,
        http_peer(server.http, server.url, server.hall_token("h2")) as player,
    ):
        await server.media_up()
        await give_floor(server)
        options = {"authorization": server.hall_token(), "cert_file": cert_file, "key_file": key_file}
        async with ffmpeg(server.url + whip(server), **options, dtls_active=active) as encoder:
            await player.begin(whep(server), receives=("video", "audio"))
            picture, sound = player.receivers
            await picture.colour("red", 15)
            await sound.tone(440, 15)
            await picture.frames(60, 10)
            await until_feed(server, HallId("h1"), camera=True)
            assert encoder.stdin is not None
            encoder.stdin.close()
            assert await asyncio.wait_for(encoder.wait(), 10) == 0
            await until_feed(server, HallId("h1"), camera=False)
            assert len(server.service.whip) == 1
