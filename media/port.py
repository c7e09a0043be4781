"""Many peers behind one UDP port (RFC 7983): a datagram finds its peer by its source address, a connectivity check by
the username fragment in it. Whatever fits nobody is counted and dropped in silence.
"""

from typing import Protocol

from media.lane import Address
from media.peer import Peer
from media.stun import MalformedStun, parse_request


class Remote(Protocol):
    """Whoever sends from an address: a peer, or another node."""

    def receive_media(self, packet: bytes, address: Address, now: float) -> None: ...

    def receive_dtls(self, datagram: bytes, address: Address, now: float) -> None: ...


class Port:
    def __init__(self) -> None:
        self.dropped = 0
        self._peers: set[Peer] = set()
        self._by_ufrag: dict[str, Peer] = {}
        self._by_address: dict[Address, Remote] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer: Peer) -> None:
        """Also one that is here already, when its username fragments changed (an ICE restart)."""
        if peer in self._peers:
            self._forget_ufrags(peer)
        self._peers.add(peer)
        self._by_ufrag.update(dict.fromkeys(peer.ufrags, peer))

    def bind(self, address: Address, remote: Remote) -> None:
        """A signed check came from here, or another node is there: from now on the address is theirs."""
        self._by_address[address] = remote

    def remove(self, peer: Peer) -> None:
        """Forgets a peer that closed, and every address of it."""
        self._peers.discard(peer)
        self._forget_ufrags(peer)
        self.release(peer)

    def release(self, remote: Remote) -> None:
        """Forgets every address of it."""
        self._by_address = {address: other for address, other in self._by_address.items() if other is not remote}

    def _forget_ufrags(self, peer: Peer) -> None:
        self._by_ufrag = {ufrag: other for ufrag, other in self._by_ufrag.items() if other is not peer}

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        """Never raises, whatever comes."""
        first = datagram[0] if datagram else 255
        if 127 < first < 192:
            peer = self._by_address.get(address)
            if peer is not None:
                peer.receive_media(datagram, address, now)
                return
        elif first < 4:
            if self._receive_check(datagram, address, now):
                return
        elif 19 < first < 64:
            peer = self._by_address.get(address)
            if peer is not None:
                peer.receive_dtls(datagram, address, now)
                return
        self.dropped += 1

    def _receive_check(self, datagram: bytes, address: Address, now: float) -> bool:
        try:
            request = parse_request(datagram)
        except MalformedStun:
            return False
        peer = self._by_ufrag.get(request.username.partition(":")[0])
        return peer is not None and peer.receive_check(request, address, now)
