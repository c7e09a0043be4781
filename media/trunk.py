"""A trunk: packets of feeds from node to node, each once, in SRTP (RFC 7714) under a key that the server gave to both.

It shares the node's UDP port: what comes from the other node's address is the trunk's. There is no handshake and no
state of connection; a trunk lives until it is replaced or cut.
"""

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from media.lane import Address, Outlet
from media.rtp.header import RtpPacket
from media.srtp import GCM, SrtpError, srtp_of_client, srtp_of_server


class BadTrunk(ValueError):
    """The key is not of the right length."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Trunk:
    def __init__(self, name: str, address: Address, material: bytes, outlet: Outlet, *, first: bool) -> None:
        """Raises BadTrunk."""
        if len(material) != GCM.material:
            raise BadTrunk("the key has the wrong length")
        self.name = name
        self.address = address
        self.packets_in = self.packets_out = self.bytes_in = self.bytes_out = self.dropped = 0
        self._srtp = (srtp_of_server if first else srtp_of_client)(GCM, material)
        self._send = outlet.send
        self._rtp: Callable[[RtpPacket, int, float], None] = lambda packet, size, now: None
        self._rtcp: Callable[[bytes, float], None] = lambda packet, now: None

    def listen(self, rtp: Callable[[RtpPacket, int, float], None], rtcp: Callable[[bytes, float], None]) -> None:
        self._rtp, self._rtcp = rtp, rtcp

    def receive_media(self, packet: bytes, address: Address, now: float) -> None:
        """What is not authentic is counted and dropped."""
        if len(packet) < 2:
            self.dropped += 1
            return
        try:
            if 192 <= packet[1] <= 223:
                media, control = None, self._srtp.unprotect_rtcp(packet)
            else:
                media, control = self._srtp.receive(packet), b""
        except SrtpError:
            self.dropped += 1
            return
        self.packets_in += 1
        self.bytes_in += len(packet)
        if media is not None:
            self._rtp(media, len(packet), now)
        else:
            self._rtcp(control, now)

    def receive_dtls(self, datagram: bytes, address: Address, now: float) -> None:
        self.dropped += 1

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        """See media.srtp on `index`."""
        packet = self._srtp.protect(header, payload, ssrc, index)
        self.packets_out += 1
        self.bytes_out += len(packet)
        self._send(packet, self.address)

    def send_rtcp(self, packet: bytes) -> None:
        protected = self._srtp.protect_rtcp(packet)
        self.bytes_out += len(protected)
        self._send(protected, self.address)
