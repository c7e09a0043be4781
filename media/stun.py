"""STUN binding messages (RFC 8489 §5, §14): bytes to a value and back.

`parse_request` checks the fingerprint and leaves the integrity, which needs a password, to `authentic`.
"""

import hmac
import zlib
from socket import AF_INET, AF_INET6, inet_pton
from struct import Struct

import msgspec

_COOKIE = 0x2112A442
_HEADER = Struct("!HHI12s")
_HEADER_LENGTH = 20
_ATTRIBUTE = Struct("!HH")
_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address in an IPv6 one (RFC 4291 §2.5.5.2)
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
    position, size = _HEADER_LENGTH, len(data)
    while position < size:  # a message is whole words, so that a header fits into what is left
        kind, length = _ATTRIBUTE.unpack_from(data, position)
        stop = position + 4 + length
        if stop > size:
            raise MalformedStun("truncated attribute")
        if kind not in attributes and (_INTEGRITY not in attributes or kind == _FINGERPRINT):
            attributes[kind] = position, data[position + 4 : stop]
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
    if (kind, cookie, answered) != (_SUCCESS, _COOKIE, transaction):
        return False
    if length % 4 or length != len(data) - _HEADER_LENGTH:
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
    host, port = address
    packed = inet_pton(AF_INET6 if ":" in host else AF_INET, host)
    if packed.startswith(_MAPPED) and len(packed) == 16:
        packed = packed[12:]
    pad = _COOKIE.to_bytes(4, "big") + transaction
    size = len(packed)
    xored = int.from_bytes(packed, "big") ^ int.from_bytes(pad[:size], "big")
    return _ATTRIBUTE.pack(2 if size == 16 else 1, port ^ _COOKIE >> 16) + xored.to_bytes(size, "big")


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _sealed(kind: int, transaction: bytes, attributes: bytes, password: str) -> bytes:
    """With MESSAGE-INTEGRITY and FINGERPRINT; each covers the header with the length up to its own end."""
    length = len(attributes) + _INTEGRITY_TOTAL
    signed = _HEADER.pack(kind, length, _COOKIE, transaction) + attributes
    attributes += _attribute(_INTEGRITY, hmac.digest(password.encode(), signed, "sha1"))
    message = _HEADER.pack(kind, length + _FINGERPRINT_TOTAL, _COOKIE, transaction) + attributes
    return message + _attribute(_FINGERPRINT, _crc(message))


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + length.to_bytes(2, "big") + message[4:]


def _integrity(signed: bytes, password: str) -> bytes:
    return hmac.digest(password.encode(), _with_length(signed, len(signed) - _HEADER_LENGTH + _INTEGRITY_TOTAL), "sha1")


def _fingerprint(covered: bytes) -> bytes:
    return _crc(_with_length(covered, len(covered) - _HEADER_LENGTH + _FINGERPRINT_TOTAL))


def _crc(covered: bytes) -> bytes:
    return (zlib.crc32(covered) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
