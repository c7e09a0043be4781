"""How late the server's event loop ran in a window of time, read from its `/metrics`."""

import re

from clients.rehearsal.desk import Site

_BUCKET = re.compile(r'diemcau_loop_lag_seconds_bucket\{le="([\d.]+)"\} ([\d.e+]+)')
_MOST = re.compile(r"diemcau_loop_lag_max_seconds ([\d.e+-]+)")


class LoopLag:
    """One reader's window: from `begin` on. Raises what `Site.metrics` does."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._buckets: dict[float, float] = {}
        self._most = 0.0

    async def begin(self) -> None:
        self._buckets, self._most = await self._read()

    async def _read(self) -> tuple[dict[float, float], float]:
        text = await self._site.metrics()
        found = _MOST.search(text)
        return {float(edge): float(count) for edge, count in _BUCKET.findall(text)}, float(found[1]) if found else 0.0

    async def max_ms(self) -> float:
        """Exact if it is the greatest since the server's start, else the upper edge of its bucket."""
        buckets, most = await self._read()
        if most > self._most:
            return round(1e3 * most, 1)
        grown = {edge: count - self._buckets.get(edge, 0.0) for edge, count in buckets.items()}
        total = max(grown.values(), default=0.0)
        return round(1e3 * min((edge for edge, count in grown.items() if count >= total), default=most), 1)
