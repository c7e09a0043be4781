"""A delegate's phone down to its bytes: it can stop reading, send what no library would, and keep a replica."""

import asyncio
import base64
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec

SLACK_BYTES = 4 * 1024


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame (RFC 6455 section 5.2)."""
    length, mask = len(payload), os.urandom(4)
    if length < 126:
        header = bytes((first, 0x80 | length))
    elif length < 65536:
        header = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    return header + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


class RawPhone:
    """Reads only when told to: beyond `SLACK_BYTES` everything stays with the system, and then with the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.replica: dict[str, dict[str, Any]] = {}
        self.welcome: dict[str, Any] = {}
        self.rev = 0
        self.events: list[str] = []
        self.answers: dict[int, dict[str, Any]] = {}
        self._unread = b""

    @classmethod
    async def open(cls, url: str, extra: str = "") -> "RawPhone":
        """Connected, the handshake answered by 101. `extra` are further header lines."""
        phone = await cls.dial(url)
        host = urlsplit(url).netloc
        key = base64.b64encode(os.urandom(16)).decode()
        phone.writer.write(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extra}\r\n".encode()
        )
        head = await phone.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            phone.writer.close()
            raise ConnectionRefusedError(head.partition(b"\r\n")[0].decode())
        return phone

    @classmethod
    async def dial(cls, url: str) -> "RawPhone":
        """Connected, nothing said."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLACK_BYTES)
        raw.setblocking(False)
        parts = urlsplit(url)
        await asyncio.get_running_loop().sock_connect(raw, (parts.hostname, parts.port))
        return cls(*await asyncio.open_connection(sock=raw, limit=SLACK_BYTES))

    def say(self, text: str) -> None:
        self.writer.write(masked(text.encode()))

    async def hello(self, token: str, before: "RawPhone | None" = None) -> None:
        """Say hello and take the welcome, going on where the phone `before` stood."""
        said: dict[str, Any] = {"protocol": 1, "token": token}
        if before is not None:
            self.replica = before.replica
            said |= {"log_id": before.welcome["log_id"], "since": before.rev}
        self.say("40")
        self.say("420" + msgspec.json.encode(["hello", said]).decode())
        async with asyncio.timeout(10):
            while not self.welcome:
                await self.read_some()

    async def read_some(self) -> None:
        """Wait for bytes and take the whole frames among them. Raises `ConnectionError` at the end."""
        more = await self.reader.read(65536)
        if not more:
            raise ConnectionResetError
        self._unread += more
        while (frame := self._next_frame()) is not None:
            first, body = frame
            if first == 0x88:
                raise ConnectionResetError
            self._take(body.decode())

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._unread
        if len(data) < 2:
            return None
        wide = {126: 2, 127: 8}.get(data[1], 0)
        start = 2 + wide
        length = int.from_bytes(data[2:start], "big") if wide else data[1]
        if len(data) < start + length:
            return None
        self._unread = data[start + length :]
        return data[0], data[start : start + length]

    def _take(self, text: str) -> None:
        if text == "2":
            self.say("3")
        elif text.startswith("43"):
            number, _, answer = text[2:].partition("[")
            told = msgspec.json.decode("[" + answer)[0]
            if number == "0":
                assert told["ok"], told
                self.welcome = told
                if told["reset"]:
                    self.replica.clear()
                self._apply(told)
            else:
                self.answers[int(number)] = told
        elif text.startswith("42["):
            event, told = msgspec.json.decode(text[2:])
            self.events.append(event)
            if event == "patch":
                assert self.welcome, "the welcome comes before patches"
                assert told["rev"] > self.rev, "patches come in order, none twice"
                self._apply(told)

    async def read_until(self, rev: int, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while self.rev < rev:
                await self.read_some()

    def _apply(self, patch: dict[str, Any]) -> None:
        for record in patch["put"]:
            self.replica[f"{record['kind']}/{record['id']}"] = record
        for key in patch["drop"]:
            self.replica.pop(key, None)
        self.rev = patch["rev"]

    def close(self) -> None:
        self.writer.transport.abort()
