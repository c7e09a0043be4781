"""Key frame requests of one source, from any number of receivers: one a second in the long run goes out.

After a quiet second or more one request may follow another after `SHORTEST_S`, so that the floor's switch does not wait
for the second of a console that opened a tile just before. A request that was not answered by a key frame is repeated.
"""

INTERVAL_S = 1.0
SHORTEST_S = 0.2
BURST = 2.0


class KeyFrameRequests:
    def __init__(self) -> None:
        self._wanted: set[int] = set()
        self._sent_at = float("-inf")
        self._allowance = BURST
        self._counted_at = float("-inf")

    def want(self, ssrc: int) -> None:
        """Somebody needs a key frame of this layer."""
        self._wanted.add(ssrc)

    def arrived(self, ssrc: int) -> None:
        self._wanted.discard(ssrc)

    def forget(self, ssrc: int) -> None:
        """Nobody receives this layer any more."""
        self._wanted.discard(ssrc)

    def due(self, now: float) -> tuple[int, ...]:
        """The layers to ask for now, all in one packet; empty while it is too early or nothing is wanted."""
        if not self._wanted or now - self._sent_at < SHORTEST_S:
            return ()
        self._allowance = min(BURST, self._allowance + (now - self._counted_at) / INTERVAL_S)
        self._counted_at = now
        if self._allowance < 1.0:
            return ()
        self._allowance -= 1.0
        self._sent_at = now
        return tuple(sorted(self._wanted))
