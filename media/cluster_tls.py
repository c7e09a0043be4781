"""TLS between the machines of one cluster: whoever knows the cluster's secret is let in, and nobody else.

Both ends derive the same Ed25519 key from the secret (HKDF, RFC 5869) and the same self-signed certificate from the
key, show it, and accept no other (TLS 1.3, mutual). Nothing is written to a disk.
"""

import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_LEAST = 32
_INFO = b"diemcau cluster control 1"
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "diemcau cluster")])
_FROM, _UNTIL = datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1)


class WeakSecret(ValueError):
    """Whoever reaches a port can test guesses at home: a secret must not be guessable."""


def server_context(secret: str) -> ssl.SSLContext:
    """Raises WeakSecret."""
    return _context(secret, ssl.PROTOCOL_TLS_SERVER)


def client_context(secret: str) -> ssl.SSLContext:
    """Raises WeakSecret."""
    return _context(secret, ssl.PROTOCOL_TLS_CLIENT)


def _context(secret: str, protocol: int) -> ssl.SSLContext:
    if len(secret) < SECRET_LEAST:
        raise WeakSecret(f"the cluster's secret needs {SECRET_LEAST} characters at least")
    key = Ed25519PrivateKey.from_private_bytes(
        HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO).derive(secret.encode())
    )
    certificate = _certificate(key)
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate.decode())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    held = os.memfd_create("cluster")  # ssl reads keys from files only
    try:
        os.write(held, private + certificate)
        context.load_cert_chain(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
    return context


def _certificate(key: Ed25519PrivateKey) -> bytes:
    """The same bytes for the same key: Ed25519 signs without chance."""
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
        .public_bytes(serialization.Encoding.PEM)
    )
