"""One UDP socket with ICE (the controlling agent, RFC 8445), DTLS as the client (RFC 5764) and SRTP's keys."""

import secrets
import socket

from OpenSSL import SSL

from clients.rehearsal.batch import SO_TIMESTAMPNS, take_bursts_whole, widen
from clients.rehearsal.offer import Local, Remote
from media.dtls import Identity, fingerprint
from media.srtp import PROFILES, Srtp, srtp_of_client
from media.stun import MalformedStun, authentic, authentic_success, encode_request, encode_success, parse_request

RECEIVE_BUFFER = 2 * 1024 * 1024
CHECK_S = 0.25
CONSENT_S = 5.0
LOST_S = 30.0
_MTU = 1200
_MAX_RECORD = 4096


class TransportFailed(Exception):
    """The connection cannot be made, or is over; the word says how."""


class Transport:
    """`host` is the address to send from; `bursts` are taken whole (see batch).

    `connect` once the other side's description is known, then `tick`.
    """

    def __init__(
        self, identity: Identity, host: str = "127.0.0.1", setup: str = "actpass", *, bursts: bool = True
    ) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        widen(self.socket, RECEIVE_BUFFER)
        if bursts:
            take_bursts_whole(self.socket)
        self.socket.bind((host, 0))
        self.descriptor = self.socket.fileno()
        self.srtp: Srtp | None = None
        self.profile = ""
        self.closed = False
        self.unsent = 0
        self.local = Local(
            secrets.token_hex(4), secrets.token_hex(12), identity.fingerprint, self.socket.getsockname(), setup
        )
        self._tls = SSL.Connection(identity.context, None)
        self._tls.set_connect_state()
        self._tls.set_ciphertext_mtu(_MTU)
        self._remote: Remote | None = None
        self._transaction = b""
        self._checked_at = float("-inf")
        self._heard_at = 0.0
        self._valid = False

    def connect(self, remote: Remote, now: float) -> None:
        self._remote = remote
        self.socket.connect(remote.address)
        self._heard_at = now
        self._check(now)

    def send(self, datagram: bytes) -> None:
        try:
            self.socket.send(datagram)
        except OSError:  # full, or nobody listens there any more: as on a network
            self.unsent += 1

    def _check(self, now: float) -> None:
        """A connectivity check, later the consent check (RFC 7675)."""
        assert self._remote is not None
        self._checked_at = now
        self._transaction = secrets.token_bytes(12)
        username = f"{self._remote.ufrag}:{self.local.ufrag}"
        self.send(encode_request(self._transaction, username, self._remote.password, use_candidate=True))

    def receive_stun(self, datagram: bytes, now: float) -> None:
        if self._remote is None:
            return
        if authentic_success(datagram, self._transaction, self._remote.password):
            self._heard_at = now
            if not self._valid:
                self._valid = True
                self._shake_hands()
            return
        try:
            request = parse_request(datagram)
        except MalformedStun:
            return
        if authentic(request, self.local.password):
            self.send(encode_success(request.transaction, self._remote.address, self.local.password))

    def receive_dtls(self, datagram: bytes) -> bool:
        """Whether the keys are there from now on. Raises TransportFailed."""
        self._tls.bio_write(datagram)
        if self.srtp is None:
            return self._shake_hands()
        try:
            self._tls.recv(_MAX_RECORD)
        except SSL.WantReadError:
            return False
        except SSL.Error:
            self.closed = True
        return False

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return False
        except SSL.Error:
            raise TransportFailed("handshake") from None
        self._flush()
        self._take_keys()
        return True

    def _take_keys(self) -> None:
        assert self._remote is not None
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        if certificate is None or fingerprint(certificate, "sha-256") != self._remote.fingerprint:
            raise TransportFailed("fingerprint")
        profile = PROFILES.get(self._tls.get_selected_srtp_profile().decode())
        if profile is None:
            raise TransportFailed("srtp profile")
        material = self._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", profile.material)
        self.srtp = srtp_of_client(profile, material)
        self.profile = profile.name

    def _flush(self) -> None:
        try:
            while True:
                self.send(self._tls.bio_read(_MTU))
        except SSL.WantReadError:
            return

    def tick(self, now: float) -> None:
        """Checks and retransmissions that are due. Raises TransportFailed."""
        if self._remote is None or self.closed:
            return
        if now - self._checked_at >= (CONSENT_S if self._valid else CHECK_S):
            self._check(now)
        if now - self._heard_at > LOST_S:
            raise TransportFailed("consent")
        if self._valid and self.srtp is None:
            timeout = self._tls.DTLSv1_get_timeout()
            if timeout is not None and timeout <= 0:
                self._tls.DTLSv1_handle_timeout()
                self._flush()

    def close(self) -> None:
        """close_notify, and the socket."""
        if self.socket.fileno() < 0:
            return
        try:
            self._tls.shutdown()
            self._flush()
        except SSL.Error:
            pass  # the handshake was not complete: there is nothing to close
        self.socket.close()
