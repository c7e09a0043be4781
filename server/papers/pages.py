"""The pages of stored papers as pictures and text, drawn once and kept in a folder of bounded size.

When thousands open the same page at once it is drawn once: the others wait for the same drawing.
"""

import asyncio
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from server.papers.facts import WIDTHS
from server.papers.library import PaperLibrary
from server.papers.problem import PaperError
from server.papers.workers import PaperWorkers

MOST_BYTES = 2 * 1024**3


class PaperPages:
    """`folder` may be emptied at any time while the server is down; everything in it can be made again."""

    def __init__(self, papers: PaperLibrary, workers: PaperWorkers, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._papers = papers
        self._workers = workers
        self._kept = _Kept(folder, most_bytes)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def image(self, sha256: str, page: int, width: int) -> bytes:
        """The page (from 1) as WebP; `width` is one of `WIDTHS`. Raises `PaperError`."""
        if width not in WIDTHS:
            raise PaperError("not_found")
        path = await self._papers.find(sha256)
        return await self._made(f"{sha256}-{page}-{width}.webp", lambda: self._workers.render(path, page, width))

    async def text(self, sha256: str, page: int) -> str:
        """The page's text, empty for a scan. Raises `PaperError`."""
        path = await self._papers.find(sha256)

        async def words() -> bytes:
            return (await self._workers.text(path, page)).encode()

        return (await self._made(f"{sha256}-{page}.txt", words)).decode()

    async def _made(self, name: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        kept = await asyncio.to_thread(self._kept.get, name)
        if kept is not None:
            return kept
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.create_task(self._make(name, make), name=f"page {name}")
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
        return await asyncio.shield(task)  # one reader leaving must not take the page from the others

    async def _make(self, name: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        data = await make()
        await asyncio.to_thread(self._kept.put, name, data)
        return data

    async def close(self) -> None:
        """Let go of drawings under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Kept:
    """Files of at most so many bytes in all; those not asked for longest go first. Safe from several threads."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._most_bytes = most_bytes
        found = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
        found.sort(key=lambda pair: pair[1].st_mtime)
        self._sizes = OrderedDict((path.name, status.st_size) for path, status in found)
        self._bytes = sum(self._sizes.values())
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:  # let go in between
            return None

    def put(self, name: str, data: bytes) -> None:
        handle, aside = tempfile.mkstemp(dir=self._folder, prefix=".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        with self._lock:
            os.replace(aside, self._folder / name)
            self._bytes += len(data) - self._sizes.pop(name, 0)
            self._sizes[name] = len(data)
            while self._bytes > self._most_bytes and self._sizes:
                oldest, size = self._sizes.popitem(last=False)
                (self._folder / oldest).unlink(missing_ok=True)
                self._bytes -= size
