"""What is measured: a server that forwards one publisher's picture to many."""

import socket
from typing import Protocol

import ifaddr

from clients.rehearsal.endpoint import Endpoint, Setting


class SubjectFailed(Exception):
    """The server cannot be run or refuses what the benchmark needs; the text is for whoever ran it."""


class Subject(Protocol):
    """A running server. Endpoints come to it connected from their side; the publisher first."""

    name: str
    pid: int

    def setting(self, setting: Setting) -> Setting:
        """What its clients need otherwise."""

    async def publish(self, endpoint: Endpoint) -> None: ...

    async def subscribe(self, endpoint: Endpoint) -> None: ...


def own_address() -> str:
    """An address of this machine beside the loopback, which libnice and aioice do not offer; packets stay inside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: the kernel says which address it would use
            return str(probe.getsockname()[0])
        except OSError:
            pass  # no way out: any address will do
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            if isinstance(address.ip, str) and not address.ip.startswith("127."):
                return address.ip
    raise SubjectFailed("this needs an address beside the loopback")
