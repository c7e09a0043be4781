"""DTLS 1.2 of one peer, as the server (RFC 5764, RFC 6347): datagrams in, datagrams out, SRTP keys at the end.

As the server the node chooses the SRTP profile. Memory BIOs; OpenSSL's own clock drives its retransmission timer.
"""

import datetime
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from media.srtp import PROFILES, Profile

_MTU = 1200
_RECORD_HEADER = 13
_MAX_DATAGRAM = 4096
_CERTIFICATE_DAYS = 365
_DTLS_1_2 = 0xFEFD
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    b":ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)


class DtlsError(Exception):
    """The handshake failed or the association is over; `code` names how, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Identity:
    """The node's certificate and OpenSSL context: one for each start of the process."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key)
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_max_proto_version(_DTLS_1_2)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
        # The certificate is self-signed: what counts is its fingerprint, checked after the handshake.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(":".join(PROFILES).encode())
        self.context = context
        self.fingerprint = fingerprint(certificate, "sha-256")


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, secrets.token_hex(8))])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=1),
        not_valid_after=now + datetime.timedelta(days=_CERTIFICATE_DAYS),
    )
    return builder.sign(key, hashes.SHA256())


def fingerprint(certificate: x509.Certificate, algorithm: str) -> str:
    """As in SDP (RFC 8122 §5): upper-case hexadecimal with colons."""
    return certificate.fingerprint(_DIGESTS[algorithm]).hex(":").upper()


class Dtls:
    """`fingerprints`: algorithm to value, from the offer; every one of them must match. A client starts by `begin`."""

    def __init__(self, identity: Identity, fingerprints: dict[str, str], *, client: bool = False) -> None:
        self._fingerprints = fingerprints
        self._to_begin = client
        self._tls = SSL.Connection(identity.context, None)
        if client:
            self._tls.set_connect_state()
        else:
            self._tls.set_accept_state()
        self._tls.set_ciphertext_mtu(_MTU)
        self._done = False

    def begin(self) -> bool:
        """Puts the client's first flight into `outgoing`, once. Whether it did."""
        if not self._to_begin:
            return False
        self._to_begin = False
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            pass  # the answer comes through `receive`
        return True

    def receive(self, datagram: bytes) -> tuple[Profile, bytes] | None:
        """One datagram. The SRTP profile and keying material when this one completes the handshake.

        Raises DtlsError when the association cannot go on; `outgoing` may still hold an alert to send.
        """
        if not 0 < len(datagram) <= _MAX_DATAGRAM:
            return None
        self._tls.bio_write(datagram)
        if self._done:
            self._read()
            return None
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return None
        except SSL.Error:
            raise DtlsError("handshake_failed") from None
        self._done = True
        self._check_fingerprints()
        return self._keys()

    def _read(self) -> None:
        """Nobody sends data here; reading is how OpenSSL meets alerts and repeated flights."""
        try:
            while True:
                self._tls.recv(_MAX_DATAGRAM)
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            raise DtlsError("closed_by_peer") from None
        except SSL.Error:
            raise DtlsError("association_failed") from None

    def _check_fingerprints(self) -> None:
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        if certificate is None or not self._fingerprints:
            raise DtlsError("no_certificate")
        for algorithm, value in self._fingerprints.items():
            if fingerprint(certificate, algorithm) != value:
                raise DtlsError("wrong_fingerprint")

    def _keys(self) -> tuple[Profile, bytes]:
        profile = PROFILES.get(self._tls.get_selected_srtp_profile().decode())
        if profile is None:
            raise DtlsError("no_srtp_profile")
        return profile, self._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", profile.material)

    def outgoing(self) -> list[bytes]:
        """The datagrams that OpenSSL wants to send now, whole records packed up to the MTU."""
        datagrams: list[bytes] = []
        current = b""
        for record in self._records():
            if current and len(current) + len(record) > _MTU:
                datagrams.append(current)
                current = b""
            current += record
        return [*datagrams, current] if current else datagrams

    def _records(self) -> list[bytes]:
        data = b""
        try:
            while True:
                data += self._tls.bio_read(65536)
        except SSL.WantReadError:
            pass  # the buffer is empty
        records: list[bytes] = []
        while len(data) >= _RECORD_HEADER:
            size = _RECORD_HEADER + int.from_bytes(data[11:13], "big")
            records.append(data[:size])
            data = data[size:]
        return records

    def tick(self) -> None:
        """Repeats the last flight when OpenSSL's timer says so. Raises DtlsError when it gives up."""
        timeout = None if self._done else self._tls.DTLSv1_get_timeout()
        if timeout is None or timeout > 0:
            return
        try:
            self._tls.DTLSv1_handle_timeout()
        except SSL.Error:
            raise DtlsError("handshake_timeout") from None

    def close(self) -> None:
        """Puts close_notify into `outgoing`."""
        try:
            self._tls.shutdown()
        except SSL.Error:
            return  # the handshake was not complete: there is nothing to close
