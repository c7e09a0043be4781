"""The bus through Redis' publish and subscribe: one channel for one deployment.

Redis may go, come back, or be slow at any moment: a message then is late or lost and nobody waits. The subscriber hears
the process's own messages too, and `Neighbours` sends one every second, so a connection that has silently died is
noticed by the silence. Messages carry a code of the deployment's key: what others put into the channel is thrown away.
"""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Callable

from redis.asyncio import Redis

from server.cluster.redis_door import AWAY, Pauses, connect, mind_cancelling
from server.logs import logger

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 8 * 1024 * 1024
"""What may wait to be sent; beyond it messages are dropped."""
AT_ONCE = 200
SILENCE_S = 8.0
CODE_BYTES = 16


class RedisBus:
    def __init__(self, url: str, channel: str, key: bytes) -> None:
        self._key = key
        self._redis: Redis = connect(url)
        self._channel = channel.encode()
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._logger = logger(part="redis")
        self.dropped = 0
        self.up = False
        self.on_message: Callable[[bytes], None] = lambda message: None
        self.on_up: Callable[[bool], None] = lambda up: None

    def publish(self, message: bytes) -> None:
        full = len(self._outbox) >= MOST_WAITING or self._outbox_bytes + len(message) > MOST_WAITING_BYTES
        if not self.up or full:
            self.dropped += 1
            return
        self._outbox.append(self._code(message) + message)
        self._outbox_bytes += len(message)
        self._wake.set()

    async def run(self) -> None:
        pauses = Pauses()
        try:
            while True:
                try:
                    await self._carry(pauses)
                except* AWAY as errors:
                    self._logger.warning("redis_away", error=type(errors.exceptions[0]).__name__)
                except* Exception:
                    self._logger.exception("bus_failed")
                mind_cancelling()
                await asyncio.sleep(pauses.next())
        finally:
            await self._redis.aclose()

    async def _carry(self, pauses: Pauses) -> None:
        """Subscribe, then carry messages both ways until one way fails."""
        subscription = self._redis.pubsub()
        try:
            await subscription.subscribe(self._channel)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(), name="redis sender")
                while True:
                    message = await subscription.get_message(timeout=SILENCE_S)
                    mind_cancelling()
                    if message is None:
                        raise TimeoutError("nothing heard, not even from oneself")
                    if message["type"] == "subscribe":
                        pauses.reset()
                        self._told_up(True)
                    elif message["type"] == "message":
                        self._received(message["data"])
        finally:
            self._told_up(False)
            await subscription.aclose()  # type: ignore[no-untyped-call]
            await self._redis.connection_pool.disconnect()

    def _code(self, message: bytes) -> bytes:
        return hashlib.blake2b(message, digest_size=CODE_BYTES, key=self._key).digest()

    def _received(self, data: bytes) -> None:
        code, message = data[:CODE_BYTES], data[CODE_BYTES:]
        if hmac.compare_digest(code, self._code(message)):
            self.on_message(message)
        else:
            self._logger.warning("message_not_ours")

    def _told_up(self, up: bool) -> None:
        if up == self.up:
            return
        self.up = up
        self._outbox.clear()
        self._outbox_bytes = 0
        self._logger.info("redis_up" if up else "redis_down")
        self.on_up(up)

    async def _send(self) -> None:
        """Publish what waits, many in one go, in order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for _ in range(min(AT_ONCE, len(self._outbox))):
                        message = self._outbox.popleft()
                        self._outbox_bytes -= len(message) - CODE_BYTES
                        pipe.publish(self._channel, message)
                    await pipe.execute()
                mind_cancelling()
