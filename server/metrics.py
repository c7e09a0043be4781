"""What the server counts, for `/metrics` (Prometheus text). The registry belongs to one server, not to the module."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from server.cluster.cluster import Cluster

CONTENT_TYPE = CONTENT_TYPE_LATEST
LAG_PERIOD_S = 0.01
"""A stall is seen up to this much shorter than it was."""
_LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["kind"]
        self.clients = Gauge("diemcau_clients", "Connected sockets", labels, registry=self.registry)
        self.long_polls = Gauge("diemcau_long_polls", "HTTP requests waiting for a patch", registry=self.registry)
        self.commands = Counter("diemcau_commands_total", "Commands by outcome", ["outcome"], registry=self.registry)
        self.ack_s = Histogram(
            "diemcau_command_ack_seconds", "Command to durable answer", registry=self.registry, buckets=_ACK_BUCKETS
        )
        self.batch = Histogram(
            "diemcau_log_batch_entries",
            "Entries per commit",
            registry=self.registry,
            buckets=(1, 2, 5, 10, 50, 100, 500),
        )
        self.conflicts = Counter(
            "diemcau_log_conflicts_total", "Times another process wrote first", registry=self.registry
        )
        self.frames = Counter("diemcau_frames_total", "Frames queued to sockets", registry=self.registry)
        self.lagging = Counter("diemcau_lagging_total", "Times a socket fell behind", registry=self.registry)
        self.malformed = Counter("diemcau_malformed_total", "Malformed messages", ["where"], registry=self.registry)
        self.turned_away = Counter(
            "diemcau_turned_away_total", "Connections told to come later", ["why"], registry=self.registry
        )
        self.requests = Counter(
            "diemcau_http_requests_total", "HTTP answers", ["route", "status"], registry=self.registry
        )
        self.loop_lag_s = Histogram(
            "diemcau_loop_lag_seconds", "Lateness of the event loop", registry=self.registry, buckets=_LAG_BUCKETS
        )
        self.loop_lag_max_s = Gauge(
            "diemcau_loop_lag_max_seconds", "Greatest lateness of the event loop", registry=self.registry
        )
        self.media_up = Gauge("diemcau_media_up", "1 while a media node answers", ["node"], registry=self.registry)
        self.media_restarts = Counter("diemcau_media_restarts_total", "Starts of media nodes", registry=self.registry)
        self.bus_up = Gauge("diemcau_bus_up", "1 while other processes can be told things", registry=self.registry)
        self.processes = Gauge("diemcau_processes", "Server processes known, this one too", registry=self.registry)
        self._lag_max = 0.0

    def count_neighbours(self, cluster: Cluster) -> None:
        self.bus_up.set_function(lambda: float(cluster.neighbours.up))
        self.processes.set_function(lambda: float(len(cluster.neighbours.known) + 1))

    def counted(self, sample: str) -> float:
        """A sample without labels, by its name in the text."""
        return self.registry.get_sample_value(sample) or 0.0

    def text(self) -> bytes:
        return generate_latest(self.registry)

    async def watch_loop(self) -> None:
        """Measure how late the event loop runs, until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(LAG_PERIOD_S)
            lag = max(0.0, time.perf_counter() - before - LAG_PERIOD_S)
            self._lag_max = max(self._lag_max, lag)
            self.loop_lag_s.observe(lag)
            self.loop_lag_max_s.set(self._lag_max)
