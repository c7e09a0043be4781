"""Media nodes on two machines, found by Redis: `diemcau media-node` here and in a network namespace behind a line."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.rehearsal.desk import Invited
from media.control import Stats
from server.cluster.nodes import RedisNodeRegistry
from tests.support.bad_line import BadLine, bad_line
from tests.support.live import Live, live
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.synthetic_halls import halls_in, invite, watched

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SECRET = "một bí mật của cụm, dài hơn ba mươi hai ký tự"
DISTRICT = "Huyện Mường Tè"


@dataclass
class Machines:
    """The node `near` is of the centre, `far` of the district. The server and Redis are near."""

    server: Live
    line: BadLine
    redis: RedisServer
    near: asyncio.subprocess.Process
    far: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"http://{self.line.near}:{self.server.running.port}"

    async def stats(self) -> dict[str, Stats]:
        return await self.server.running.nodes.stats()

    async def on(self, name: str) -> set[str]:
        return {peer.endpoint for peer in (await self.stats())[name].peers if peer.state == "connected"}

    def carried(self) -> int:
        """Bytes that went over the line to the far machine."""
        device = f"line{os.getpid() % 32768}n"
        return int(Path(f"/sys/class/net/{device}/statistics/tx_bytes").read_text())


@asynccontextmanager
async def media_node(
    folder: Path, name: str, advertise: str, redis_url: str, *options: str, inside: Sequence[str] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = ["-m", "server", "media-node", "--name", name, "--advertise", advertise, "--redis-url", redis_url]
    arguments += ["--control-port", str(free_port()), "--media-port", str(free_port()), "--data", str(folder / name)]
    process = await asyncio.create_subprocess_exec(
        *(*inside, sys.executable, *arguments, *options),
        cwd=ROOT,
        env={**os.environ, "DIEMCAU_CLUSTER_SECRET": SECRET},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)  # nobody waits for who is still there
            await asyncio.wait_for(process.wait(), 15)


@asynccontextmanager
async def machines(folder: Path) -> AsyncIterator[Machines]:
    async with bad_line() as line, redis_server(folder, bind=line.near) as redis:
        far_options = ("--district", DISTRICT, "--drain-s", "20")
        inside = line.inside()
        async with (
            live(folder, host="0.0.0.0", media_workers=0, redis_url=redis.url, cluster_secret=SECRET) as server,
            media_node(folder, "near", line.near, redis.url) as near,
            media_node(folder, "far", line.far, redis.url, *far_options, inside=inside) as far,
        ):
            async with asyncio.timeout(20):
                while sorted(node.name for node in server.running.nodes.each if node.up) != ["far", "near"]:
                    await asyncio.sleep(0.1)
            yield Machines(server, line, redis, near, far)


@asynccontextmanager
async def far_halls(both: Machines, invited: Sequence[Invited]) -> AsyncIterator[None]:
    """These halls are on the far machine."""
    process = await asyncio.create_subprocess_exec(
        *both.line.inside(sys.executable, "-m", "tests.support.far_halls", both.url, both.line.far),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("".join(f"{one.id} {one.token}\n" for one in invited).encode() + b"\n")
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 40) == b"in\n"
        yield
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


async def test_a_district_gets_one_copy_over_its_line_for_all_its_halls(tmp_path: Path) -> None:
    async with machines(tmp_path) as both:
        invited = await invite(both.server, 13, ("", *[DISTRICT] * 12))
        far = invited[1:]
        async with (
            halls_in((both.url,), invited[:1], both.line.near),
            far_halls(both, far),
        ):
            assert await both.on("far") == {one.id for one in far}
            await asyncio.sleep(8.0)  # the layers that nobody looks at are off by then
            before, at_first, began = await both.stats(), both.carried(), asyncio.get_running_loop().time()
            await asyncio.sleep(8.0)
            after, carried = await both.stats(), both.carried() - at_first
            passed = asyncio.get_running_loop().time() - began
            got = {one.id: bytes_out(after["far"], one.id) - bytes_out(before["far"], one.id) for one in far}
            packets = sum(packets_out(after["far"], one.id) - packets_out(before["far"], one.id) for one in far)
            cpu_s = {name: after[name].cpu_s - before[name].cpu_s for name in ("near", "far")}
            copies = carried / max(got.values())
            print(
                f"12 halls behind the line: {8e-3 * carried / passed:.0f} kbit/s over it, "
                f"{8e-3 * max(got.values()) / passed:.0f} kbit/s to each: {copies:.2f} copies; "
                f"far node {1e6 * cpu_s['far'] / packets:.1f} us per forwarded packet, whole process, "
                f"near node {1000 * cpu_s['near'] / passed:.1f} ms a second"
            )
            assert min(got.values()) > 0.9 * max(got.values()) > 0
            assert copies < 1.4


def bytes_out(stats: Stats, endpoint: str) -> int:
    return sum(peer.bytes_out for peer in stats.peers if peer.endpoint == endpoint)


def packets_out(stats: Stats, endpoint: str) -> int:
    return sum(peer.packets_out for peer in stats.peers if peer.endpoint == endpoint)


async def test_halls_of_a_machine_that_vanishes_have_a_picture_again_soon(tmp_path: Path) -> None:
    async with machines(tmp_path) as both:
        invited = await invite(both.server, 6, ("", *[DISTRICT] * 5))
        async with (
            halls_in((both.url,), invited, both.line.near, (both.line.far,)) as halls,
            watched(halls[1:]) as pictures,
        ):
            assert len(await both.on("far")) == 5
            both.line.up.loss = both.line.down.loss = 1.0  # no connection is closed: packets just do not come
            async with asyncio.timeout(15):
                while len(await both.on("near")) != 6:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(1.0)
            worst = max(pictures.worst_s().values())
            print(f"machine vanished: longest {1000 * worst:.0f} ms without a picture")
            assert worst < 3.0
            both.line.restore()
            async with asyncio.timeout(20):
                while not all(node.up for node in both.server.running.nodes.each):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1.0)
            pictures.begin()
            await asyncio.sleep(3.0)
            assert max(pictures.worst_s().values()) < 0.5, "it came back, and that disturbs nobody"
            assert await both.on("far") == set()


async def test_a_node_that_is_told_to_end_is_left_first_also_without_redis(tmp_path: Path) -> None:
    async with machines(tmp_path) as both:
        invited = await invite(both.server, 6, ("", *[DISTRICT] * 5))
        async with (
            halls_in((both.url,), invited, both.line.near, (both.line.far,)) as halls,
            watched(halls[1:]) as pictures,
        ):
            assert len(await both.on("far")) == 5
            await both.redis.stop()
            await asyncio.sleep(7.0)  # longer than a registration holds
            assert len(await both.on("far")) == 5, "who is known stays known"
            pictures.begin()
            both.far.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(both.far.wait(), 25) == 0
            assert len(await both.on("near")) == 6
            worst = max(pictures.worst_s().values())
            print(f"left at SIGTERM: longest {1000 * worst:.0f} ms without a packet of the stage")
            assert worst < 0.5
            await both.redis.start()
            registry = RedisNodeRegistry(both.redis.url, SECRET)
            async with asyncio.timeout(10):
                while [node.name for node in await registry.nodes()] != ["near"]:
                    await asyncio.sleep(0.1)
            await registry.close()
