"""Leases in Redis: a key with the holder's name that expires, renewed three times in that time.

The token comes from Redis' clock in microseconds and is greater than the last one even if that clock was set back;
after Redis has lost its data it still is greater, because time has passed.
"""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis

from server.cluster.lease import Changed
from server.cluster.redis_door import AWAY, connect, mind_cancelling
from server.logs import logger

HELD_S = 6.0
"""For how long a lease is taken; so long it is nobody's after its holder was killed."""
RENEW_S = 2.0

_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
local token = tonumber(redis.call('GET', KEYS[2]) or '0')
if not holder then
  local now = redis.call('TIME')
  token = math.max(token + 1, now[1] * 1000000 + now[2])
  redis.call('SET', KEYS[2], string.format('%.0f', token))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return string.format('%.0f', token)
"""
_GIVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLease:
    def __init__(self, redis: Redis, prefix: str, name: str, process: str) -> None:
        self.name = name
        self._redis = redis
        self._keys = (f"{prefix}:lease:{name}", f"{prefix}:fence:{name}")
        self._process = process
        self._token: int | None = None
        self._changed: list[Changed] = []
        self._logger = logger(part="lease", lease=name)

    @property
    def token(self) -> int | None:
        return self._token

    def listen(self, changed: Changed) -> None:
        self._changed.append(changed)
        if self._token is not None:
            changed(self._token)

    async def run(self) -> None:
        try:
            while True:
                try:
                    self._set(await self._take())
                except AWAY as error:
                    self._logger.info("lease_not_renewed", error=type(error).__name__)
                mind_cancelling()
                await asyncio.sleep(RENEW_S)
        finally:
            if self._token is not None:
                await self._give()

    async def _take(self) -> int | None:
        """The token, None when another process holds it."""
        take: Callable[..., object] = self._redis.eval
        token = await take(_TAKE, 2, *self._keys, self._process, str(round(HELD_S * 1000)))  # type: ignore[misc]
        return int(token) if token is not None else None

    async def _give(self) -> None:
        self._set(None)
        give: Callable[..., object] = self._redis.eval
        try:
            await asyncio.wait_for(give(_GIVE, 1, self._keys[0], self._process), 0.5)  # type: ignore[arg-type]
        except AWAY as error:
            self._logger.info("lease_not_given_back", error=type(error).__name__)

    def _set(self, token: int | None) -> None:
        if token == self._token:
            return
        self._token = token
        self._logger.info("lease_taken" if token is not None else "lease_lost")
        for changed in self._changed:
            changed(token)


class RedisLeases:
    """`process` is this process's name, `prefix` the deployment's."""

    def __init__(self, url: str, prefix: str, process: str) -> None:
        self._redis = connect(url)
        self._prefix = prefix
        self._process = process

    def lease(self, name: str) -> RedisLease:
        return RedisLease(self._redis, self._prefix, name, self._process)

    async def close(self) -> None:
        await self._redis.aclose()
