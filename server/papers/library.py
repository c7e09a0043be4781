"""The papers as every server sees them: on the local disk, and where several machines share a database also there.

Then the disk is a cache: what another machine took over is fetched when it is first asked for, once for all who ask.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from server.papers.problem import PaperError
from server.papers.store import PaperStore, StoredPaper

PIECE = 1024 * 1024
PAPERS = "paper/"
"""What the names of shared papers begin with, before the SHA-256."""


class SharedFiles(Protocol):
    """Where several machines keep files in common (`server.database.files`)."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None: ...

    def pieces(self, name: str) -> AsyncIterator[bytes]: ...


class PaperLibrary:
    """`shared` is None where all servers have the store's folder in common."""

    def __init__(self, store: PaperStore, shared: SharedFiles | None) -> None:
        self._store = store
        self._shared = shared
        self._under_way: dict[str, asyncio.Task[None]] = {}

    @property
    def incoming(self) -> Path:
        """A folder for uploads under way."""
        return self._store.incoming

    async def put(self, data: bytes) -> StoredPaper:
        """Raises `LogUnavailable`."""
        return await self._share(await asyncio.to_thread(self._store.put, data))

    async def adopt(self, upload: Path) -> StoredPaper:
        """Take over a file that was written into `incoming`: once this returns, every server has it.

        Raises `LogUnavailable`.
        """
        return await self._share(await asyncio.to_thread(self._store.adopt, upload))

    async def _share(self, stored: StoredPaper) -> StoredPaper:
        if self._shared is not None:
            await self._shared.put(_name(stored.sha256), read_pieces(stored.path))
        return stored

    async def find(self, sha256: str) -> Path:
        """The paper as a file on this machine. Raises `PaperError("not_found")`, `LogUnavailable`."""
        path = self._store.path(sha256)
        if self._shared is None or await asyncio.to_thread(path.is_file):
            return self._store.find(sha256)
        task = self._under_way.get(sha256)
        if task is None:
            task = asyncio.create_task(self._fetch(self._shared, sha256), name=f"paper {sha256}")
            self._under_way[sha256] = task
            task.add_done_callback(lambda _: self._under_way.pop(sha256, None))
        await asyncio.shield(task)  # one reader leaving must not take the paper from the others
        return self._store.find(sha256)

    async def _fetch(self, shared: SharedFiles, sha256: str) -> None:
        handle, name = tempfile.mkstemp(dir=self._store.incoming, suffix=".pdf")
        fetched = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                async for piece in shared.pieces(_name(sha256)):
                    await asyncio.to_thread(file.write, piece)
                if not file.tell():
                    raise PaperError("not_found")
            await asyncio.to_thread(self._store.adopt, fetched)
        finally:
            await asyncio.to_thread(fetched.unlink, missing_ok=True)

    async def close(self) -> None:
        """Let go of what is being fetched."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _name(sha256: str) -> str:
    return f"{PAPERS}{sha256}"


async def read_pieces(path: Path) -> AsyncIterator[bytes]:
    """The file's bytes in pieces of a megabyte."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
