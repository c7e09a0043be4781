"""A group without network: endpoints that publish RTP bytes and note what they receive, and time as a number."""

from collections.abc import Callable
from dataclasses import dataclass, field

from media.burst import Burst
from media.publisher import Publication, Publisher
from media.router import Group
from media.rtp.extensions import AUDIO_LEVEL, MID, RID
from media.rtp.header import RtpPacket, encode_rtp, parse_rtp
from media.rtp.rtcp import AnyRtcp, KeyFrameRequest, parse_rtcp
from media.rtp.vp8 import Vp8Descriptor, encode_vp8
from media.sdp import Codec, Receiving, Section, Sending
from media.subscriber import Subscriber

VP8 = Codec(96, "vp8", 90000, "", "", frozenset({"nack", "nack pli", "goog-remb"}))
OPUS = Codec(111, "opus", 48000, "2", "", frozenset())
EXTENSIONS = {MID: 9, RID: 10, AUDIO_LEVEL: 14}
WIDTHS = {"q": 320, "h": 640, "f": 1280, None: 1280}
INTER_FRAME = b"\x11inter"


def key_frame(width: int) -> bytes:
    """The first bytes of a key frame (RFC 6386 §9.1)."""
    height = width * 9 // 16
    return bytes.fromhex("1002009d012a") + width.to_bytes(2, "little") + height.to_bytes(2, "little")


def section(kind: str, mid: str, direction: str, rids: tuple[str, ...] = ()) -> Section:
    return Section(kind, 9, "UDP/TLS/RTP/SAVPF", (), {}, mid, direction, (VP8, OPUS), dict(EXTENSIONS), rids=rids)


def sending(source: str, rids: tuple[str, ...] = ()) -> Sending:
    kind = "audio" if source == "microphone" else "video"
    return Sending(section(kind, source, "sendonly", rids), source, OPUS if kind == "audio" else VP8, False)


def receiving(slot: str, vp8: int = 96) -> Receiving:
    kind = "audio" if slot.startswith("audio") else "video"
    codec = OPUS if kind == "audio" else Codec(vp8, "vp8", 90000, "", "", frozenset())
    return Receiving(section(kind, slot, "recvonly"), slot, (codec,))


@dataclass
class Received:
    packet: RtpPacket
    index: int
    at: float


@dataclass
class Source:
    """One SSRC of an endpoint, counting on; each begins elsewhere, shortly before its numbers wrap."""

    mid: str
    ssrc: int
    rid: str | None
    sequence: int
    timestamp: int
    picture: int


@dataclass
class FakeEndpoint:
    meeting: "FakeMeeting"
    name: str
    publisher: Publisher = field(init=False)
    subscriber: Subscriber = field(init=False)
    received: list[Received] = field(default_factory=list)
    feedback: list[tuple[float, AnyRtcp]] = field(default_factory=list)
    sources: dict[tuple[str, str | None], Source] = field(default_factory=dict)
    losing: Callable[[bytes], bool] = lambda data: False
    sent: dict[int, bytes] = field(default_factory=dict)

    def send_burst(self, burst: Burst, ssrc: int, shift: int) -> None:
        for index, payload, header, _ in burst.items:
            self.send_rtp(header, payload, ssrc, index + shift)

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        packet = parse_rtp(header + payload)
        assert packet.ssrc == ssrc and packet.sequence == index & 0xFFFF
        self.received.append(Received(packet, index, self.meeting.now))

    def send_rtcp(self, packet: bytes) -> None:
        self.hear(packet)

    def hear(self, data: bytes) -> None:
        self.feedback += [(self.meeting.now, part) for part in parse_rtcp(data)]

    def of(self, ssrc: int) -> list[Received]:
        return [each for each in self.received if each.packet.ssrc == ssrc]

    def key_frames_asked(self) -> list[float]:
        return [at for at, part in self.feedback if isinstance(part, KeyFrameRequest)]

    def source(self, mid: str, rid: str | None = None) -> Source:
        number = sum(map(ord, self.name + mid + (rid or "")))
        fresh = Source(mid, 1000 + number, rid, 65500 - number % 97, 4_294_960_000 - 977 * number, 0x7FF0 - number % 89)
        return self.sources.setdefault((mid, rid), fresh)

    def frame(self, mid: str = "camera", *, key: bool = False, rid: str | None = None, parts: int = 1) -> None:
        """One picture in so many packets."""
        source = self.source(mid, rid)
        source.timestamp = (source.timestamp + 3000) & 0xFFFFFFFF
        source.picture = (source.picture + 1) & 0x7FFF
        for part in range(parts):
            descriptor = Vp8Descriptor(0, False, part == 0, 0, source.picture, True)
            body = (key_frame(WIDTHS[rid]) if key else INTER_FRAME) if part == 0 else b"more"
            self.packet(mid, encode_vp8(descriptor) + body, rid=rid, marker=part == parts - 1)

    def sound(self, level: int = 30) -> None:
        source = self.source("microphone")
        source.timestamp = (source.timestamp + 960) & 0xFFFFFFFF
        self.packet("microphone", b"opus of " + self.name.encode(), extensions={14: bytes((level,))})

    def packet(
        self,
        mid: str,
        payload: bytes,
        *,
        rid: str | None = None,
        marker: bool = False,
        extensions: dict[int, bytes] | None = None,
    ) -> None:
        source = self.source(mid, rid)
        source.sequence = (source.sequence + 1) & 0xFFFF
        elements = {9: mid.encode(), **({10: rid.encode()} if rid else {}), **(extensions or {})}
        payload_type = 111 if mid == "microphone" else 96
        packet = RtpPacket(marker, payload_type, source.sequence, source.timestamp, source.ssrc, elements, payload)
        self.sent[source.sequence] = encode_rtp(packet)
        self.repeat(source.sequence)

    def repeat(self, sequence: int) -> None:
        """This packet goes out, and may be lost."""
        if not self.losing(self.sent[sequence]):
            self.publisher.receive_rtp(self.sent[sequence], self.meeting.now)
            self.meeting.group.flush(self.meeting.now)

    def leave(self) -> None:
        self.meeting.group.unsubscribe(self.name, self.subscriber, self.meeting.now)
        self.meeting.group.withdraw(self.publisher.publications, self.meeting.now)
        self.meeting.endpoints.remove(self)


class FakeMeeting:
    def __init__(self) -> None:
        self.now = 100.0
        self.changes: list[tuple[str, bool]] = []
        self.ticks = 0
        self.began: list[str] = []
        self.published: list[tuple[str, bool]] = []
        self.wished: tuple[str, ...] = ()
        self.wanted: dict[str, tuple[str, ...]] = {}
        self.rungs: list[tuple[str, str | None]] = []
        self.group = Group("g", self)
        self.endpoints: list[FakeEndpoint] = []

    def join(
        self, name: str, sends: list[Sending] | None = None, receives: list[Receiving] | None = None
    ) -> FakeEndpoint:
        """As `media.endpoints` does it once a peer is connected."""
        endpoint = FakeEndpoint(self, name)
        endpoint.publisher = publisher = Publisher(name, sends or [], self.group, endpoint.hear, self.now)
        endpoint.subscriber = Subscriber(endpoint, self.now)
        self.endpoints.append(endpoint)
        self.group.publish(publisher.publications, publisher.request_key_frames, self.now)
        self.group.subscribe(name, receives or [], endpoint.subscriber, self.now)
        return endpoint

    # what the group tells

    def feed_changed(self, group: str, feed: str, active: bool) -> None:
        self.changes.append((feed, active))

    def feed_published(self, group: str, feed: str, here: bool) -> None:
        self.published.append((feed, here))

    def stream_began(self, group: str, feed: str) -> None:
        self.began.append(feed)

    def feeds_wished(self, group: str, feeds: tuple[str, ...]) -> None:
        self.wished = feeds

    def source_wanted(self, group: str, publication: Publication, node: str | None) -> None:
        self.wanted[publication.feed] = publication.asked_rids()

    def rung_changed(self, group: str, endpoint: str, subscriber: Subscriber, now: float) -> None:
        self.rungs.append((endpoint, subscriber.rung))

    def stage(self, video: list[str | None], audio: list[str | None] | None = None) -> None:
        self.group.set_stage(tuple(video), tuple(audio or ()), self.now)

    def wait(self, seconds: float) -> None:
        """Time passes in ticks of 50 ms."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.tick()

    def tick(self) -> None:
        self.ticks += 1
        for endpoint in self.endpoints:
            endpoint.publisher.tick(self.now)
            if self.ticks % 20 == 0:
                endpoint.publisher.report(self.now)
                endpoint.subscriber.report(self.now + 3_900_000_000)
        self.group.tick(self.now)
        self.group.flush(self.now)
