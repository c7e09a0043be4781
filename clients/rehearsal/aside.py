"""A part of a rehearsal in a process of its own: a line of JSON in, one out."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from clients.rehearsal.desk import RehearsalFailed
from clients.rehearsal.process import log_tail, running

_LINE = 16 * 1024 * 1024


class Aside:
    """The parent's side."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self._log = process, log

    async def ask(self, line: bytes) -> bytes:
        """Raises RehearsalFailed when it has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        answer = await self._process.stdout.readline()
        if not answer:
            raise RehearsalFailed(f"{self._log.stem} ended:\n{log_tail(self._log)}")
        return answer


@contextlib.asynccontextmanager
async def aside(module: str, folder: Path) -> AsyncIterator[Aside]:
    """The module run as a program; ended with the context."""
    log = folder / f"{module}.log"
    async with running(sys.executable, "-m", module, log=log, stdout=PIPE) as process:
        yield Aside(process, log)


async def asked() -> asyncio.StreamReader:
    """The child's side: what it is asked, line by line."""
    reader = asyncio.StreamReader(limit=_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(answer: object) -> None:
    """The child's side: one answer."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()
