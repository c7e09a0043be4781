"""The sockets benchmark against real servers: what it reports is measured, nothing is lost, replicas are equal."""

import asyncio
import sys
from typing import Any

import msgspec
import pytest

from clients.bench.sockets import SocketsReport

pytestmark = pytest.mark.slow

KEYS = ["clients", "connect_cpu_us", "rss_kb_per_client", "broadcast", "commands", "loop_lag_max_ms"]


async def bench(*options: str) -> tuple[Any, str]:
    """The report, and what was said meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "bench", "sockets", *options, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(150):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return msgspec.json.decode(out), errors.decode()


async def test_two_hundred_phones_are_told_and_answered_by_us_and_by_stock_socketio() -> None:
    """The benchmark itself ends with an error when a phone misses a change or differs from the server at the end."""
    report, said = await bench("--clients", "200", "--changes", "5", "--seconds", "2", "--peer", "socketio")
    assert list(report) == [*KEYS, "peers", "ratio"]
    assert list(report["peers"]) == list(report["ratio"]) == ["socketio"]
    for each in (report, report["peers"]["socketio"]):
        assert each["clients"] == 200 and each["connect_cpu_us"] > 0
        assert 0 < each["broadcast"]["p50_ms"] <= each["broadcast"]["p99_ms"]
        assert each["broadcast"]["cpu_us_per_recipient"] > 0 and each["loop_lag_max_ms"] > 0
        assert each["commands"]["lost"] == 0 and 50 < each["commands"]["per_s"] <= 110
        assert 0 < each["commands"]["ack_p50_ms"] <= each["commands"]["ack_p99_ms"]
    assert msgspec.convert(report, SocketsReport).ratio["socketio"] > 0
    assert "diemcau: 100 phones in" in said and "socketio: 100 phones in" in said and "Traceback" not in said


async def test_an_unknown_peer_is_refused() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "bench", "sockets", "--peer", "nobody"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2 and b"nobody" in errors
