"""One remote WebRTC transport: ICE-lite (RFC 8445 §2.5), DTLS, SRTP. Packets in, packets out.

DTLS as the server, so that the node chooses the SRTP profile; as the client for those who insist (FFmpeg's WHIP).

No socket and no clock: datagrams come through `receive_*`, go out through `send`, and time is an argument. Media is
only taken from, and only sent to, addresses that a signed connectivity check came from.

Lives from the offer to `closed`: connecting -> connected <-> disconnected -> closed; closed is final.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from media.burst import Burst, Run
from media.control import PeerState
from media.dtls import Dtls, DtlsError, Identity
from media.lane import Address, Lane, Outlet
from media.rtp.header import Came, RtpPacket
from media.srtp import Srtp, SrtpError, srtp_of_client, srtp_of_server
from media.stun import BindingRequest, authentic, encode_role_conflict, encode_success

HANDSHAKE_S = 20.0
SILENT_S = 6.5  # the consent checks of aioice come up to 6 s apart
LOST_S = 30.0
_PATH_SILENT_S = 3.0
_MAX_PATHS = 8
_MOST_WAITING = 128
_PASSWORD_BYTES = 18
_UFRAG_BYTES = 6

__all__ = ["Credentials", "Identity", "Peer", "PeerEvents", "fresh_credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A username fragment and a password (RFC 8839 §5.4)."""

    ufrag: str
    password: str


def fresh_credentials() -> Credentials:
    # "+" and "/" are the ice-chars beside letters and digits (RFC 8839 §5.4); hexadecimal stays clear of them.
    return Credentials(secrets.token_hex(_UFRAG_BYTES), secrets.token_hex(_PASSWORD_BYTES))


@dataclass(slots=True)
class PeerEvents:
    """Where a peer's news go. `rtp` gets each packet with the size of its datagram; `full` is called when no more may
    wait; `path` is called for each address that the peer may be known by from now on."""

    rtp: Callable[[RtpPacket, int, float], None]
    full: Callable[[], None]
    rtcp: Callable[[bytes, float], None]
    state: Callable[[PeerState, float], None]
    path: Callable[[Address], None]


class Peer:
    """`packets_out` and `bytes_out` leave out what its lanes sent, which their legs count (media.leg), and `unsent` and
    `bytes_unsent` of those."""

    def __init__(
        self,
        identity: Identity,
        remote_ufrag: str,
        fingerprints: dict[str, str],
        outlet: Outlet,
        now: float,
        *,
        dtls_client: bool = False,
    ) -> None:
        self.credentials = fresh_credentials()
        self.state: PeerState = "connecting"
        self.profile = ""
        self.ended = ""  # why the peer closed: a word for the log
        self.packets_in = self.bytes_in = self.dropped = self.unsent = self.bytes_unsent = 0
        self.packets_out = self.bytes_out = 0
        self._username = f"{self.credentials.ufrag}:{remote_ufrag}"
        self._restart: tuple[Credentials, str] | None = None  # those of an ICE restart, and the username, until used
        self._dtls = Dtls(identity, fingerprints, client=dtls_client)
        self._srtp_of = srtp_of_client if dtls_client else srtp_of_server
        self._srtp: Srtp | None = None
        self._lanes: list[Lane] = []
        self._outlet = outlet
        self._send = outlet.send
        self._events: PeerEvents | None = None
        self._paths: dict[Address, float] = {}
        self._waiting: dict[bytes, list[tuple[bytes, Address, float]]] = {}
        self._address: Address | None = None
        self._began_at = now
        self._heard_at = now

    def listen(self, events: PeerEvents) -> None:
        self._events = events

    @property
    def ufrags(self) -> list[str]:
        """The username fragments that checks may come under now."""
        return [self.credentials.ufrag] + ([self._restart[0].ufrag] if self._restart is not None else [])

    def restart(self, remote_ufrag: str) -> Credentials:
        """An ICE restart (RFC 8445 §9): new credentials. The present ones hold until the first check under these."""
        credentials = fresh_credentials()
        self._restart = credentials, f"{credentials.ufrag}:{remote_ufrag}"
        return credentials

    # -- in ------------------------------------------------------------------------------------------------------------

    def receive_check(self, request: BindingRequest, address: Address, now: float) -> bool:
        """A connectivity check (RFC 8445 §7.3). False: it is not this peer's, or not signed by it."""
        if self.state == "closed" or not self._is_signed(request):
            return False
        if request.controlled:
            self._send(encode_role_conflict(request.transaction, self.credentials.password), address)
            return True
        self._note_path(address, now)
        if self._should_move(request, address, now):
            self._take_address(address)
        self._hear(now)
        self._send(encode_success(request.transaction, address, self.credentials.password), address)
        if self._dtls.begin():
            self._flush_dtls()
        return True

    def _is_signed(self, request: BindingRequest) -> bool:
        """Whether the check is under the present credentials, or the first one under those of a restart."""
        if request.username == self._username:
            return authentic(request, self.credentials.password)
        if self._restart is None or request.username != self._restart[1]:
            return False
        if not authentic(request, self._restart[0].password):
            return False
        (self.credentials, self._username), self._restart = self._restart, None
        return True

    def _should_move(self, request: BindingRequest, address: Address, now: float) -> bool:
        """A nominated path is taken; another one only when the present one is silent (a changed address)."""
        if self._address is None or request.use_candidate:
            return True
        return address != self._address and now - self._paths.get(self._address, 0.0) > _PATH_SILENT_S

    def _note_path(self, address: Address, now: float) -> None:
        known = address in self._paths
        self._paths[address] = now
        if known:
            return
        if len(self._paths) > _MAX_PATHS:
            others = [path for path in self._paths if path not in (address, self._address)]
            del self._paths[min(others, key=self._paths.__getitem__)]
        if self._events is not None:
            self._events.path(address)

    def receive_dtls(self, datagram: bytes, address: Address, now: float) -> None:
        if self.state == "closed" or address not in self._paths:
            self.dropped += 1
            return
        try:
            keys = self._dtls.receive(datagram)
        except DtlsError as error:
            self._flush_dtls()
            self._end(error.code, now)
            return
        self._flush_dtls()
        if keys is not None:
            profile, material = keys
            self.profile = profile.name
            self._srtp = self._srtp_of(profile, material)
            self._heard_at = now
            self._become("connected", now)

    def receive_media(self, packet: bytes, address: Address, now: float) -> None:
        """SRTP or SRTCP (RFC 5761 §4). What is not authentic is counted and dropped."""
        waiting = self._waiting.get(packet[8:12])
        if waiting is not None and not 192 <= packet[1] <= 223:
            waiting.append((packet, address, now))
            if len(waiting) >= _MOST_WAITING and self._events is not None:
                self._events.full()
            return
        srtp, events = self._srtp, self._events
        if srtp is None or events is None or address not in self._paths or len(packet) < 2:
            self.dropped += 1
            return
        try:
            if 192 <= packet[1] <= 223:
                media, control = None, srtp.unprotect_rtcp(packet)
            else:
                media, control = srtp.receive(packet), b""
        except SrtpError:
            self.dropped += 1
            return
        self.packets_in += 1
        self.bytes_in += len(packet)
        self._paths[address] = now
        self._hear(now)
        if media is not None:
            events.rtp(media, len(packet), now)
        else:
            events.rtcp(control, now)

    def let_wait(self, ssrcs: Iterable[int]) -> None:
        """Packets of these streams wait from now on, encrypted as they came, until they are taken."""
        for ssrc in ssrcs:
            self._waiting.setdefault(ssrc.to_bytes(4, "big"), [])

    def take_waiting(self) -> list[list[Came]]:
        """What waited, stream by stream in the order of its coming; nothing waits from now on."""
        waiting, self._waiting = self._waiting, {}
        return [run for run in map(self._open_all, waiting.values()) if run]

    def _open_all(self, waiting: list[tuple[bytes, Address, float]]) -> list[Came]:
        """Those that are authentic, and from where a signed check came from."""
        srtp, paths = self._srtp, self._paths
        run: list[Came] = []
        for packet, address, at in waiting:
            if srtp is None or address not in paths:
                self.dropped += 1
                continue
            try:
                run.append(Came(srtp.receive(packet), len(packet), at))
            except SrtpError:
                self.dropped += 1
                continue
            paths[address] = at
        if run:
            self.packets_in += len(run)
            self.bytes_in += sum([size for _, size, _ in run])
            self._hear(max(run[-1].at, self._heard_at))
        return run

    def _hear(self, now: float) -> None:
        self._heard_at = now
        if self.state == "disconnected":
            self._become("connected", now)

    # -- out -----------------------------------------------------------------------------------------------------------

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        """See media.srtp on `index`. Silently nothing before the peer is connected."""
        srtp, address = self._srtp, self._address
        if srtp is None or address is None:
            return
        try:
            packet = srtp.protect(header, payload, ssrc, index)
        except SrtpError:
            self.dropped += 1
            return
        self.packets_out += 1
        self.bytes_out += len(packet)
        self._send(packet, address)

    def lane(self, ssrc: int) -> Lane:
        """The way of a stream to this peer, which is connected, until it closes."""
        lane = Lane(self, ssrc, self._outlet)
        lane.address = self._address
        lane.seal = self._srtp.seal(ssrc) if self._srtp is not None else None
        self._lanes.append(lane)
        return lane

    def _take_address(self, address: Address) -> None:
        self._address = address
        for lane in self._lanes:
            lane.address = address

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """See media.lane.Way."""
        if self._srtp is None:
            return []
        try:
            return self._srtp.protect_burst(burst, ssrc, shift)
        except SrtpError:
            self.dropped += len(burst.packets)
            return []

    def note_unsent(self, packets: int, octets: int) -> None:
        self.unsent += packets
        self.bytes_unsent += octets

    def send_rtcp(self, packet: bytes) -> None:
        srtp, address = self._srtp, self._address
        if srtp is None or address is None:
            return
        try:
            protected = srtp.protect_rtcp(packet)
        except SrtpError:
            self.dropped += 1
            return
        self.bytes_out += len(protected)
        self._send(protected, address)

    def _flush_dtls(self) -> None:
        datagrams = self._dtls.outgoing()
        if self._address is not None:
            for datagram in datagrams:
                self._send(datagram, self._address)

    # -- time and the end ----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        if self.state == "closed":
            return
        if self.state == "connecting":
            self._tick_handshake(now)
        elif now - self._heard_at >= LOST_S:
            self.close("lost", now)
        elif now - self._heard_at >= SILENT_S and self.state == "connected":
            self._become("disconnected", now)

    def _tick_handshake(self, now: float) -> None:
        if now - self._began_at >= HANDSHAKE_S:
            self._end("handshake_timeout", now)
            return
        try:
            self._dtls.tick()
        except DtlsError as error:
            self._end(error.code, now)
            return
        self._flush_dtls()

    def close(self, reason: str, now: float) -> None:
        """Says goodbye (close_notify) and ends. Harmless when repeated."""
        if self.state == "closed":
            return
        self._dtls.close()
        self._flush_dtls()
        self._end(reason, now)

    def _end(self, reason: str, now: float) -> None:
        self.ended = reason
        self._srtp = None
        self._waiting = {}
        for lane in self._lanes:
            lane.seal = lane.address = None
        self._lanes = []
        self._become("closed", now)
        self._events = None  # whoever listens holds the peer: without this only the collector would part them

    def _become(self, state: PeerState, now: float) -> None:
        self.state = state
        if self._events is not None:
            self._events.state(state, now)
