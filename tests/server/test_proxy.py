"""A real Caddy with docker/Caddyfile in front of real servers: what pages, phones and encoders do passes through."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.compose import DOCKER
from tests.support.live import WireClient, live
from tests.support.meetings import command_id
from tests.support.processes import free_port

pytestmark = pytest.mark.slow


@asynccontextmanager
async def caddy(folder: Path, upstream: int) -> AsyncIterator[str]:
    """Its address; ended with the block."""
    assert shutil.which("caddy"), "docker/debian-packages.sh test"
    port = free_port()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "CADDY_ADMIN": "off",
        "DIEMCAU_HOST": f"http://127.0.0.1:{port}",
        "DIEMCAU_UPSTREAM": "localhost",
        "DIEMCAU_UPSTREAM_PORT": str(upstream),
    }
    words = ("caddy", "run", "--adapter", "caddyfile", "--config", str(DOCKER / "Caddyfile"))
    with (folder / "caddy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        if answer.status == 200:
                            break
                assert process.returncode is None, (folder / "caddy.log").read_text()
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_pages_sockets_long_polls_and_methods_pass_and_figures_do_not(tmp_path: Path) -> None:
    async with live(tmp_path / "data", trusted_proxy=True) as server, caddy(tmp_path, server.running.port) as url:
        async with server.http.get(f"{url}/d") as page:
            assert page.status == 200 and "text/html" in page.headers["Content-Type"]
        for inside in ("/metrics", "/api/media/dump"):
            async with server.http.get(url + inside) as answer:
                assert answer.status == 404, "figures are not for everybody"
        phone = WireClient(url)
        assert (await phone.connect(server.delegate_token()))["ok"]
        assert (await phone.give("attendance.check_in", mode="in_hall"))["ok"]
        await phone.until(lambda one: one.records("attendance"))

        await phone.close()

        token = server.delegate_token("d2")
        bearer = {"Authorization": f"Bearer {token}"}
        async with server.http.post(f"{url}/api/line/hello", json={"protocol": 1, "token": token}) as answer:
            assert answer.status == 200, await answer.text()
            welcome = await answer.json()
        query = {"log_id": welcome["log_id"], "since": str(welcome["rev"]), "wait": "20"}

        async def poll() -> str:
            async with server.http.get(f"{url}/api/line/patches", params=query, headers=bearer) as answer:
                assert answer.status == 200
                return await answer.text()

        waiting = asyncio.create_task(poll())
        await asyncio.sleep(1.0)
        assert not waiting.done(), "the answer is waited for, not given up"
        question = {"type": "question.ask", "id": command_id(), "text": "Qua proxy"}
        async with server.http.post(f"{url}/api/line/command", json=question, headers=bearer) as answer:
            assert answer.status == 200, await answer.text()
        assert "Qua proxy" in await asyncio.wait_for(waiting, 10)

        for method in ("PATCH", "DELETE"):
            path = f"{url}/whip/{server.meeting}/sessions/none"
            async with server.http.request(method, path) as answer:
                assert answer.headers["Content-Type"].startswith("application/json"), "the server itself answers"


async def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """A restart shorter than five seconds is a slow answer, not an error."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with live(tmp_path / "data", port=port):
            url = await stack.enter_async_context(caddy(tmp_path, port))
        async with aiohttp.ClientSession() as http:
            asking = asyncio.create_task(_status(http, f"{url}/healthz"))
            await asyncio.sleep(0.5)
            assert not asking.done()
            async with live(tmp_path / "data", port=port):
                assert await asyncio.wait_for(asking, 10) == 200


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        return answer.status
