"""The worker processes as seen from the server: awaitable, few, and replaced when a file has broken one."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from server.papers.facts import MOST_BYTES, MOST_PAGES, PaperFacts
from server.papers.jobs import (
    LONGEST_MESSAGE,
    Draw,
    Facts,
    Failed,
    Inspect,
    Job,
    Outcome,
    Picture,
    Read,
    Words,
    decode_outcome,
    framed,
)
from server.papers.problem import PaperError

_HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the `server` package; the child is given nothing else of this process's surroundings."""


class PaperWorkers:
    """At most `size` processes, started when first needed.

    Beyond `most_waiting` jobs in all, a job is refused (`unavailable`); one that takes longer than `timeout_s` is
    `pdf_broken` and its process is killed. Use as `async with`: at the end no process is left.
    """

    def __init__(self, size: int = 2, *, timeout_s: float = 25.0, most_waiting: int = 200) -> None:
        self._turns = asyncio.Semaphore(size)
        self._timeout_s = timeout_s
        self._most_waiting = most_waiting
        self._jobs = 0
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    async def __aenter__(self) -> "PaperWorkers":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def inspect(self, path: Path, most_bytes: int = MOST_BYTES, most_pages: int = MOST_PAGES) -> PaperFacts:
        """Raises `PaperError`."""
        outcome = await self._do(Inspect(str(path), most_bytes, most_pages))
        assert isinstance(outcome, Facts)
        return outcome.facts

    async def render(self, path: Path, page: int, width: int) -> bytes:
        """The page (from 1) as WebP. Raises `PaperError`."""
        outcome = await self._do(Draw(str(path), page, width))
        assert isinstance(outcome, Picture)
        return outcome.webp

    async def text(self, path: Path, page: int) -> str:
        """The page's text, empty for a scan. Raises `PaperError`."""
        outcome = await self._do(Read(str(path), page))
        assert isinstance(outcome, Words)
        return outcome.text

    async def close(self) -> None:
        """Jobs under way end as `pdf_broken`; so wait for them first, or cancel them."""
        for worker in list(self._all):
            await self._end(worker)
        self._idle.clear()

    async def _do(self, job: Job) -> Outcome:
        if self._jobs >= self._most_waiting:
            raise PaperError("unavailable")
        self._jobs += 1
        try:
            async with self._turns:
                outcome = await self._with_worker(job)
        finally:
            self._jobs -= 1
        if isinstance(outcome, Failed):
            raise PaperError(outcome.code)
        return outcome

    async def _with_worker(self, job: Job) -> Outcome:
        """A worker that ended while idle is not the file's fault: so after a reused one the job gets a new one."""
        if self._idle:
            outcome = await self._try(self._idle.pop(), job)
            if outcome is not None:
                return outcome
        return await self._try(await self._start(), job) or Failed("pdf_broken")

    async def _try(self, worker: "_Worker", job: Job) -> Outcome | None:
        """The outcome; None if the process ended over the job."""
        sound = False
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await worker.do(job)
            sound = not (isinstance(outcome, Failed) and outcome.worn)
            return outcome
        except TimeoutError:
            return Failed("pdf_broken")
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            if sound and worker.fresh:
                self._idle.append(worker)
            else:  # also when the caller was cancelled: an outcome nobody waits for is under way
                await asyncio.shield(self._end(worker))

    async def _start(self) -> "_Worker":
        """Raises `PaperError("unavailable")` if the system gives no process."""
        environment = {"PYTHONPATH": str(_HOME), "PATH": os.defpath, "LANG": "C.UTF-8"}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "server.papers.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise PaperError("unavailable") from error
        worker = _Worker(process)
        self._all.add(worker)
        return worker

    async def _end(self, worker: "_Worker") -> None:
        self._all.discard(worker)
        await worker.end()


class _Worker:
    """One process. Invariant: it has at most one job."""

    _MOST_JOBS = 500

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._done = 0

    @property
    def fresh(self) -> bool:
        return self._done < self._MOST_JOBS and self._process.returncode is None

    async def do(self, job: Job) -> Outcome:
        """Raises `IncompleteReadError` or `ConnectionError` if the process ends over it."""
        into, out = self._process.stdin, self._process.stdout
        assert into is not None and out is not None
        into.write(framed(job))
        await into.drain()
        length = int.from_bytes(await out.readexactly(4), "big")
        if length > LONGEST_MESSAGE:
            raise ConnectionError("a worker's outcome is too long")
        outcome: Outcome = decode_outcome(await out.readexactly(length))
        self._done += 1
        return outcome

    async def end(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill may reap it behind asyncio's back
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
