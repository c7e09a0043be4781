"""A group without network: endpoints that publish RTP bytes and note what they receive, and time as a number."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from media.burst import TAG, Burst, Run
from media.forward.ladder import HIGH, Ladder, LineState
from media.lane import Address, Lane, SendRun
from media.publisher import Publisher
from media.router import Group
from media.rtp.extensions import ABS_SEND_TIME, AUDIO_LEVEL, MID, REPAIRED_RID, RID
from media.rtp.header import Came, RtpPacket, encode_rtp, parse_rtp
from media.rtp.rtcp import AnyRtcp, KeyFrameRequest, Nack, parse_rtcp
from media.rtp.rtx import wrap_rtx
from media.rtp.vp8 import Vp8Descriptor
from media.sdp import Codec, Receiving, Section, Sending
from media.stream import Publication
from media.subscriber import Subscriber
from tests.support.vp8_descriptor import encode_vp8

VP8 = Codec(96, "vp8", 90000, "", "", frozenset({"nack", "nack pli", "goog-remb"}))
H264 = Codec(102, "h264", 90000, "", "", frozenset({"nack", "nack pli", "goog-remb"}))
OPUS = Codec(111, "opus", 48000, "2", "", frozenset())
EXTENSIONS = {MID: 9, RID: 10, REPAIRED_RID: 11, ABS_SEND_TIME: 2, AUDIO_LEVEL: 14}
REPAIRS = {96: 97, 102: 103}
REPAIR_SSRC_STEP = 500_000
WIDTHS = {"q": 320, "h": 640, "f": 1280, None: 1280}
INTER_FRAME = b"\x11inter"


def key_frame(width: int) -> bytes:
    """The first bytes of a key frame (RFC 6386 §9.1)."""
    height = width * 9 // 16
    return bytes.fromhex("1002009d012a") + width.to_bytes(2, "little") + height.to_bytes(2, "little")


def vp8_frame(picture: int, width: int, key: bool, parts: int) -> list[bytes]:
    """A descriptor with every running field; each frame is of the base layer."""
    descriptors = [
        Vp8Descriptor(0, False, part == 0, 0, picture, True, picture & 0xFF, 0, False, picture & 0x1F)
        for part in range(parts)
    ]
    bodies = [key_frame(width) if key else INTER_FRAME] + [b"more"] * (parts - 1)
    return [encode_vp8(descriptor) + body for descriptor, body in zip(descriptors, bodies, strict=True)]


def h264_frame(key: bool, parts: int) -> list[bytes]:
    """Single NAL units: a parameter set and an IDR slice, or a slice; each `parts` times."""
    return ([b"\x67set"] if key else []) + [b"\x65slice" if key else b"\x41slice"] * parts


def section(kind: str, mid: str, direction: str, rids: tuple[str, ...] = ()) -> Section:
    return Section(kind, 9, "UDP/TLS/RTP/SAVPF", (), {}, mid, direction, (VP8, OPUS), dict(EXTENSIONS), rids=rids)


def sending(source: str, rids: tuple[str, ...] = (), codec: Codec = VP8, *, repairs: bool = False) -> Sending:
    """`repairs`: retransmissions (RFC 4588) were negotiated."""
    kind = "audio" if source == "microphone" else "video"
    place = section(kind, source, "sendonly", rids)
    place = replace(place, repair_types=dict(REPAIRS) if repairs else {})
    return Sending(place, source, OPUS if kind == "audio" else codec, False)


def receiving(slot: str, vp8: int = 96, *, h264: int | None = None, repairs: bool = False) -> Receiving:
    """A slot whose payload types are these; Chromium's VP8 is 96, Firefox's 120."""
    kind = "audio" if slot.startswith("audio") else "video"
    place = section(kind, slot, "recvonly")
    if kind == "audio":
        return Receiving(place, slot, (OPUS,))
    codecs = [Codec(vp8, "vp8", 90000, "", "", frozenset())]
    if h264 is not None:
        codecs.append(Codec(h264, "h264", 90000, "", "", frozenset()))
    types = {codec.payload_type: codec.payload_type + 1 for codec in codecs} if repairs else {}
    place = replace(place, repair_types=types)
    return Receiving(place, slot, tuple(codecs))


@dataclass
class Received:
    packet: RtpPacket
    index: int
    at: float


class HandLadder(Ladder):
    """Stands on the rung that a test wants, whatever the line carries."""

    wanted = HIGH

    def update(self, line: LineState, now: float) -> bool:
        before, self.rung = self.rung, self.wanted
        return self.rung != before


@dataclass
class Source:
    """One SSRC of an endpoint, counting on; each begins elsewhere, shortly before its numbers wrap."""

    mid: str
    ssrc: int
    rid: str | None
    sequence: int
    timestamp: int
    picture: int
    frames: int = 0
    repairs: int = 0
    sent: dict[int, RtpPacket] = field(default_factory=dict)


class NoSocket:
    """Where nothing comes."""

    def send(self, datagram: bytes, address: Address) -> None:
        raise AssertionError

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        raise AssertionError

    def begin_runs(self, segment: int) -> SendRun | None:
        return None

    def end_runs(self, *, worked: bool) -> None:
        raise AssertionError


class NoWaiting:
    """Where an endpoint's packets come from, and what went back; none of them waits."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_rtcp(self, packet: bytes) -> None:
        self.sent.append(packet)

    def let_wait(self, ssrcs: Iterable[int]) -> None:
        return

    def take_waiting(self) -> list[list[Came]]:
        return []


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
    nonces: dict[tuple[int, int], bytes] = field(default_factory=dict)
    waiting: dict[int, list[Came]] = field(default_factory=dict)

    def lane(self, ssrc: int) -> Lane:
        return Lane(self, ssrc, NoSocket())

    def note_unsent(self, packets: int, octets: int) -> None:
        raise AssertionError("nothing of this goes through a socket")

    def protect_burst(self, burst: Burst, ssrc: int, shift: int) -> list[Run]:
        """As a peer does it, with a cipher that changes nothing."""
        sealed: list[int] = []

        def seal(index: int, payload: bytes, header: bytes) -> bytes:
            sealed.append(index)
            return payload + bytes(TAG)

        datagrams = [
            run.data[start : start + run.segment]
            for run in burst.seal(seal, shift)
            for start in range(0, len(run.data), run.segment)
        ]
        assert sealed == [packet.number + shift for packet in burst.packets]
        for datagram, (index, header, payload) in zip(datagrams, burst.packets, strict=True):
            assert datagram == header + payload + bytes(TAG)
            self.send_rtp(header, payload, ssrc, index + shift)
        return []

    def send_rtp(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        packet = parse_rtp(header + payload)
        assert packet.ssrc == ssrc and packet.sequence == index & 0xFFFF and index >= 0
        # What AES-GCM relies on: an index is never used for different bytes (RFC 7714 §8.2).
        assert self.nonces.setdefault((ssrc, index), header + payload) == header + payload
        self.received.append(Received(packet, index, self.meeting.now))

    def send_rtcp(self, packet: bytes) -> None:
        self.hear(packet)

    def let_wait(self, ssrcs: Iterable[int]) -> None:
        for ssrc in ssrcs:
            self.waiting.setdefault(ssrc, [])

    def take_waiting(self) -> list[list[Came]]:
        waiting, self.waiting = self.waiting, {}
        return [run for run in waiting.values() if run]

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

    @property
    def published(self) -> dict[str, Publication]:
        return {publication.source: publication for publication in self.publisher.publications}

    def frame(self, mid: str = "camera", *, key: bool = False, rid: str | None = None, parts: int = 1) -> None:
        """One picture in so many packets; of H.264 a key frame has its parameter set in a packet before."""
        for _ in self.frame_parts(mid, key=key, rid=rid, parts=parts):
            pass

    def frame_parts(
        self, mid: str = "camera", *, key: bool = False, rid: str | None = None, parts: int = 1
    ) -> Iterator[None]:
        """The same, packet by packet."""
        source = self.source(mid, rid)
        source.timestamp = (source.timestamp + 3000) & 0xFFFFFFFF
        source.picture = (source.picture + 1) & 0x7FFF
        source.frames += 1
        vp8 = self.published[mid].codec == "vp8"
        bodies = [*(vp8_frame(source.picture, WIDTHS[rid], key, parts) if vp8 else h264_frame(key, parts))]
        for part, body in enumerate(bodies):
            name = f"|{self.name}/{mid}/{rid or ''}|{source.frames}|{part}|{'key' if key else ''}"
            self.packet(mid, body + name.encode(), rid=rid, marker=part == len(bodies) - 1)
            yield

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
        payload_type = self.published[mid].payload_type
        packet = RtpPacket(marker, payload_type, source.sequence, source.timestamp, source.ssrc, elements, payload)
        self.sent[source.sequence] = encode_rtp(packet)
        source.sent[source.sequence] = packet
        self.repeat(source.sequence)

    def repair(self, mid: str, sequence: int, *, rid: str | None = None) -> None:
        """This packet again by retransmission (RFC 4588), on an SSRC of its own."""
        source = self.source(mid, rid)
        original = source.sent[sequence]
        elements = {9: mid.encode(), **({11: rid.encode()} if rid else {})}
        self.probe(mid, wrap_rtx(sequence, original.payload), original, elements)

    def probe(self, mid: str, payload: bytes, like: RtpPacket, extensions: dict[int, bytes]) -> None:
        """Something on the retransmission stream."""
        source = next(each for each in self.sources.values() if each.ssrc == like.ssrc)
        source.repairs += 1
        payload_type = self.published[mid].repair_type or 97
        again = RtpPacket(
            like.marker,
            payload_type,
            source.repairs,
            like.timestamp,
            like.ssrc + REPAIR_SSRC_STEP,
            extensions,
            payload,
        )
        self._go_out(encode_rtp(again))

    def asked_again(self, since: int = 0) -> list[tuple[int, int]]:
        """(SSRC, sequence number) of everything that was asked for again, in the feedback from this place on."""
        nacks = [part for _, part in self.feedback[since:] if isinstance(part, Nack)]
        return [(nack.media, number) for nack in nacks for number in nack.lost]

    def repeat(self, sequence: int) -> None:
        """This packet goes out, and may be lost."""
        self._go_out(self.sent[sequence])

    def come_late(self, source: Source, sequence: int) -> None:
        """A packet that was thought lost arrives."""
        self._go_out(encode_rtp(source.sent[sequence]))

    def _go_out(self, data: bytes) -> None:
        if not self.losing(data):
            came = Came(parse_rtp(data), len(data), self.meeting.now)
            if came.packet.ssrc in self.waiting:
                self.waiting[came.packet.ssrc].append(came)
            else:
                self.publisher.receive_rtp(*came)
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
        self.kind = FakeEndpoint

    def join(
        self, name: str, sends: list[Sending] | None = None, receives: list[Receiving] | None = None
    ) -> FakeEndpoint:
        """As `media.endpoints` does it once a peer is connected."""
        endpoint = self.kind(self, name)
        endpoint.publisher = publisher = Publisher(name, sends or [], self.group, endpoint, self.now)
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

    def stream_began(self, group: str, feed: str, now: float) -> None:
        self.began.append(feed)

    def feeds_wished(self, group: str, feeds: tuple[str, ...]) -> None:
        self.wished = feeds

    def source_wanted(self, group: str, publication: Publication, node: str | None) -> None:
        self.wanted[publication.feed] = publication.asked_rids()

    def rung_changed(self, group: str, endpoint: str, subscriber: Subscriber, now: float) -> None:
        self.rungs.append((endpoint, subscriber.rung))

    def rung(self, endpoint: FakeEndpoint, rung: int) -> None:
        """The endpoint's line carries this much from now on; it is noticed within a quarter of a second."""
        if not isinstance(endpoint.subscriber.ladder, HandLadder):
            endpoint.subscriber.ladder = HandLadder(self.now)
        endpoint.subscriber.ladder.wanted = rung
        endpoint.subscriber.easy = False  # as whatever it tells of a change makes it

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
            if endpoint.publisher.due_at <= self.now:
                endpoint.publisher.tick(self.now)
            if self.ticks % 20 == 0:
                endpoint.publisher.report(self.now)
                endpoint.subscriber.report(self.now + 3_900_000_000)
        self.group.tick(self.now)
        self.group.flush(self.now)
