"""`diemcau media-node`: a node on this machine for servers of others. It is kept running, registered again and again,
and emptied before it ends; `diemcau media-drain` empties one from elsewhere.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from media import control
from media.cluster_tls import WeakSecret, client_context
from server.logs import logger
from server.media_doors import Door, LocalDoor, RemoteDoor
from server.media_node import MediaDown, MediaNode
from server.media_registry import REGISTER_S, NodeRegistry, RegisteredNode, RegistryDown
from server.metrics import Metrics
from server.settings import Settings

SECRET_VARIABLE = "DIEMCAU_CLUSTER_SECRET"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UP_S = 10.0


class CannotHost(Exception):
    """What is wrong with the options, in words."""


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """`advertise` is where servers and other nodes reach this machine. At SIGTERM it takes up to `drain_s` for the
    halls to go elsewhere. `listen` is the address that both ports are opened at.
    """

    data_dir: Path
    secret: str
    advertise: str
    name: str = ""
    district: str = ""
    listen: str = "0.0.0.0"
    control_port: int = 40900
    media_port: int = 40000
    candidates: tuple[str, ...] = ()
    drain_s: float = 90.0


class Host:
    """One node. `run` keeps it; `leave` empties it."""

    def __init__(self, hosting: Hosting, registry: NodeRegistry) -> None:
        """Raises `CannotHost`."""
        try:
            client_context(hosting.secret)
            address = socket.getaddrinfo(hosting.advertise, None, type=socket.SOCK_DGRAM)[0][4][0]
        except (WeakSecret, OSError) as error:
            raise CannotHost(str(error)) from error
        name = hosting.name or f"{socket.gethostname()}-{hosting.media_port}"
        if not _NAME.fullmatch(name) or not hosting.control_port or not hosting.media_port:
            raise CannotHost("a node's name is of letters, digits and ._-, and its ports are not 0")
        self._hosting = hosting
        self._registry = registry
        self._address = str(address)
        folder = hosting.data_dir / f"media-{hosting.media_port}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(
            data_dir=folder,
            media_host=hosting.listen,
            media_port=hosting.media_port,
            media_candidates=hosting.candidates or (self._address,),
        )
        listen = f"[{hosting.listen}]" if ":" in hosting.listen else hosting.listen
        door = LocalDoor(
            settings,
            Metrics(),
            0,
            ("--control-tcp", f"{listen}:{hosting.control_port}"),
            {SECRET_VARIABLE: hosting.secret},
        )
        self.node = MediaNode(name, self._address, door, Metrics(), hosting.district)
        self.node.listens = False
        self._load = 0.0
        self._measured: tuple[float, float] | None = None
        self._logger = logger(part="media", node=name)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and the node is empty, or `stop` is set a second time (it was cleared before)."""
        running = asyncio.create_task(self.node.run(), name="media node")
        try:
            while not stop.is_set():
                await self._register()
                await _either(stop.wait(), asyncio.sleep(REGISTER_S))
            stop.clear()
            await self._empty(stop)
        finally:
            await self.node.stop(if_last=False)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            try:
                await self._registry.withdraw(self.node.name)
            except RegistryDown:
                self._logger.info("registry_down")
            await self._registry.close()

    async def _empty(self, stop: asyncio.Event) -> None:
        """Have the servers move everybody away."""
        try:
            await self.node.request(control.SetDraining(draining=True))
        except MediaDown:
            return
        end = asyncio.get_running_loop().time() + self._hosting.drain_s
        while asyncio.get_running_loop().time() < end and not stop.is_set():
            await self._register()
            if not await self._peers():
                return
            await _either(stop.wait(), asyncio.sleep(REGISTER_S / 2))
        self._logger.warning("left_with_endpoints", endpoints=await self._peers())

    async def _peers(self) -> int:
        stats = await self._stats()
        return 0 if stats is None else sum(peer.state == "connected" for peer in stats.peers)

    async def _stats(self) -> control.Stats | None:
        try:
            reply = await self.node.request(control.GetStats())
        except MediaDown:
            return None
        return reply if isinstance(reply, control.Stats) else None

    async def _register(self) -> None:
        stats = await self._stats()
        if stats is None or self.node.epoch is None:
            return
        self._measure(stats.cpu_s)
        try:
            await self._registry.register(
                RegisteredNode(
                    name=self.node.name,
                    host=self._address,
                    control_port=self._hosting.control_port,
                    media_port=self.node.port or 0,
                    epoch=self.node.epoch,
                    district=self._hosting.district,
                    load=round(self._load, 3),
                    endpoints=sum(peer.state == "connected" for peer in stats.peers),
                    draining=self.node.draining,
                )
            )
        except RegistryDown:
            self._logger.info("registry_down")

    def _measure(self, cpu_s: float) -> None:
        """The share of a core since the last look; a new process begins at 0."""
        now = asyncio.get_running_loop().time()
        if self._measured is not None and cpu_s >= self._measured[0] and now > self._measured[1]:
            self._load = (cpu_s - self._measured[0]) / (now - self._measured[1])
        self._measured = cpu_s, now


async def _either(*works: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def drain(
    name: str, draining: bool, settings: Settings, registry: NodeRegistry, say: Callable[[str], None]
) -> None:
    """Have a node left by all, or (not `draining`) come to again. Raises `CannotHost`."""
    node = MediaNode(name, "", await _door_of(name, settings, registry), Metrics())
    node.listens = False
    attached = asyncio.Event()
    node.on_attach = lambda told: attached.set()
    running = asyncio.create_task(node.run(), name="media node")
    try:
        async with asyncio.timeout(_UP_S):
            await attached.wait()
        await node.request(control.SetDraining(draining=draining))
    except (TimeoutError, MediaDown) as error:
        raise CannotHost(f"{name} does not answer") from error
    finally:
        node.leave()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await registry.close()
    say(f"{name}: {'to be left' if draining else 'in use'}")


async def _door_of(name: str, settings: Settings, registry: NodeRegistry) -> Door:
    local = re.fullmatch(r"node(\d{1,2})", name)
    if local and settings.media_socket(int(local[1])).exists():
        return LocalDoor(settings, Metrics(), int(local[1]))
    try:
        registered = {node.name: node for node in await registry.nodes()}
        context = client_context(settings.cluster_secret)
    except (RegistryDown, WeakSecret) as error:
        raise CannotHost(str(error) or "the registry does not answer") from error
    if name not in registered:
        raise CannotHost(f"no such node; there are: {', '.join(registered) or 'none'}")
    return RemoteDoor(registered[name].host, registered[name].control_port, context)
