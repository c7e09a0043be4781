"""What phones cost the server over HTTP: ten thousand page loads in two minutes, and long polls. It prints figures."""

import asyncio
import os
import re
from pathlib import Path

import aiohttp
import pytest

from rooms.actor import SERVER
from rooms.enrolment import DelegateLine, ImportRoster
from rooms.roster import Delegate
from server.app import DIST
from server.http.join import delegate_token
from tests.support.live import live
from tests.support.meetings import command_id, make
from tests.support.processes import free_port, server_process

pytestmark = pytest.mark.slow
LOADS = 400
AT_ONCE = 8
LOADS_PER_S = 10_000 / 120
MOST_SHARE = 0.25
"""Of one core, so that the sockets which the same phones open have the rest."""
HEADERS = {"Accept-Encoding": "gzip, deflate, br"}


def cpu_s(pid: int) -> float:
    """The process's CPU time so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(url: str, assets: list[str], token: str) -> int:
    """What a phone asks for at its first visit, over connections of its own; the bytes that came."""
    async with aiohttp.ClientSession(auto_decompress=False, headers=HEADERS) as phone:

        async def get(path: str) -> int:
            async with phone.get(url + path) as answer:
                assert answer.status == 200, path
                return len(await answer.read())

        came = await get(f"/d/{token}")
        came += sum(await asyncio.gather(*(get(path) for path in assets)))
        async with phone.post(f"{url}/api/line/hello", json={"protocol": 1, "token": token}) as answer:
            assert answer.status == 200, await answer.text()
            came += len(await answer.read())
        return came + await get("/worker.js") + await get("/d")


async def test_page_loads_leave_most_of_a_core(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        tokens = [delegate_token(server.service, server.meeting, one) for one in server.runner.meeting.select(Delegate)]
    assets = re.findall(r"/assets/[\w.-]+", (DIST / "worker.js").read_text())
    async with server_process(tmp_path, free_port(), free_port()) as running:
        waiting = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> int:
            async with waiting:
                return await load(running.url, assets, tokens[number % len(tokens)])

        await one(0)
        before = cpu_s(running.process.pid)
        came = []
        for start in range(0, LOADS, 100):  # a delegate may not say hello more often than a hundred would
            came += await asyncio.gather(*(one(number) for number in range(start, start + 100)))
            await asyncio.sleep(2)
        each_ms = 1000 * (cpu_s(running.process.pid) - before) / LOADS
    share = each_ms / 1000 * LOADS_PER_S
    size = f"{len(assets) + 4} requests, {came[0] / 1024:.1f} KiB"
    print(f"\npage load: {size}, {each_ms:.2f} ms CPU: {share:.0%} of a core")
    assert share <= MOST_SHARE


PHONES, CHANGES = 800, 10
MOST_PER_PATCH_US = 1_000


async def poll_on(url: str, token: str, until: asyncio.Event, counts: list[int]) -> None:
    """A phone without websockets: says hello, then polls until the event; its patches go into `counts`."""
    headers = {"Authorization": f"Bearer {token}", **HEADERS}
    async with aiohttp.ClientSession(headers=headers) as phone:
        async with phone.post(f"{url}/api/line/hello", json={"protocol": 1, "token": token}) as answer:
            welcome = await answer.json()
        place = {"log_id": welcome["log_id"], "since": str(welcome["rev"]), "wait": "5"}
        while not until.is_set():
            async with phone.get(f"{url}/api/line/patches", params=place) as answer:
                patch = (await answer.json())["patch"]
            place["since"] = str(patch["rev"])
            if patch["put"]:
                counts.append(patch["rev"])


async def test_a_change_reaches_all_who_poll(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        people = tuple(DelegateLine(hall="Điểm cầu 1", name=f"Đại biểu {n}", phone=f"09{n:08d}") for n in range(PHONES))
        await server.runner.submit(SERVER, make(ImportRoster, halls=(), delegates=people))
        tokens = [delegate_token(server.service, server.meeting, one) for one in server.runner.meeting.select(Delegate)]
    async with server_process(tmp_path, free_port(), free_port()) as running, aiohttp.ClientSession() as http:
        until, counts = asyncio.Event(), list[int]()
        polling = [asyncio.create_task(poll_on(running.url, token, until, counts)) for token in tokens]
        await asyncio.sleep(8)

        async def command(token: str, type: str, **fields: str) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            body = {"type": type, "id": command_id(), **fields}
            async with http.post(f"{running.url}/api/line/command", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()

        for token in tokens[:CHANGES]:
            await command(token, "attendance.check_in", mode="in_hall")
        await asyncio.sleep(6)
        counts.clear()
        before = cpu_s(running.process.pid)
        for token in tokens[:CHANGES]:
            await command(token, "floor.request", topic="")
            await asyncio.sleep(2)
        await asyncio.sleep(1)
        each_us = 1e6 * (cpu_s(running.process.pid) - before) / len(counts)
        print(f"\n{len(tokens)} phones poll: {len(counts)} patches of {CHANGES} changes, {each_us:.0f} µs CPU each")
        until.set()
        await asyncio.gather(*polling)
        assert len(counts) == len(tokens) * CHANGES
        assert each_us <= MOST_PER_PATCH_US
