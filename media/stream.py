"""A feed and its simulcast layers: what came in of each, and who takes it.

Where nobody takes a stream its packets may wait, encrypted as they came, and are looked at together (media.publisher).
"""

from collections.abc import Sequence
from typing import Protocol

from media.control import FeedStats
from media.forward.clock import PublisherClock
from media.forward.gop import KeyFrameCache
from media.forward.keyframes import KeyFrameRequests
from media.forward.layers import BEHIND_S, LayerState, is_active
from media.forward.nack import MissingPackets
from media.forward.reception import Reception
from media.forward.wanted import WantedLayers
from media.rtp import h264, vp8
from media.rtp.extensions import AUDIO_LEVEL, VIDEO_ORIENTATION
from media.rtp.header import Came, RtpPacket
from media.sdp import Kind, Sending, kind_of

FEED_SILENT_S = 2.0


class Owner(Protocol):
    """Whoever publishes a feed here (media.publisher)."""

    def settle(self) -> None:
        """Packets that wait are looked at now."""

    def attend(self) -> None:
        """There is something to do at the next tick."""


class Taker(Protocol):
    """Whoever takes the packets of a stream."""

    def receive(self, stream: "Stream", packet: RtpPacket, starts_key_frame: bool, now: float) -> None: ...


class Stream:
    """One SSRC of a feed: a simulcast layer, or the whole of it. `rank` is its place in the offer, 0 the smallest."""

    def __init__(self, publication: "Publication", ssrc: int, rid: str | None, rank: int) -> None:
        self.publication = publication
        self.ssrc = ssrc
        self.rid = rid
        self.rank = rank
        self.takers: list[Taker] = []
        self.reception: Reception | None = None
        self.missing: MissingPackets | None = None
        self.cache = KeyFrameCache()
        self.report: tuple[int, int] | None = None  # NTP and RTP time of the last sender report
        self.since: float | None = None
        self.last = 0.0
        self.key_frames = self.key_frames_asked = self.width = self.height = self.bps = 0
        self._octets_before = 0
        self._key_timestamp: int | None = None
        self._sends_sets = False

    # -- who takes it --------------------------------------------------------------------------------------------------

    def add_taker(self, taker: Taker) -> None:
        """It gets what comes from now on, and all that came before is in the cache. Who looks at streams before that
        settles the publication first: packets that waited may change them."""
        self.publication.settle()
        self.takers.append(taker)

    def remove_taker(self, taker: Taker) -> None:
        self.takers.remove(taker)

    def want_key_frame(self) -> None:
        """A taker needs one."""
        self.publication.want_key_frame(self.ssrc)

    def may_wait(self, now: float) -> bool:
        """Nobody needs its next packets at once: neither who takes it, nor to learn that it begins or loses packets."""
        flows = self.since is not None and now - self.last < BEHIND_S
        return flows and not self.takers and (self.missing is None or not self.missing.waiting)

    # -- what came in --------------------------------------------------------------------------------------------------

    def note_run(self, run: Sequence[Came]) -> bool:
        """Counts packets that waited, if they came in order and without a gap or a silence. Whether it did: if not,
        each is to be noted by itself."""
        reception, last, payload_type = self.reception, self.last, self.publication.payload_type
        if self.since is None or reception is None:
            return False
        number = reception.newest
        for packet, _, at in run:
            number = number + 1 & 0xFFFF
            if packet.sequence != number or packet.payload_type != payload_type:
                return False
            if at - last > BEHIND_S or not packet.payload:
                return False
            last = at
        reception.record_run(run)
        if self.missing is not None:
            self.missing.advance(len(run))
        self.last = last
        return True

    def note(self, packet: RtpPacket, size: int, now: float) -> bool:
        """Counts a packet. Whether it begins a run after silence."""
        sequence, reception, missing = packet.sequence, self.reception, self.missing
        if reception is None:
            reception = self.reception = Reception(sequence, self.publication.clock_rate)
            missing = self.missing = MissingPackets(sequence) if self.publication.resends else None
        reception.record(Came(packet, size, now))
        if missing is not None:
            missing.record(sequence, now)
        if not packet.payload:  # padding: a probe of the path
            return False
        begins = self.since is None or now - self.last > BEHIND_S
        if begins:
            self.since = now
            self.cache.forget()
        self.last = now
        return begins

    def note_repaired(self, sequence: int, now: float) -> bool:
        """A packet came by retransmission. Whether it was still missing."""
        if self.missing is None or not self.missing.repair(sequence):
            return False
        self.last = now
        return True

    def hand_on(self, packet: RtpPacket, now: float) -> None:
        """To every line that takes from here; lines may come and go at a key frame."""
        starts = False
        if self.publication.kind == "video":
            starts = self._starts_key_frame(packet)
            self.cache.add(packet, starts, now)
        for taker in tuple(self.takers) if starts else self.takers:
            taker.receive(self, packet, starts, now)

    def is_newest(self, packet: RtpPacket) -> bool:
        """Nothing that was sent after it has come in."""
        return self.reception is None or self.reception.newest == packet.sequence

    def _starts_key_frame(self, packet: RtpPacket) -> bool:
        """The first packet of a key frame: of H.264 the parameter set, and not the slice that follows it as well."""
        payload, codec = packet.payload, self.publication.codec
        if not payload:
            return False
        if codec == "vp8":
            starts = vp8.starts_key_frame(payload)
        else:
            starts = codec == "h264" and self._h264_key_frame(payload)
        if not starts or packet.timestamp == self._key_timestamp:
            return False
        self._key_timestamp = packet.timestamp
        if codec == "vp8":
            self._note_size(vp8.key_frame_size(payload))
        self.key_frames += 1
        self.publication.key_frames.arrived(self.ssrc)
        return True

    def _h264_key_frame(self, payload: bytes) -> bool:
        """Of a source that sends parameter sets, a slice alone is a key frame whose beginning was lost."""
        if not h264.starts_key_frame(payload):
            return False
        if h264.has_parameter_set(payload):
            self._sends_sets = True
            self._note_size(h264.key_frame_size(payload))
        elif self._sends_sets:
            return False
        return True

    def _note_size(self, size: tuple[int, int] | None) -> None:
        if size is not None:
            self.width, self.height = size

    def measure_rate(self, elapsed_s: float) -> None:
        octets = self.reception.octets if self.reception else 0
        self.bps = int((octets - self._octets_before) * 8 / elapsed_s)
        self._octets_before = octets

    def stats(self, now: float) -> FeedStats:
        reception = self.reception
        return FeedStats(
            feed=self.publication.feed,
            rid=self.rid,
            codec=self.publication.codec,
            active=self.since is not None and now - self.last < FEED_SILENT_S,
            wanted=self.rank in self.publication.wanted.asked,
            packets=reception.received if reception else 0,
            bytes=reception.octets if reception else 0,
            lost=reception.lost if reception else 0,
            jitter_s=reception.jitter_s if reception else 0.0,
            key_frames=self.key_frames,
            key_frames_asked=self.key_frames_asked,
            width=self.width,
            height=self.height,
            bps=self.bps,
        )


class Publication:
    """A feed: "<endpoint>/<source>", its codec, and its streams in the order of their size."""

    def __init__(self, endpoint: str, sending: Sending, clock: PublisherClock, now: float) -> None:
        self.endpoint = endpoint
        self.feed = f"{endpoint}/{sending.source}"
        self.kind: Kind = kind_of(sending.source)
        self.codec = sending.codec.name
        self.clock_rate = sending.codec.clock_rate
        self.payload_type = sending.codec.payload_type
        self.repair_type = sending.repair_type
        self.resends = "nack" in sending.codec.feedback
        self.mid = sending.section.mid
        self.rids = sending.section.rids
        self.orientation_id = sending.section.extensions.get(VIDEO_ORIENTATION, 0)
        self.level_id = sending.section.extensions.get(AUDIO_LEVEL, 0)
        self.clock = clock
        self.key_frames = KeyFrameRequests()
        self.wanted = WantedLayers(self.layer_count, now)
        self.streams: list[Stream] = []
        self.active = False
        self.owner: Owner | None = None

    @property
    def source(self) -> str:
        return self.feed.rpartition("/")[2]

    @property
    def layer_count(self) -> int:
        return max(1, len(self.rids))

    def settle(self) -> None:
        """What came in of it is known from now on, also where nobody takes it."""
        if self.owner is not None:
            self.owner.settle()

    def want_key_frame(self, ssrc: int) -> None:
        self.key_frames.want(ssrc)
        if self.owner is not None:
            self.owner.attend()

    def asked_rids(self) -> tuple[str, ...]:
        """The layers that the endpoint is asked to send, smallest first; "" where there is no simulcast."""
        rids = self.rids or ("",)
        return tuple(rids[rank] for rank in sorted(self.wanted.asked))

    def flowing(self, order: int, now: float) -> bool:
        """Whether the layer of this size comes in."""
        layers = self.layers()
        newest = max((layer.last for layer in layers), default=0.0)
        return any(layer.order == order and is_active(layer, newest, now) for layer in layers)

    def bps_of(self, most: int) -> int | None:
        """What the largest layer up to this order sends at present; None when it does not come in."""
        rates = {self._order(stream): stream.bps for stream in self.streams if stream.bps}
        return rates.get(min(most, self.layer_count - 1))

    def learn(self, ssrc: int, rid: str | None) -> Stream:
        """The stream of an SSRC that is new; one of the same rid is replaced."""
        rank = self.rids.index(rid) if rid in self.rids else 0
        stream = Stream(self, ssrc, rid, rank)
        self.streams = sorted([*(old for old in self.streams if old.rank != rank), stream], key=lambda each: each.rank)
        return stream

    def end(self) -> None:
        """It is withdrawn. Streams hold it as it holds them: without this only the collector would part them."""
        self.streams = []
        self.owner = None

    def layers(self) -> list[LayerState]:
        return [LayerState(self._order(stream), stream.since, stream.last) for stream in self.streams]

    def rank_of(self, order: int) -> int:
        """The place in the offer of the layer of this size."""
        return next((each.rank for each in self.streams if self._order(each) == order), order)

    def _order(self, stream: Stream) -> int:
        """By the picture size once every layer told one, else by the order of the offer."""
        if len(self.streams) < self.layer_count or not all(each.width for each in self.streams):
            return stream.rank
        sizes = sorted((each.width * each.height, each.rank) for each in self.streams)
        return sizes.index((stream.width * stream.height, stream.rank))
