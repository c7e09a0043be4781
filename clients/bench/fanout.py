"""The fan-out benchmark: what one forwarded packet costs, in our node and in others, under the same clients.

One publisher sends real VP8, every subscriber decrypts and verifies a sample of what comes. CPU is user and system time
of the whole server process over the measured window, without setting up. Clients do not ask for lost packets again, so
that a loss is seen.
"""

import asyncio
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from clients.bench.aiortc import running_aiortc
from clients.bench.floor import measure_floor
from clients.bench.janus import running_janus, running_janus_with_loops
from clients.bench.node import running_node
from clients.bench.subject import Subject, SubjectFailed
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.endpoint import HALL_SLOTS, Endpoint, Setting
from clients.rehearsal.process import cpu_s, rss_mb
from clients.rehearsal.recording import Recording, Studio
from media import compiled

__all__ = ["MOST_SUBSCRIBERS", "PEERS", "FanoutPlan", "SubjectFailed", "bench_fanout", "describe_fanout"]

PEERS = ("janus", "janus-loops", "aiortc")
AIORTC_CARRIES = 5
MOST_SUBSCRIBERS = 1000
_JOIN_AT_ONCE = 32
_JOIN_S = 60.0
_SETTLE_S = 1.0
_GRACE_S = 0.3


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the publisher's send to the arrival at a subscriber's socket, of the sampled packets."""

    p50: float
    p99: float


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """A server under these clients. No `latency_ms` where packets are made anew and cannot be recognised."""

    subscribers: int
    packets: int
    lost: int
    cpu_us_per_packet: float
    latency_ms: Latency | None
    rss_mb: float
    srtp_profile: str


class FanoutReport(msgspec.Struct, frozen=True, kw_only=True):
    """`packets` were forwarded within the window, `lost` are missing. `compiled`: the node was (media/compile.py).
    The floor is kernel and cipher alone (clients.bench.floor). `ratio`: how many times more a peer takes."""

    subscribers: int
    pps: int
    packets: int
    lost: int
    cpu_us_per_packet: float
    floor_us_per_packet: float
    kernel_us_per_packet: float
    latency_ms: Latency | None
    rss_mb: float
    srtp_profile: str
    compiled: bool
    peers: dict[str, PeerReport] = {}
    ratio: dict[str, float] = {}


class FanoutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`size`: bytes of a full packet, header and payload, before encryption. `bursts`: receivers take
    what was sent in one piece in one piece, see clients.rehearsal.batch. `sampling`: one packet in so many.
    """

    subscribers: int = 187
    pps: int = 200
    size: int = 1172
    seconds: float = 10.0
    bursts: bool = True
    sampling: int = 128


Run = Callable[[Path], AbstractAsyncContextManager[Subject]]
_RUNNERS: dict[str, Run] = {
    "janus": running_janus,
    "janus-loops": running_janus_with_loops,
    "aiortc": running_aiortc,
}


def percentile(values: "array[float]", share: float) -> float:
    ordered = sorted(values)
    return round(ordered[int(share * (len(ordered) - 1))], 3) if ordered else 0.0


def _latency(values: "array[float]") -> Latency | None:
    if not values:
        return None
    return Latency(p50=percentile(values, 0.5), p99=percentile(values, 0.99))


async def bench_fanout(plan: FanoutPlan, peers: tuple[str, ...], say: Callable[[str], None]) -> FanoutReport:
    """Raises SubjectFailed."""
    studio = Studio()
    recording = await asyncio.to_thread(studio.record_for, plan.pps, plan.size)
    ours = await _measure(running_node, plan, studio, recording, say)
    floor = await measure_floor(plan.subscribers, plan.pps, plan.size, min(plan.seconds, 5.0), bursts=plan.bursts)
    found = {}
    for name in peers:
        count = min(plan.subscribers, AIORTC_CARRIES) if name == "aiortc" else plan.subscribers
        found[name] = await _measure(
            _RUNNERS[name], msgspec.structs.replace(plan, subscribers=count), studio, recording, say
        )
    return FanoutReport(
        **{name: getattr(ours, name) for name in ours.__struct_fields__},
        pps=plan.pps,
        floor_us_per_packet=round(floor.both, 2),
        kernel_us_per_packet=round(floor.kernel, 2),
        compiled=compiled.in_use(),
        peers=found,
        ratio={name: round(peer.cpu_us_per_packet / ours.cpu_us_per_packet, 1) for name, peer in found.items()},
    )


async def _measure(
    run: Run, plan: FanoutPlan, studio: Studio, recording: Recording, say: Callable[[str], None]
) -> PeerReport:
    with tempfile.TemporaryDirectory(prefix="diemcau-bench-") as folder:
        async with run(Path(folder)) as subject, Crowd() as crowd:
            setting = subject.setting(
                Setting(studio, sampling=plan.sampling, resends=False, steady=True, bursts=plan.bursts)
            )
            began = time.monotonic()
            async with _joined(subject, crowd, setting, plan.subscribers, recording) as subscribers:
                say(f"{subject.name}: {plan.subscribers} joined in {time.monotonic() - began:.1f} s")
                await asyncio.sleep(_SETTLE_S)
                return await _window(subject, setting, subscribers, plan.seconds, say)


@asynccontextmanager
async def _joined(
    subject: Subject, crowd: Crowd, setting: Setting, count: int, recording: Recording
) -> AsyncIterator[list[Endpoint]]:
    """The publisher sends, and every subscriber has a whole picture."""
    publisher = crowd.add(Endpoint(setting, 0, (), camera=(recording,)))
    await subject.publish(publisher)
    await _until(crowd, lambda: publisher.joined_at is not None, "the publisher is not connected")
    crowd.start(publisher, publisher.sends["camera"][0])
    subscribers = [Endpoint(setting, number, HALL_SLOTS) for number in range(1, count + 1)]
    gate = asyncio.Semaphore(_JOIN_AT_ONCE)

    async def join(endpoint: Endpoint) -> None:
        async with gate:
            crowd.add(endpoint)
            await subject.subscribe(endpoint)

    await asyncio.gather(*(join(endpoint) for endpoint in subscribers))
    await _until(crowd, lambda: all(map(_sees, subscribers)), "not every subscriber has a picture")
    yield subscribers


def _sees(endpoint: Endpoint) -> bool:
    track = endpoint.track_of("stage.0")
    return track is not None and track.picture is not None


async def _until(crowd: Crowd, met: Callable[[], bool], otherwise: str) -> None:
    if not await crowd.until(lambda: met() or bool(crowd.failed), _JOIN_S) or crowd.failed:
        raise SubjectFailed(f"{otherwise}: {', '.join(crowd.failed[:3]) or 'in time'}")


async def _window(
    subject: Subject, setting: Setting, subscribers: list[Endpoint], seconds: float, say: Callable[[str], None]
) -> PeerReport:
    tracks = [track for endpoint in subscribers if (track := endpoint.track_of("stage.0")) is not None]
    dropped = sum(endpoint.dropped for endpoint in subscribers)
    for track in tracks:
        track.begin_count()
    setting.findings.clear()
    used = cpu_s(subject.pid)
    await asyncio.sleep(seconds)
    used = cpu_s(subject.pid) - used
    packets = sum(track.packets for track in tracks)
    await asyncio.sleep(_GRACE_S)
    findings = setting.findings
    if findings.faults or not findings.verified:
        raise SubjectFailed(f"{subject.name} forwards something else than was sent: {findings}")
    if own := sum(endpoint.dropped for endpoint in subscribers) - dropped:
        say(f"{subject.name}: {own} packets of the lost ones found a subscriber's own socket full")
    return PeerReport(
        subscribers=len(tracks),
        packets=packets,
        lost=sum(len(track.missing) for track in tracks),
        cpu_us_per_packet=round(1e6 * used / max(1, packets), 2),
        latency_ms=_latency(findings.latencies_ms),
        rss_mb=round(rss_mb(subject.pid), 1),
        srtp_profile=subscribers[0].transport.profile,
    )


def describe_fanout(report: FanoutReport) -> str:
    """For a person."""
    latency = report.latency_ms
    lines = [
        f"{report.subscribers} subscribers x {report.pps} packets/s: {report.packets} forwarded, {report.lost} lost",
        f"  node     {report.cpu_us_per_packet:8.2f} µs CPU per packet, {report.rss_mb} MB, {report.srtp_profile}"
        + ("" if report.compiled else ", not compiled"),
        f"  floor    {report.floor_us_per_packet:8.2f} µs: kernel and cipher alone; the kernel"
        f" {report.kernel_us_per_packet:.2f}",
    ]
    if latency is not None:
        lines.append(f"  latency  {latency.p50} ms median, {latency.p99} ms at 99 %")
    for name, peer in report.peers.items():
        lines.append(
            f"  {name:<12} {peer.cpu_us_per_packet:6.2f} µs, {report.ratio[name]} times ours"
            f" ({peer.subscribers} subscribers, {peer.packets} packets, {peer.lost} lost)"
        )
    return "\n".join(lines)
