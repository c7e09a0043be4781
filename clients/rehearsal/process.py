"""What a process costs, as the kernel tells: also of a process that is not ours to change."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import cffi

_WHOLE_PROCESS = 2  # CPUCLOCK_SCHED, of no single thread
_END_S = 5.0
_PR_SET_PDEATHSIG = 1

_ffi = cffi.FFI()
_ffi.cdef("int prctl(int option, unsigned long argument);")
_prctl = _ffi.dlopen(None).prctl


def cpu_s(pid: int) -> float:
    """User and system time of the whole process, all threads, so far. Raises OSError when it has gone.

    By its own clock (clock_getcpuclockid(3)): /proc tells hundredths of a second, which is much for a few commands.
    """
    return time.clock_gettime(~pid << 3 | _WHOLE_PROCESS)


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def log_tail(log: Path) -> str:
    """The last lines of a log, for an error's text."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


@contextlib.asynccontextmanager
async def running(
    *command: str, log: Path, env: dict[str, str] | None = None, stdout: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process that is ended with the context, by force if it must, and with this process, however that ends.

    Its stderr goes to `log`.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stderr=errors,
            stdout=errors if stdout is None else stdout,
            stdin=asyncio.subprocess.PIPE,
            env=env,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _END_S)
            except TimeoutError:
                process.kill()
                await process.wait()
