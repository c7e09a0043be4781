"""SRTP and SRTCP of one peer: plaintext in, protected packets out, and back.

Two profiles behind one Protocol: AEAD_AES_128_GCM (RFC 7714) on `cryptography`'s AESGCM, because there the plaintext is
shared between receivers and only the call itself is paid per packet; AES128_CM_SHA1_80 (RFC 3711) on libsrtp.

Nonces: an outgoing packet's index (rollover count and sequence number) comes from the caller and is never used twice
for one SSRC with different contents (media.forward.seqmap, media.subscriber.Leg); RTCP indices count up here.
"""

from dataclasses import dataclass
from typing import Protocol

import pylibsrtp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from media.burst import MOST_IN_RUN, Burst, Run
from media.rtp.header import MalformedRtp, header_length

TAG = 16
_WINDOW = 1024
_WINDOW_MASK = (1 << _WINDOW) - 1
_MAX_SSRCS = 64
_MAX_RTCP_INDEX = (1 << 31) - 1
_RTCP_HEADER = 8
_ENCRYPTED = 1 << 31


@dataclass(frozen=True, slots=True)
class Profile:
    """A DTLS-SRTP protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2); lengths in bytes."""

    name: str
    key: int
    salt: int

    @property
    def material(self) -> int:
        """How much keying material both directions need together."""
        return 2 * (self.key + self.salt)


GCM = Profile("SRTP_AEAD_AES_128_GCM", 16, 12)
CM = Profile("SRTP_AES128_CM_SHA1_80", 16, 14)
PROFILES = {profile.name: profile for profile in (GCM, CM)}


class SrtpError(Exception):
    """A packet that is not authentic, was seen before, or cannot be placed: to be counted and dropped."""


class Srtp(Protocol):
    """What a peer needs of a profile."""

    def protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        """An RTP packet. `index` is the 48-bit packet index whose low 16 bits stand in the header."""

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """The burst's packets, `shift` added to their indices, ready to be sent before the next burst is laid out."""

    def unprotect(self, packet: bytes) -> bytes:
        """Raises SrtpError."""

    def protect_rtcp(self, packet: bytes) -> bytes: ...

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Raises SrtpError."""


def srtp_of_server(profile: Profile, material: bytes) -> Srtp:
    """From the exported keying material (RFC 5764 §4.2): client key, server key, client salt, server salt."""
    salts = 2 * profile.key
    client = material[: profile.key] + material[salts : salts + profile.salt]
    server = material[profile.key : salts] + material[salts + profile.salt : salts + 2 * profile.salt]
    return GcmSrtp(send=server, receive=client) if profile is GCM else CmSrtp(send=server, receive=client)


def srtp_of_client(profile: Profile, material: bytes) -> Srtp:
    """The other end of `srtp_of_server`."""
    key, salts, salt = profile.key, 2 * profile.key, profile.salt
    keys = material[key:salts] + material[:key]
    return srtp_of_server(profile, keys + material[salts + salt : salts + 2 * salt] + material[salts : salts + salt])


def derive(master: bytes, label: int, length: int) -> bytes:
    """RFC 3711 §4.3.1 with a key derivation rate of 0; a 96-bit salt is padded on the right (RFC 7714 §11)."""
    key, salt = master[:16], master[16:].ljust(14, b"\0")
    start = (int.from_bytes(salt, "big") ^ label << 48) << 16
    stream = Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16, "big"))).encryptor()
    return stream.update(bytes(length))


class ReplayWindow:
    """RFC 3711 §3.3.2: which of the last 1024 indices were seen."""

    __slots__ = ("_seen", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._seen = 0

    def fresh(self, index: int) -> bool:
        behind = self.highest - index
        return behind < 0 or (behind < _WINDOW and not self._seen >> behind & 1)

    def accept(self, index: int) -> None:
        """Of an index that is fresh and whose packet is authentic."""
        ahead = index - self.highest
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & _WINDOW_MASK if ahead < _WINDOW else 1
            self.highest = index
        else:
            self._seen |= 1 << -ahead

    def estimate(self, sequence: int) -> int:
        """The index nearest to the highest that has this sequence number (RFC 3711 §3.3.1, appendix A)."""
        if self.highest < 0:
            return sequence
        rollovers, last = self.highest >> 16, self.highest & 0xFFFF
        if last < 0x8000 and sequence - last > 0x8000 and rollovers:
            rollovers -= 1
        elif last >= 0x8000 and last - 0x8000 > sequence:
            rollovers += 1
        return rollovers << 16 | sequence


class GcmSrtp:
    """RFC 7714. Packets that fail leave no trace in the state."""

    def __init__(self, *, send: bytes, receive: bytes) -> None:
        cipher = AESGCM(derive(send, 0, 16))
        self._encrypt, self._encrypt_into = cipher.encrypt, cipher.encrypt_into
        self._salt = int.from_bytes(derive(send, 2, 12), "big")
        self._encrypt_rtcp = AESGCM(derive(send, 3, 16)).encrypt
        self._rtcp_salt = int.from_bytes(derive(send, 5, 12), "big")
        self._decrypt = AESGCM(derive(receive, 0, 16)).decrypt
        self._receive_salt = int.from_bytes(derive(receive, 2, 12), "big")
        self._decrypt_rtcp = AESGCM(derive(receive, 3, 16)).decrypt
        self._receive_rtcp_salt = int.from_bytes(derive(receive, 5, 12), "big")
        self._rtcp_index = -1
        self._windows: dict[int, ReplayWindow] = {}
        self._rtcp_windows: dict[int, ReplayWindow] = {}

    def protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        nonce = (self._salt ^ (ssrc << 48 | index)).to_bytes(12, "big")
        return header + self._encrypt(nonce, payload, header)

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        encrypt_into, base = self._encrypt_into, self._salt ^ ssrc << 48
        for index, payload, header, room in burst.items:
            encrypt_into((base ^ index + shift).to_bytes(12, "big"), payload, header, room)
        return burst.runs

    def unprotect(self, packet: bytes) -> bytes:
        try:
            length = header_length(packet)
        except MalformedRtp as error:
            raise SrtpError(str(error)) from None
        if len(packet) < length + TAG:
            raise SrtpError("truncated")
        ssrc = int.from_bytes(packet[8:12], "big")
        window = _window(self._windows, ssrc)
        index = window.estimate(packet[2] << 8 | packet[3])
        if not window.fresh(index):
            raise SrtpError("replayed")
        header = packet[:length]
        nonce = (self._receive_salt ^ (ssrc << 48 | index)).to_bytes(12, "big")
        try:
            payload = self._decrypt(nonce, packet[length:], header)
        except InvalidTag:
            raise SrtpError("not authentic") from None
        window.accept(index)
        self._windows[ssrc] = window
        return header + payload

    def protect_rtcp(self, packet: bytes) -> bytes:
        if self._rtcp_index >= _MAX_RTCP_INDEX:
            raise SrtpError("the key is used up")
        self._rtcp_index += 1
        ssrc = int.from_bytes(packet[4:8], "big")
        nonce = (self._rtcp_salt ^ (ssrc << 48 | self._rtcp_index)).to_bytes(12, "big")
        trailer = (_ENCRYPTED | self._rtcp_index).to_bytes(4, "big")
        header = packet[:_RTCP_HEADER]
        return header + self._encrypt_rtcp(nonce, packet[_RTCP_HEADER:], header + trailer) + trailer

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        if len(packet) < _RTCP_HEADER + TAG + 4:
            raise SrtpError("truncated")
        trailer = packet[-4:]
        index = int.from_bytes(trailer, "big")
        if not index & _ENCRYPTED:
            raise SrtpError("not encrypted")
        index ^= _ENCRYPTED
        ssrc = int.from_bytes(packet[4:8], "big")
        window = _window(self._rtcp_windows, ssrc)
        if not window.fresh(index):
            raise SrtpError("replayed")
        header = packet[:_RTCP_HEADER]
        nonce = (self._receive_rtcp_salt ^ (ssrc << 48 | index)).to_bytes(12, "big")
        try:
            body = self._decrypt_rtcp(nonce, packet[_RTCP_HEADER:-4], header + trailer)
        except InvalidTag:
            raise SrtpError("not authentic") from None
        window.accept(index)
        self._rtcp_windows[ssrc] = window
        return header + body


def _window(windows: dict[int, ReplayWindow], ssrc: int) -> ReplayWindow:
    """The SSRC's window, or a new one that is kept only once a packet was authentic."""
    window = windows.get(ssrc)
    if window is None:
        if len(windows) >= _MAX_SSRCS:
            raise SrtpError("too many sources")
        window = ReplayWindow()
    return window


class CmSrtp:
    """RFC 3711 by libsrtp, which keeps rollover counts and replay windows itself."""

    def __init__(self, *, send: bytes, receive: bytes) -> None:
        self._send = _session(send, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._receive = _session(receive, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    def protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        return _guarded(self._send.protect, header + payload)

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        return _runs_of([_guarded(self._send.protect, header + payload) for _, payload, header, _ in burst.items])

    def unprotect(self, packet: bytes) -> bytes:
        return _guarded(self._receive.unprotect, packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return _guarded(self._send.protect_rtcp, packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        return _guarded(self._receive.unprotect_rtcp, packet)


def _runs_of(datagrams: list[bytes]) -> list[Run]:
    """Neighbours of one size together, the last of which may be shorter."""
    runs: list[Run] = []
    start = 0
    for place in range(1, len(datagrams) + 1):
        size = len(datagrams[start])
        if (
            place == len(datagrams)
            or len(datagrams[place]) > size
            or len(datagrams[place - 1]) < size
            or place - start == MOST_IN_RUN
        ):
            runs.append(Run(b"".join(datagrams[start:place]), size))
            start = place
    return runs


class _Process(Protocol):
    def __call__(self, packet: bytes) -> bytes: ...


def _guarded(process: _Process, packet: bytes) -> bytes:
    try:
        return process(packet)
    except (pylibsrtp.Error, ValueError) as error:  # ValueError: longer than libsrtp's buffer
        raise SrtpError(str(error)) from None


def _session(master: bytes, direction: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(
        key=master, ssrc_type=direction, srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    )
    policy.window_size = _WINDOW
    # A repeated index is only ever the same packet again (a retransmission).
    policy.allow_repeat_tx = direction == pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    return pylibsrtp.Session(policy)
