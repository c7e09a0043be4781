"""Lanes and cohorts: bursts go straight out where they can, and what each receiver got is counted right."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.burst import TAG, Burst, Outgoing, Run
from media.cohort import Cohort
from media.forward.pictures import Pictures
from media.lane import Address, Lane, SendRun, send_to_all
from media.leg import Leg, Moment
from media.rtp.header import encode_header
from media.srtp import CM, GCM, Profile, srtp_of_client, srtp_of_server

SSRC = 0x0D100000
HERE: Address = ("192.0.2.1", 5000)


class FakeWay:
    """A receiver: what comes by its lane, or is asked of itself, as (index, payload)."""

    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.unsent = 0, 0

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

    def note_unsent(self, packets: int, octets: int) -> None:
        self.unsent = self.unsent[0] + packets, self.unsent[1] + octets


class FakeOutlet:
    """A socket that takes so many runs and no more; `cuts`: it can be told a segment for many runs."""

    def __init__(self, room: int = 1000, *, cuts: bool = True) -> None:
        self.sent: dict[Address, list[bytes]] = {}
        self.told: list[int] = []
        self._room = room
        self._cuts = cuts
        self._segment: int | None = None

    @property
    def datagrams(self) -> list[bytes]:
        return self.sent.get(HERE, [])

    def send(self, datagram: bytes, address: Address) -> None:
        raise AssertionError("bursts only")

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        self._room -= 1
        if self._room < 0:
            return False
        cut = [data[start : start + segment] for start in range(0, len(data), segment)]
        self.sent.setdefault(address, []).extend(cut)
        return True

    def begin_runs(self, segment: int) -> SendRun | None:
        assert self._segment is None
        if not self._cuts:
            return None
        self._segment = segment
        self.told.append(segment)
        return self._send_cut

    def _send_cut(self, data: bytes, address: Address) -> None:
        assert self._segment is not None
        if self._room <= 0:
            raise BlockingIOError(errno.EAGAIN, "full")
        assert self.send_run(data, self._segment or len(data), address)

    def end_runs(self, *, worked: bool) -> None:
        self._segment = None


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


def sealed(profile: Profile, outlet: FakeOutlet, way: FakeWay, address: Address = HERE) -> Lane:
    lane = Lane(way, SSRC, outlet)
    lane.address = address
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
    assert way.unsent == (2, 12 + TAG + 400 + 12 + TAG + 800)


MIXED = [packet(1, 400), packet(2, 400), packet(3, 200), packet(4, 800), packet(6, 100)]
"""Three runs: of two sizes and behind one that was lost."""


@pytest.mark.parametrize("cuts", [True, False])
def test_a_burst_to_many_is_to_each_what_it_is_alone(cuts: bool) -> None:
    outlet, alone = FakeOutlet(cuts=cuts), FakeOutlet()
    lanes = [sealed(GCM, outlet, FakeWay(), ("192.0.2.1", 5000 + place)) for place in range(5)]
    for place, lane in enumerate(lanes):
        lane.shift = 65_536 * place
        single = sealed(GCM, alone, FakeWay(), ("192.0.2.1", 5000 + place))
        single.shift = lane.shift
        single.send(Burst(MIXED))
    send_to_all(Burst(MIXED), lanes)
    assert outlet.sent == alone.sent and len(alone.sent) == 5
    assert len({tuple(each) for each in alone.sent.values()}) == 5
    assert outlet.told == ([12 + TAG + 400, 0, 0] if cuts else [])


def test_a_burst_to_many_passes_by_who_cannot_get_it_and_goes_other_ways_where_it_must() -> None:
    outlet = FakeOutlet()
    whole, nowhere, ways = FakeWay(), FakeWay(), [FakeWay() for _ in range(3)]
    lanes = [sealed(GCM, outlet, way, ("192.0.2.1", place)) for place, way in enumerate(ways)]
    lost = sealed(GCM, outlet, nowhere)
    lost.address = None
    send_to_all(Burst(MIXED), [lanes[0], sealed(CM, outlet, whole), lanes[1], lost, lanes[2]])
    assert [index for index, _ in whole.got] == [1, 2, 3, 4, 6]
    assert {address: len(each) for address, each in outlet.sent.items()} == {
        ("192.0.2.1", place): 5 for place in range(3)
    }
    assert not nowhere.got and nowhere.unsent == (0, 0)


@pytest.mark.parametrize("room", range(16))
def test_of_a_burst_to_many_each_is_told_what_was_left_out(room: int) -> None:
    """Whoever the socket is full for gets no more of the frame, and what came and what was left out are all of it."""
    outlet, ways = FakeOutlet(room=room), [FakeWay() for _ in range(5)]
    lanes = [sealed(GCM, outlet, way, ("192.0.2.1", place)) for place, way in enumerate(ways)]
    burst = Burst(MIXED)
    send_to_all(burst, lanes)
    for place, way in enumerate(ways):
        got = outlet.sent.get(("192.0.2.1", place), [])
        assert way.unsent == (5 - len(got), burst.amount.wire_bytes - sum(map(len, got)))
    assert sum(way.unsent[0] for way in ways) > 0 or room == 15


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
