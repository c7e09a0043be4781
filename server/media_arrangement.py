"""Which feeds go from which media node to which: one copy of each that is looked at there. Events in, requests out.

Pure: it keeps what the nodes told and says what to tell them. A node that is attached again with the trunks that it had
keeps them, so that a restart of the server leaves the pictures alone. While an endpoint moves from one node to another
both have its feeds, and both send them: who receives takes the newer from its first key frame on, and misses nothing.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from media import control

MATERIAL_BYTES = 56
FeedKey = tuple[str, str]
Orders = list[tuple[str, control.AnyRequest]]
"""Requests, each with the name of the node that it is for."""


class _Node(msgspec.Struct):
    """`wished` is by group; `asked` by (node, group, feed) what receivers there want of feeds from elsewhere."""

    host: str
    port: int
    trunks: dict[str, str]
    wished: dict[str, frozenset[str]]
    asked: dict[tuple[str, str, str], tuple[str, ...]]


class Arrangement:
    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._published: dict[FeedKey, tuple[str, ...]] = {}
        self._told: dict[tuple[str, str], tuple[control.ExportWish, ...]] = {}

    def attached(self, name: str, host: str, attached: control.Attached) -> Orders:
        """A node is there, anew or for the first time, and reachable by other nodes at `host`."""
        wished: defaultdict[str, set[str]] = defaultdict(set)
        for group, feed in attached.wished:
            wished[group].add(feed)
        self._forget(name)
        self._nodes[name] = _Node(
            host,
            attached.port,
            dict(attached.trunks),
            {group: frozenset(feeds) for group, feeds in wished.items()},
            {(origin, group, feed): rids for origin, group, feed, rids in attached.asked},
        )
        for key in attached.feeds:
            self._publish(key, name)
        orders: Orders = []
        for other in self._nodes:
            if other != name:
                orders += self._join(name, other)
        return orders + self._settle()

    def detached(self, name: str) -> Orders:
        """A node is gone for good."""
        self._forget(name)
        orders: Orders = [(other, control.CutTrunk(node=name)) for other in self._nodes]
        for node in self._nodes.values():
            node.trunks.pop(name, None)
        return orders + self._settle()

    def _forget(self, name: str) -> None:
        self._nodes.pop(name, None)
        for key in [key for key, origins in self._published.items() if name in origins]:
            self._withdraw(key, name)
        self._told = {pair: told for pair, told in self._told.items() if name not in pair}

    def _join(self, one: str, other: str) -> Orders:
        """A trunk between two nodes, unless they have one."""
        here, there = self._nodes[one], self._nodes[other]
        known = here.trunks.get(other)
        if known is not None and known == there.trunks.get(one):
            return []
        trunk, material = secrets.token_hex(8), secrets.token_bytes(MATERIAL_BYTES)
        here.trunks[other] = there.trunks[one] = trunk
        self._told = {pair: told for pair, told in self._told.items() if set(pair) != {one, other}}
        return [
            (to, control.SetTrunk(node=far, trunk=trunk, host=at.host, port=at.port, material=material, first=first))
            for to, far, at, first in ((one, other, there, True), (other, one, here, False))
        ]

    def event(self, name: str, event: control.AnyEvent) -> Orders:
        """What a node told; events that do not concern other nodes are read over."""
        node = self._nodes.get(name)
        if node is None:
            return []
        match event:
            case control.FeedPublished():
                key = (event.group, event.feed)
                if event.here:
                    self._publish(key, name)
                else:
                    self._withdraw(key, name)
            case control.FeedsWished():
                node.wished[event.group] = frozenset(event.feeds)
            case control.ImportWanted():
                node.asked[event.node, event.group, event.feed] = event.rids
            case control.Exported() if event.node in self._nodes:
                wanted = control.Import(node=name, group=event.group, feed=event.feed, description=event.description)
                return [(event.node, wanted)]
            case _:
                return []
        return self._settle()

    def _publish(self, key: FeedKey, name: str) -> None:
        """The newest is the last."""
        self._published[key] = (*(each for each in self._published.get(key, ()) if each != name), name)

    def _withdraw(self, key: FeedKey, name: str) -> None:
        left = tuple(each for each in self._published.get(key, ()) if each != name)
        if left:
            self._published[key] = left
        else:
            self._published.pop(key, None)

    def _settle(self) -> Orders:
        """What has to be told so that each node gets what it wishes."""
        wishes: defaultdict[tuple[str, str], list[control.ExportWish]] = defaultdict(list)
        for name, node in self._nodes.items():
            for origin, group, feed in self._elsewhere(name, node):
                rids = node.asked.get((origin, group, feed), ())
                wishes[origin, name].append(control.ExportWish(group=group, feed=feed, rids=rids))
        orders: Orders = []
        for pair in sorted({*wishes, *self._told}):
            wanted = tuple(wishes.get(pair, ()))
            if self._told.get(pair, ()) != wanted:
                self._told[pair] = wanted
                orders.append((pair[0], control.SetExports(node=pair[1], feeds=wanted)))
        return orders

    def _elsewhere(self, name: str, node: _Node) -> Iterator[tuple[str, str, str]]:
        """The feeds that a node wishes and others have, with whom. What it has itself it gets from where it is newer;
        what it got before it had it, so long as the other has it too."""
        for group in sorted(node.wished):
            for feed in sorted(node.wished[group]):
                origins = self._published.get((group, feed), ())
                newer = origins[origins.index(name) + 1 :] if name in origins else origins
                for origin in origins:
                    if origin in newer or (origin != name and self._goes(origin, name, group, feed)):
                        yield origin, group, feed

    def _goes(self, origin: str, name: str, group: str, feed: str) -> bool:
        return any((wish.group, wish.feed) == (group, feed) for wish in self._told.get((origin, name), ()))
