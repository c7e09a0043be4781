"""The registry of media nodes in Redis: a key for each node that expires, and a set of their names."""

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.media_registry import EXPIRY_S, RegisteredNode, RegistryDown

PATIENCE_S = 2.0
MOST_NODES = 256
_AWAY = (RedisError, OSError, TimeoutError)
_NAMES = "diemcau:media:nodes"
_NODE = "diemcau:media:node:"


class RedisNodeRegistry:
    def __init__(self, url: str) -> None:
        """Connects with the first command. Raises `ValueError` for a bad URL."""
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            decode_responses=True,
        )

    async def register(self, node: RegisteredNode) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(_NODE + node.name, msgspec.json.encode(node), px=round(EXPIRY_S * 1000))
                pipe.sadd(_NAMES, node.name)
                await pipe.execute()
        except _AWAY as error:
            raise RegistryDown from error

    async def withdraw(self, name: str) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(_NODE + name)
                pipe.srem(_NAMES, name)
                await pipe.execute()
        except _AWAY as error:
            raise RegistryDown from error

    async def nodes(self) -> tuple[RegisteredNode, ...]:
        try:
            names = sorted(map(str, await self._redis.smembers(_NAMES)))[:MOST_NODES]
            found = await self._redis.mget([_NODE + name for name in names]) if names else []
            expired = [name for name, each in zip(names, found, strict=True) if each is None]
            if expired:
                await self._redis.srem(_NAMES, *expired)
        except _AWAY as error:
            raise RegistryDown from error
        return tuple(node for each in found if each is not None and (node := _read(each)) is not None)

    async def close(self) -> None:
        await self._redis.aclose()


def _read(value: str | bytes) -> RegisteredNode | None:
    """None: a newer version's, that we cannot read."""
    try:
        return msgspec.json.decode(value, type=RegisteredNode)
    except msgspec.DecodeError:
        return None
