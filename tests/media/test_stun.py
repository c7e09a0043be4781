"""STUN: RFC 5769's request, aioice on the other side, and any bytes."""

import pytest
from aioice import stun as aioice_stun
from hypothesis import example, given
from hypothesis import strategies as st

from media.stun import (
    MalformedStun,
    authentic,
    authentic_success,
    encode_request,
    encode_role_conflict,
    encode_success,
    parse_request,
)

# RFC 5769 §2.1
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932f"
    "f9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"


def test_the_sample_request_of_rfc_5769() -> None:
    request = parse_request(SAMPLE)
    assert request.username == "evtj:h6vY"
    assert request.controlled and not request.use_candidate
    assert authentic(request, PASSWORD)
    assert not authentic(request, PASSWORD + "x")


def test_aioice_reads_our_answer() -> None:
    for address in (("192.0.2.1", 32853), ("2001:db8::1", 5)):
        message = aioice_stun.parse_message(encode_success(b"t" * 12, address, PASSWORD))
        assert message.message_class == aioice_stun.Class.RESPONSE
        assert message.attributes["XOR-MAPPED-ADDRESS"] == address
        assert message.check_message_integrity(PASSWORD.encode())
    mapped = aioice_stun.parse_message(encode_success(b"t" * 12, ("::ffff:192.0.2.1", 7), PASSWORD))
    assert mapped.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.1", 7)
    conflict = aioice_stun.parse_message(encode_role_conflict(b"t" * 12, PASSWORD))
    assert conflict.error_code == 487


def test_we_read_aioices_request() -> None:
    message = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
    message.attributes["USERNAME"] = "abcd:efgh"
    message.attributes["USE-CANDIDATE"] = None
    message.attributes["ICE-CONTROLLING"] = 7
    message.add_message_integrity(PASSWORD.encode())
    request = parse_request(bytes(message))
    assert request.use_candidate and not request.controlled
    assert request.transaction == message.transaction_id
    assert authentic(request, PASSWORD)


@given(st.binary(max_size=150) | st.binary(max_size=100).map(lambda tail: SAMPLE[:20] + tail))
@example(SAMPLE + b"\0")
@example(b"\0\1\0\4\x21\x12\xa4\x42" + bytes(12) + b"\0\6\xff\xff")
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    try:
        request = parse_request(data)
    except MalformedStun:
        return
    assert not authentic(request, "another")


def test_every_cut_and_every_changed_bit_is_refused() -> None:
    request = encode_request(b"t" * 12, "abcd:efgh", PASSWORD, use_candidate=True)
    assert authentic(parse_request(request), PASSWORD)
    for end in range(len(request)):
        with pytest.raises(MalformedStun):
            parse_request(request[:end])
    for place in range(len(request)):
        changed = bytearray(request)
        changed[place] ^= 1
        with pytest.raises(MalformedStun):  # the fingerprint covers every byte
            parse_request(bytes(changed))


def test_only_the_signed_answer_to_the_very_check_counts() -> None:
    request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
    message = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.RESPONSE, request.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 7)
    message.add_message_integrity(PASSWORD.encode())
    answer = bytes(message)
    assert authentic_success(answer, request.transaction_id, PASSWORD)
    assert not authentic_success(answer, request.transaction_id, "another")
    assert not authentic_success(answer, bytes(12), PASSWORD)
    assert not authentic_success(encode_role_conflict(b"t" * 12, PASSWORD), b"t" * 12, PASSWORD)
    for end in range(len(answer)):
        assert not authentic_success(answer[:end], request.transaction_id, PASSWORD)
