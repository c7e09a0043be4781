"""Lanes and cohorts: bursts go straight out where they can, and what each receiver got is counted right."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from media.burst import TAG, Burst, Outgoing, Run
from media.cohort import Cohort
from media.forward.pictures import Pictures
from media.lane import Address, Lane
from media.leg import Leg, Moment
from media.rtp.header import encode_header
from media.srtp import CM, GCM, Profile, srtp_of_client, srtp_of_server

SSRC = 0x0D100000
HERE: Address = ("192.0.2.1", 5000)


class FakeWay:
    """A receiver: what comes by its lane, or is asked of itself, as (index, payload)."""

    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.unsent: list[Run] = []

    def lane(self, ssrc: int) -> Lane:
        return Lane(self, ssrc, FakeOutlet(room=0))

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        assert ssrc == SSRC
        self.got += [(index + shift, payload) for index, _, payload in burst.packets]
        return []

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        raise AssertionError("bursts only")

    def send_rtcp(self, packet: bytes) -> None:
        raise AssertionError("bursts only")

    def note_unsent(self, runs: Sequence[Run]) -> None:
        self.unsent += runs


class FakeOutlet:
    """A socket that takes so many runs and no more."""

    def __init__(self, room: int = 1000) -> None:
        self.datagrams: list[bytes] = []
        self._room = room

    def send(self, datagram: bytes, address: Address) -> None:
        raise AssertionError("bursts only")

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        assert address == HERE
        self._room -= 1
        if self._room < 0:
            return False
        self.datagrams += [data[start : start + segment] for start in range(0, len(data), segment)]
        return True


def packet(index: int, size: int = 100) -> Outgoing:
    header = encode_header(
        payload_type=96, marker=False, sequence=index & 0xFFFF, timestamp=0, ssrc=SSRC, extensions={}
    )
    return Outgoing(index, header, index.to_bytes(4, "big") * (size // 4))


def burst(*indices: int) -> Burst:
    return Burst([packet(index) for index in indices])


def began(way: FakeWay, index: int) -> Leg:
    leg = Leg("h1", SSRC, way)
    leg.begin(Moment(index, 0, Pictures(), 0.0), 90_000)
    return leg


def sealed(profile: Profile, outlet: FakeOutlet, way: FakeWay) -> Lane:
    lane = Lane(way, SSRC, outlet)
    lane.address = HERE
    lane.seal = srtp_of_server(profile, bytes(range(profile.material))).seal(SSRC)
    return lane


def test_a_sealed_lane_sends_what_the_receiver_can_read() -> None:
    outlet, way = FakeOutlet(), FakeWay()
    lane = sealed(GCM, outlet, way)
    lane.shift = 65_536
    lane.send(burst(1, 2, 3))
    receiver = srtp_of_client(GCM, bytes(range(GCM.material)))
    sender = srtp_of_server(GCM, bytes(range(GCM.material)))
    for index in (40_000, 65_000):  # the receiver counts a rollover
        receiver.unprotect(sender.protect(packet(index).header, b"x", SSRC, index))
    assert [receiver.unprotect(each) for each in outlet.datagrams] == [
        packet(index).header + packet(index).payload for index in (1, 2, 3)
    ]
    assert not way.got


def test_a_profile_that_protects_whole_packets_has_no_seal() -> None:
    outlet, way = FakeOutlet(), FakeWay()
    sealed(CM, outlet, way).send(burst(1, 2))
    assert [index for index, _ in way.got] == [1, 2]
    assert not outlet.datagrams


def test_what_the_socket_does_not_take_is_told_with_all_that_follows() -> None:
    outlet, way = FakeOutlet(room=1), FakeWay()
    lane = sealed(GCM, outlet, way)
    lane.send(Burst([packet(1, 400), packet(2, 200), packet(3, 400), packet(4, 800)]))
    assert len(outlet.datagrams) == 2
    assert [len(run.data) for run in way.unsent] == [12 + TAG + 400, 12 + TAG + 800]


def test_who_began_later_gets_nothing_from_before() -> None:
    old, new = FakeWay(), FakeWay()
    cohort = Cohort()
    first = began(old, 10)
    cohort.add(first)
    cohort.send(burst(10, 11))
    second = began(new, 13)
    cohort.add(second)
    cohort.send(burst(12, 13, 14))  # 12 came late
    assert [index for index, _ in old.got] == [10, 11, 12, 13, 14]
    assert [index for index, _ in new.got] == [13, 14]
    assert (first.packets, second.packets) == (5, 2)
    assert (first.octets, second.octets) == (500, 200)
    assert second.wire_bytes == 2 * (12 + 100 + TAG)
    assert first.skipped == second.skipped == 0
    cohort.send(burst(9))
    assert second.packets == 2 and second.index_of(14) == 14


steps = st.lists(st.tuples(st.sampled_from(["join", "part", "send", "late", "alone"]), st.integers(0, 5)), max_size=60)


@given(steps)
def test_each_receiver_is_counted_what_it_got(doings: list[tuple[str, int]]) -> None:
    """Whoever joins and parts when, and whatever comes late."""
    cohort = Cohort()
    cohort.add(began(FakeWay(), 100))  # so that it never ends
    ways = [FakeWay() for _ in range(6)]
    legs = [Leg("h1", SSRC, way) for way in ways]
    inside: set[int] = set()
    newest = 100
    for doing, who in doings:
        leg = legs[who]
        if doing == "join" and who not in inside:
            leg.begin(Moment(newest + 1, 0, Pictures(), 0.0), 90_000)
            cohort.add(leg)
            inside.add(who)
        elif doing == "part" and who in inside:
            cohort.remove(leg)
            leg.pause(cut=False)
            inside.discard(who)
        elif doing == "send":
            cohort.send(burst(*range(newest + 1, newest + 2 + who)))
            newest += 1 + who
        elif doing == "late" and newest > 110:
            cohort.send(burst(newest - 1 - who))
        elif doing == "alone" and who in inside and not leg.fresh:
            leg.send(burst(newest))
        for one, way in zip(legs, ways, strict=True):
            assert one.packets == len(way.got)
            assert one.octets == sum(len(payload) for _, payload in way.got)
            assert one.wire_bytes == one.octets + (12 + TAG) * one.packets
            assert one.fresh == (not way.got)
            if one.cohort is not None and way.got:
                highest = max(index for index, _ in way.got)
                assert one.index_of(highest & 0xFFFF) == highest - one.shift.number
