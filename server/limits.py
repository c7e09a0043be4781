"""How many failed attempts an address may make: bounded memory, forgetting in time."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_ADDRESSES = 20_000


class Attempts:
    """At most `most` failures within `window_s` for each key; successes are not counted."""

    def __init__(self, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def exhausted(self, key: str) -> bool:
        return len(self._recent(key)) >= self._most

    def failed(self, key: str) -> None:
        self._failures[key] = [*self._recent(key), self._clock()]
        self._failures.move_to_end(key)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, key: str) -> list[float]:
        since = self._clock() - self._window_s
        return [at for at in self._failures.get(key, ()) if at > since]
