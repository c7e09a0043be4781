"""A light Socket.IO client over aiohttp's websocket (PROTOCOL.md §2): hundreds of them fit into one process."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

PROTOCOL = 1
ANSWER_S = 15.0
_OPEN_S = 15.0
_EVENT, _ACK = "42", "43"


class Refused(Exception):
    """The server said no; the word is its code."""


class Socket:
    """`heard` gets every event's name and its undecoded body. Whoever opened it runs `read` and calls `close`."""

    def __init__(self, heard: Callable[[str, str], None]) -> None:
        self.gone = ""
        self._heard = heard
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self, http: aiohttp.ClientSession, url: str) -> None:
        address = f"{url}/socket.io/?EIO=4&transport=websocket"
        async with asyncio.timeout(_OPEN_S):
            self._socket = await http.ws_connect(address, compress=0, max_msg_size=64 * 1024 * 1024)
            await self._socket.receive_str()  # engine.io's open packet
            await self._socket.send_str("40")
            await self._socket.receive_str()  # Socket.IO's connect packet

    async def read(self) -> None:
        """Until the connection ends."""
        assert self._socket is not None
        with contextlib.suppress(ConnectionError):
            await self._read(self._socket)
        self.gone = self.gone or "closed"
        for future in self._answers.values():
            if not future.done():
                future.set_exception(ConnectionError(self.gone))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            text: str = message.data
            if text == "2":
                await socket.send_str("3")
            elif text.startswith(_ACK):
                self._take_answer(text)
            elif text.startswith(_EVENT):
                end = text.index('"', 4)
                self._heard(text[4:end], text[end + 2 : -1])

    def _take_answer(self, text: str) -> None:
        start = text.index("[")
        future = self._answers.pop(int(text[len(_ACK) : start]), None)
        if future is not None and not future.done():
            future.set_result(msgspec.json.decode(text[start:])[0])

    async def call(self, event: str, body: dict[str, Any], within_s: float = ANSWER_S) -> dict[str, Any]:
        """The answer. Raises Refused, TimeoutError, ConnectionError."""
        id = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[id] = future
        await self._send(f"{_EVENT}{id}", event, body)
        async with asyncio.timeout(within_s):
            answer = await future
        if not answer["ok"]:
            raise Refused(answer["code"])
        return answer

    async def tell(self, event: str, body: dict[str, Any]) -> None:
        await self._send(_EVENT, event, body)

    async def _send(self, kind: str, event: str, body: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send_str(kind + msgspec.json.encode([event, body]).decode())

    async def hello(self, token: str) -> dict[str, Any]:
        return await self.call("hello", {"protocol": PROTOCOL, "token": token})

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
