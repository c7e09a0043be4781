"""All media nodes of this server: who is on which, and what goes from one to another.

Some run on this machine, supervised by this server; others are found in the registry. Every node is told every stage;
tiles, offers and ends concern the endpoint's own node. What goes from node to node is arranged by the one server that
has the charge. With one node this is a thin layer over it.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from media import control
from media.cluster_tls import client_context
from server.logs import logger
from server.media_arrangement import Arrangement, Orders
from server.media_doors import LocalDoor, RemoteDoor
from server.media_moves import Moves
from server.media_node import MediaDown, MediaNode
from server.media_placement import Endpoint, Placement
from server.media_registry import EXPIRY_S, NodeRegistry, OwnRegistry, RegisteredNode, RegistryDown
from server.metrics import Metrics
from server.settings import Settings

LOOK_S = 1.0
STATS_S = 2.0

Spawn = Callable[[Callable[[], Awaitable[None]], str], asyncio.Task[None]]
"""Have work done that goes on whatever happens in it, under this name."""


class Charge(Protocol):
    """That this server arranges the trunks, and no other."""

    def listen(self, changed: Callable[[int | None], None]) -> None:
        """Tell the charge's number, greater than any before it, when it is this server's; None when it is not."""


class OwnCharge:
    """Of a server that is alone: the clock makes its number greater than that of the server before it."""

    def listen(self, changed: Callable[[int | None], None]) -> None:
        changed(time.time_ns() // 1000)


class MediaNodes:
    """`on_attach` is called whenever a node was attached, `on_event` for what one tells, `on_gone` with those who lost
    theirs, `on_change` whenever `epoch_of` may answer otherwise than before.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        registry: NodeRegistry | None = None,
        charge: Charge | None = None,
    ) -> None:
        self.on_attach: Callable[[MediaNode, control.Attached], None] = lambda node, attached: None
        self.on_event: Callable[[control.AnyEvent], None] = lambda event: None
        self.on_gone: Callable[[tuple[Endpoint, ...]], None] = lambda lost: None
        self.on_change: Callable[[], None] = lambda: None
        self.stands_in: Callable[[str, str], str] = lambda group, hall: ""
        self._metrics = metrics
        self._registry: NodeRegistry = registry or OwnRegistry()
        self._context: ssl.SSLContext | None = (
            client_context(settings.cluster_secret) if settings.cluster_secret else None
        )
        host = local_host(settings)
        self._local = tuple(
            MediaNode(f"node{number}", host, LocalDoor(settings, metrics, number), metrics)
            for number in range(settings.media_workers)
        )
        self._remote: dict[str, _Remote] = {}
        self._placement: Placement[MediaNode] = Placement(lambda group, hall: self.stands_in(group, hall))
        self.moves = Moves(self._placement, lambda: self.each)
        self.moves.tell = lambda: self.on_change()
        self._arrangement: Arrangement | None = None
        self._charge: int | None = None
        self._logger = logger(part="media")
        for node in self._local:
            self._listen(node)
        (charge or OwnCharge()).listen(self._take_charge)

    @property
    def each(self) -> tuple[MediaNode, ...]:
        """All that are known now."""
        return (*self._local, *(remote.node for remote in self._remote.values()))

    def _listen(self, node: MediaNode) -> None:
        node.charge = self._charge
        node.on_attach = lambda attached: self._attached(node, attached)
        node.on_event = lambda event: self._told(node, event)
        node.on_epoch = lambda epoch: self._epoch_changed(node, epoch)
        node.on_refused = self._lose_charge

    # -- which nodes there are -----------------------------------------------------------------------------------------

    async def run(self, spawn: Spawn) -> None:
        """Keep the nodes of this machine running and all connected, until cancelled."""
        working = [spawn(node.run, f"media {node.name}") for node in self._local]
        working.append(spawn(self.moves.run, "media moves"))
        try:
            while True:
                await self._look(spawn)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in working:
                task.cancel()
            for name in list(self._remote):
                self._drop(name)

    async def _look(self, spawn: Spawn) -> None:
        """See who registered and who does not any more. A node that answers is there, whatever the registry says."""
        try:
            registered = {node.name: node for node in await self._registry.nodes()}
        except RegistryDown:
            self._logger.info("registry_down")
            return
        now = asyncio.get_running_loop().time()
        for name, known in list(self._remote.items()):
            wanted = registered.get(name)
            if wanted is not None and _same_place(wanted, known.registered):
                known.registered, known.seen_at = wanted, now
                known.node.load = wanted.load
            elif wanted is not None or (not known.node.up and now - known.seen_at > EXPIRY_S):
                self._drop(name)
        for name, wanted in registered.items():
            if name not in self._remote and self._context is not None:
                door = RemoteDoor(wanted.host, wanted.control_port, self._context)
                node = MediaNode(name, wanted.host, door, self._metrics, wanted.district)
                node.load = wanted.load
                self._listen(node)
                self._remote[name] = _Remote(wanted, node, spawn(node.run, f"media {name}"), now)
                self._logger.info("media_node_found", node=name)

    def _drop(self, name: str) -> None:
        known = self._remote.pop(name)
        known.node.leave()
        known.running.cancel()
        if known.node.up:
            known.node.epoch = None
            self._epoch_changed(known.node, None)
        with contextlib.suppress(KeyError):
            self._metrics.media_up.remove(name)
        self._logger.info("media_node_forgotten", node=name)

    # -- what nodes tell -----------------------------------------------------------------------------------------------

    def _attached(self, node: MediaNode, attached: control.Attached) -> None:
        self._placement.attached(node, attached.endpoints)
        for state in attached.endpoints:  # left behind there while the node could not be reached
            if state.state != "connecting" and not self._placement.is_at(node, state.group, state.endpoint):
                node.post(control.CloseEndpoint(group=state.group, endpoint=state.endpoint))
        if self._arrangement is not None:
            self._order(self._arrangement.attached(node.name, node.host, attached))
        self.on_attach(node, attached)
        if node.draining:
            self.moves.look()

    def _told(self, node: MediaNode, event: control.AnyEvent) -> None:
        if self._arrangement is not None:
            self._order(self._arrangement.event(node.name, event))
        match event:
            case control.DrainingChanged():
                self._logger.info("media_node_draining", node=node.name, draining=event.draining)
                self.moves.look()
            case control.PeerChanged():
                if self._placement.heard(node, event):
                    self.on_event(event)
                if event.state == "connected":
                    self.moves.arrived(node, (event.group, event.endpoint))
            case control.SourceWanted() | control.DownlinkChanged():
                if self._placement.is_at(node, event.group, event.endpoint):
                    self.on_event(event)
            case control.FeedChanged():
                if self._placement.feed_is_at(node, event.group, event.feed):
                    self.on_event(event)
            case _:
                self.on_event(event)

    def _epoch_changed(self, node: MediaNode, epoch: str | None) -> None:
        if epoch is None:
            if self._arrangement is not None:
                self._order(self._arrangement.detached(node.name))
            self.on_gone(self._placement.gone(node))
        self.on_change()

    def _take_charge(self, charge: int | None) -> None:
        self._charge = charge
        self._arrangement = None if charge is None else Arrangement()
        for node in self.each:
            node.take_charge(charge)  # each answers what it has

    def _lose_charge(self) -> None:
        """Another server took it, and this one has not heard of that yet."""
        if self._arrangement is not None:
            self._logger.warning("charge_lost")
            self._arrangement = None

    def _order(self, orders: Orders) -> None:
        nodes = {node.name: node for node in self.each}
        for name, request in orders:
            try:
                if name in nodes:
                    nodes[name].post(request)
            except MediaDown:
                self._logger.info("order_not_given", node=name)  # it is told everything when it is attached again

    # -- who is where --------------------------------------------------------------------------------------------------

    def place(self, group: str, endpoint: str) -> MediaNode:
        """The endpoint's node, see `Placement.place`. Raises `MediaDown` if there is none at all."""
        node = self._placement.place(group, endpoint, self.each)
        if node is None:
            raise MediaDown
        return node

    def is_on(self, node: MediaNode, group: str, endpoint: str) -> bool:
        return self._placement.placed_at((group, endpoint)) is node

    def counts(self, name: str, group: str, endpoint: str) -> bool:
        """Whether what the node of this name says of the endpoint counts: it may be leaving there."""
        return any(node.name == name and self._placement.is_at(node, group, endpoint) for node in self.each)

    def forget(self, group: str, endpoint: str) -> None:
        """The endpoint will not come back under this name."""
        self._placement.forget(group, endpoint)

    def epoch_of(self, group: str, endpoint: str) -> str | None:
        """The epoch of the endpoint's node; None while there is no such node."""
        node = self._placement.place(group, endpoint, self.each)
        return None if node is None else node.epoch

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask_for(self, endpoint: str, request: control.Offer | control.Restart) -> control.AnyReply:
        """Of the endpoint's own node. Raises `MediaDown`."""
        return await self.place(request.group, endpoint).request(request)

    def tell_all(self, request: control.AnyRequest) -> bool:
        """Every node that is there; whether all are. One that is slow does not keep the others waiting."""
        done = True
        for node in self.each:
            try:
                node.post(request)
            except MediaDown:
                done = False
        return done

    async def ask_all(self, request: control.AnyRequest) -> dict[str, control.AnyReply]:
        """What each node that answers in time says, by its name."""
        nodes = self.each

        async def ask(node: MediaNode) -> control.AnyReply | None:
            try:
                return await node.request(request, STATS_S)
            except MediaDown:
                return None

        replies = await asyncio.gather(*(ask(node) for node in nodes))
        return {node.name: reply for node, reply in zip(nodes, replies, strict=True) if reply is not None}

    async def stats(self) -> dict[str, control.Stats]:
        """The figures of each node that answers, by its name. Raises `MediaDown` when none does."""
        replies = await self.ask_all(control.GetStats())
        found = {name: reply for name, reply in replies.items() if isinstance(reply, control.Stats)}
        if not found:
            raise MediaDown
        return found

    async def stop(self, *, keep: bool = False) -> None:
        """End the nodes of this machine, unless they are to be kept or other servers have them; leave the others."""
        for remote in self._remote.values():
            remote.node.leave()
        if not keep:
            for node in self._local:
                await node.stop()
        await self._registry.close()


class _Remote:
    """A node of another machine, and when it was last seen in the registry."""

    def __init__(
        self, registered: RegisteredNode, node: MediaNode, running: asyncio.Task[None], seen_at: float
    ) -> None:
        self.registered = registered
        self.node = node
        self.running = running
        self.seen_at = seen_at


def _same_place(one: RegisteredNode, other: RegisteredNode) -> bool:
    return (one.host, one.control_port, one.district) == (other.host, other.control_port, other.district)


def local_host(settings: Settings) -> str:
    """Where other nodes reach those of this machine: a wildcard listens on the loopback too, and where there may be
    nodes of other machines, on the first address that peers know."""
    if settings.media_host not in ("0.0.0.0", "", "::"):
        return settings.media_host
    if settings.cluster_secret and settings.media_candidates:
        return settings.media_candidates[0]
    return "::1" if settings.media_host == "::" else "127.0.0.1"
