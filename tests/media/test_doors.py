"""The node's control port: who knows the cluster's secret gets in; whoever does not disturbs nobody."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from media.cluster_tls import WeakSecret, client_context, server_context
from media.control import Attached, Ping
from media.doors import MOST_HANDSHAKES
from tests.support.media_control import NodeProcess, running_node

SECRET = "ruộng bậc thang Mù Cang Chải, mùa lúa chín"
OTHER = "một bí mật khác cũng đủ dài để dùng cho cụm"


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    async with running_node(tmp_path, secret=SECRET) as node:
        yield node


async def test_a_server_of_another_machine_attaches_beside_one_of_this(node: NodeProcess) -> None:
    async with node.client() as here, node.client_by_tcp(SECRET) as far:
        assert (await here.attach()).epoch == (await far.attach()).epoch
        await here.stage("g", ["h1/camera"])
        assert (await far.attach()).wished == (("g", "h1/camera"),)


async def test_who_has_another_secret_or_none_is_not_heard(node: NodeProcess) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        async with node.client_by_tcp(OTHER) as stranger:
            assert not isinstance(await stranger.attach(), Attached), "let in"
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no certificate, and takes the node's for good
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", node.ready.control_port, ssl=bare)
    with contextlib.suppress(OSError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    async with node.client_by_tcp(SECRET) as known:
        await known.attach()
    assert node.log.read_text().count('"server_connected"') == 1


async def test_half_open_handshakes_and_garbage_keep_nobody_out(node: NodeProcess) -> None:
    port = node.ready.control_port
    assert port is not None
    async with node.client_by_tcp(SECRET) as before:
        await before.attach()
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * MOST_HANDSHAKES)]
        for place, one in enumerate(silent):
            if place % 3:
                with contextlib.suppress(OSError):
                    one.sendall(os.urandom(600) if place % 3 == 1 else b"\x16\x03\x01\x02\x00\x01")
        began = time.monotonic()
        async with node.client_by_tcp(SECRET) as late:
            await late.attach()
            assert time.monotonic() - began < 1.0
            await late.request(Ping())
        await before.request(Ping())
        await asyncio.sleep(3.5)
        for one in silent:
            one.settimeout(1)
            with contextlib.suppress(ConnectionResetError):
                while one.recv(4096):
                    pass  # an alert, perhaps, and then the end
            one.close()
        await before.request(Ping())
        files = len(list(Path(f"/proc/{node.ready.pid}/fd").iterdir()))
        assert files < 30, files


async def test_the_secret_is_in_no_argument_and_no_environment_that_others_read(node: NodeProcess) -> None:
    assert SECRET.encode() not in Path(f"/proc/{node.ready.pid}/cmdline").read_bytes()
    assert SECRET not in node.log.read_text()


def test_a_short_secret_is_refused() -> None:
    for make in (client_context, server_context):
        with pytest.raises(WeakSecret):
            make("ngắn")
