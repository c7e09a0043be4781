"""A lossy network between clients and a node, on the loopback interface."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import cast

Address = tuple[str, int]


class _Upstream(asyncio.DatagramProtocol):
    """The way back to one client."""

    def __init__(self, proxy: "LossyNetwork", client: Address) -> None:
        self._proxy = proxy
        self._client = client

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self._proxy.loses(data):
            self._proxy.to_client(data, self._client)


class LossyNetwork(asyncio.DatagramProtocol):
    """Listens at `port`; loses `loss` of all media packets in each direction, by a seeded die."""

    def __init__(self, node_port: int, seed: int) -> None:
        self.loss = 0.0
        self.lost = 0
        self.port = 0
        self._node = ("127.0.0.1", node_port)
        self._dice = random.Random(seed)
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._opening: dict[Address, asyncio.Task[None]] = {}

    def loses(self, data: bytes) -> bool:
        gone = data[0] >= 128 and self._dice.random() < self.loss
        self.lost += gone
        return gone

    def to_client(self, data: bytes, client: Address) -> None:
        self._transport.sendto(data, client)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's and asyncio's are no subclasses
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self.loses(data):
            return
        if addr in self._ways:
            self._ways[addr].sendto(data, self._node)
        elif addr not in self._opening:
            self._opening[addr] = asyncio.create_task(self._open(addr, data))

    async def _open(self, client: Address, first: bytes) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Upstream(self, client), local_addr=("127.0.0.1", 0)
        )
        self._ways[client] = transport
        transport.sendto(first, self._node)

    def through(self, answer: str, node_port: int) -> str:
        """The node's answer with this network's port in its candidates."""
        return answer.replace(f" {node_port} typ host", f" {self.port} typ host")

    def move(self) -> None:
        """Every client is seen from another address from now on, as after a change of network."""
        for transport in self._ways.values():
            transport.close()
        self._ways.clear()
        self._opening.clear()

    async def close(self) -> None:
        self._transport.close()
        self.move()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def lossy_network(node_port: int, seed: int = 1) -> AsyncIterator[LossyNetwork]:
    _, network = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: LossyNetwork(node_port, seed), local_addr=("127.0.0.1", 0)
    )
    try:
        yield network
    finally:
        await network.close()
