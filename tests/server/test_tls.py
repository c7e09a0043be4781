"""https by --tls-cert and --tls-key, and what the server says without them."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import async_playwright, expect

from tests.support.browsers import chromium, opened
from tests.support.certificates import write_certificate
from tests.support.live import live
from tests.support.processes import free_port, server_process

pytestmark = pytest.mark.slow


async def test_pages_come_over_https_and_the_cookie_is_secure(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    async with live(tmp_path / "data", tls_cert=cert, tls_key=key) as server:
        trusting = ssl.create_default_context(cafile=str(cert))
        url = f"https://localhost:{server.running.port}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http:
            async with http.get(f"{url}/readyz") as answer:
                assert answer.status == 200
            login = {"login": "host", "password": "mật khẩu dài"}
            async with http.post(f"{url}/api/login", json=login) as answer:
                assert answer.status == 200 and answer.cookies["diemcau_session"]["secure"]
            for origin, opens in ((url, True), ("https://evil.example", False)):
                try:
                    address = f"{url}/socket.io/?EIO=4&transport=websocket"
                    async with http.ws_connect(address, headers={"Origin": origin}) as socket:
                        assert opens and (await socket.receive_str()).startswith("0{")
                except aiohttp.WSServerHandshakeError as error:
                    assert not opens and error.status == 400
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                async with http.get(f"http://localhost:{server.running.port}/readyz"):
                    pass


async def test_the_pages_work_over_https_in_chromium(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    port = free_port()
    async with (
        live(
            tmp_path / "data", tls_cert=cert, tls_key=key, port=port, public_url=f"https://localhost:{port}"
        ) as server,
        async_playwright() as playwright,
        chromium(playwright, "--ignore-certificate-errors") as browser,
    ):
        page = await opened(browser, f"https://localhost:{port}/hall/{server.hall_token()}")
        await page.get_by_test_id("enter-hall").click()
        await expect(page.get_by_test_id("own-line")).to_have_attribute("data-line", "good", timeout=20_000)


async def test_without_tls_the_output_says_which_pages_need_it(tmp_path: Path) -> None:
    async with server_process(tmp_path, free_port(), free_port(), "--no-sample") as server:
        assert (await server.link("first host")).startswith(f"{server.url}/host#first=")
        await server.link("in front; /host and /d work over http")
        assert any("--tls-cert/--tls-key" in line for line in server.lines)
        await asyncio.sleep(0)
