"""Halls that come in through a real coturn, with the server's credentials: over TCP, over TLS, and after ten hours."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioice.stun import TransactionFailed
from aioice.turn import create_turn_endpoint
from aiortc import RTCIceServer
from playwright.async_api import Page, async_playwright, expect

from rooms.floor import GiveFloor
from rooms.ids import HallId
from server.settings import Settings
from server.turn import LIFE_S, ice_servers
from tests.support.browsers import chromium, inbound
from tests.support.live import Live, client, live
from tests.support.media_peers import AiortcEndpoint, ColourTrack
from tests.support.meetings import HOST, make
from tests.support.processes import kill_media_node
from tests.support.relay import Relay, running_relay

pytestmark = pytest.mark.slow
STAGE = ["stage.0", "stage.1", "audio.0", "audio.1", "audio.2"]


@asynccontextmanager
async def meeting_with_relay(folder: Path, *transports: str) -> AsyncIterator[tuple[Live, Relay]]:
    """A server whose hall h1 has the floor, and the relay that it names."""
    (folder / "relay").mkdir()
    async with running_relay(folder / "relay") as relay:
        urls = tuple(relay.url(transport) for transport in transports)
        async with live(folder / "data", turn_urls=urls, turn_secret=relay.secret) as server:
            await server.runner.submit(HOST, make(GiveFloor, hall=HallId("h1")))
            yield server, relay


@asynccontextmanager
async def aiortc_hall(
    server: Live, hall: str, sends: dict[str, Any], receives: list[str], *, relayed: bool = False
) -> AsyncIterator[AiortcEndpoint]:
    """A hall that is no page: it says hello, and offers over the socket."""
    async with client(server, server.hall_token(hall)) as line:
        await line.until(lambda c: c.welcome["media_epoch"] or "media" in [event for event, _ in c.events], 15)
        relays = [RTCIceServer(**one) for one in line.welcome["ice_servers"]] if relayed else None
        endpoint = AiortcEndpoint(hall, sends, receives, relays)

        async def ask(sdp: str, slots: dict[str, str]) -> str:
            return str((await line.call("offer", {"sdp": sdp, "slots": slots}))["sdp"])

        try:
            await endpoint.join_by(ask)
            yield endpoint
        finally:
            await endpoint.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_aiortc_hall_gets_the_stage_through_the_relay(tmp_path: Path, transport: str) -> None:
    async with meeting_with_relay(tmp_path, transport) as (server, _):
        async with aiortc_hall(server, "h1", {"camera": ColourTrack("red")}, []):
            async with aiortc_hall(server, "h2", {}, STAGE, relayed=True) as hall:
                await hall.receivers["stage.0"].colour("red", timeout_s=10)
                offered = hall.connection.localDescription.sdp.splitlines()
    candidates = [line for line in offered if line.startswith("a=candidate:")]
    assert candidates and all(" typ relay " in line for line in candidates)


RELAY_ONLY = """() => {
  const Plain = RTCPeerConnection
  window.configurations = []
  window.RTCPeerConnection = class extends Plain {
    constructor(wanted) {
      super({...wanted, iceTransportPolicy: 'relay'})
      window.configurations.push(wanted)
    }
  }
}"""

ROUTE = """async () => {
  const reports = [...(await window.__diemcau.pc.getStats()).values()]
  const pair = reports.find((one) => one.type === 'candidate-pair' && one.nominated && one.state === 'succeeded')
  const local = reports.find((one) => one.id === pair?.localCandidateId)
  return local ? [local.candidateType, local.relayProtocol] : null
}"""


async def relayed_page(browser: Any, server: Live) -> Page:
    """Hall h2's page, entered, where the browser may use relays only."""
    context = await browser.new_context(locale="vi-VN")
    page: Page = await context.new_page()
    await page.add_init_script(f"({RELAY_ONLY})()")
    await page.goto(f"http://localhost:{server.running.port}/hall/{server.hall_token('h2')}")
    await page.get_by_test_id("enter-hall").click()
    await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=20_000)
    return page


async def sees_more(page: Page, frames: int, timeout_s: float = 15.0) -> None:
    began = (await inbound(page, "stage.0")).get("framesDecoded", 0)
    async with asyncio.timeout(timeout_s):
        while (await inbound(page, "stage.0")).get("framesDecoded", 0) < began + frames:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_chromium_hall_gets_the_stage_through_the_relay(tmp_path: Path, transport: str) -> None:
    async with (
        meeting_with_relay(tmp_path, transport) as (server, _),
        async_playwright() as playwright,
        chromium(playwright, "--ignore-certificate-errors") as browser,
        aiortc_hall(server, "h1", {"camera": ColourTrack("red")}, []),
    ):
        page = await relayed_page(browser, server)
        await sees_more(page, 30)
        assert await page.evaluate(ROUTE) == ["relay", transport]


async def test_a_page_open_for_long_comes_back_with_its_newest_credentials(tmp_path: Path) -> None:
    async with (
        meeting_with_relay(tmp_path, "tcp") as (server, _),
        async_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        page = await relayed_page(browser, server)
        await asyncio.sleep(1.1)  # credentials of one second are the same
        server.running.sockets.renew_relay_credentials()
        await asyncio.sleep(0.5)
        made = await page.evaluate("window.configurations.length")
        assert kill_media_node(server.service.settings.data_dir)
        async with asyncio.timeout(20):
            while await page.evaluate("window.configurations.length") == made:
                await asyncio.sleep(0.1)
        await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=20_000)
        names = await page.evaluate("window.configurations.map((one) => one.iceServers[0].username)")
        assert len(set(names)) > 1 and names[-1] == max(names), names


class Datagrams(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue(100)
        self.errors: asyncio.Queue[Exception] = asyncio.Queue(100)

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.put_nowait((data, addr))


async def test_an_allocation_outlives_its_credential_and_no_new_one_is_made_with_it(tmp_path: Path) -> None:
    async with running_relay(tmp_path, options=("--max-allocate-lifetime=6",)) as relay:
        settings = Settings(data_dir=tmp_path, turn_urls=(relay.url("tcp"),), turn_secret=relay.secret)
        (passing,) = ice_servers(settings, "h1", time.time() - LIFE_S + 3)

        async def allocate(password: str = passing.credential) -> tuple[Any, Datagrams]:
            made: tuple[Any, Datagrams] = await create_turn_endpoint(
                Datagrams, (relay.address, relay.port), passing.username, password, lifetime=6, transport="tcp"
            )
            return made

        node, at_node = await asyncio.get_running_loop().create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.1", 0)
        )
        relayed, at_client = await allocate()
        try:
            with pytest.raises(TransactionFailed, match="401"):
                await allocate("wrong")
            await asyncio.sleep(9)  # past the expiry, and past the refresh that the allocation needs at 6 s
            with pytest.raises(TransactionFailed, match="401"):
                await allocate()
            relayed.sendto(b"up", node.get_extra_info("sockname"))  # asks for a new permission and a channel
            async with asyncio.timeout(5):
                data, source = await at_node.got.get()
                assert data == b"up" and source == relayed.get_extra_info("sockname")
                node.sendto(b"down", source)
                assert (await at_client.got.get())[0] == b"down"
        finally:
            relayed.close()
            node.close()


async def test_the_relay_reaches_the_media_node_and_nothing_else(tmp_path: Path) -> None:
    async with running_relay(tmp_path, media_address="127.0.0.2") as relay:
        settings = Settings(data_dir=tmp_path, turn_urls=(relay.url("tcp"),), turn_secret=relay.secret)
        (good,) = ice_servers(settings, "h1", time.time())
        relayed, at_client = await create_turn_endpoint(
            Datagrams, (relay.address, relay.port), good.username, good.credential, transport="tcp"
        )
        node, at_node = await asyncio.get_running_loop().create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.2", 0)
        )
        try:
            relayed.sendto(b"allowed", node.get_extra_info("sockname"))
            async with asyncio.timeout(5):
                assert (await at_node.got.get())[0] == b"allowed"
            for elsewhere in ("127.0.0.1", "192.0.2.1"):
                relayed.sendto(b"forbidden", (elsewhere, 9))
                async with asyncio.timeout(5):
                    assert "403" in str(await at_client.errors.get())
        finally:
            relayed.close()
            node.close()
