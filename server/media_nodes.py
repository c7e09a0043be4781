"""All media nodes of this server: who is on which, and what goes from one to another.

An endpoint stays on the node that it was placed on; a new one goes where the fewest are, an encoder of a hall where the
hall is. Every node is told every stage; tiles, offers and ends concern the endpoint's own node. With one node this is a
thin layer over it.
"""

from collections import Counter
from collections.abc import Callable

from media import control
from server.logs import logger
from server.media_arrangement import Arrangement, Orders
from server.media_node import MediaDown, MediaNode
from server.metrics import Metrics
from server.settings import Settings

Endpoint = tuple[str, str]
"""A group and an endpoint's name."""


class MediaNodes:
    """`on_attach` is called whenever a node was attached, `on_event` for what one tells, `on_epoch` when a node's epoch
    is another one, with the node's name and the new epoch (None: it is gone)."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.each = tuple(MediaNode(settings, metrics, number) for number in range(settings.media_workers))
        self.on_attach: Callable[[MediaNode, control.Attached], None] = lambda node, attached: None
        self.on_event: Callable[[control.AnyEvent], None] = lambda event: None
        self.on_epoch: Callable[[MediaNode, str | None], None] = lambda node, epoch: None
        self._by_name = {node.name: node for node in self.each}
        self._placed: dict[Endpoint, MediaNode] = {}
        self._arrangement = Arrangement()
        self._host = trunk_host(settings.media_host)
        self._logger = logger(part="media")
        for node in self.each:
            self._listen(node)

    def _listen(self, node: MediaNode) -> None:
        node.on_attach = lambda attached: self._attached(node, attached)
        node.on_event = lambda event: self._told(node, event)
        node.on_epoch = lambda epoch: self._epoch_changed(node, epoch)

    # -- what nodes tell -----------------------------------------------------------------------------------------------

    def _attached(self, node: MediaNode, attached: control.Attached) -> None:
        for state in attached.endpoints:
            if state.state != "closed":
                self._placed[state.group, state.endpoint] = node
        self._order(self._arrangement.attached(node.name, self._host, attached))
        self.on_attach(node, attached)

    def _told(self, node: MediaNode, event: control.AnyEvent) -> None:
        self._order(self._arrangement.event(node.name, event))
        self.on_event(event)

    def _epoch_changed(self, node: MediaNode, epoch: str | None) -> None:
        if epoch is None:
            self._order(self._arrangement.detached(node.name))
        self.on_epoch(node, epoch)

    def _order(self, orders: Orders) -> None:
        for name, request in orders:
            node = self._by_name[name]
            try:
                node.post(request)
            except MediaDown:
                self._logger.info("order_not_given", node=name)  # it is told everything when it is attached again

    # -- who is where --------------------------------------------------------------------------------------------------

    def place(self, group: str, endpoint: str) -> MediaNode:
        """The endpoint's node; a new endpoint is placed where the fewest are, on a node that answers if one does."""
        key = (group, endpoint)
        node = self._placed.get(key)
        hall, encoder, _ = endpoint.partition("~in~")
        if node is None and encoder:
            node = self._placed[key] = self.place(group, hall)
        if node is None:
            count = Counter(node.name for node in self._placed.values())
            node = min(self.each, key=lambda each: (each.epoch is None, count[each.name], each.name))
            self._placed[key] = node
        return node

    def endpoints_on(self, node: MediaNode, group: str) -> list[str]:
        return [endpoint for (of, endpoint), placed in self._placed.items() if of == group and placed is node]

    def forget(self, group: str, endpoint: str) -> None:
        """The endpoint will not come back under this name."""
        self._placed.pop((group, endpoint), None)

    def epoch_of(self, group: str, endpoint: str) -> str | None:
        """The epoch of the endpoint's node; None while there is no such node."""
        return self.place(group, endpoint).epoch

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask_for(self, endpoint: str, request: control.Offer | control.Restart) -> control.AnyReply:
        """Of the endpoint's own node. Raises `MediaDown`."""
        return await self.place(request.group, endpoint).request(request)

    async def tell_all(self, request: control.AnyRequest) -> bool:
        """Every node that answers; whether all did."""
        done = True
        for node in self.each:
            try:
                await node.request(request)
            except MediaDown:
                done = False
        return done

    async def stats(self) -> dict[str, control.Stats]:
        """The figures of each node that answers, by its name. Raises `MediaDown` when none does."""
        found: dict[str, control.Stats] = {}
        for node in self.each:
            try:
                reply = await node.request(control.GetStats())
            except MediaDown:
                continue
            if isinstance(reply, control.Stats):
                found[node.name] = reply
        if not found:
            raise MediaDown
        return found

    async def stop(self) -> None:
        """End all nodes: the whole product is shutting down."""
        for node in self.each:
            await node.stop()


def trunk_host(media_host: str) -> str:
    """Where nodes of one machine reach each other: a wildcard listens on the loopback too."""
    if media_host in ("0.0.0.0", ""):
        return "127.0.0.1"
    return "::1" if media_host == "::" else media_host
