"""Key frame requests of one source, from any number of receivers: at most one a second goes out.

A request that was not answered by a key frame is repeated. What comes within the second is served by the cached key
frame (media.forward.gop) or waits.
"""

INTERVAL_S = 1.0


class KeyFrameRequests:
    """`wanted` are the layers that a key frame is wanted of."""

    def __init__(self) -> None:
        self.wanted: set[int] = set()
        self._sent_at = float("-inf")

    def want(self, ssrc: int) -> None:
        """Somebody needs a key frame of this layer."""
        self.wanted.add(ssrc)

    def arrived(self, ssrc: int) -> None:
        self.wanted.discard(ssrc)

    def forget(self, ssrc: int) -> None:
        """Nobody receives this layer any more."""
        self.wanted.discard(ssrc)

    def due(self, now: float) -> tuple[int, ...]:
        """The layers to ask for now, all in one packet; empty while it is too early or nothing is wanted."""
        if not self.wanted or now - self._sent_at < INTERVAL_S:
            return ()
        self._sent_at = now
        return tuple(sorted(self.wanted))
