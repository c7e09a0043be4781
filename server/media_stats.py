"""What the media node counts, asked for at most once a second however many consoles and scrapers want to know.

For Prometheus the figures are summed by meeting: a series for each hall would be thousands. Counters go on when a peer
has gone or a node has started anew, as seen from one reading to the next.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from media import control
from server.media_nodes import MediaNodes

FRESH_S = 1.0
MOST_MEETINGS = 32
"""Meetings with series of their own; the smaller ones beyond that are counted together as "other"."""

OTHER = "other"
Name = tuple[str, str]

_COUNTED = {
    "packets_in": "Packets received from endpoints",
    "packets_out": "Packets sent to endpoints",
    "bytes_in": "Bytes received from endpoints",
    "bytes_out": "Bytes sent to endpoints",
    "packets_lost_in": "Packets lost on the way from endpoints",
    "packets_resent": "Packets sent again to endpoints",
    "key_frames": "Key frames received",
    "key_frames_asked": "Key frames asked of endpoints",
}


class Reading:
    """What each node answered, by its name, and when, by the loop's clock."""

    def __init__(self, nodes: dict[str, control.Stats], at: float) -> None:
        self.nodes = nodes
        self.at = at

    def peers(self) -> list[control.PeerStats]:
        return [peer for stats in self.nodes.values() for peer in stats.peers]


class MediaStats(Collector):
    """All nodes' figures. Registered as a collector it shows the last reading."""

    def __init__(self, nodes: MediaNodes) -> None:
        self._nodes = nodes
        self._reading: Reading | None = None
        self._asking = asyncio.Lock()
        self._before: dict[Name, Counter[str]] = {}
        self._totals: dict[str, Counter[str]] = {}

    async def latest(self) -> Reading:
        """Figures at most a second old. Raises `MediaDown`."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._reading is None or now - self._reading.at >= FRESH_S:
                self._reading = None
                self._reading = Reading(await self._nodes.stats(), now)
                self._count(self._reading.peers())
            return self._reading

    def _count(self, peers: list[control.PeerStats]) -> None:
        """Add what each peer has counted since the reading before."""
        before, self._before = self._before, {}
        for peer in peers:
            name, counted = (peer.group, peer.endpoint), counts_of(peer)
            self._before[name] = counted
            total = self._totals.setdefault(peer.group, Counter())
            total.update(_growth(before.get(name, Counter()), counted))
        self._merge_small({peer.group for peer in peers})

    def _merge_small(self, present: set[str]) -> None:
        """Keep the number of series bounded: first those go that have nobody left, then those with least traffic."""
        ranked = sorted(
            (group for group in self._totals if group != OTHER),
            key=lambda group: (group in present, self._totals[group]["packets_out"]),
            reverse=True,
        )
        for group in ranked[MOST_MEETINGS:]:
            self._totals.setdefault(OTHER, Counter()).update(self._totals.pop(group))

    def collect(self) -> Iterator[Metric]:
        """The last reading as Prometheus series, none while there is no node."""
        if self._reading is not None:
            peers = self._reading.peers()
            yield from _node_series(self._reading.nodes)
            yield _states(peers, self._totals)
            yield _rungs(peers, self._totals)
            yield _loss(peers, self._totals)
        for key, text in _COUNTED.items():
            family = CounterMetricFamily(f"diemcau_media_{key}", text, labels=("meeting",))
            for group, total in self._totals.items():
                family.add_metric((group,), total[key])
            yield family


def counts_of(peer: control.PeerStats) -> Counter[str]:
    """What only grows while this peer lives."""
    return Counter(
        packets_in=peer.packets_in,
        packets_out=peer.packets_out,
        bytes_in=peer.bytes_in,
        bytes_out=peer.bytes_out,
        packets_lost_in=sum(max(0, feed.lost) for feed in peer.feeds),
        packets_resent=sum(slot.resent for slot in peer.slots),
        key_frames=sum(feed.key_frames for feed in peer.feeds),
        key_frames_asked=sum(feed.key_frames_asked for feed in peer.feeds),
    )


def _growth(before: Counter[str], after: Counter[str]) -> Counter[str]:
    """A peer that counts less than before is another one under the same name: all that it counts is new."""
    if after["packets_in"] < before["packets_in"] or after["packets_out"] < before["packets_out"]:
        return after
    return after - before


def _node_series(nodes: dict[str, control.Stats]) -> Iterator[Metric]:
    cpu = CounterMetricFamily("diemcau_media_cpu_seconds", "The node's CPU time", labels=("node",))
    dropped = CounterMetricFamily("diemcau_media_dropped", "Datagrams that the node dropped", labels=("node",))
    memory = GaugeMetricFamily("diemcau_media_resident_bytes", "The node's resident memory", labels=("node",))
    for name, stats in nodes.items():
        cpu.add_metric((name,), stats.cpu_s)
        dropped.add_metric((name,), stats.dropped)
        memory.add_metric((name,), stats.rss_bytes)
    yield from (cpu, dropped, memory)


def _meeting_of(peer: control.PeerStats, totals: dict[str, Counter[str]]) -> str:
    return peer.group if peer.group in totals else OTHER


def _states(peers: list[control.PeerStats], totals: dict[str, Counter[str]]) -> Metric:
    found = Counter((_meeting_of(peer, totals), peer.state) for peer in peers)
    family = GaugeMetricFamily("diemcau_media_peers", "Endpoints by state", labels=("meeting", "state"))
    for group in totals:
        for state in get_args(control.PeerState):
            family.add_metric((group, state), found[group, state])
    return family


def _rungs(peers: list[control.PeerStats], totals: dict[str, Counter[str]]) -> Metric:
    found = Counter((_meeting_of(peer, totals), peer.rung) for peer in peers if peer.rung)
    family = GaugeMetricFamily(
        "diemcau_media_peers_on_rung", "Endpoints by what their line carries", labels=("meeting", "rung")
    )
    for group in totals:
        for rung in get_args(control.Rung):
            family.add_metric((group, rung), found[group, rung])
    return family


def _loss(peers: list[control.PeerStats], totals: dict[str, Counter[str]]) -> Metric:
    family = GaugeMetricFamily(
        "diemcau_media_loss_out_mean", "Mean share of packets lost on the way to endpoints", labels=("meeting",)
    )
    for group in totals:
        told = [p.loss_out for p in peers if p.loss_out is not None and _meeting_of(p, totals) == group]
        family.add_metric((group,), sum(told) / len(told) if told else 0.0)
    return family
