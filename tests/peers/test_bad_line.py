"""The bad line itself: what it is told to do to packets is what happens to them."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.bad_line import BadLine, bad_line
from tests.support.line_router import Traffic, Way

PACKET = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(990)
"""1000 bytes that say: IPv4, UDP."""
TCP = bytes([0x45]) + bytes(8) + bytes([6]) + bytes(90)


def test_the_share_asked_for_is_lost_and_the_same_seed_loses_the_same() -> None:
    def run(seed: int) -> list[bool]:
        traffic = Traffic(Way(loss=0.05), seed)
        return [traffic.arrival(PACKET, n / 100) is None for n in range(10_000)]

    assert 0.045 < statistics.mean(run(1)) < 0.055
    assert run(1) == run(1) != run(2)


def test_a_delay_keeps_the_order_even_when_it_shrinks() -> None:
    way = Way(delay_s=0.1)
    traffic = Traffic(way, 1)
    first = traffic.arrival(PACKET, 1.0)
    way.delay_s = 0.0
    second = traffic.arrival(PACKET, 1.01)
    assert first == second == pytest.approx(1.1)
    assert traffic.arrival(PACKET, 2.0) == 2.0


def test_a_rate_lets_so_much_through_and_drops_what_would_wait_too_long() -> None:
    way = Way(rate_bps=400_000, queue_s=0.3)
    traffic = Traffic(way, 1)
    arrivals = [traffic.arrival(PACKET, n * 0.004) for n in range(2500)]  # ten seconds of 2 Mbit/s
    came = [(n * 0.004, at) for n, at in enumerate(arrivals) if at is not None]
    assert len(came) * 8000 / 10 == pytest.approx(400_000, rel=0.04)
    assert max(at - sent for sent, at in came) <= 0.3 + 0.02 + 1e-9
    assert way.overflowed == 2500 - len(came)


def test_blocking_udp_lets_tcp_through() -> None:
    traffic = Traffic(Way(no_udp=True), 1)
    assert traffic.arrival(PACKET, 0.0) is None
    assert traffic.arrival(TCP, 0.0) == 0.0


ECHO = """
import socket, sys
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 9))
print("ready", flush=True)
while True:
    data, who = udp.recvfrom(2000)
    udp.sendto(data, who)
"""
Answers = dict[int, float]


class Asker(asyncio.DatagramProtocol):
    """Sends numbered datagrams; `took_s` is the time to the answer of each that was answered."""

    def __init__(self) -> None:
        self.sent_at: Answers = {}
        self.took_s: Answers = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        number = int.from_bytes(data[:4], "big")
        self.took_s[number] = time.monotonic() - self.sent_at[number]

    async def ask(self, times: int, gap_s: float, size: int = 200) -> list[float]:
        """So many more; the times of those answered within half a second after the last."""
        first = len(self.sent_at)
        began = time.monotonic()
        for number in range(first, first + times):
            self.sent_at[number] = time.monotonic()
            self.transport.sendto(number.to_bytes(4, "big") + bytes(size - 4))  # type: ignore[attr-defined]
            await asyncio.sleep(max(0.0, began + (number - first + 1) * gap_s - time.monotonic()))
        await asyncio.sleep(0.5)
        return [took for number, took in self.took_s.items() if number >= first]


@pytest.fixture
async def asked() -> AsyncIterator[tuple[BadLine, Asker]]:
    """A line with an echo in its namespace, and who asks it."""
    async with bad_line() as line:
        echo = await asyncio.create_subprocess_exec(
            *line.inside("python3", "-c", ECHO, line.far), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert echo.stdout is not None and await echo.stdout.readline() == b"ready\n"
            transport, asker = await asyncio.get_running_loop().create_datagram_endpoint(
                Asker, remote_addr=(line.far, 9)
            )
            yield line, asker
            transport.close()
        finally:
            echo.kill()
            await echo.wait()


@pytest.mark.slow
async def test_what_is_measured_over_the_line_is_what_it_was_set_to(asked: tuple[BadLine, Asker]) -> None:
    line, asker = asked
    good = await asker.ask(200, 0.002)
    assert len(good) == 200 and statistics.median(good) < 0.01

    line.down.delay_s, line.up.delay_s = 0.06, 0.04
    slow = await asker.ask(100, 0.005)
    assert len(slow) == 100 and 0.1 <= statistics.median(slow) < 0.11
    print(f"100 ms there and back: {min(slow):.4f} to {max(slow):.4f} s, deviation {statistics.stdev(slow):.4f}")

    line.restore()
    line.down.loss = 0.1
    came = await asker.ask(1500, 0.001)
    assert 0.07 < 1 - len(came) / 1500 < 0.13
    assert line.down.lost == 1500 - len(came)

    line.restore()
    line.down.rate_bps = 400_000
    came = await asker.ask(500, 0.004, size=972)  # 1000 bytes with the headers: 2 Mbit/s for two seconds
    assert len(came) * 8000 / 2.3 == pytest.approx(400_000, rel=0.15)  # the queue of 0.3 s is emptied afterwards
    assert 0.25 < max(came) < 0.4

    line.restore()
    line.up.no_udp = True
    assert await asker.ask(20, 0.002) == []
