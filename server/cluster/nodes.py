"""The registry of media nodes in Redis: a key for each node that expires, and a set of their names.

Keys are named after the cluster's secret, so that two deployments may use one Redis.
"""

import hashlib

import msgspec
from redis.asyncio import Redis

from server.cluster.redis_door import AWAY, connect, mind_cancelling
from server.media_registry import EXPIRY_S, RegisteredNode, RegistryDown

MOST_NODES = 256


def node_keys(secret: str) -> tuple[str, str]:
    """The key of the set of names, and what the keys of nodes begin with."""
    deployment = hashlib.blake2b(secret.encode(), digest_size=8, person=b"diemcau nodes").hexdigest()
    return f"diemcau:{deployment}:nodes", f"diemcau:{deployment}:node:"


class RedisNodeRegistry:
    def __init__(self, url: str, secret: str) -> None:
        """Connects with the first command. Raises `ValueError` for a bad URL."""
        self._redis: Redis = connect(url)
        self._names, self._node = node_keys(secret)

    async def register(self, node: RegisteredNode) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(self._node + node.name, msgspec.json.encode(node), px=round(EXPIRY_S * 1000))
                pipe.sadd(self._names, node.name)
                await pipe.execute()
        except AWAY as error:
            raise RegistryDown from error
        mind_cancelling()

    async def withdraw(self, name: str) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(self._node + name)
                pipe.srem(self._names, name)
                await pipe.execute()
        except AWAY as error:
            raise RegistryDown from error
        mind_cancelling()

    async def nodes(self) -> tuple[RegisteredNode, ...]:
        try:
            names = sorted(_text(name) for name in await self._redis.smembers(self._names))[:MOST_NODES]
            found = await self._redis.mget([self._node + name for name in names]) if names else []
            expired = [name for name, each in zip(names, found, strict=True) if each is None]
            if expired:
                await self._redis.srem(self._names, *expired)
        except AWAY as error:
            raise RegistryDown from error
        mind_cancelling()
        return tuple(node for each in found if each is not None and (node := _read(each)) is not None)

    async def close(self) -> None:
        await self._redis.aclose()


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _read(value: bytes | str) -> RegisteredNode | None:
    """None: a newer version's, that we cannot read."""
    try:
        return msgspec.json.decode(value, type=RegisteredNode)
    except msgspec.DecodeError:
        return None
