"""The fan-out benchmark against real servers: what it reports is measured, and nothing is lost or changed."""

import asyncio
import sys
from typing import Any

import msgspec
import pytest

pytestmark = pytest.mark.slow

KEYS = [
    "subscribers",
    "pps",
    "packets",
    "lost",
    "cpu_us_per_packet",
    "floor_us_per_packet",
    "kernel_us_per_packet",
    "latency_ms",
    "rss_mb",
    "srtp_profile",
    "compiled",
    "peers",
    "ratio",
]


async def bench(*options: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "bench", "fanout", *options, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return msgspec.json.decode(out)


async def test_our_node_forwards_every_packet_unchanged() -> None:
    """The benchmark itself ends with an error when a sampled packet is not what was sent."""
    report = await bench("--subscribers", "8", "--seconds", "1.5")
    assert sorted(report) == sorted(KEYS)
    assert report["subscribers"] == 8 and report["pps"] == 200 and report["lost"] == 0
    assert 0.5 < report["packets"] / (8 * 200 * 1.5) < 2, "the publisher keeps its pace"
    assert report["cpu_us_per_packet"] > 0
    assert report["floor_us_per_packet"] > 0 and report["kernel_us_per_packet"] > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["srtp_profile"] == "SRTP_AEAD_AES_128_GCM" and report["rss_mb"] > 10
    assert report["compiled"] is True, "make compiled"
    assert report["peers"] == {} and report["ratio"] == {}


async def test_other_servers_forward_to_the_same_clients() -> None:
    report = await bench("--subscribers", "4", "--seconds", "1.5", "--peer", "janus", "--peer", "aiortc")
    assert set(report["peers"]) == set(report["ratio"]) == {"janus", "aiortc"}
    janus, aiortc = report["peers"]["janus"], report["peers"]["aiortc"]
    assert janus["packets"] > 0.5 * 4 * 200 * 1.5 and janus["latency_ms"]["p50"] > 0
    assert aiortc["packets"] > 0 and aiortc["latency_ms"] is None, "what was encoded anew is not recognised"
    assert janus["cpu_us_per_packet"] > 0 and aiortc["cpu_us_per_packet"] > janus["cpu_us_per_packet"]


async def test_a_series_is_a_list() -> None:
    reports = await bench("--scale", "2,4", "--seconds", "1")
    assert [report["subscribers"] for report in reports] == [2, 4]
