"""How every part reaches Redis: short patience, no retries of redis-py's own, pauses that grow and are spread."""

import asyncio
import random

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PATIENCE_S = 5.0
"""How long an answer may take: a Redis that is slower counts as away."""
PAUSE_S, MOST_PAUSE_S = 0.2, 3.0

AWAY = (RedisError, OSError, TimeoutError)
"""What it looks like when Redis is away."""


def connect(url: str) -> Redis:
    """A client that connects with its first command. Raises `ValueError` for a bad URL."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
    )
    return client


def is_redis_url(url: str) -> bool:
    """Whether `connect` takes it."""
    try:
        connect(url)
    except ValueError:
        return False
    return True


def mind_cancelling() -> None:
    """Raise `CancelledError` if this task is to end: redis-py loses a cancellation that meets an answer under way."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Pauses:
    """The pauses between attempts: each about twice the one before, spread, so that processes do not come at once."""

    def __init__(self) -> None:
        self._next = PAUSE_S

    def reset(self) -> None:
        self._next = PAUSE_S

    def next(self) -> float:
        """Seconds to wait now."""
        pause = self._next * random.uniform(0.5, 1.5)
        self._next = min(self._next * 2, MOST_PAUSE_S)
        return pause
