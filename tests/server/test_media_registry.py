"""Where media nodes of other machines register: the same in the process and in a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from redis.asyncio import Redis

from server.cluster.nodes import RedisNodeRegistry, node_keys
from server.media_registry import EXPIRY_S, NodeRegistry, OwnRegistry, RegisteredNode, RegistryDown
from tests.support.redis_server import redis_server

SECRET = "a secret of one deployment"
NODE = RegisteredNode(name="n1", host="10.0.0.5", control_port=40900, media_port=40000, epoch="e", district="Huyện Tủa")


@pytest_asyncio.fixture(params=["own", "redis"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NodeRegistry]:
    if request.param == "own":
        yield OwnRegistry()
        return
    async with redis_server(tmp_path) as redis:
        found = RedisNodeRegistry(redis.url, SECRET)
        yield found
        await found.close()


async def test_nodes_are_there_while_they_register_and_not_longer(registry: NodeRegistry) -> None:
    assert await registry.nodes() == ()
    other = replace(NODE, name="n0", load=0.4, draining=True)
    await registry.register(NODE)
    await registry.register(other)
    assert await registry.nodes() == (other, NODE)
    await registry.withdraw("n0")
    assert await registry.nodes() == (NODE,)
    await asyncio.sleep(EXPIRY_S / 2)
    await registry.register(replace(NODE, endpoints=7))
    await asyncio.sleep(0.7 * EXPIRY_S)
    assert await registry.nodes() == (replace(NODE, endpoints=7),)
    await asyncio.sleep(0.5 * EXPIRY_S)
    assert await registry.nodes() == ()


async def test_a_redis_that_is_away_is_said_and_what_is_not_understood_is_passed_over(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        registry = RedisNodeRegistry(redis.url, SECRET)
        await registry.register(NODE)
        newer = Redis.from_url(redis.url)
        names, node = node_keys(SECRET)
        await newer.set(node + "n2", b'{"name": 5}')
        await newer.sadd(names, "n2")
        await newer.aclose()
        assert await registry.nodes() == (NODE,)
        await redis.stop()
        for wanted in (registry.nodes(), registry.register(NODE), registry.withdraw("n1")):
            with pytest.raises(RegistryDown):
                await wanted
        await redis.start()
        await registry.register(NODE)
        assert await registry.nodes() == (NODE,)
        await registry.close()


async def test_two_deployments_may_use_one_redis(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        one, other = RedisNodeRegistry(redis.url, SECRET), RedisNodeRegistry(redis.url, "another deployment's")
        await one.register(NODE)
        await other.register(replace(NODE, host="10.9.9.9"))
        assert await one.nodes() == (NODE,)
        await other.withdraw(NODE.name)
        assert await one.nodes() == (NODE,) and await other.nodes() == ()
        await one.close()
        await other.close()
