"""STUN binding messages (RFC 8489 §5, §14): bytes to a value and back.

`parse_request` checks the fingerprint and leaves the integrity, which needs a password, to `authentic`.
"""

import hmac
import zlib
from ipaddress import IPv6Address, ip_address
from struct import Struct

import msgspec

_COOKIE = 0x2112A442
_HEADER = Struct("!HHI12s")
_HEADER_LENGTH = 20
_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_USERNAME, _INTEGRITY, _ERROR_CODE, _XOR_ADDRESS = 0x0006, 0x0008, 0x0009, 0x0020
_USE_CANDIDATE, _FINGERPRINT, _CONTROLLED = 0x0025, 0x8028, 0x8029
_FINGERPRINT_XOR = 0x5354554E
_INTEGRITY_TOTAL, _FINGERPRINT_TOTAL = 24, 8
_MAX_USERNAME = 513


class MalformedStun(ValueError):
    """These bytes are no STUN binding request with the attributes that ICE demands."""


class BindingRequest(msgspec.Struct, frozen=True):
    """`username` is "<receiver's ufrag>:<sender's ufrag>"; `signed` the bytes under MESSAGE-INTEGRITY."""

    transaction: bytes
    username: str
    use_candidate: bool
    controlled: bool
    signed: bytes
    integrity: bytes


def parse_request(data: bytes) -> BindingRequest:
    """Raises MalformedStun, never anything else."""
    if len(data) < _HEADER_LENGTH:
        raise MalformedStun("truncated header")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _REQUEST or cookie != _COOKIE or length % 4 or length != len(data) - _HEADER_LENGTH:
        raise MalformedStun("no binding request")
    attributes = _parse_attributes(data)
    try:
        username = attributes[_USERNAME][1].decode("ascii")
        at, integrity = attributes[_INTEGRITY]
        fingerprint_at, fingerprint = attributes[_FINGERPRINT]
    except (KeyError, UnicodeDecodeError):
        raise MalformedStun("an attribute is missing") from None
    if len(integrity) != 20 or len(username) > _MAX_USERNAME:
        raise MalformedStun("bad attribute length")
    if fingerprint != _fingerprint(data[:fingerprint_at]):
        raise MalformedStun("wrong fingerprint")
    return BindingRequest(
        transaction, username, _USE_CANDIDATE in attributes, _CONTROLLED in attributes, data[:at], integrity
    )


def _parse_attributes(data: bytes) -> dict[int, tuple[int, bytes]]:
    """Type to (position, value), the first of each; after MESSAGE-INTEGRITY only the fingerprint counts."""
    attributes: dict[int, tuple[int, bytes]] = {}
    position = _HEADER_LENGTH
    while position < len(data):
        kind = int.from_bytes(data[position : position + 2], "big")
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        stop = position + 4 + length
        if stop > len(data):
            raise MalformedStun("truncated attribute")
        if _INTEGRITY not in attributes or kind == _FINGERPRINT:
            attributes.setdefault(kind, (position, data[position + 4 : stop]))
        position = stop + -length % 4
    return attributes


def authentic(request: BindingRequest, password: str) -> bool:
    """MESSAGE-INTEGRITY with the short-term credential (§14.5)."""
    return hmac.compare_digest(request.integrity, _integrity(request.signed, password))


def authentic_success(data: bytes, transaction: bytes, password: str) -> bool:
    """Whether this is the other agent's signed answer to the check of this transaction (§7.3.3)."""
    if len(data) < _HEADER_LENGTH:
        return False
    kind, length, cookie, answered = _HEADER.unpack_from(data)
    if (kind, cookie, answered) != (_SUCCESS, _COOKIE, transaction) or length != len(data) - _HEADER_LENGTH:
        return False
    try:
        at, integrity = _parse_attributes(data)[_INTEGRITY]
    except (MalformedStun, KeyError):
        return False
    return hmac.compare_digest(integrity, _integrity(data[:at], password))


def encode_request(transaction: bytes, username: str, password: str, *, use_candidate: bool = False) -> bytes:
    """A controlling agent's check. The node never sends one; synthetic halls do."""
    attributes = _attribute(_USERNAME, username.encode()) + _attribute(0x0024, (1 << 24).to_bytes(4, "big"))
    attributes += _attribute(0x802A, bytes(8))
    if use_candidate:
        attributes += _attribute(_USE_CANDIDATE, b"")
    return _sealed(_REQUEST, transaction, attributes, password)


def encode_success(transaction: bytes, address: tuple[str, int], password: str) -> bytes:
    """The answer to a check, with the address that it came from (XOR-MAPPED-ADDRESS, §14.2)."""
    return _sealed(_SUCCESS, transaction, _attribute(_XOR_ADDRESS, _xor_address(address, transaction)), password)


def encode_role_conflict(transaction: bytes, password: str) -> bytes:
    """487 (RFC 8445 §7.3.1.1): a lite agent is controlled and stays so."""
    return _sealed(_ERROR, transaction, _attribute(_ERROR_CODE, b"\0\0\4\x57Role Conflict"), password)


def _xor_address(address: tuple[str, int], transaction: bytes) -> bytes:
    ip = ip_address(address[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    pad = int.from_bytes(_COOKIE.to_bytes(4, "big") + transaction, "big") >> (0 if ip.version == 6 else 96)
    port = address[1] ^ _COOKIE >> 16
    size = 16 if ip.version == 6 else 4
    return bytes((0, 2 if ip.version == 6 else 1)) + port.to_bytes(2, "big") + (int(ip) ^ pad).to_bytes(size, "big")


def _attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _sealed(kind: int, transaction: bytes, attributes: bytes, password: str) -> bytes:
    message = _HEADER.pack(kind, len(attributes), _COOKIE, transaction) + attributes
    message += _attribute(_INTEGRITY, _integrity(message, password))
    message = _with_length(message, len(message) - _HEADER_LENGTH + _FINGERPRINT_TOTAL)
    return message + _attribute(_FINGERPRINT, _fingerprint(message))


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + length.to_bytes(2, "big") + message[4:]


def _integrity(signed: bytes, password: str) -> bytes:
    return hmac.digest(password.encode(), _with_length(signed, len(signed) - _HEADER_LENGTH + _INTEGRITY_TOTAL), "sha1")


def _fingerprint(covered: bytes) -> bytes:
    covered = _with_length(covered, len(covered) - _HEADER_LENGTH + _FINGERPRINT_TOTAL)
    return (zlib.crc32(covered) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
