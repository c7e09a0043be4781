"""Bursts: laid out in runs of one size, padded to it, encrypted, and sent over a real socket."""

import errno
import socket
from typing import Any, ClassVar

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.burst import MOST_IN_RUN, MOST_PADDING, TAG, Burst, Outgoing, Run, equalise
from media.lane import Address, Lane, send_to_all
from media.net import UdpSocket
from media.rtp.header import encode_header, parse_rtp
from media.srtp import CM, GCM, PROFILES, Profile, Srtp, srtp_of_server

SSRC = 0x0D100000
payloads = st.lists(st.binary(min_size=1, max_size=1300), min_size=1, max_size=60)


def outgoing(number: int, payload: bytes, extensions: dict[int, bytes] | None = None) -> Outgoing:
    header = encode_header(
        payload_type=96,
        marker=False,
        sequence=number & 0xFFFF,
        timestamp=3000 * number & 0xFFFFFFFF,
        ssrc=SSRC,
        extensions=extensions or {},
    )
    return Outgoing(number, header, payload)


def datagrams(runs: list[Run]) -> list[bytes]:
    return [data[start : start + size] for data, size in runs for start in range(0, len(data), size)]


def unsealed(burst: Burst) -> list[Run]:
    """With a cipher that changes nothing."""
    return burst.seal(lambda index, payload, header: payload + bytes(TAG), 0)


def pair(profile: Profile) -> tuple[Srtp, Srtp]:
    """Node and receiver of the same handshake."""
    material = bytes(range(profile.material))
    half, salts = profile.key, 2 * profile.key
    keys = material[half:salts] + material[:half]
    return (
        srtp_of_server(profile, material),
        srtp_of_server(profile, keys + material[salts + profile.salt :] + material[salts : salts + profile.salt]),
    )


@given(payloads, st.integers(0, 2**34), st.integers(-(2**20), 2**20), st.sets(st.integers(0, 60)))
def test_runs_hold_every_packet_once_and_in_order(
    contents: list[bytes], first: int, shift: int, absent: set[int]
) -> None:
    """Each is sealed under its own index, also behind one that was lost."""
    numbers = [first + place for place in range(len(contents) + len(absent)) if place not in absent][: len(contents)]
    packets = [outgoing(number, payload, {2: b"abc"}) for number, payload in zip(numbers, contents, strict=True)]
    burst = Burst(packets)
    sealed: list[int] = []

    def seal(index: int, payload: bytes, header: bytes) -> bytes:
        sealed.append(index)
        return payload + bytes(TAG)

    runs = burst.seal(seal, shift)
    assert datagrams(runs) == [header + payload + bytes(TAG) for _, header, payload in packets]
    assert sealed == [number + shift for number in numbers]
    assert (burst.lowest, burst.highest) == (numbers[0], numbers[-1])
    assert burst.amount.octets == sum(map(len, contents))
    assert burst.amount.wire_bytes == sum(len(run.data) for run in runs)
    for data, size in runs:
        assert len(data) <= 64_000 and -(-len(data) // size) <= MOST_IN_RUN


def test_a_frame_of_equal_packets_with_a_short_tail_is_one_run() -> None:
    burst = Burst([outgoing(place, bytes(1200 if place < 5 else 300)) for place in range(6)])
    [(data, size)] = unsealed(burst)
    assert (size, len(data)) == (12 + 1200 + TAG, 5 * (12 + 1200 + TAG) + 12 + 300 + TAG)


def test_a_longer_packet_after_a_shorter_one_begins_a_run() -> None:
    burst = Burst([outgoing(place, bytes(size)) for place, size in enumerate((500, 500, 100, 500, 900))])
    assert [len(datagrams([run])) for run in unsealed(burst)] == [3, 1, 1]


@given(st.lists(st.integers(1190, 1220), min_size=1, max_size=30))
def test_padding_makes_sizes_equal_and_is_read_over_by_receivers(sizes: list[int]) -> None:
    packets = [outgoing(place, bytes((place + 1,)) * size) for place, size in enumerate(sizes)]
    padded = equalise(packets)
    longest = max(sizes)
    for place, (before, after) in enumerate(zip(packets, padded, strict=True)):
        assert parse_rtp(after.header + after.payload) == parse_rtp(before.header + before.payload)
        if place < len(sizes) - 1 and longest - sizes[place] <= MOST_PADDING:
            assert len(after.payload) == longest
        else:
            assert after == before


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@given(contents=payloads, shift=st.integers(-5, 2**20))
def test_receivers_read_a_protected_burst(profile: Profile, contents: list[bytes], shift: int) -> None:
    node, receiver = pair(profile)
    shift = shift if profile is GCM else 0  # libsrtp counts rollovers itself, from what it was given
    first = 100
    packets = []
    for place, payload in enumerate(contents):
        number = first + place + shift & 0xFFFF
        header = outgoing(number, b"").header
        packets.append(Outgoing(first + place, header, payload))
    warm = shift + first >> 16
    if warm and profile is GCM:  # the receiver has counted so many rollovers
        for index in range(40_000, (first + shift) - 1, 30_000):
            receiver.unprotect(node.protect(outgoing(index, b"x").header, b"x", SSRC, index))
    protected = datagrams(node.protect_burst(Burst(packets), SSRC, shift))
    assert [receiver.unprotect(each) for each in protected] == [header + payload for _, header, payload in packets]


@pytest.mark.parametrize("profile", [GCM, CM], ids=["gcm", "cm"])
def test_libsrtp_reads_a_protected_burst(profile: Profile) -> None:
    material = bytes(range(profile.material))
    key = material[profile.key : 2 * profile.key] + material[2 * profile.key + profile.salt :]
    kinds = {
        GCM.name: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
        CM.name: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    }
    theirs = pylibsrtp.Session(
        pylibsrtp.Policy(key=key, ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=kinds[profile.name])
    )
    packets = [outgoing(700 + place, bytes((place,)) * (1100 - place)) for place in range(20)]
    protected = datagrams(srtp_of_server(profile, material).protect_burst(Burst(packets), SSRC, 0))
    assert [theirs.unprotect(each) for each in protected] == [header + payload for _, header, payload in packets]


def test_the_same_burst_for_many_receivers_is_right_for_each() -> None:
    packets = [outgoing(place, bytes((place,)) * 900) for place in range(8)]
    burst = Burst(packets)
    for seed in range(5):
        material = bytes((seed + place) % 256 for place in range(GCM.material))
        node = srtp_of_server(GCM, material)
        key = material[16:32] + material[44:56]
        theirs = pylibsrtp.Session(
            pylibsrtp.Policy(
                key=key,
                ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
                srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
            )
        )
        protected = datagrams(node.protect_burst(burst, SSRC, 0))
        assert [theirs.unprotect(each) for each in protected] == [header + body for _, header, body in packets]


# -- over a real socket ------------------------------------------------------------------------------------------------


class RefusingSocket(socket.socket):
    """A socket whose kernel refuses what a test wants: to segment, or to take anything from a certain datagram on."""

    segments = True
    room = 1_000_000
    tried = 0

    def sendmsg(self, *arguments: Any) -> int:
        type(self).tried += 1
        if not self.segments:
            raise OSError(errno.EINVAL, "refused")
        return super().sendmsg(*arguments)

    def sendto(self, *arguments: Any) -> int:
        if self.room <= 0:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.room -= 1
        return super().sendto(*arguments)


class Way:
    """From a node's socket to a receiver's on loopback."""

    def __init__(self, kind: type[socket.socket] = socket.socket) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", kind)
            self.node = UdpSocket("127.0.0.1", 0)
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("127.0.0.1", 0))
        self._receiver.settimeout(2.0)

    def send(self, count: int, size: int = 1000, tail: int = 1000) -> bool:
        data = b"".join(self.datagrams_of(count, size, tail))
        return self.node.send_run(data, size, self._receiver.getsockname())

    @property
    def address(self) -> Address:
        host, port = self._receiver.getsockname()
        return host, port

    def receive(self) -> bytes:
        return self._receiver.recv(4096)

    def arrives_whole(self, datagram: bytes) -> bool:
        return self.receive() == datagram

    def arrives(self, count: int, size: int = 1000, tail: int = 1000) -> bool:
        return [self.receive() for _ in range(count)] == self.datagrams_of(count, size, tail)

    @staticmethod
    def datagrams_of(count: int, size: int, tail: int) -> list[bytes]:
        return [bytes((place,)) * (tail if place == count - 1 else size) for place in range(count)]

    def close(self) -> None:
        self.node.close()
        self._receiver.close()


@pytest.mark.parametrize(("count", "tail"), [(1, 1000), (2, 1000), (30, 1000), (30, 400), (MOST_IN_RUN, 1)])
async def test_a_run_arrives_as_so_many_datagrams(count: int, tail: int) -> None:
    way = Way()
    assert way.send(count, tail=tail)
    assert way.arrives(count, tail=tail)
    assert way.node.unsent == 0
    way.close()


async def test_a_kernel_that_does_not_segment_gets_them_one_by_one_and_is_soon_not_asked_any_more() -> None:
    class Old(RefusingSocket):
        segments = False

    way = Way(Old)
    for _ in range(20):
        assert way.send(5, tail=300)
        assert way.arrives(5, tail=300)
    assert Old.tried == 8
    assert way.node.unsent == 0
    way.close()


async def test_one_path_that_is_too_narrow_does_not_end_segmenting_for_the_others() -> None:
    class Narrow(RefusingSocket):
        pass

    way = Way(Narrow)
    for _ in range(20):
        Narrow.segments = False
        assert way.send(3)
        Narrow.segments = True
        assert way.send(3)
        assert way.arrives(3) and way.arrives(3)
    assert Narrow.tried == 40
    way.close()


async def test_what_a_full_socket_does_not_take_is_counted_and_never_raises() -> None:
    class Full(RefusingSocket):
        segments = False
        room = 3

    way = Way(Full)
    assert not way.send(10)
    assert way.arrives(3)
    assert way.node.unsent == 7
    assert not way.send(1)
    way.node.send(b"datagram", ("127.0.0.1", 9))
    assert way.node.unsent == 9
    way.close()


async def test_runs_in_a_row_arrive_cut_up_and_what_follows_them_is_whole() -> None:
    way = Way()
    send = way.node.begin_runs(1000)
    assert send is not None
    for count, tail in ((3, 400), (1, 1000), (1, 7)):
        send(b"".join(way.datagrams_of(count, 1000, tail)), way.address)
        assert way.arrives(count, tail=tail)
    way.node.end_runs(worked=True)
    way.node.send(bytes(1500), way.address)
    assert way.arrives_whole(bytes(1500))
    single = way.node.begin_runs(0)
    assert single is not None
    single(bytes(1400), way.address)
    assert way.arrives_whole(bytes(1400))
    way.node.end_runs(worked=True)
    way.close()


async def test_a_kernel_that_does_not_segment_is_not_asked_for_runs_in_a_row() -> None:
    class Ancient(RefusingSocket):
        def setsockopt(self, *arguments: Any) -> None:
            if arguments[:2] == (socket.IPPROTO_UDP, 103):
                raise OSError(errno.ENOPROTOOPT, "refused")
            super().setsockopt(*arguments)

    way = Way(Ancient)
    assert way.node.begin_runs(1000) is None
    assert way.node.begin_runs(0) is not None
    way.node.end_runs(worked=True)
    assert way.send(3) and way.arrives(3)
    assert Ancient.tried == 0
    way.close()


class NarrowSocket(RefusingSocket):
    """A socket whose kernel does not segment for some addresses."""

    refused: ClassVar[set[Address]] = set()
    segment = 0

    def setsockopt(self, *arguments: Any) -> None:
        if arguments[:2] == (socket.IPPROTO_UDP, 103):
            type(self).segment = arguments[2]
        super().setsockopt(*arguments)

    def sendto(self, *arguments: Any) -> int:
        if arguments[1] in self.refused and 0 < self.segment < len(arguments[0]):
            type(self).tried += 1
            raise OSError(errno.EINVAL, "refused")
        return super().sendto(*arguments)

    def sendmsg(self, *arguments: Any) -> int:
        if arguments[3] in self.refused:
            raise OSError(errno.EINVAL, "refused")
        return super().sendmsg(*arguments)


class Nobody:
    """What a lane to a test's socket asks nothing of."""

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        raise AssertionError("it has a seal")

    def note_unsent(self, packets: int, octets: int) -> None:
        raise AssertionError("all are taken")


@pytest.mark.parametrize("narrow", [1, 4])
async def test_narrow_paths_get_single_datagrams_and_segmenting_goes_on_while_it_works_for_others(narrow: int) -> None:
    NarrowSocket.tried, NarrowSocket.refused = 0, set()
    ways = [Way(NarrowSocket)] + [Way() for _ in range(3)]
    node = ways[0].node
    NarrowSocket.refused.update(way.address for way in ways[:narrow])
    lanes = []
    for way in ways:
        lane = Lane(Nobody(), SSRC, node)
        lane.address, lane.seal = way.address, lambda index, payload, header: payload + bytes(TAG)
        lanes.append(lane)
    rounds = 20
    for _ in range(rounds):
        burst = Burst([outgoing(number, bytes(900)) for number in range(4)])
        send_to_all(burst, lanes)
        for way in ways:
            got = [way.receive() for _ in range(4)]
            assert got == [header + payload + bytes(TAG) for _, header, payload in burst.packets]
    assert NarrowSocket.tried == (rounds if narrow == 1 else 8)
    assert (node.begin_runs(1000) is None) == (narrow == 4)
    node.end_runs(worked=False)
    for way in ways:
        way.close()


async def test_an_address_without_a_way_is_counted_and_never_raises() -> None:
    way = Way()
    assert not way.node.send_run(bytes(2000), 1000, ("255.255.255.255", 9))
    way.node.send(b"datagram", ("255.255.255.255", 9))
    assert way.node.unsent == 3
    way.close()
