"""Feeds between nodes: each that is looked at crosses once, whatever node its viewers are on."""

import gc
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.control import (
    AnyRequest,
    Attached,
    CutTrunk,
    Exported,
    Import,
    SetExports,
    SetTrunk,
    SourceWanted,
)
from media.exports import ExportedFeed
from media.relay import BadRelay
from media.rtp.header import RtpPacket, encode_rtp, header_length, parse_rtp
from media.rtp.vp8 import Vp8Descriptor
from media.srtp import GCM
from media.trunk import BadTrunk, Trunk
from server.media_arrangement import Arrangement
from tests.support.media_client import Client, FakeNode
from tests.support.media_group import INTER_FRAME, FakeMeeting, key_frame, sending
from tests.support.vp8_descriptor import encode_vp8

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2 3
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=ice-ufrag:clnt
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtcp-mux
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:2
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:3
a=recvonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
"""
SLOTS = {"0": "camera", "1": "microphone", "2": "stage.0", "3": "audio.0"}


class Hall(Client):
    """A hall that sends a camera and a microphone and receives the stage."""

    def offer(self) -> None:
        sdp = OFFER.format(fingerprint=self._fingerprint).replace("\n", "\r\n")
        self.take_answer(self.node.endpoints.offer("g", self.name, sdp, SLOTS, self.node.now))
        self._numbers = {"0": itertools.count(60_000), "1": itertools.count(65_530)}

    def _packet(self, mid: str, payload_type: int, payload: bytes, *, marker: bool = False) -> None:
        number = next(self._numbers[mid])
        elements = {9: mid.encode()} | ({14: b"\x1e"} if mid == "1" else {})
        packet = encode_rtp(
            RtpPacket(marker, payload_type, number & 0xFFFF, 90 * number, 70 + int(mid), elements, payload)
        )
        length = header_length(packet)
        self.send(packet[:length], packet[length:], number)

    def frame(self, *, key: bool = False, parts: int = 2) -> None:
        for part in range(parts):
            body = (key_frame(640) if key else INTER_FRAME) if part == 0 else b"more"
            self._packet("0", 96, encode_vp8(Vp8Descriptor(0, False, part == 0, 0)) + body, marker=part == parts - 1)

    def sound(self) -> None:
        self._packet("1", 111, b"opus of " + self.name.encode())

    def seen(self, kind: int) -> list[RtpPacket]:
        self.read()
        return [packet for packet in map(parse_rtp, self.media) if packet.payload_type == kind]


class Nodes:
    """Some nodes, and a server that arranges them as the real one does."""

    def __init__(self, count: int) -> None:
        shared: dict[tuple[str, int], FakeNode] = {}
        self.nodes = {f"n{number}": FakeNode(4000 + number, shared) for number in range(count)}
        self.arrangement = Arrangement()
        self.orders: list[tuple[str, AnyRequest]] = []
        self._heard = dict.fromkeys(self.nodes, 0)
        for name in self.nodes:
            self.attach(name)

    def __getitem__(self, number: int) -> FakeNode:
        return self.nodes[f"n{number}"]

    def attach(self, name: str) -> None:
        node = self.nodes[name]
        endpoints = node.endpoints
        attached = Attached(
            epoch="e",
            port=node.address[1],
            pid=1,
            endpoints=(),
            trunks=endpoints.relay.trunks(),
            feeds=endpoints.feeds(),
            wished=endpoints.wished(),
            asked=endpoints.relay.asked(),
        )
        self._obey(self.arrangement.attached(name, "127.0.0.1", attached))

    def restart(self, name: str) -> None:
        old = self.nodes[name]
        self.nodes[name] = FakeNode(old.address[1], old.nodes)
        self.nodes[name].now = old.now
        self._heard[name] = 0
        self.attach(name)
        self.settle()

    def _obey(self, orders: list[tuple[str, AnyRequest]]) -> None:
        self.orders += orders
        for name, request in orders:
            relay, now = self.nodes[name].endpoints.relay, self.nodes[name].now
            match request:
                case SetTrunk():
                    address = (request.host, request.port)
                    relay.set_trunk(request.node, request.trunk, address, request.material, now, first=request.first)
                case CutTrunk():
                    relay.cut(request.node, now)
                case SetExports():
                    relay.set_exports(request.node, request.feeds, now)
                case Import():
                    relay.import_feed(request.node, request.group, request.feed, request.description, now)

    def _news(self) -> Iterator[tuple[str, int]]:
        for name, node in self.nodes.items():
            while self._heard[name] < len(node.events):
                self._heard[name] += 1
                yield name, self._heard[name] - 1

    def settle(self) -> None:
        """Until no node tells anything new."""
        while news := list(self._news()):
            for name, place in news:
                self._obey(self.arrangement.event(name, self.nodes[name].events[place]))

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            for node in self.nodes.values():
                node.wait(0.05)
            self.settle()

    def stage(self, video: str | None, audio: str | None = None) -> None:
        for node in self.nodes.values():
            node.endpoints.set_stage("g", (video,), (audio,), node.now)
        self.settle()

    def hall(self, number: int, name: str) -> Hall:
        hall = Hall(self[number], name)
        hall.connect()
        self.settle()
        hall.frame(key=True)  # what a hall sends is known by its first packets
        hall.sound()
        self.wait(1.1)
        return hall


def trunk_traffic(node: FakeNode) -> int:
    [line] = [row for row in node.endpoints.describe().splitlines() if row.startswith("trunk to")]
    return int(line.split()[-2])


def test_a_picture_and_a_voice_cross_once_for_all_viewers_there() -> None:
    nodes = Nodes(2)
    one = nodes.hall(0, "h1")
    here = [nodes.hall(0, f"a{number}") for number in range(3)]
    there = [nodes.hall(1, f"b{number}") for number in range(5)]
    nodes.stage("h1/camera", "h1/microphone")
    one.frame(key=True)
    nodes.wait(0.2)
    before = trunk_traffic(nodes[0])
    for step in range(10):
        one.frame(key=step == 0, parts=3)
        one.sound()
        nodes.wait(0.05)
    for hall in here + there:
        assert len(hall.seen(96)) >= 30
        assert [packet.payload for packet in hall.seen(111)][-10:] == [b"opus of h1"] * 10
    assert one.seen(111) == []
    media = 10 * 4
    assert media <= trunk_traffic(nodes[0]) - before <= media + 2, "one copy, not one for each of five"


def test_only_what_is_looked_at_crosses() -> None:
    nodes = Nodes(2)
    one, two = nodes.hall(0, "h1"), nodes.hall(0, "h2")
    nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    one.frame(key=True)
    nodes.wait(0.2)
    before = trunk_traffic(nodes[0])
    for _ in range(10):
        two.frame(key=True)
        two.sound()
        one.sound()
    assert trunk_traffic(nodes[0]) == before


def test_a_viewer_elsewhere_gets_its_key_frame_from_the_publisher() -> None:
    nodes = Nodes(2)
    one = nodes.hall(0, "h1")
    one.frame(key=True)
    nodes.wait(1.5)
    viewer = nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    one.frame()
    nodes.wait(0.2)
    one.read()
    assert one.key_frames_asked() >= 1
    one.frame(key=True, parts=3)
    assert len(viewer.seen(96)) == 3
    asked, at = one.key_frames_asked(), nodes[0].now
    nodes.wait(1.2)
    late = nodes.hall(1, "b2")
    one.frame()
    nodes.wait(1.2)
    one.read()
    assert 1 <= one.key_frames_asked() - asked <= nodes[0].now - at, "at most one a second"
    one.frame(key=True)
    assert len(late.seen(96)) == 2


def test_a_key_frame_that_came_before_it_was_wanted_elsewhere_is_brought_along() -> None:
    """At a change of the floor viewers here have it asked for, and those elsewhere need not wait for the next."""
    nodes = Nodes(2)
    one = nodes.hall(0, "h1")
    viewer = nodes.hall(1, "b1")
    one.frame(key=True, parts=3)
    nodes.wait(0.1)
    one.frame()
    nodes.stage("h1/camera")
    one.frame()
    nodes.wait(0.05)
    seen = viewer.seen(96)
    assert len(seen) == 3 + 2 + 2
    assert [packet.sequence for packet in seen] == [seen[0].sequence + place & 0xFFFF for place in range(7)]
    assert 0 < (seen[4].timestamp - seen[0].timestamp) & 0xFFFFFFFF <= 5, "what comes at once is not played late"
    assert (seen[5].timestamp - seen[4].timestamp) & 0xFFFFFFFF == 90


def test_the_floor_holds_over_nodes() -> None:
    nodes = Nodes(3)
    halls = [nodes.hall(number, f"h{number}") for number in range(3)]
    nodes.stage(None, "h1/microphone")
    for hall in halls:
        for _ in range(3):
            hall.sound()
    nodes.wait(0.1)
    assert [{packet.payload for packet in hall.seen(111)} for hall in halls] == [
        {b"opus of h1"},
        set(),
        {b"opus of h1"},
    ]
    nodes.stage(None, None)
    for hall in halls:
        hall.media.clear()
        hall.sound()
    nodes.wait(0.1)
    assert all(hall.seen(111) == [] for hall in halls)


def test_what_is_lost_between_nodes_is_sent_again() -> None:
    nodes = Nodes(2)
    one, viewer = nodes.hall(0, "h1"), nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    one.frame(key=True)
    nodes.wait(0.2)
    viewer.media.clear()
    dropped = itertools.cycle((True, False, False))
    on_trunk = range(1, 64)  # its SSRCs
    nodes[0].loses = lambda data: data[0] >= 128 and int.from_bytes(data[8:12], "big") in on_trunk and next(dropped)
    for _ in range(12):
        one.frame(parts=1)
    nodes[0].loses = lambda data: False
    one.frame(parts=1)
    nodes.wait(0.5)
    numbers = sorted(packet.sequence for packet in viewer.seen(96))
    assert len(numbers) >= 13
    assert {after - before for before, after in itertools.pairwise(numbers)} == {1}


def test_a_feed_that_comes_back_and_one_that_moves_are_followed() -> None:
    nodes = Nodes(2)
    viewer = nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    for number in (0, 0, 1, 0):
        one = nodes.hall(number, "h1")
        nodes.wait(0.1)
        viewer.media.clear()
        one.frame(key=True, parts=3)
        nodes.wait(0.1)
        one.frame(key=True, parts=3)
        nodes.wait(0.1)
        assert len(viewer.seen(96)) >= 3
        assert nodes[number].endpoints.close_endpoint("g", "h1", nodes[number].now)
        nodes.settle()


def test_a_publisher_that_moves_is_missed_by_nobody() -> None:
    nodes = Nodes(3)
    old = nodes.hall(0, "h1")
    viewers = [nodes.hall(number, f"b{number}") for number in range(3)]
    nodes.stage("h1/camera", "h1/microphone")
    sending = [old]
    gaps = dict.fromkeys(viewers, 0)
    asked = {old: old.key_frames_asked()}

    def send(seconds: float) -> None:
        """Everybody who is connected sends on, with key frames when asked for them."""
        for _ in range(round(seconds / 0.05)):
            for one in sending:
                one.read()
                before = asked.setdefault(one, -1)
                asked[one] = one.key_frames_asked()
                one.frame(key=asked[one] > before)
                one.sound()
            nodes.wait(0.05)
            for viewer in viewers:
                pictures, sounds = len(viewer.seen(96)), len(viewer.seen(111))
                gaps[viewer] = 0 if pictures and sounds else gaps[viewer] + 1
                assert gaps[viewer] <= 2, f"{viewer.name} misses the stage"
                numbers = [packet.sequence for packet in viewer.seen(96)]
                assert {after - before & 0xFFFF for before, after in itertools.pairwise(numbers)} <= {1}
                viewer.media.clear()
                viewer.sound()  # a sign of life; it has not the floor

    old.frame(key=True)
    nodes.wait(1.2)
    send(2)
    for target in (1, 2, 0):
        new = Hall(nodes[target], "h1")
        new.connect()
        nodes.settle()
        sending.append(new)
        send(7)  # longer than the old one is asked for layers that only others need
        leaving = sending.pop(0)
        assert leaving.node.endpoints.close_endpoint("g", "h1", leaving.node.now)
        nodes.settle()
        send(3)
        for number in range(3):
            told = [
                order.node
                for node, order in last_exports(nodes).items()
                for wish in order.feeds
                if node[1] == f"n{number}" and wish.feed == "h1/camera"
            ]
            assert len(told) == (0 if number == target else 1), "one copy to each other node"


def last_exports(nodes: Nodes) -> dict[tuple[str, str], SetExports]:
    """The newest of each pair of nodes."""
    return {(name, order.node): order for name, order in nodes.orders if isinstance(order, SetExports)}


def test_a_node_that_starts_again_gets_what_it_needs() -> None:
    nodes = Nodes(2)
    one, viewer = nodes.hall(0, "h1"), nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    one.frame(key=True)
    nodes.wait(0.1)
    assert len(viewer.seen(96)) == 2
    nodes.restart("n1")
    nodes.stage("h1/camera")
    again = nodes.hall(1, "b1")
    assert len(again.seen(96)) == 2, "it gets the last key frame, once"
    nodes.wait(1.2)
    one.frame(key=True)
    nodes.wait(0.1)
    assert len(again.seen(96)) == 4
    nodes.restart("n0")
    nodes.stage("h1/camera")
    one = nodes.hall(0, "h1")
    nodes.wait(0.1)
    again.media.clear()
    one.frame(key=True)
    nodes.wait(1.2)
    one.frame(key=True)
    nodes.wait(0.1)
    assert len(again.seen(96)) >= 2


def test_a_server_that_starts_again_leaves_the_trunks_alone() -> None:
    nodes = Nodes(3)
    one, viewer = nodes.hall(0, "h1"), nodes.hall(2, "b1")
    nodes.stage("h1/camera")
    one.frame(key=True)
    nodes.wait(0.1)
    nodes.arrangement = Arrangement()
    nodes.orders.clear()
    for name in nodes.nodes:
        nodes.attach(name)
    nodes.settle()
    assert not [order for _, order in nodes.orders if isinstance(order, SetTrunk)]
    viewer.media.clear()
    one.frame()
    nodes.wait(0.1)
    assert len(viewer.seen(96)) == 2, "no key frame was needed"


def test_a_node_that_is_gone_for_good_is_forgotten() -> None:
    nodes = Nodes(2)
    nodes.hall(0, "h1")
    viewer = nodes.hall(1, "b1")
    nodes.stage("h1/camera")
    nodes._obey(nodes.arrangement.detached("n0"))
    assert nodes[1].endpoints.relay.trunks() == {}
    assert viewer.seen(96) == []


def test_layers_are_asked_for_through_the_trunk() -> None:
    nodes = Nodes(2)
    one = nodes.hall(0, "h1")
    nodes.hall(1, "b1")
    one.frame(key=True)
    nodes.wait(6)
    wanted = [event for event in nodes[0].events if isinstance(event, SourceWanted) and event.source == "camera"]
    assert wanted[-1].rids == ()
    nodes.stage("h1/camera")
    wanted = [event for event in nodes[0].events if isinstance(event, SourceWanted) and event.source == "camera"]
    assert wanted[-1].rids == ("",)
    nodes.stage(None)
    nodes.wait(12)
    wanted = [event for event in nodes[0].events if isinstance(event, SourceWanted) and event.source == "camera"]
    assert wanted[-1].rids == ()


def test_what_is_over_leaves_nothing_to_the_collector() -> None:
    """Which looks through old objects hardly ever (media.memory): halls on weak lines come back hundreds of times."""
    nodes = Nodes(2)
    halls = [nodes.hall(number % 2, f"h{number}") for number in range(4)]
    for speaker in (1, 2):
        nodes.stage(f"h{speaker}/camera", f"h{speaker}/microphone")
        for step in range(5):
            halls[speaker].frame(key=step == 0)
            halls[speaker].sound()
            nodes.wait(0.05)
    gc.collect()
    gc.disable()
    try:
        for number in (0, 1, 2):
            assert nodes[number % 2].endpoints.close_endpoint("g", f"h{number}", nodes[number % 2].now)
            nodes.settle()
        nodes.hall(1, "h3")  # in place of its first connection
        nodes.wait(2)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_strangers_and_bad_orders_are_refused() -> None:
    nodes = Nodes(2)
    relay = nodes[0].endpoints.relay
    with pytest.raises(BadRelay):
        relay.set_exports("n9", (), 0.0)
    with pytest.raises(BadTrunk):
        relay.set_trunk("n5", "t", ("127.0.0.1", 9), b"short", 0.0, first=True)
    before = nodes[0].endpoints.describe()
    for junk in (b"\x80", b"\x80\x60" + bytes(40), b"\x80\xc8" + bytes(40), b"\x16" + bytes(20)):
        nodes[0].receive(junk, nodes[1].address)
    assert nodes[0].endpoints.describe() == before
    assert not [event for event in nodes[0].events if isinstance(event, Exported)]


class CountingTrunk(Trunk):
    """Refuses an index that is used twice for different bytes."""

    def __init__(self) -> None:
        super().__init__("trunk", ("192.0.2.1", 9), bytes(GCM.material), FakeNode(), first=True)
        self.nonces: dict[tuple[int, int], bytes] = {}

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        assert self.nonces.setdefault((ssrc, index), header + payload) == header + payload


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 70_000), st.integers(-40, 3)), max_size=30))
def test_no_index_on_a_trunk_is_used_twice_however_long_a_layer_was_not_wanted(
    steps: list[tuple[bool, int, int]],
) -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    one.frame(key=True)
    [publication] = one.publisher.publications
    trunk = CountingTrunk()
    export = ExportedFeed(publication, trunk, itertools.count(1).__next__, lambda changed: None)
    [stream] = publication.streams
    number = 0
    for wanted, passed, step in steps:
        export.want(("",) if wanted else (), meeting.now)
        number += passed if not wanted else step
        if wanted:
            packet = RtpPacket(True, 96, number & 0xFFFF, 3000, 5, {}, b"%d" % number)
            for taker in stream.takers:
                taker.receive(stream, packet, False, meeting.now)
    export.want((), meeting.now)
    assert stream.takers == []


def test_a_stream_that_begins_while_its_feed_is_taken_is_taken_once() -> None:
    """What waited for somebody may be the first after a silence, of which the export is told."""
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    one.frame(key=True)
    [publication] = one.publisher.publications
    export = ExportedFeed(publication, CountingTrunk(), itertools.count(1).__next__, lambda changed: None)
    began: list[float] = []

    def stream_began(group: str, feed: str, now: float) -> None:
        began.append(now)
        export.settle(now)

    meeting.stream_began = stream_began  # type: ignore[method-assign]
    meeting.wait(0.05)
    meeting.now += 0.6  # the node was held up
    one.frame()
    assert one.waiting and not began
    export.want(("",), meeting.now)
    assert began
    [stream] = publication.streams
    assert stream.takers == [export]
