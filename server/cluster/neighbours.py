"""Who else is there: each process says every second that it lives, counts what it sends, and notices what it missed.

A process that is silent for `GONE_S` is gone. While the bus is away nobody goes: that they are not heard says nothing
of them. When it is back everybody asks everybody, and what was known is brought up to date.
"""

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec

from server.cluster.bus import Bus
from server.cluster.messages import AnyBody, Ask, Beat, Bye, pack, unpack
from server.logs import logger

BEAT_S = 1.0
GONE_S = 4.0
ANSWER_S = 0.5
"""Asked again sooner than this, it is answered once."""
MOST_NEIGHBOURS = 64


class _Neighbour(msgspec.Struct):
    number: int
    heard_at: float


class Neighbours:
    """`process` is this one's name. `on_body` is called with who said what, `on_gone` with who is gone, `on_asked` when
    all that was told is to be told again. None of them may raise or block."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = secrets.token_hex(6)
        self.on_body: Callable[[str, AnyBody], None] = lambda process, body: None
        self.on_gone: Callable[[str], None] = lambda process: None
        self.on_asked: Callable[[], None] = lambda: None
        self._bus = bus
        self._clock = clock
        self._number = 0
        self._known: dict[str, _Neighbour] = {}
        self._answer: asyncio.TimerHandle | None = None
        self._asked_again = False
        self._up_since: float | None = None
        self._is_up = asyncio.Event()
        self._logger = logger(part="cluster")
        bus.on_message = self._message
        bus.on_up = self._up

    @property
    def known(self) -> frozenset[str]:
        """The other processes."""
        return frozenset(self._known)

    @property
    def up(self) -> bool:
        """Whether others can be told things now."""
        return self._bus.up

    def acquainted(self, for_s: float) -> bool:
        """Whether the bus has been up for so long that everybody there was has been heard."""
        return self._up_since is not None and self._clock() - self._up_since >= for_s

    async def settled(self, for_s: float) -> None:
        """Wait until then."""
        while not self.acquainted(for_s):
            await self._is_up.wait()
            await asyncio.sleep(for_s)

    def send(self, body: AnyBody) -> None:
        self._number += 1
        self._bus.publish(pack(self.process, self._number, body))

    def ask(self) -> None:
        """Have everybody tell all again."""
        self.send(Ask())

    async def run(self) -> None:
        """Say that one lives and see who does, until cancelled; then say goodbye."""
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                self.send(Beat())
                self._forget_silent()
        finally:
            if self._answer is not None:
                self._answer.cancel()
            self.send(Bye())

    def _forget_silent(self) -> None:
        if not self.acquainted(GONE_S):
            return
        now = self._clock()
        for process, neighbour in list(self._known.items()):
            if now - neighbour.heard_at > GONE_S:
                self._gone(process)

    def _gone(self, process: str) -> None:
        if self._known.pop(process, None) is not None:
            self._logger.info("process_gone", process=process)
            self.on_gone(process)

    def _up(self, up: bool) -> None:
        self._up_since = self._clock() if up else None
        if not up:
            self._is_up.clear()
        else:
            self._is_up.set()
            for neighbour in self._known.values():
                neighbour.heard_at = self._clock()
            self.send(Ask())
            self._asked()

    def _asked(self) -> None:
        if self._answer is not None:
            self._asked_again = True
            return
        self._answer = asyncio.get_running_loop().call_later(ANSWER_S * 0.1, self._tell_all)

    def _tell_all(self) -> None:
        self._answer = asyncio.get_running_loop().call_later(ANSWER_S, self._may_answer)
        self.on_asked()

    def _may_answer(self) -> None:
        self._answer = None
        if self._asked_again:
            self._asked_again = False
            self._asked()

    def _message(self, message: bytes) -> None:
        try:
            process, number, body = unpack(message)
        except msgspec.DecodeError:
            self._logger.warning("message_unreadable")
            return
        if process == self.process:
            return
        if isinstance(body, Bye):
            self._gone(process)
            return
        self._heard(process, number)
        if isinstance(body, Ask):
            if body.process in (None, self.process):
                self._asked()
        elif body is not None and not isinstance(body, Beat):
            self.on_body(process, body)

    def _heard(self, process: str, number: int) -> None:
        """Count its message; ask for everything if one is missing, or it was not known."""
        known = self._known.get(process)
        if known is None:
            if len(self._known) >= MOST_NEIGHBOURS:
                return
            self._known[process] = _Neighbour(number, self._clock())
            self._logger.info("process_found", process=process)
            self.send(Ask(process))
            return
        if number != known.number + 1:
            self.send(Ask(process))
        known.number, known.heard_at = number, self._clock()
