"""SRTP and SRTCP of one peer: plaintext in, protected packets out, and back.

Two profiles behind one Protocol: AEAD_AES_128_GCM (RFC 7714) on AWS-LC by qh3, because there the plaintext is shared
between receivers and only the call itself is paid per packet; AES128_CM_SHA1_80 (RFC 3711) on libsrtp.

Nonces: an outgoing packet's index (rollover count and sequence number) comes from the caller and is never used twice
for one SSRC with different contents (media.forward.seqmap, media.leg); RTCP indices count up here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pylibsrtp
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from qh3._hazmat import AeadAes128Gcm, CryptoError

from media.burst import MOST_IN_RUN, TAG, Burst, Run, Seal
from media.rtp.header import PADDED, MalformedRtp, RtpPacket, header_length, parse_header, parse_rtp, without_padding

_WINDOW = 1024
_WINDOW_MASK = (1 << _WINDOW) - 1
_MAX_SSRCS = 64
_MOST_CONTEXTS = 256
_MAX_RTCP_INDEX = (1 << 31) - 1
_RTCP_HEADER = 8
_ENCRYPTED = 1 << 31
_LABELS = (0, 2, 3, 5)
"""Of SRTP's key and salt and SRTCP's (RFC 3711 §4.3.1, §4.3.2)."""


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

    def seal(self, ssrc: int) -> Seal | None:
        """What encrypts payloads of a stream by itself; None where a packet is protected as a whole."""

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """The burst's packets, `shift` added to their indices."""

    def unprotect(self, packet: bytes) -> bytes:
        """Raises SrtpError."""

    def receive(self, packet: bytes) -> RtpPacket:
        """The same, parsed."""

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


def derive(master: bytes, labels: Sequence[int]) -> list[bytes]:
    """The first 16 bytes for each label (RFC 3711 §4.3.1 with a key derivation rate of 0; AES-CM of one block is that
    block encrypted). A 96-bit salt is padded on the right (RFC 7714 §11)."""
    key, salt = master[:16], int.from_bytes(master[16:].ljust(14, b"\0"), "big")
    blocks = b"".join([((salt ^ label << 48) << 16).to_bytes(16, "big") for label in labels])
    derived = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)
    return [derived[start : start + 16] for start in range(0, len(derived), 16)]


class ReplayWindow:
    """RFC 3711 §3.3.2: which of the last 1024 indices were seen.

    Most packets come in order: bit n of `_seen` is `_noted` - n, and all between `_noted` and `highest` were seen.
    """

    __slots__ = ("_noted", "_seen", "highest")

    def __init__(self) -> None:
        self.highest = self._noted = -1
        self._seen = 0

    def fresh(self, index: int) -> bool:
        behind = self.highest - index
        if behind < 0:
            return True
        self._note()
        return behind < _WINDOW and not self._seen >> behind & 1

    def accept(self, index: int) -> None:
        """Of an index that is fresh and whose packet is authentic."""
        ahead = index - self.highest
        if ahead == 1:
            self.highest = index
            return
        self._note()
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & _WINDOW_MASK if ahead < _WINDOW else 1
            self.highest = self._noted = index
        else:
            self._seen |= 1 << -ahead

    def _note(self) -> None:
        came = min(self.highest - self._noted, _WINDOW)
        self._seen = (self._seen << came | (1 << came) - 1) & _WINDOW_MASK
        self._noted = self.highest

    def estimate(self, sequence: int) -> int:
        """The index nearest to the highest that has this sequence number (RFC 3711 §3.3.1, appendix A)."""
        if (self.highest + 1) & 0xFFFF == sequence:
            return self.highest + 1
        if self.highest < 0:
            return sequence
        rollovers, last = self.highest >> 16, self.highest & 0xFFFF
        if last < 0x8000 and sequence - last > 0x8000 and rollovers:
            rollovers -= 1
        elif last >= 0x8000 and last - 0x8000 > sequence:
            rollovers += 1
        return rollovers << 16 | sequence


class Key:
    """A session key of AES-GCM with its salt. Each SSRC has a cipher of its own: the salt with the SSRC in its place,
    into which the packet index goes (RFC 7714 §8.1, §9.1)."""

    __slots__ = ("_ciphers", "_key", "_salt")

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._key = key
        self._salt = int.from_bytes(salt, "big")
        self._ciphers: dict[int, AeadAes128Gcm] = {}

    def cipher(self, ssrc: int) -> AeadAes128Gcm:
        """Its `encrypt` and `decrypt` take the index, the text and the header."""
        return self._ciphers.get(ssrc) or self._remember(ssrc)

    def _remember(self, ssrc: int) -> AeadAes128Gcm:
        if len(self._ciphers) >= _MOST_CONTEXTS:
            self._ciphers.clear()  # nothing in them counts
        cipher = self._ciphers[ssrc] = AeadAes128Gcm(self._key, (self._salt ^ ssrc << 48).to_bytes(12, "big"))
        return cipher


def _session_keys(master: bytes) -> tuple[Key, Key]:
    """For SRTP and for SRTCP."""
    key, salt, control_key, control_salt = derive(master, _LABELS)
    return Key(key, salt[:12]), Key(control_key, control_salt[:12])


class Source(ReplayWindow):
    """An SSRC that comes in under a key."""

    __slots__ = ("_decrypt",)

    def __init__(self, cipher: AeadAes128Gcm) -> None:
        super().__init__()
        self._decrypt = cipher.decrypt

    def open(self, index: int, text: bytes, header: bytes) -> bytes:
        """The plaintext of a packet that is fresh and authentic. Raises SrtpError."""
        if not self.fresh(index):
            raise SrtpError("replayed")
        try:
            plain = self._decrypt(index, text, header)
        except CryptoError:
            raise SrtpError("not authentic") from None
        self.accept(index)
        return plain


class GcmSrtp:
    """RFC 7714. Packets that fail leave no trace in the state."""

    def __init__(self, *, send: bytes, receive: bytes) -> None:
        self._rtp_out, self._rtcp_out = _session_keys(send)
        self._rtp_in, self._rtcp_in = _session_keys(receive)
        self._rtcp_index = -1
        self._sources: dict[int, Source] = {}
        self._rtcp_sources: dict[int, Source] = {}

    def protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        return header + self._rtp_out.cipher(ssrc).encrypt(index, payload, header)

    def seal(self, ssrc: int) -> Seal:
        return self._rtp_out.cipher(ssrc).encrypt

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        return burst.seal(self.seal(ssrc), shift)

    def unprotect(self, packet: bytes) -> bytes:
        try:
            length = header_length(packet)
        except MalformedRtp as error:
            raise SrtpError(str(error)) from None
        header, ssrc = packet[:length], int.from_bytes(packet[8:12], "big")
        return header + self._open(ssrc, packet[2] << 8 | packet[3], packet[length:], header)

    def receive(self, packet: bytes) -> RtpPacket:
        try:
            parsed = parse_header(packet)
            text = parsed.payload
            parsed.payload = self._open(parsed.ssrc, parsed.sequence, text, packet[: len(packet) - len(text)])
            if packet[0] & PADDED:
                parsed.payload = without_padding(parsed.payload)
        except MalformedRtp as error:
            raise SrtpError(str(error)) from None
        return parsed

    def _open(self, ssrc: int, sequence: int, text: bytes, header: bytes) -> bytes:
        if len(text) < TAG:
            raise SrtpError("truncated")
        source = self._sources.get(ssrc) or _new_source(self._sources, self._rtp_in, ssrc)
        payload = source.open(source.estimate(sequence), text, header)
        self._sources[ssrc] = source
        return payload

    def protect_rtcp(self, packet: bytes) -> bytes:
        if self._rtcp_index >= _MAX_RTCP_INDEX:
            raise SrtpError("the key is used up")
        self._rtcp_index += 1
        ssrc = int.from_bytes(packet[4:8], "big")
        trailer = (_ENCRYPTED | self._rtcp_index).to_bytes(4, "big")
        header = packet[:_RTCP_HEADER]
        body = self._rtcp_out.cipher(ssrc).encrypt(self._rtcp_index, packet[_RTCP_HEADER:], header + trailer)
        return header + body + trailer

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        if len(packet) < _RTCP_HEADER + TAG + 4:
            raise SrtpError("truncated")
        trailer = packet[-4:]
        index = int.from_bytes(trailer, "big")
        if not index & _ENCRYPTED:
            raise SrtpError("not encrypted")
        index ^= _ENCRYPTED
        ssrc = int.from_bytes(packet[4:8], "big")
        source = self._rtcp_sources.get(ssrc) or _new_source(self._rtcp_sources, self._rtcp_in, ssrc)
        header = packet[:_RTCP_HEADER]
        body = source.open(index, packet[_RTCP_HEADER:-4], header + trailer)
        self._rtcp_sources[ssrc] = source
        return header + body


def _new_source(sources: dict[int, Source], key: Key, ssrc: int) -> Source:
    """To be kept once a packet was authentic."""
    if len(sources) >= _MAX_SSRCS:
        raise SrtpError("too many sources")
    return Source(key.cipher(ssrc))


class CmSrtp:
    """RFC 3711 by libsrtp, which keeps rollover counts and replay windows itself."""

    def __init__(self, *, send: bytes, receive: bytes) -> None:
        self._send = _session(send, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._receive = _session(receive, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    def protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        return _guarded(self._send.protect, header + payload)

    def seal(self, ssrc: int) -> None:
        return None

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        return _runs_of([_guarded(self._send.protect, header + payload) for _, header, payload in burst.packets])

    def unprotect(self, packet: bytes) -> bytes:
        return _guarded(self._receive.unprotect, packet)

    def receive(self, packet: bytes) -> RtpPacket:
        try:
            return parse_rtp(self.unprotect(packet))
        except MalformedRtp as error:
            raise SrtpError(str(error)) from None

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
