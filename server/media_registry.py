"""Which media nodes of other machines there are: they register themselves again and again, and are forgotten when they
do not. What a node does and who is on it is not kept here: it tells its servers itself.
"""

import asyncio
from typing import Protocol

import msgspec

EXPIRY_S = 5.0
REGISTER_S = 1.0


class RegisteredNode(msgspec.Struct, frozen=True, kw_only=True):
    """`host` is where servers (`control_port`, TCP) and other nodes (`media_port`, UDP) reach it: an address, no name.

    `district` is the one that it stands in ("" in the centre); `load` the share of a core that it used last.
    """

    name: str
    host: str
    control_port: int
    media_port: int
    epoch: str
    district: str = ""
    load: float = 0.0
    endpoints: int = 0
    draining: bool = False


class RegistryDown(Exception):
    """It cannot be asked now. Who is known stays known."""


class NodeRegistry(Protocol):
    async def register(self, node: RegisteredNode) -> None:
        """It is there for the next `EXPIRY_S`. Raises `RegistryDown`."""

    async def withdraw(self, name: str) -> None:
        """It is not there any more. Raises `RegistryDown`."""

    async def nodes(self) -> tuple[RegisteredNode, ...]:
        """Those that are there, by name. Raises `RegistryDown`."""

    async def close(self) -> None: ...


class OwnRegistry:
    """Of one process: nobody registers but who has this object."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[RegisteredNode, float]] = {}

    async def register(self, node: RegisteredNode) -> None:
        self._nodes[node.name] = node, asyncio.get_running_loop().time() + EXPIRY_S

    async def withdraw(self, name: str) -> None:
        self._nodes.pop(name, None)

    async def nodes(self) -> tuple[RegisteredNode, ...]:
        now = asyncio.get_running_loop().time()
        self._nodes = {name: (node, until) for name, (node, until) in self._nodes.items() if until > now}
        return tuple(self._nodes[name][0] for name in sorted(self._nodes))

    async def close(self) -> None: ...
