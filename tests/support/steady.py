"""A phone as the page is: it gives a command until it is answered, and comes back anywhere when its line is lost."""

import asyncio
import contextlib
import random
import time
from typing import Any

import socketio.exceptions
from aiohttp import ClientError, ClientSession

from tests.support.live import WireClient
from tests.support.meetings import command_id

TROUBLE = (TimeoutError, ClientError, OSError, socketio.exceptions.SocketIOError)
ANSWER_S = 5.0


class SteadyPhone:
    """`urls` are the servers it may go to. `acknowledged` are the ids of the commands that were answered with yes."""

    def __init__(self, token: str, urls: list[str], chance: random.Random) -> None:
        self.client = WireClient(chance.choice(urls))
        self.acknowledged: list[str] = []
        self.answer_s: list[float] = []
        self.came = 0
        self._http: ClientSession | None = None
        self._token = token
        self._urls = urls
        self._chance = chance

    async def come(self) -> None:
        """Connect, anywhere, however long it takes; with what it missed only."""
        if self._http is None:  # a session of its own: python-engineio loses its where a server dies meanwhile
            self._http = self.client.sio.eio.http = ClientSession()
            self.client.sio.eio.external_http = True
        while not self.client.sio.connected:
            with contextlib.suppress(*TROUBLE):
                answer = await self.client.connect(self._token, resume=self.came > 0)
                if answer["ok"]:
                    self.came += 1
                    return
            with contextlib.suppress(*TROUBLE):
                await self.client.sio.disconnect()
            await asyncio.sleep(self._chance.uniform(0.05, 0.5))
            self.client.url = self._chance.choice(self._urls)

    async def give(self, type: str, **fields: Any) -> dict[str, Any]:
        """The answer, in the end. The same id each time."""
        command = {"type": type, "id": command_id(), **fields}
        began = time.perf_counter()
        while True:
            await self.come()
            try:
                answer = await self.client.sio.call("command", command, timeout=ANSWER_S)
            except TROUBLE:
                continue
            if not answer["ok"] and answer["code"] in ("unavailable", "internal", "too_many"):
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
                continue
            self.answer_s.append(time.perf_counter() - began)
            if answer["ok"]:
                self.acknowledged.append(str(command["id"]))
            return dict(answer)

    async def leave(self) -> None:
        with contextlib.suppress(*TROUBLE):
            await self.client.close()
        if self._http is not None:
            await self._http.close()
