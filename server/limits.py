"""How much one client, one address, and all together may ask for: bounded memory, forgetting in time."""

import asyncio
import resource
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_ADDRESSES = 20_000
COMING_PER_S, COMING_BURST = 50.0, 600.0
EVENTS_PER_S, EVENTS_BURST = 300.0, 2_000.0
MOST_OPEN = 3_000
AT_ONCE = 12
PAUSE_S = 0.01
MOST_WAIT_S = 4.0


class Attempts:
    """At most `most` failures within `window_s` for each key; successes are not counted.

    `on_failed` is called with the key of each failure counted here, so that other processes can count it too.
    """

    def __init__(self, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self.on_failed: Callable[[str], None] = lambda key: None

    def exhausted(self, key: str) -> bool:
        return len(self._recent(key)) >= self._most

    def failed(self, key: str) -> None:
        self.count(key)
        self.on_failed(key)

    def count(self, key: str) -> None:
        """A failure, here or at another process."""
        self._failures[key] = [*self._recent(key), self._clock()]
        self._failures.move_to_end(key)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, key: str) -> list[float]:
        since = self._clock() - self._window_s
        return [at for at in self._failures.get(key, ()) if at > since]


class Bucket:
    """How many events may still come: `per_s` in the long run, `burst` at once; what comes beyond is its debt."""

    __slots__ = ("_at", "_burst", "_debt", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, debt: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._debt = debt
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more is allowed now."""
        left = self._left + (now - self._at) * self._per_s
        if left > self._burst:
            left = self._burst
        self._at = now
        if left < 1.0:
            self._left = max(left - 1.0, -self._debt)
            return False
        self._left = left - 1.0
        return True

    @property
    def overdrawn(self) -> bool:
        """Whether it went on asking long after it was told no."""
        return self._left <= 1.0 - self._debt


class Caller:
    """An address with sockets: what all behind it may do together. A hall's phones come by one address."""

    __slots__ = ("coming", "events", "open")

    def __init__(self, now: float) -> None:
        self.open = 0
        self.coming = Bucket(COMING_PER_S, COMING_BURST, 0.0, now)
        self.events = Bucket(EVENTS_PER_S, EVENTS_BURST, EVENTS_BURST, now)


class Callers:
    """The addresses heard of lately, `MOST_ADDRESSES` at most. This machine's own are not limited: behind a proxy that
    is not trusted to say who comes, everybody would be one of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def admit(self, address: str, now: float) -> Caller | None:
        """Whom a new socket belongs to, None without limits. Raises `TooMany`."""
        if address.startswith("127.") or address in ("::1", ""):
            return None
        caller = self._known.pop(address, None) or Caller(now)
        self._known[address] = caller
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
        if caller.open >= MOST_OPEN or not caller.coming.take(now):
            raise TooMany
        return caller


def raise_open_files() -> int:
    """Let the process open as many files and sockets as the system grants it; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        most = 1_000_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class TooMany(Exception):
    """This address has had its share."""


class Admission:
    """Lets so many through at a time that the loop stays free for those who are in: `AT_ONCE` every `PAUSE_S`."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._left = AT_ONCE

    async def enter(self) -> bool:
        """Wait for the turn; False at once if the queue is longer than `MOST_WAIT_S`."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._left = AT_ONCE
            self._timer = loop.call_later(PAUSE_S, self._go_on)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return True
        if len(self._waiting) >= MOST_WAIT_S / PAUSE_S * AT_ONCE:
            return False
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn
        return True

    def _go_on(self) -> None:
        self._left = AT_ONCE
        while self._waiting and self._left > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._go_on) if self._left < AT_ONCE else None


class Rates:
    """A bucket for each key, `MOST_ADDRESSES` keys at most: of those heard of longest ago it is forgotten."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key: str) -> bool:
        """Count an event; whether it may be."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._per_s, self._burst, 0.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket.take(now)
