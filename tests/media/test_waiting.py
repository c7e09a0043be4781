"""Packets of streams that nobody takes wait and are looked at together: nobody may notice more than a little delay."""

from dataclasses import replace
from typing import Literal, get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from media.control import FeedStats, Levels
from media.rtp.extensions import TRANSPORT_CC
from media.rtp.header import RtpPacket, encode_header
from media.rtp.rtcp import Bye, KeyFrameRequest, TransportFeedback
from media.rtp.twcc import parse_twcc
from media.stream import Stream
from tests.support.media_client import Client, FakeNode
from tests.support.media_group import FakeEndpoint, FakeMeeting, receiving, sending
from tests.support.media_seams import check_pictures

Step = Literal[
    "frame", "key", "sound", "lost", "late", "bye", "tick", "second", "stall", "look", "look away", "listen", "deaf"
]


class Impatient(FakeEndpoint):
    """Nothing of it waits."""

    def let_wait(self, ssrcs: object) -> None:
        return


class Meeting:
    """One hall sends, one receives; `patient`: what nobody takes may wait."""

    def __init__(self, *, patient: bool) -> None:
        self.meeting = FakeMeeting()
        self.meeting.kind = FakeEndpoint if patient else Impatient
        self.one = self.meeting.join("h1", [sending("camera"), sending("microphone")])
        self.two = self.meeting.join("h2", [], [receiving("stage.0"), receiving("audio.0")])
        self.waited = 0
        self._video: list[str | None] = [None]
        self._audio: list[str | None] = [None]

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            self._run(step)
            self.waited += sum(map(len, self.one.waiting.values()))
        self.meeting.wait(1.0)

    def _run(self, step: Step) -> None:
        match step:
            case "tick" | "second":
                self.meeting.wait(0.05 if step == "tick" else 1.0)
            case "stall":
                self.meeting.now += 0.6
            case "look" | "look away":
                self._video = ["h1/camera" if step == "look" else None]
                self.meeting.stage(self._video, self._audio)
            case "listen" | "deaf":
                self._audio = ["h1/microphone" if step == "listen" else None]
                self.meeting.stage(self._video, self._audio)
            case _:
                self._send(step)

    def _send(self, step: Step) -> None:
        match step:
            case "frame" | "key":
                self.one.frame(key=step == "key", parts=3)
            case "sound":
                self.one.sound()
            case "lost":
                self.one.losing = lambda data: True
                self.one.frame()
                self.one.losing = lambda data: False
            case "late":
                parts = self.one.frame_parts(parts=3)
                next(parts)
                self.one.losing = lambda data: True
                next(parts)
                missed = self.one.source("camera").sequence
                self.one.losing = lambda data: False
                next(parts)
                self.one.repeat(missed)
            case "bye":
                self.meeting.now += 0.001
                self.one.publisher.receive_rtcp(Bye((self.one.source("camera").ssrc,)), self.meeting.now, 0.0)

    def received(self) -> list[bytes]:
        return [each.packet.payload.partition(b"|")[2] for each in self.two.received]

    def stats(self) -> list[FeedStats]:
        return self.one.publisher.stats(self.meeting.now)

    def key_frames_asked(self) -> int:
        return sum(isinstance(part, KeyFrameRequest) for _, part in self.one.feedback)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(get_args(Step)), min_size=15, max_size=60))
@example(["key", "tick", "frame", "frame", "look", "frame"])
@example(["key", *["tick"] * 6, "frame", "key", "frame", "look", "frame", "look away", "frame", "tick", "look"])
@example(["frame", "tick", "lost", "frame"])
@example(["frame", "tick", "stall", "frame"])
@example(["frame", "tick", "frame", "bye"])
@example(["frame", *["tick"] * 6, "frame", *["tick"] * 6, "frame", *["tick"] * 6, "frame"])
@example(["frame", "tick", "late", "frame", "look", "key"])
@example(["sound", "tick", "sound", "sound", "listen", "sound", "deaf", "sound", "tick", "listen", "sound"])
def test_whoever_comes_later_gets_the_same_as_if_nothing_had_waited(steps: list[Step]) -> None:
    patient, hasty = Meeting(patient=True), Meeting(patient=False)
    patient.run(steps)
    hasty.run(steps)
    assert hasty.waited == 0
    assert patient.received() == hasty.received()
    assert patient.stats() == hasty.stats()
    assert patient.key_frames_asked() == hasty.key_frames_asked()
    assert set(patient.one.asked_again()) == set(hasty.one.asked_again())
    assert sorted(patient.meeting.changes) == sorted(hasty.meeting.changes)
    assert sorted(patient.meeting.began) == sorted(hasty.meeting.began)
    check_pictures(patient.two, "stage.0", lossy=True)


def test_what_nobody_takes_waits_until_somebody_does() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    two = meeting.join("h2", [], [receiving("stage.0")])

    def waiting() -> int:
        return sum(map(len, one.waiting.values()))

    one.frame(key=True, parts=3)
    meeting.wait(0.3)
    one.frame(parts=3)
    assert waiting() == 3
    meeting.stage(["h1/camera"])
    assert waiting() == 0 and len(two.received) == 6
    one.frame(parts=3)
    assert waiting() == 0 and len(two.received) == 9
    meeting.stage([None])
    one.frame(parts=3)
    meeting.wait(0.3)
    one.frame(parts=3)
    assert waiting() == 3
    meeting.wait(0.3)
    assert waiting() == 0
    assert one.publisher.stats(meeting.now)[0].packets == 15


def test_whoever_takes_a_stream_finds_all_that_came_in_its_cache() -> None:
    meeting = FakeMeeting()
    one = meeting.join("h1", [sending("camera")])
    one.frame(key=True, parts=2)
    meeting.wait(0.05)
    one.frame(parts=2)
    assert one.waiting
    [stream] = one.published["camera"].streams

    class Taker:
        came = 0

        def receive(self, stream: Stream, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
            self.came += 1

    taker = Taker()
    stream.add_taker(taker)
    assert len(stream.cache.packets(meeting.now)) == 4 and taker.came == 0
    one.frame(parts=2)
    assert taker.came == 2


def test_a_key_frame_is_asked_for_at_the_first_tick_that_may() -> None:
    """At most once a second, and as soon as that has passed, however seldom it is looked at what waits."""
    for later in range(6):
        meeting = FakeMeeting()
        one = meeting.join("h1", [sending("camera")])
        one.frame(key=True)
        meeting.wait(0.5 + 0.05 * later)
        [stream] = one.published["camera"].streams
        stream.want_key_frame()
        meeting.wait(0.05)
        one.frame(key=True)
        meeting.wait(0.6)
        stream.want_key_frame()
        meeting.wait(1.0)
        first, second = one.key_frames_asked()[:2]
        assert 1.0 <= second - first < 1.06


def voice(sequence: int, level: int = 30) -> bytes:
    extensions = {9: b"0", 14: bytes((level,))}
    return encode_header(
        payload_type=111, marker=False, sequence=sequence, timestamp=960 * sequence, ssrc=77, extensions=extensions
    )


def talking(node: FakeNode) -> tuple[Client, int]:
    """A microphone that nobody is to hear, and the number of its next packet."""
    client = Client(node, "h1")
    client.connect()
    for sequence in range(10):
        client.send(voice(sequence), b"voice", sequence)
        node.wait(0.05)
    return client, 10


def packets_in(node: FakeNode) -> int:
    [peer] = node.endpoints.stats(node.now)
    return peer.packets_in


def test_the_level_of_a_voice_that_waits_is_told_within_half_a_second() -> None:
    node = FakeNode()
    client, following = talking(node)
    node.events.clear()
    client.send(voice(following, level=5), b"voice", following)
    assert not node.events
    node.wait(0.45)
    assert [event.levels for event in node.events if isinstance(event, Levels)] == [{"h1/microphone": -5}]


def test_forged_and_repeated_packets_are_dropped_when_it_is_looked_at_what_waited() -> None:
    node = FakeNode()
    client, following = talking(node)
    packet = client.send(voice(following), b"voice", following)
    node.receive(packet, client.address)
    node.receive(packet[:-1] + bytes((packet[-1] ^ 1,)), client.address)
    node.receive(packet[:14], client.address)
    assert node.endpoints.dropped == 0
    node.wait(0.3)
    assert packets_in(node) == following + 1 and node.endpoints.dropped == 3


def test_forged_packets_keep_nobody_alive() -> None:
    node = FakeNode()
    client, following = talking(node)
    packet = client.send(voice(following), b"voice", following)
    for _ in range(80):
        node.receive(packet, client.address)
        node.wait(0.1)
    assert node.states("h1")[-1] == "disconnected"


def test_nothing_that_waited_is_taken_from_an_address_that_was_given_up() -> None:
    node = FakeNode()
    client, following = talking(node)
    node.wait(0.3)
    first = client.address
    for _ in range(12):  # more than a peer has paths
        client.move()
        client.check()
    client.send(voice(following), b"voice", following)
    node.wait(0.3)
    client.send(voice(following + 1), b"voice", following + 1)
    node.wait(0.3)
    assert client.srtp is not None
    packet = client.srtp.protect(voice(following + 2), b"voice", 77, following + 2)
    node.receive(packet, first)
    node.wait(0.3)
    assert packets_in(node) == following + 2 and node.endpoints.dropped == 1


def test_more_than_may_wait_is_looked_at_before_its_time() -> None:
    node = FakeNode()
    client, following = talking(node)
    for sequence in range(following, following + 1000):
        client.send(voice(sequence), b"voice", sequence)
    assert packets_in(node) == following + 1000 and node.endpoints.dropped == 0
    node.wait(0.3)
    packet = client.send(voice(following + 1000), b"voice", following + 1000)
    for _ in range(1000):
        node.receive(packet, client.address)
    assert node.endpoints.dropped >= 800


def test_what_waits_when_a_peer_ends_goes_with_it() -> None:
    node = FakeNode()
    client, following = talking(node)
    client.send(voice(following), b"voice", following)
    assert node.endpoints.close_endpoint("g", "h1", node.now)
    node.events.clear()
    node.wait(0.5)
    assert not node.events


def test_arrivals_of_packets_that_waited_are_told_by_the_time_they_came() -> None:
    """Within the 250 µs of transport-wide feedback."""
    meeting = FakeMeeting()
    place = replace(sending("camera"), transport_cc=True)
    place.section.extensions[TRANSPORT_CC] = 5
    one = meeting.join("h1", [place])
    came: dict[int, float] = {}
    for number in range(120):
        came[number] = meeting.now
        one.packet("camera", b"\x10abc", marker=True, extensions={5: number.to_bytes(2, "big")})
        meeting.now += 0.013
        if number % 4 == 3:
            meeting.tick()
    meeting.wait(0.5)
    told: dict[int, float] = {}
    for _, part in one.feedback:
        if isinstance(part, TransportFeedback):
            message = parse_twcc(part.information)
            told |= {message.base + place: at * 0.00025 for place, at in enumerate(message.arrivals) if at is not None}
    assert set(told) == set(came)
    offset = told[0] - came[0]
    assert all(abs(told[number] - came[number] - offset) < 0.0006 for number in came)


def test_a_path_on_which_packets_wait_is_not_silent() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h2/microphone",), node.now)
    client, following = talking(node)
    other = Client(node, "h2")
    other.connect()
    for sequence in range(following, following + 80):
        client.send(voice(sequence), b"voice", sequence)
        node.wait(0.05)
    client.move()
    client.check(use_candidate=False)
    other.send(voice(0), b"voice", 0)
    client.read()
    assert client.media == []  # it goes where the packets came from
