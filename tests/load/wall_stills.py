"""What the stills of 187 halls cost the server: `python -m tests.load.wall_stills`, figures as JSON.

A real server process; 187 sockets that report as hall pages do, first without and then with stills every four seconds;
one console that looks at all of them.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from rooms.ids import AccountId
from rooms.roster import Hall
from server.http.accounts import add_account
from server.offline import offline
from server.settings import Settings
from server.tokens import Grant, Tokens, load_secret
from tests.support.crowd import STILL_S, still
from tests.support.live import PASSWORD, WireClient
from tests.support.processes import free_port, server_process

OVER_S = 16.0


class Figures(msgspec.Struct):
    halls: int
    still_bytes: int
    stills_per_s: float
    stills_seen_per_s: float
    in_bytes_per_s: float
    server_cpu_share: float
    server_cpu_share_without: float


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def tokens_of(data: Path) -> tuple[str, dict[str, str]]:
    """A staff token and one for each hall of the sample meeting."""
    async with offline(Settings(data_dir=data)) as parts:
        account = await add_account(parts.accounts, "host", "Host", "host", PASSWORD)
        meeting = (await parts.listed.all())[0].id
        runner = await parts.meetings.get(meeting)
        tokens = Tokens(load_secret(data / "secret"))
        halls = runner.meeting.select(Hall)
        return tokens.join(Grant("staff", meeting, AccountId(account.id))), {
            hall.id: tokens.join(Grant("hall", meeting, hall.id, hall.epoch)) for hall in halls
        }


async def report(one: WireClient, pictures: tuple[str, ...]) -> None:
    """Every four seconds until cancelled; without pictures the same without a still."""
    told = {"camera": True, "microphone": True, "viewing": True, "trouble": "none"}
    tick = 0
    while True:
        await one.sio.emit("report", {**told, "still": pictures[tick % len(pictures)]} if pictures else told)
        tick += 1
        await asyncio.sleep(STILL_S)


async def share(pid: int, sockets: list[WireClient], pictures: list[tuple[str, ...]]) -> float:
    """The server's share of a core while all report, evenly spread."""
    async with asyncio.TaskGroup() as tasks:
        works = []
        for one, own in zip(sockets, pictures, strict=True):
            works.append(tasks.create_task(report(one, own)))
            await asyncio.sleep(STILL_S / len(sockets))
        before = cpu_s(pid)
        await asyncio.sleep(OVER_S)
        used = cpu_s(pid) - before
        for work in works:
            work.cancel()
    return used / OVER_S


async def measure() -> Figures:
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        server = await stack.enter_async_context(server_process(data, free_port(), free_port()))
        await server.link("one hall")
        staff, halls = await tokens_of(data)
        console = WireClient(server.url)
        await console.connect(staff)
        await console.call("wall", {"halls": list(halls)})
        sockets = []
        for token in halls.values():
            one = WireClient(server.url)
            await one.connect(token)
            sockets.append(one)
        pictures = [(still(n, 0), still(n, 1)) for n in range(len(sockets))]
        without = await share(server.process.pid, sockets, [()] * len(sockets))
        used = await share(server.process.pid, sockets, pictures)  # type: ignore[arg-type]
        seen = sum(len(body["stills"]) for event, body in console.events if event == "stills")
        for one in (*sockets, console):
            await one.close()
        size = sum(len(own[0]) for own in pictures) // len(pictures)
        rate, seen_rate = len(sockets) / STILL_S, round(seen / (OVER_S + STILL_S), 1)
        return Figures(len(sockets), size, rate, seen_rate, size * rate, round(used, 4), round(without, 4))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(asyncio.run(measure()))) + b"\n")
