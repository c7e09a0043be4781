"""Halls go from node to node: one that is stopped, one that dies. What is measured is how long a stage stands still."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from clients.rehearsal.hall import Hall
from media.control import SetDraining
from server.media_node import MediaNode
from tests.support.live import Live, live
from tests.support.media_control import ControlClient
from tests.support.synthetic_halls import halls_in, invite, synthetic_halls, watched

pytestmark = pytest.mark.slow
FREEZE_S = 0.5
BACK_S = 3.0


async def both_up(server: Live) -> Sequence[MediaNode]:
    await server.media_up()
    return server.running.nodes.each


async def on(server: Live, number: int) -> set[str]:
    """Who is connected to this node, by what it says itself."""
    async with ControlClient(server.service.settings.media_socket(number)) as client:
        return {each.endpoint for each in (await client.attach()).endpoints if each.state == "connected"}


def names(halls: Sequence[Hall]) -> set[str]:
    return {hall.id for hall in halls}


async def test_no_stage_stands_still_when_a_node_is_left(tmp_path: Path) -> None:
    async with live(tmp_path, media_workers=2) as server:
        first, second = await both_up(server)
        async with synthetic_halls(server, 12) as (halls, pictures):
            assert len(await on(server, 0)) == len(await on(server, 1)) == 6
            for node, number, other in ((first, 0, 1), (second, 1, 0)):  # the one on stage moves too
                pictures.begin()
                await node.request(SetDraining(draining=True))
                async with asyncio.timeout(30):
                    while await on(server, number) or await on(server, other) != names(halls):
                        await asyncio.sleep(0.2)
                await asyncio.sleep(7.0)  # until what was wanted of the old connections is not any more
                worst = pictures.worst_s()
                print(f"left {node.name}: longest {1000 * max(worst.values()):.0f} ms without a packet of the stage")
                assert max(worst.values()) < FREEZE_S, worst
                assert await on(server, other) == names(halls)
                await node.request(SetDraining(draining=False))
            assert sum(hall.moves for hall in halls) == 6 + 12
            assert all(not hall.socket.gone for hall in halls)


async def test_a_node_that_dies_loses_no_hall_for_long(tmp_path: Path) -> None:
    async with live(tmp_path, media_workers=2) as server:
        await both_up(server)
        async with synthetic_halls(server, 12) as (halls, pictures):
            lost = await on(server, 1)
            assert len(lost) == 6
            async with ControlClient(server.service.settings.media_socket(1)) as client:
                pid = (await client.attach()).pid
            pictures.begin()
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(15):
                while await on(server, 0) != names(halls):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(2.0)
            worst = pictures.worst_s()
            print(f"killed: longest {1000 * max(worst.values()):.0f} ms without a picture")
            assert max(worst.values()) < BACK_S, worst
            assert max(gap for hall, gap in worst.items() if hall not in lost) < FREEZE_S, worst


async def test_each_server_moves_its_own_halls(tmp_path: Path) -> None:
    async with live(tmp_path, media_workers=2) as server:
        first, _ = await both_up(server)
        async with live(tmp_path, media_workers=2) as other:
            await both_up(other)
            invited = await invite(server, 8)
            urls = (server.url, other.url)
            async with halls_in(urls, invited) as halls, watched(halls[1:]) as pictures:
                assert len(await on(server, 0)) == len(await on(server, 1)) == 4, "each counts the other's halls"
                await first.request(SetDraining(draining=True))
                async with asyncio.timeout(20):
                    while await on(server, 0) or await on(server, 1) != names(halls):
                        await asyncio.sleep(0.2)
                await asyncio.sleep(1.0)
                assert max(pictures.worst_s().values()) < FREEZE_S, pictures.worst_s()
                assert sum(hall.moves for hall in halls) == 4
                for stopped in (server, other):
                    assert all(not hall.socket.gone for hall in halls[urls.index(stopped.url) :: 2])
