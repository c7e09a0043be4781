"""Stock python-socketio as the subject: an AsyncServer on aiohttp with its defaults, but for the websocket transport.

It is a process of its own (this module run as a program) that does less than ours: it keeps nothing, decides nothing
and knows nobody. A hello puts a phone into the room, a command is counted and acknowledged, a change goes to the room.
"""

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import socketio
import uvloop
from aiohttp import web

from clients.bench.subject import SubjectFailed
from clients.bench.talking import Example
from clients.rehearsal.phone import Seat
from clients.rehearsal.phones import Phones
from clients.rehearsal.process import log_tail, running
from clients.rehearsal.wire import Socket

_START_S = 20.0
_PERIOD_S = 0.01
_OVERLOADED_S = 180.0


class StockServer:
    """The server as its documentation shows it. `welcome` is what a hello is answered with."""

    def __init__(self, welcome: dict[str, Any]) -> None:
        self.sio = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], cors_allowed_origins="*")
        self._welcome = welcome
        self._rev = 0
        self._lag_s = 0.0
        for name in ("hello", "command", "change", "lag"):
            self.sio.on(name, getattr(self, name))

    async def hello(self, sid: str, said: dict[str, Any]) -> dict[str, Any]:
        await self.sio.enter_room(sid, "meeting")
        return {**self._welcome, "rev": self._rev}

    async def command(self, sid: str, wanted: dict[str, Any]) -> dict[str, Any]:
        self._rev += 1
        return {"ok": True, "rev": self._rev}

    async def change(self, sid: str, record: dict[str, Any]) -> dict[str, Any]:
        self._rev += 1
        await self.sio.emit("patch", {"rev": self._rev, "put": [record], "drop": []}, room="meeting")
        return {"ok": True, "rev": self._rev}

    async def lag(self, sid: str, _: object) -> dict[str, Any]:
        """The greatest lateness of the loop since the last question."""
        lag_s, self._lag_s = self._lag_s, 0.0
        return {"ok": True, "lag_s": lag_s}

    async def watch_loop(self, app: web.Application) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(_PERIOD_S)
                self._lag_s = max(self._lag_s, time.perf_counter() - before - _PERIOD_S)

        watching = asyncio.create_task(watch())
        yield
        watching.cancel()


async def serve() -> None:
    """One line with the welcome in, one with the port out; until the process is ended."""
    welcome = json.loads(sys.stdin.readline())
    server, app = StockServer(welcome), web.Application()
    server.sio.attach(app)
    app.cleanup_ctx.append(server.watch_loop)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


class Stock:
    name = "socketio"

    def __init__(self, pid: int, url: str, desk: Socket, seats: Sequence[Seat], example: Example) -> None:
        self.pid, self.url, self.seats, self.example = pid, url, tuple(seats), example
        self._desk = desk

    async def change(self, title: str) -> None:
        await self._desk.call("change", {**self.example.record, "title": title}, _OVERLOADED_S)

    async def begin_lag(self) -> None:
        await self._desk.call("lag", {}, _OVERLOADED_S)

    async def lag_max_ms(self) -> float:
        return round(1e3 * float((await self._desk.call("lag", {}, _OVERLOADED_S))["lag_s"]), 1)

    async def check(self, phones: Phones) -> None:
        """It keeps nothing that could be checked."""


@contextlib.asynccontextmanager
async def running_stock(folder: Path, seats: Sequence[Seat], example: Example) -> AsyncIterator[Stock]:
    """With phones as ours were, and a welcome and changes of the same size."""
    log = folder / "stock.log"
    async with (
        running(sys.executable, "-m", "clients.bench.stock", log=log, stdout=PIPE) as process,
        aiohttp.ClientSession() as http,
    ):
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(example.welcome).encode() + b"\n")
        try:
            port = (await asyncio.wait_for(process.stdout.readline(), _START_S)).decode().strip()
        except TimeoutError:
            port = ""
        if not port:
            raise SubjectFailed(f"the stock server did not start:\n{log_tail(log)}")
        url, desk = f"http://127.0.0.1:{port}", Socket(lambda event, body: None)
        await desk.open(http, url)
        reading = asyncio.create_task(desk.read())
        try:
            yield Stock(process.pid, url, desk, seats, example)
        finally:
            reading.cancel()
            await desk.close()


if __name__ == "__main__":
    uvloop.run(serve())
