"""Several server processes on one machine and one port: started, watched, replaced and stopped by one command.

The system spreads new connections over them (SO_REUSEPORT). A process that ends unasked is started again. SIGHUP
replaces them one after the other by new ones, with the program as it is installed then; SIGTERM and SIGINT end all. A
process whose parent has gone ends by itself: its standard input ends.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from server.database.engine import open_database
from server.logs import logger
from server.settings import Settings
from server.tokens import load_secret

PAUSE_S, MOST_PAUSE_S = 0.5, 5.0
SOUND_S = 10.0
"""A process that lived for so long was in order."""
MOST_FAILURES = 5
READY_S = 60.0
STOP_S = 25.0
"""How long a process may take to end, beyond the time that `Settings.drain_s` gives it."""
REPLACED_PAUSE_S = 1.0


class WorkerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told on its standard input. `announce`: it prints the links. `ready_fd`: where it says that
    it serves."""

    settings: Settings
    announce: bool
    sample: bool
    keep_media: bool
    log_level: str
    ready_fd: int


class CannotStart(Exception):
    """The port is taken, or the processes end again and again."""


def encoded(order: WorkerOrder) -> bytes:
    return msgspec.json.encode(order, enc_hook=str) + b"\n"


def read_order(line: bytes) -> WorkerOrder:
    return msgspec.json.decode(line, type=WorkerOrder, dec_hook=_path)


def _path(type: type, value: Any) -> Any:
    return Path(value) if issubclass(type, Path) else value


def reserve(host: str, port: int) -> socket.socket:
    """Bind the port without listening, so that it is this command's. Raises `OSError` if another program has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind((host, port))
        taken = alone.getsockname()[1]
    kept = socket.socket(family, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind((host, taken))
    return kept


class _Worker:
    """One place among the processes, and the process that fills it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None


class Workers:
    def __init__(self, settings: Settings, number: int, *, sample: bool, keep_media: bool, log_level: str) -> None:
        self._settings = settings
        self._sample = sample
        self._keep_media = keep_media
        self._log_level = log_level
        self._each = [_Worker(n) for n in range(number)]
        self._announced = False
        self._stopping = asyncio.Event()
        self._replacing = asyncio.Event()
        self._logger = logger(part="workers")

    def stop(self) -> None:
        self._stopping.set()

    def replace(self) -> None:
        """Have each process replaced by a new one, one after the other."""
        self._replacing.set()

    async def run(self) -> None:
        """Keep all running until `stop`. Raises `CannotStart`, `OSError`."""
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        load_secret(settings.data_dir / "secret")
        await (await open_database(settings.url)).dispose()  # migrated once, before they all come
        with reserve(settings.host, settings.port) as port:
            self._settings = msgspec.structs.replace(settings, port=port.getsockname()[1])
            try:
                async with asyncio.TaskGroup() as tasks:
                    keeping = [tasks.create_task(self._keep(worker)) for worker in self._each]
                    keeping.append(tasks.create_task(self._keep_replacing()))
                    await self._stopping.wait()
                    for task in keeping:
                        task.cancel()
            finally:
                await asyncio.gather(*(self._end(worker) for worker in self._each))

    async def _keep(self, worker: _Worker) -> None:
        """Start its process again whenever it has ended."""
        loop = asyncio.get_running_loop()
        failures, pause = 0, PAUSE_S
        while True:
            began = loop.time()
            process = await self._start(worker)
            code = await process.wait()
            if code == 0 and not self._stopping.is_set():
                continue  # it was asked to
            self._logger.warning("worker_ended", worker=worker.number, code=code)
            sound = loop.time() - began > SOUND_S
            failures, pause = (0, PAUSE_S) if sound else (failures + 1, min(pause * 2, MOST_PAUSE_S))
            if failures >= MOST_FAILURES:
                raise CannotStart(f"process {worker.number} ended {failures} times with code {code}")
            await asyncio.sleep(pause)

    async def _start(self, worker: _Worker) -> asyncio.subprocess.Process:
        """A process for this place; the first of all prints the links."""
        read_end, write_end = os.pipe()
        order = WorkerOrder(
            settings=msgspec.structs.replace(self._settings, worker=worker.number),
            announce=not self._announced and worker.number == 0,
            sample=self._sample,
            keep_media=self._keep_media,
            log_level=self._log_level,
            ready_fd=write_end,
        )
        worker.ready.clear()
        try:
            worker.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "server", "worker"), stdin=asyncio.subprocess.PIPE, pass_fds=(write_end,)
            )
        finally:
            os.close(write_end)
        assert worker.process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it has ended already: whoever waits for it sees that
            worker.process.stdin.write(encoded(order))
            await worker.process.stdin.drain()
        asyncio.get_running_loop().add_reader(read_end, self._heard, worker, read_end)
        self._logger.info("worker_started", worker=worker.number, pid=worker.process.pid)
        return worker.process

    def _heard(self, worker: _Worker, read_end: int) -> None:
        """It says that it serves, or has ended."""
        if os.read(read_end, 16):
            worker.ready.set()
            self._announced = self._announced or worker.number == 0
        else:
            asyncio.get_running_loop().remove_reader(read_end)
            os.close(read_end)

    async def _keep_replacing(self) -> None:
        while True:
            await self._replacing.wait()
            self._replacing.clear()
            for worker in self._each:
                await self._replace(worker)

    async def _replace(self, worker: _Worker) -> None:
        """End its process and wait until the next one serves."""
        if not worker.running:
            return
        await self._end(worker)
        worker.ready.clear()
        try:
            async with asyncio.timeout(READY_S):
                await worker.ready.wait()
        except TimeoutError:
            self._logger.error("worker_not_ready", worker=worker.number)
        await asyncio.sleep(REPLACED_PAUSE_S)

    async def _end(self, worker: _Worker) -> None:
        """Ask it to end, and kill it if it does not."""
        process = worker.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S + self._settings.drain_s):
                await process.wait()
        except TimeoutError:
            self._logger.error("worker_killed", worker=worker.number)
            process.kill()
            await process.wait()


async def supervise(workers: Workers) -> None:
    """Run them until SIGTERM or SIGINT. Raises `CannotStart`, `OSError`."""
    loop = asyncio.get_running_loop()
    stop: Callable[[], None] = workers.stop
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, workers.replace)
    try:
        await workers.run()
    except* CannotStart as group:
        raise CannotStart(str(group.exceptions[0])) from None
