"""Which endpoint is on which media node. Pure.

The server that holds an endpoint's line places it; all servers learn from the nodes who is connected where. So there is
nothing to agree upon beforehand and nothing to keep: who is connected is counted by all alike, and a hall whose page
comes to another server is found where it is.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

from media import control

BUSY = 0.85
"""The share of its core from which on a node is spared."""

Endpoint = tuple[str, str]
"""A group and an endpoint's name."""


class Place(Protocol):
    """What is asked of a node here."""

    name: str
    district: str
    load: float
    draining: bool

    @property
    def up(self) -> bool: ...


P = TypeVar("P", bound=Place)


class Placement(Generic[P]):
    """`stands_in` says of a group and a hall where it is: the names of its unit and of itself."""

    def __init__(self, stands_in: Callable[[str, str], str]) -> None:
        self._stands_in = stands_in
        self._placed: dict[Endpoint, P] = {}
        self._connected: dict[Endpoint, P] = {}
        self._own: set[Endpoint] = set()
        self._moving: dict[Endpoint, P] = {}

    # -- who goes where ------------------------------------------------------------------------------------------------

    def place(self, group: str, endpoint: str, nodes: Sequence[P]) -> P | None:
        """The endpoint's node: the one it is on while that is up, else another. None: there is no node at all."""
        key = (group, endpoint)
        self._own.add(key)
        node = self._placed.get(key)
        if node is not None and node in nodes and not self._is_left(key, node, nodes):
            return node
        hall, encoder, _ = endpoint.partition("~in~")
        node = self.place(group, hall, nodes) if encoder else self.best(group, endpoint, nodes)
        if node is not None:
            self._placed[key] = node
        return node

    def _is_left(self, key: Endpoint, node: P, nodes: Sequence[P]) -> bool:
        """Whether somebody who comes now had better go elsewhere."""
        others = [each for each in nodes if each.up and not each.draining]
        if not node.up:
            return any(each.up for each in nodes)
        return node.draining and key not in self._connected and bool(others)

    def best(self, group: str, endpoint: str, nodes: Collection[P]) -> P | None:
        """Where a new endpoint is best: on a node that is up, not to be left, of the hall's own district or else of
        none, not busy, and where the fewest are.
        """
        where = _folded(self._stands_in(group, endpoint.partition("~")[0]))
        count = Counter(node.name for node in self._placed.values())

        def order(node: P) -> tuple[bool, bool, int, bool, int, str]:
            far = 1 if not node.district else 0 if _names(where, node.district) else 2
            return not node.up, node.draining, far, node.load >= BUSY, count[node.name], node.name

        return min(nodes, key=order, default=None)

    def move(self, endpoint: Endpoint, to: P) -> None:
        """It is to come to another node; until it is connected there it is where it was."""
        self._placed[endpoint] = self._moving[endpoint] = to

    def moved(self, endpoint: Endpoint) -> None:
        """It came, or it is waited for no longer."""
        self._moving.pop(endpoint, None)

    def forget(self, group: str, endpoint: str) -> None:
        """The endpoint will not come back under this name."""
        for known in (self._placed, self._connected, self._moving):
            known.pop((group, endpoint), None)
        self._own.discard((group, endpoint))

    # -- what nodes tell -----------------------------------------------------------------------------------------------

    def heard(self, node: P, event: control.PeerChanged) -> bool:
        """Whether it is news of the endpoint, and not of a connection that it has on the way or is leaving."""
        key = (event.group, event.endpoint)
        at = self._connected.get(key)
        if event.state == "connected":
            self._connected[key] = node
            if self._moving.get(key, node) is node:
                self._placed[key] = node
            return True
        if event.state == "closed" and at is node:
            del self._connected[key]
            if key not in self._own:
                self._placed.pop(key, None)
            return True
        return at is None or at is node

    def is_at(self, node: P, group: str, endpoint: str) -> bool:
        """Whether what this node tells of the endpoint counts."""
        return self._connected.get((group, endpoint), node) is node

    def feed_is_at(self, node: P, group: str, feed: str) -> bool:
        """The same of what an endpoint publishes, by itself or by its encoder."""
        owner = feed.partition("/")[0]
        return self.is_at(node, group, owner) or any(
            of == group and endpoint.startswith(f"{owner}~in~")
            for (of, endpoint), at in self._connected.items()
            if at is node
        )

    def attached(self, node: P, states: Collection[control.EndpointState]) -> None:
        """All that are on this node."""
        there = {(state.group, state.endpoint) for state in states if state.state != "closed"}
        for key in [key for key, at in self._connected.items() if at is node and key not in there]:
            del self._connected[key]
        for state in states:
            key = (state.group, state.endpoint)
            if state.state == "closed" or self._connected.get(key, node) is not node:
                continue
            if state.state != "connecting":
                self._connected[key] = node
            if key not in self._moving:
                self._placed[key] = node

    def gone(self, node: P) -> tuple[Endpoint, ...]:
        """The node is not there any more: who lost it."""
        lost = tuple(key for key, at in self._placed.items() if at is node and self._connected.get(key, node) is node)
        for known in (self._placed, self._connected, self._moving):
            for key in [key for key, at in known.items() if at is node]:
                del known[key]
        return lost

    def on(self, node: P) -> tuple[Endpoint, ...]:
        """Who is placed there."""
        return tuple(key for key, at in self._placed.items() if at is node)

    def placed_at(self, endpoint: Endpoint) -> P | None:
        return self._placed.get(endpoint)

    def connected_at(self, endpoint: Endpoint) -> P | None:
        return self._connected.get(endpoint)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _names(where: str, district: str) -> bool:
    """Whether a district is named there, as whole words."""
    return re.search(rf"(?<!\w){re.escape(_folded(district))}(?!\w)", where) is not None
