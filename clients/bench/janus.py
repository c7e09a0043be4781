"""Debian's Janus and its VideoRoom as the subject: https://janus.conf.meetecho.com/docs/videoroom.html.

Its own configuration folder, on this machine only, ICE-lite as ours, only the VideoRoom and the websocket API loaded.
`janus` runs as it comes (a thread for each handle), `janus-loops` with its setting of one event loop per core.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from clients.bench.subject import SubjectFailed, own_address
from clients.rehearsal.endpoint import Endpoint, Setting
from clients.rehearsal.offer import read_description, write_answer
from clients.rehearsal.process import log_tail, running

ROOM = 187
_START_S = 15.0
_ANSWER_S = 30.0
_KEEP_ALIVE_S = 20.0

_MAIN = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{plugins}/plugins"
    transports_folder = "{plugins}/transports"
    debug_level = 3
    admin_secret = "bench"
    {loops}
}}
media: {{
    rtp_port_range = "20000-40000"
}}
nat: {{
    nice_debug = false
    ice_lite = true
    full_trickle = false
    ice_enforce_list = "{address}"
    ignore_mdns = true
}}
plugins: {{
    disable = "{disabled}"
}}
transports: {{
    disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so"
}}
"""
_WEBSOCKETS = """
general: {{ json = "plain", ws = true, ws_port = {port}, ws_ip = "127.0.0.1", wss = false }}
admin: {{ admin_ws = false, admin_wss = false }}
"""
_OTHERS = ("audiobridge", "duktape", "echotest", "lua", "nosip", "recordplay", "sip", "streaming", "textroom")


class Janus:
    """One session over one websocket; each endpoint has a handle."""

    def __init__(self, name: str, pid: int, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self.name = name
        self.pid = pid
        self.address = own_address()
        self._socket = socket_
        self._transactions = itertools.count(1)
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._session = 0
        self._feed = 0

    def setting(self, setting: Setting) -> Setting:
        """Janus as the DTLS server, as our node is; libnice offers no loopback address."""
        return replace(setting, host=self.address, setup="active")

    async def read(self) -> None:
        """Hands answers to whoever waits; a mere `ack` means that the answer is still to come."""
        async for message in self._socket:
            body: dict[str, Any] = msgspec.json.decode(message.data)
            if body.get("janus") == "ack":
                continue
            waiting = self._answers.pop(str(body.get("transaction", "")), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(body)

    async def keep_alive(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_ALIVE_S)
            await self._socket.send_json(
                {"janus": "keepalive", "session_id": self._session, "transaction": str(next(self._transactions))}
            )

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        transaction = str(next(self._transactions))
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[transaction] = future
        session = {"session_id": self._session} if self._session else {}
        await self._socket.send_json({**request, **session, "transaction": transaction})
        async with asyncio.timeout(_ANSWER_S):
            answer = await future
        data = answer.get("plugindata", {}).get("data", {})
        if answer.get("janus") == "error" or "error" in data:
            raise SubjectFailed(f"Janus refuses: {data.get('error') or answer.get('error')}")
        return answer

    async def _message(self, handle: int, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        return await self._ask({"janus": "message", "handle_id": handle, "body": body, **more})

    async def _attach(self) -> int:
        answer = await self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"})
        return int(answer["data"]["id"])

    async def open(self) -> None:
        self._session = int((await self._ask({"janus": "create"}))["data"]["id"])
        room = {"request": "create", "room": ROOM, "publishers": 1, "videocodec": "vp8", "bitrate": 0}
        await self._message(await self._attach(), {**room, "playoutdelay_ext": False, "record": False})

    async def publish(self, endpoint: Endpoint) -> None:
        handle = await self._attach()
        await self._message(handle, {"request": "join", "ptype": "publisher", "room": ROOM, "id": 1})
        offer = {"type": "offer", "sdp": endpoint.offer(), "trickle": False}
        answer = await self._message(handle, {"request": "publish"}, jsep=offer)
        self._feed = 1
        endpoint.accept(answer["jsep"]["sdp"], time.monotonic())

    async def subscribe(self, endpoint: Endpoint) -> None:
        handle = await self._attach()
        join = {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{"feed": self._feed}]}
        offered = await self._message(handle, join)
        remote = read_description(offered["jsep"]["sdp"], (self.address,))
        answer = {"type": "answer", "sdp": write_answer(endpoint.transport.local, remote), "trickle": False}
        await self._message(handle, {"request": "start"}, jsep=answer)
        endpoint.take_offer(remote, time.monotonic())


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _write_configuration(folder: Path, port: int, loops: int) -> None:
    plugins = next(Path("/usr/lib").glob("*/janus/plugins")).parent
    disabled = ",".join(f"libjanus_{name}.so" for name in (*_OTHERS, "videocall", "voicemail"))
    event_loops = f"event_loops = {loops}" if loops else ""
    main = _MAIN.format(folder=folder, plugins=plugins, loops=event_loops, disabled=disabled, address=own_address())
    (folder / "janus.jcfg").write_text(main)
    (folder / "janus.transport.websockets.jcfg").write_text(_WEBSOCKETS.format(port=port))
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")


async def _connect(session: aiohttp.ClientSession, port: int, log: Path) -> aiohttp.ClientWebSocketResponse:
    for _ in range(int(_START_S / 0.1)):
        try:
            return await session.ws_connect(f"http://127.0.0.1:{port}/", protocols=("janus-protocol",))
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise SubjectFailed(f"Janus did not start:\n{log_tail(log)}")


@contextlib.asynccontextmanager
async def _running(folder: Path, name: str, loops: int) -> AsyncIterator[Janus]:
    program = shutil.which("janus")
    if program is None:
        raise SubjectFailed("Janus is not installed: apt-get install janus")
    port, log = _free_port(), folder / "janus.log"
    _write_configuration(folder, port, loops)
    async with running(program, "-F", str(folder), "--disable-colors", log=log) as process:
        async with aiohttp.ClientSession() as session, await _connect(session, port, log) as socket_:
            janus = Janus(name, process.pid, socket_)
            tasks = [asyncio.create_task(janus.read()), asyncio.create_task(janus.keep_alive())]
            try:
                await janus.open()
                yield janus
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def running_janus(folder: Path) -> contextlib.AbstractAsyncContextManager[Janus]:
    return _running(folder, "janus", 0)


def running_janus_with_loops(folder: Path) -> contextlib.AbstractAsyncContextManager[Janus]:
    return _running(folder, "janus-loops", os.cpu_count() or 1)
