"""Several servers on one node at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from media.control import (
    Attach,
    CutTrunk,
    Done,
    DrainingChanged,
    Failed,
    FeedsWished,
    Ping,
    Request,
    SetDraining,
    SetStage,
    Shutdown,
    encode_frame,
)
from tests.support.media_control import ControlClient, NodeProcess, running_node


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    async with running_node(tmp_path, "--udp", "127.0.0.1:0", "--orphan-s", "1") as node:
        yield node


def stage(feed: str, rev: int) -> SetStage:
    return SetStage(group="g", video=(f"{feed}/camera",), audio=(), rev=rev)


async def wished(one: ControlClient) -> list[tuple[str, str]]:
    return list((await one.attach()).wished)


async def test_events_go_to_all_and_replies_to_who_asked(node: NodeProcess) -> None:
    async with node.client() as first, node.client() as second, node.client() as deaf:
        await first.attach()
        await second.attach()
        await deaf.request(Attach(listens=False))
        assert await first.request(stage("h1", 1)) == Done()
        for one in (first, second):
            assert (await one.event(FeedsWished)).feeds == ("h1/camera",)
        assert await deaf.request(Ping()) == Done()
        assert deaf.events == []
        await second.request(SetDraining(draining=True))
        assert (await first.event(DrainingChanged)).draining
        assert (await deaf.attach()).draining


async def test_an_older_stage_from_another_server_is_passed_over(node: NodeProcess) -> None:
    async with node.client() as first, node.client() as second:
        await first.attach()
        await second.attach()
        await first.request(stage("h2", 7))
        assert await second.request(stage("h1", 6)) == Done()
        assert await wished(second) == [("g", "h2/camera")]
        await second.request(stage("h3", 8))
        assert await wished(first) == [("g", "h3/camera")]
    async with node.client() as later:  # a log that was restored begins lower
        await later.attach()
        await later.request(stage("h1", 2))
        assert await wished(later) == [("g", "h1/camera")]


async def test_trunks_are_the_business_of_the_newest_charge(node: NodeProcess) -> None:
    async with node.client() as first, node.client() as second:
        await first.attach()
        assert await first.request(CutTrunk(node="n1")) == Done()
        await second.request(Attach(charge=7))
        refused = await first.request(CutTrunk(node="n1"))
        assert isinstance(refused, Failed) and refused.code == "not_in_charge"
        assert await second.request(CutTrunk(node="n1")) == Done()
        await first.request(Attach(charge=6))
        assert isinstance(await first.request(CutTrunk(node="n1")), Failed), "it had the charge before"
        await first.request(Attach(charge=8))
        assert await first.request(CutTrunk(node="n1")) == Done()
        assert isinstance(await second.request(CutTrunk(node="n1")), Failed)


async def test_a_server_that_stops_leaves_the_node_to_the_others_and_the_last_ends_it(node: NodeProcess) -> None:
    async with node.client() as first:
        await first.attach()
        async with node.client() as second:
            await second.attach()
            kept = await first.request(Shutdown(if_last=True))
            assert isinstance(kept, Failed) and kept.code == "in_use"
            assert await second.request(Ping()) == Done()
        await asyncio.sleep(0.1)
        await first.request(Shutdown(if_last=True))
        assert await asyncio.wait_for(node.process.wait(), 5) == 0


async def test_servers_that_all_stop_at_once_end_the_node(node: NodeProcess) -> None:
    async with node.client() as first, node.client() as second:
        await first.attach()
        await second.attach()
        assert isinstance(await first.request(Shutdown(if_last=True)), Failed)
        assert await second.request(Shutdown(if_last=True)) == Done()
        assert await asyncio.wait_for(node.process.wait(), 5) == 0


async def test_it_is_an_orphan_only_when_the_last_one_has_gone(node: NodeProcess) -> None:
    async with node.client() as first:
        await first.attach()
        async with node.client() as second:
            await second.attach()
        await asyncio.sleep(1.5)
        assert await first.request(Ping()) == Done()
    assert await asyncio.wait_for(node.process.wait(), 5) == 0


async def test_a_server_that_does_not_read_is_cut_off_and_the_others_go_on(node: NodeProcess) -> None:
    async with node.client() as good:
        await good.attach()
        reader, writer = await asyncio.open_unix_connection(str(node.control), limit=1024)
        attach = encode_frame(Request(seq=1, body=Attach()))
        writer.write(attach)
        assert await reader.readexactly(4)
        for rev in range(1, 100):  # each is told to both, and one of them does not read
            name = f"{'h' * 200_000}{rev}/camera"
            assert await good.request(SetStage(group="g", video=(name,), audio=(), rev=rev)) == Done()
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1 << 20):
                pass
        assert await good.request(Ping()) == Done()
        writer.close()


async def test_garbage_and_silence_end_their_own_connection_only(node: NodeProcess) -> None:
    async with node.client() as good:
        await good.attach()
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\5hello", b"\xff" * 64, b"\0\0\x20\0"):
            reader, writer = await asyncio.open_unix_connection(str(node.control))
            writer.write(garbage)
            assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.close()
        reader, writer = await asyncio.open_unix_connection(str(node.control))
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 8) == b""
        writer.close()
        assert await good.request(Ping()) == Done()
