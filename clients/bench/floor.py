"""The floor: what kernel and cipher alone take for each packet, in Python, with nothing else in the loop.

A child process encrypts bursts of six packets for every receiver into one reused buffer and sends each burst with one
`sendmsg` and UDP_SEGMENT, at the pace of the benchmark, to sockets that are read here. Then it sends as many without
encrypting: the kernel's share.
"""

import argparse
import asyncio
import resource
import secrets
import select
import socket
import sys
import time
from asyncio.subprocess import PIPE

import msgspec
from qh3._hazmat import AeadAes128Gcm

from clients.rehearsal.batch import SO_TIMESTAMPNS, Batch, take_bursts_whole, widen
from clients.rehearsal.transport import RECEIVE_BUFFER

BURST = 6
_HEADER, _TAG = 12, 16
_SOL_UDP, _UDP_SEGMENT = 17, 103
_END_S = 20.0


class Floor(msgspec.Struct, frozen=True):
    """µs of CPU per packet: for kernel and cipher, and for the kernel alone."""

    both: float
    kernel: float


async def measure_floor(receivers: int, pps: float, size: int, seconds: float, *, bursts: bool) -> Floor:
    """Sends for so many seconds with the cipher, and for as many without."""
    sockets = [_receiver(bursts) for _ in range(receivers)]
    epoll, batch = select.epoll(), Batch()
    for each in sockets:
        epoll.register(each.fileno(), select.EPOLLIN)

    def read() -> None:
        for descriptor, _ in epoll.poll(0):
            while batch.read(descriptor):
                pass

    loop = asyncio.get_running_loop()
    loop.add_reader(epoll.fileno(), read)
    ports = [each.getsockname()[1] for each in sockets]
    options = ("--pps", str(pps), "--size", str(size), "--seconds", str(seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "clients.bench.floor", *options, stdin=PIPE, stdout=PIPE
    )
    try:
        async with asyncio.timeout(2 * seconds + _END_S):
            output, _ = await process.communicate(msgspec.json.encode(ports))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(epoll.fileno())
        epoll.close()
        for each in sockets:
            each.close()
    return msgspec.json.decode(output, type=Floor)


def _receiver(bursts: bool) -> socket.socket:
    """As an endpoint's."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    widen(sock, RECEIVE_BUFFER)
    if bursts:
        take_bursts_whole(sock)
    sock.bind(("127.0.0.1", 0))
    return sock


def send(ports: list[int], pps: float, size: int, seconds: float, *, encrypted: bool) -> float:
    """µs of this process's CPU per packet sent."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024 * 1024)
    receivers = [(("127.0.0.1", port), AeadAes128Gcm(secrets.token_bytes(16), bytes(12)).encrypt) for port in ports]
    buffer = bytearray(BURST * (size + _TAG))
    view = memoryview(buffer)
    packets = [(bytes(_HEADER), view[at + _HEADER : at + size + _TAG]) for at in _starts(size)]
    payload = bytes(size - _HEADER)
    control = [(_SOL_UDP, _UDP_SEGMENT, (size + _TAG).to_bytes(2, sys.byteorder))]
    interval_s = BURST / pps
    count = 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    due = began = time.monotonic()
    while due < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        due += interval_s
        for address, encrypt in receivers:
            if encrypted:
                for place, (header, body) in enumerate(packets, count):
                    body[:] = encrypt(place, payload, header)
            sock.sendmsg((buffer,), control, 0, address)
            count += BURST
    after = resource.getrusage(resource.RUSAGE_SELF)
    sock.close()
    return 1e6 * (after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime) / count


def _starts(size: int) -> range:
    return range(0, BURST * (size + _TAG), size + _TAG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pps", "size", "seconds"):
        parser.add_argument(f"--{name}", type=float, required=True)
    options = parser.parse_args()
    ports = msgspec.json.decode(sys.stdin.buffer.read(), type=list[int])
    both, kernel = (
        send(ports, options.pps, int(options.size), options.seconds, encrypted=encrypted) for encrypted in (True, False)
    )
    sys.stdout.buffer.write(msgspec.json.encode(Floor(both, kernel)))


if __name__ == "__main__":
    main()
