"""A bus that carries short messages between the processes: best effort, in each sender's order, never waited for.

Messages are lost while the bus is away, and when more come than it takes; whoever needs to know counts them
(`neighbours`) and asks anew. A message may also come to who sent it.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Bus(Protocol):
    """`on_message` is called with what others send, `on_up` when the bus has come (True) or gone. Neither may raise."""

    on_message: Callable[[bytes], None]
    on_up: Callable[[bool], None]

    @property
    def up(self) -> bool:
        """Whether messages pass now, as far as is known."""

    def publish(self, message: bytes) -> None:
        """Send it to all others. Returns at once; a message that cannot be sent is dropped."""

    async def run(self) -> None:
        """Carry messages until cancelled."""


class OwnBus:
    """Within one process: the bus of a server that is alone, and of several that share an `Exchange`."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self.on_message: Callable[[bytes], None] = lambda message: None
        self.on_up: Callable[[bool], None] = lambda up: None
        self.up = False

    def publish(self, message: bytes) -> None:
        if self.up:
            self._exchange.carry(message)

    async def run(self) -> None:
        self._exchange.members.append(self)
        self.up = True
        self.on_up(True)
        try:
            await asyncio.Event().wait()
        finally:
            self.up = False
            self._exchange.members.remove(self)
            self.on_up(False)


class Exchange:
    """Where the buses of one process meet."""

    def __init__(self) -> None:
        self.members: list[OwnBus] = []

    def bus(self) -> OwnBus:
        return OwnBus(self)

    def carry(self, message: bytes) -> None:
        loop = asyncio.get_running_loop()
        for member in self.members:
            loop.call_soon(member.on_message, message)
