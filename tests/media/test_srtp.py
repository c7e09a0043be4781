"""SRTP: RFC 7714's vectors, libsrtp both ways, and nothing accepted twice or forged."""

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.rtp.header import PADDED, RtpPacket, encode_rtp, header_length, parse_rtp
from media.srtp import CM, GCM, PROFILES, GcmSrtp, Key, Profile, ReplayWindow, Srtp, SrtpError, derive, srtp_of_server

KEY = bytes(range(16)) + b"saltsaltsalt"
OTHER = bytes(range(1, 17)) + b"otherother12"


def rtp(sequence: int, payload: bytes = b"payload", ssrc: int = 7, extensions: dict[int, bytes] | None = None) -> bytes:
    return encode_rtp(RtpPacket(False, 96, sequence & 0xFFFF, 1000, ssrc, extensions or {}, payload))


def protect(srtp: Srtp, packet: bytes, index: int) -> bytes:
    length = header_length(packet)
    return srtp.protect(packet[:length], packet[length:], int.from_bytes(packet[8:12], "big"), index)


def pair(profile: Profile) -> tuple[Srtp, Srtp]:
    """Server and client of the same handshake."""
    material = bytes(range(profile.material))
    half, salts = profile.key, 2 * profile.key
    swapped = (
        material[half:salts]
        + material[:half]
        + material[salts + profile.salt :]
        + material[salts : salts + profile.salt]
    )
    return srtp_of_server(profile, material), srtp_of_server(profile, swapped)


def libsrtp(key: bytes, direction: int, profile: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=profile))


def test_key_derivation_gives_the_rfc_3711_b3_vectors() -> None:
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139" + "0EC675AD498AFEEBB6960B3AABE6")
    key, salt = derive(master, (0, 2))
    assert key == bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087")
    assert salt[:14] == bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1")


def fixed() -> GcmSrtp:
    """RFC 7714 §16 gives session keys; this puts them where the derivation would."""
    srtp = GcmSrtp(send=KEY, receive=KEY)
    key = Key(bytes.fromhex("000102030405060708090a0b0c0d0e0f"), bytes.fromhex("517569642070726f2071756f"))
    srtp._rtp_out = srtp._rtcp_out = srtp._rtp_in = srtp._rtcp_in = key
    return srtp


PLAIN_RTP = bytes.fromhex(
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
)
GCM_RTP = bytes.fromhex(
    "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
    "899d7f27beb16a9152cf765ee4390cce"
)


def test_rtp_gives_the_rfc_7714_16_1_1_vector() -> None:
    srtp = fixed()
    assert protect(srtp, PLAIN_RTP, 0xF17B) == GCM_RTP
    assert srtp.unprotect(GCM_RTP) == PLAIN_RTP
    assert fixed().receive(GCM_RTP) == parse_rtp(PLAIN_RTP)


PLAIN_RTCP = bytes.fromhex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61" + "deadbeef" * 5)
GCM_RTCP = bytes.fromhex(
    "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b"
    "c84aa45896cf4d2fc5abf87245d9eade800005d4"
)


def test_rtcp_is_read_as_the_rfc_7714_17_1_vector() -> None:
    assert fixed().unprotect_rtcp(GCM_RTCP) == PLAIN_RTCP


@given(st.lists(st.binary(max_size=1200), min_size=1, max_size=8), st.integers(0, 0x7FFF), st.integers(0, 2**32 - 1))
def test_libsrtp_and_we_read_each_others_gcm(payloads: list[bytes], start: int, ssrc: int) -> None:
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    theirs_in = libsrtp(KEY, pylibsrtp.Policy.SSRC_ANY_INBOUND, profile)
    theirs_out = libsrtp(OTHER, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, profile)
    ours = GcmSrtp(send=KEY, receive=OTHER)
    for number, payload in enumerate(payloads):
        packet = rtp(start + number, payload, ssrc)
        assert theirs_in.unprotect(protect(ours, packet, start + number)) == packet
        assert ours.unprotect(theirs_out.protect(packet)) == packet
        report = b"\x80\xc9" + b"\0\1" + ssrc.to_bytes(4, "big") + payload[: len(payload) // 4 * 4]
        assert theirs_in.unprotect_rtcp(ours.protect_rtcp(report)) == report
        assert ours.unprotect_rtcp(theirs_out.protect_rtcp(report)) == report


def test_the_rollover_is_counted_as_libsrtp_counts_it() -> None:
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    theirs_in = libsrtp(KEY, pylibsrtp.Policy.SSRC_ANY_INBOUND, profile)
    theirs_out = libsrtp(OTHER, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, profile)
    ours = GcmSrtp(send=KEY, receive=OTHER)
    for index in range(30000, 200000, 997):
        packet = rtp(index)
        assert theirs_in.unprotect(protect(ours, packet, index)) == packet
        assert ours.unprotect(theirs_out.protect(packet)) == packet


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
class TestBothProfiles:
    def test_both_sides_understand_each_other(self, profile: Profile) -> None:
        server, client = pair(profile)
        for index in range(5):
            assert client.unprotect(protect(server, rtp(index), index)) == rtp(index)
            assert server.unprotect(protect(client, rtp(index), index)) == rtp(index)
        report = b"\x80\xc9\0\1\0\0\0\7"
        assert client.unprotect_rtcp(server.protect_rtcp(report)) == report

    def test_replays_are_refused(self, profile: Profile) -> None:
        server, client = pair(profile)
        protected = [protect(client, rtp(index), index) for index in range(3)]
        reports = [client.protect_rtcp(b"\x80\xc9\0\1\0\0\0\7") for _ in range(2)]
        for packet in (protected[0], protected[2], protected[1]):
            server.unprotect(packet)
        for report in reports:
            server.unprotect_rtcp(report)
        for packet in protected:
            with pytest.raises(SrtpError):
                server.unprotect(packet)
        for report in reports:
            with pytest.raises(SrtpError):
                server.unprotect_rtcp(report)

    def test_a_changed_bit_anywhere_is_refused(self, profile: Profile) -> None:
        server, client = pair(profile)
        packet, report = protect(client, rtp(5), 5), client.protect_rtcp(b"\x80\xc9\0\1\0\0\0\7")
        for read, whole in ((server.unprotect, packet), (server.receive, packet), (server.unprotect_rtcp, report)):
            for place in range(len(whole)):
                changed = bytearray(whole)
                changed[place] ^= 1
                with pytest.raises(SrtpError):
                    read(bytes(changed))
        assert server.unprotect(packet) == rtp(5)  # what was refused left no trace
        server.unprotect_rtcp(report)

    def test_every_truncation_is_refused(self, profile: Profile) -> None:
        server, client = pair(profile)
        packet, report = protect(client, rtp(5), 5), client.protect_rtcp(b"\x80\xc9\0\1\0\0\0\7")
        for read, whole in ((server.unprotect, packet), (server.receive, packet), (server.unprotect_rtcp, report)):
            for end in range(len(whole)):
                with pytest.raises(SrtpError):
                    read(whole[:end])
            with pytest.raises(SrtpError):
                read(whole + b"\0")

    def test_packets_may_come_in_another_order_over_a_rollover(self, profile: Profile) -> None:
        @settings(max_examples=30)
        @given(st.permutations(list(range(40))))
        def read_all(order: list[int]) -> None:
            server, client = pair(profile)
            first = 0xFFFF - 20
            packets = [protect(client, rtp(first + place), first + place) for place in range(40)]
            assert server.unprotect(protect(client, rtp(first - 1), first - 1)) == rtp(first - 1)
            for place in order:
                assert server.unprotect(packets[place]) == rtp(first + place)

        read_all()

    def test_any_bytes_are_refused(self, profile: Profile) -> None:
        server, _ = pair(profile)

        @given(st.binary(max_size=200))
        def refuse(data: bytes) -> None:
            for read in (server.unprotect, server.receive, server.unprotect_rtcp):
                with pytest.raises(SrtpError):
                    read(data)

        refuse()

    def test_what_is_received_is_what_is_unprotected_and_parsed(self, profile: Profile) -> None:
        @given(
            st.lists(
                st.tuples(
                    st.binary(max_size=300),
                    st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4),
                    st.integers(0, 40),
                ),
                min_size=1,
                max_size=8,
            )
        )
        def read(packets: list[tuple[bytes, dict[int, bytes], int]]) -> None:
            (server, client), (again, _) = pair(profile), pair(profile)
            for index, (payload, extensions, padding) in enumerate(packets):
                plain = rtp(index, payload, extensions=extensions)
                if padding:
                    plain = bytes((plain[0] | PADDED,)) + plain[1:] + bytes(padding - 1) + bytes((padding,))
                packet = protect(client, plain, index)
                received = server.receive(packet)
                assert received == parse_rtp(again.unprotect(packet))
                assert (received.payload, received.extensions) == (payload, extensions)
                with pytest.raises(SrtpError):
                    server.receive(packet)

        read()

    def test_authentic_padding_that_cannot_be_is_refused(self, profile: Profile) -> None:
        server, client = pair(profile)
        for index, payload in enumerate((b"", b"abc\0", b"abc\5")):
            plain = rtp(index, payload)
            with pytest.raises(SrtpError):
                server.receive(protect(client, bytes((plain[0] | PADDED,)) + plain[1:], index))
        assert server.receive(protect(client, rtp(3), 3)) == parse_rtp(rtp(3))


def test_forged_sources_take_no_room() -> None:
    server, client = pair(GCM)
    for ssrc in range(500):
        with pytest.raises(SrtpError):
            server.unprotect(rtp(1, bytes(40), ssrc))
    assert server.unprotect(protect(client, rtp(1), 1)) == rtp(1)


def test_real_sources_are_bounded() -> None:
    server, client = pair(GCM)
    refused = 0
    for ssrc in range(100):
        try:
            server.unprotect(protect(client, rtp(1, b"x", ssrc), 1))
        except SrtpError:
            refused += 1
    assert refused == 100 - 64


@given(st.lists(st.integers(0, 3000), max_size=120))
def test_the_window_accepts_each_recent_index_once(indices: list[int]) -> None:
    window = ReplayWindow()
    seen: set[int] = set()
    for index in indices:
        fresh = window.fresh(index)
        highest = max(seen, default=-1)
        if index > highest - 1024:
            assert fresh == (index not in seen)
        else:
            assert not fresh
        if fresh:
            window.accept(index)
            seen.add(index)


@given(st.integers(0, 2**40), st.integers(-30000, 30000))
def test_an_index_is_estimated_from_its_low_bits(highest: int, step: int) -> None:
    window = ReplayWindow()
    window.accept(highest)
    index = highest + step
    if index >= 0:
        assert window.estimate(index & 0xFFFF) == index


def test_cm_is_the_second_choice() -> None:
    assert list(PROFILES) == [GCM.name, CM.name]
