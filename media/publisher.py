"""What one endpoint sends: its feeds, their simulcast layers, and the feedback that it gets for them.

Packets come in decrypted. Each finds its `Stream` by SSRC; an unknown SSRC is learned from the mid and rid extensions
(RFC 8843 §9.2, RFC 8852), from the offer's a=ssrc, or from a payload type that only one m-line has. A stream hands its
packets to the lines that take from it (media.subscriber).
"""

from collections.abc import Callable
from typing import Protocol

from media.control import FeedStats
from media.forward.arrivals import ArrivalRecorder
from media.forward.clock import PublisherClock
from media.forward.gop import KeyFrameCache
from media.forward.keyframes import KeyFrameRequests
from media.forward.layers import BEHIND_S, LayerState, is_active
from media.forward.lossrate import LossRate
from media.forward.nack import MissingPackets
from media.forward.reception import Reception
from media.forward.wanted import WantedLayers
from media.rtp import h264, vp8
from media.rtp.extensions import AUDIO_LEVEL, MID, REPAIRED_RID, RID, TRANSPORT_CC, VIDEO_ORIENTATION, audio_level
from media.rtp.header import RtpPacket
from media.rtp.rtcp import (
    AnyRtcp,
    Bye,
    ReceiverReport,
    SenderReport,
    encode_cname,
    encode_nack,
    encode_pli,
    encode_receiver_report,
    encode_remb,
    encode_transport_feedback,
)
from media.rtp.rtx import MalformedRtx, unwrap_rtx
from media.rtp.twcc import encode_twcc
from media.sdp import CNAME, Kind, Sending, kind_of

NODE_SSRC = 1
FEED_SILENT_S = 2.0
_REPORT_S = 1.0
_FEEDBACK_S, _SELDOM_S = 0.1, 0.25
_MANY = 10
"""Who sends fewer packets in a feedback's time is told of them less often, as browsers do among themselves."""
_MAX_STREAMS = 32
_MAX_BLOCKS = 31


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

    def note(self, packet: RtpPacket, size: int, now: float) -> bool:
        """Counts a packet. Whether it begins a run after silence."""
        sequence, reception, missing = packet.sequence, self.reception, self.missing
        if reception is None:
            reception = self.reception = Reception(sequence, self.publication.clock_rate)
            missing = self.missing = MissingPackets(sequence) if self.publication.resends else None
        reception.record(sequence, packet.timestamp, size, now)
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

    @property
    def source(self) -> str:
        return self.feed.rpartition("/")[2]

    @property
    def layer_count(self) -> int:
        return max(1, len(self.rids))

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


class PublisherEvents(Protocol):
    """What a publisher tells its group."""

    def stream_began(self, publication: Publication, now: float) -> None: ...

    def feed_changed(self, publication: Publication) -> None: ...

    def level_heard(self, publication: Publication, level: int) -> None: ...


class Publisher:
    def __init__(
        self,
        endpoint: str,
        sendings: list[Sending],
        events: PublisherEvents,
        send_rtcp: Callable[[bytes], None],
        now: float,
    ) -> None:
        clock = PublisherClock()
        self.publications = [Publication(endpoint, sending, clock, now) for sending in sendings]
        self.malformed = 0
        self._clock = clock
        self._events = events
        self._send_rtcp = send_rtcp
        self._streams: dict[int, Stream] = {}
        self._announced = {
            ssrc: publication
            for publication, sending in zip(self.publications, sendings, strict=True)
            if not publication.rids
            for ssrc in sending.section.ssrcs
        }
        self._repairs: dict[int, Stream] = {}
        self._repair_ssrcs = {key: ssrc for sending in sendings for key, ssrc in sending.section.repair_ssrcs.items()}
        self._repair_types = {each.repair_type for each in self.publications if each.repair_type is not None}
        self._ids = {uri: number for sending in sendings for uri, number in sending.section.extensions.items()}
        self._arrivals = ArrivalRecorder()
        self._arrival_id = self._ids.get(TRANSPORT_CC, 0) if any(sending.transport_cc for sending in sendings) else 0
        self._loss_rate = (
            LossRate()
            if any("goog-remb" in sending.codec.feedback and not sending.transport_cc for sending in sendings)
            else None
        )
        self._reported_at = now - _REPORT_S
        self._fed_back_at = self._feed_back_at = now
        self._last_ssrc = 0

    # -- in ------------------------------------------------------------------------------------------------------------

    def receive_rtp(self, packet: RtpPacket, size: int, now: float) -> None:
        """`size`: bytes of the datagram."""
        if self._arrival_id and (number := packet.extensions.get(self._arrival_id)) is not None and len(number) == 2:
            self._arrivals.record(number[0] << 8 | number[1], now)
        if packet.payload_type in self._repair_types:
            self._receive_repair(packet, now)
            return
        stream = self._streams.get(packet.ssrc) or self._learn(packet)
        if stream is None or packet.payload_type != stream.publication.payload_type:
            self.malformed += 1
            return
        self._last_ssrc = packet.ssrc
        publication = stream.publication
        if publication.level_id and (level := packet.extensions.get(publication.level_id)):
            self._events.level_heard(publication, audio_level(level))
        begins = stream.note(packet, size, now)
        if begins:
            self._began(publication, now)
        missing = stream.missing
        # One whose retransmission was faster must not go out again (media.leg).
        if missing is None or not missing.repaired or not missing.was_repaired(packet.sequence):
            stream.hand_on(packet, now)
        if begins and publication.key_frames.wanted:
            self.request_key_frames(publication, now)  # not before: it mostly begins with one
        if missing is not None and missing.waiting:
            ask_for_lost(stream, self._send_rtcp, now)

    def _receive_repair(self, packet: RtpPacket, now: float) -> None:
        """A retransmission (RFC 4588), or a probe of the path that looks like one."""
        stream = self._repairs.get(packet.ssrc) or self._learn_repair(packet)
        if stream is None or not packet.payload:
            return
        try:
            sequence, payload = unwrap_rtx(packet.payload)
        except MalformedRtx:
            self.malformed += 1
            return
        if packet.payload_type == stream.publication.repair_type and stream.note_repaired(sequence, now):
            packet.ssrc, packet.sequence, packet.payload = stream.ssrc, sequence, payload
            packet.payload_type = stream.publication.payload_type
            stream.hand_on(packet, now)

    def _learn_repair(self, packet: RtpPacket) -> Stream | None:
        if len(self._repairs) >= _MAX_STREAMS:
            return None
        stream = self._streams.get(self._repair_ssrcs.get(packet.ssrc, -1))
        rid = self._text(packet, REPAIRED_RID)
        mid = self._text(packet, MID)
        if stream is None and rid is not None:
            same = [each for each in self._streams.values() if each.rid == rid]
            same = [each for each in same if mid in (None, each.publication.mid)]
            stream = same[0] if len(same) == 1 else None
        if stream is not None:
            self._repairs[packet.ssrc] = stream
        return stream

    def _began(self, publication: Publication, now: float) -> None:
        self._events.stream_began(publication, now)
        if not publication.active:
            publication.active = True
            self._events.feed_changed(publication)

    def _learn(self, packet: RtpPacket) -> Stream | None:
        if len(self._streams) >= _MAX_STREAMS:
            return None
        rid = self._text(packet, RID)
        publication = self._find(packet, rid)
        if publication is None or (publication.rids and rid not in publication.rids):
            return None
        stream = publication.learn(packet.ssrc, rid if publication.rids else None)
        self._streams = {ssrc: old for ssrc, old in self._streams.items() if old in old.publication.streams}
        self._streams[packet.ssrc] = stream
        self._repairs = {ssrc: each for ssrc, each in self._repairs.items() if each in self._streams.values()}
        return stream

    def _find(self, packet: RtpPacket, rid: str | None) -> Publication | None:
        mid = self._text(packet, MID)
        if mid is not None:
            return next((each for each in self.publications if each.mid == mid), None)
        if packet.ssrc in self._announced:
            return self._announced[packet.ssrc]
        fitting = [each for each in self.publications if each.payload_type == packet.payload_type]
        if rid is not None:
            fitting = [each for each in fitting if rid in each.rids]
        return fitting[0] if len(fitting) == 1 else None

    def _text(self, packet: RtpPacket, uri: str) -> str | None:
        value = packet.extensions.get(self._ids.get(uri, 0))
        return None if value is None else value.decode("ascii", "replace")

    def receive_rtcp(self, part: AnyRtcp, now: float, wall: float) -> None:
        """A part of a compound packet; what is not about the sender's own streams is read over."""
        if isinstance(part, SenderReport):
            stream = self._streams.get(part.ssrc)
            if stream is not None and stream.reception is not None:
                stream.report = (part.ntp, part.timestamp)
                stream.reception.record_sender_report(part.ntp, now)
                self._clock.observe(part.ntp, wall)
        elif isinstance(part, Bye):
            for ssrc in part.sources:
                gone = self._streams.get(ssrc)
                if gone is not None:
                    gone.since = None

    # -- out -----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Some twenty times a second: what is due soon, and cheap when nothing is."""
        if now >= self._feed_back_at:
            self._feed_back(now)
        for publication in self.publications:
            if publication.key_frames.wanted:
                self.request_key_frames(publication, now)
        for stream in self._streams.values():
            if stream.missing is not None and stream.missing.waiting:
                ask_for_lost(stream, self._send_rtcp, now)

    def _feed_back(self, now: float) -> None:
        """Tells which packets came when."""
        untold = len(self._arrivals)
        if not untold:
            return
        if untold < _MANY and now - self._fed_back_at < _SELDOM_S:
            self._feed_back_at = self._fed_back_at + _SELDOM_S
            return
        self._fed_back_at, self._feed_back_at = now, now + _FEEDBACK_S
        for feedback in self._arrivals.feedback():
            self._send_rtcp(encode_transport_feedback(NODE_SSRC, self._last_ssrc, encode_twcc(feedback)))

    def report(self, now: float) -> None:
        """Once a second: what came in, and which feeds ceased."""
        for publication in self.publications:
            if publication.active and self._is_silent(publication, now):
                publication.active = False
                self._events.feed_changed(publication)
        self._report(now)

    def cease(self) -> None:
        """Nothing at all comes from the endpoint: its feeds are over until packets come again."""
        for publication in self.publications:
            if publication.active:
                publication.active = False
                self._events.feed_changed(publication)
        for stream in self._streams.values():
            stream.since = None

    def end(self) -> None:
        """It is withdrawn, and nothing comes from it any more."""
        for publication in self.publications:
            publication.end()
        self._streams = {}
        self._repairs = {}

    @staticmethod
    def _is_silent(publication: Publication, now: float) -> bool:
        """Nothing comes in although it was asked for long enough. A source that nobody looks at may be silent."""
        wanted = publication.wanted
        if not wanted.asked:
            return False
        return all(now - max(stream.last, wanted.raised_at) > FEED_SILENT_S for stream in publication.streams)

    def request_key_frames(self, publication: Publication, now: float) -> None:
        """Sends the PLIs that are due."""
        ask_for_key_frames(publication, self._streams, self._send_rtcp, now)

    def _report(self, now: float) -> None:
        elapsed_s = max(now - self._reported_at, 0.1)
        self._reported_at = now
        blocks = []
        for ssrc, stream in self._streams.items():
            stream.measure_rate(elapsed_s)
            if stream.reception is not None and now - stream.last < 5 * _REPORT_S:
                blocks.append(stream.reception.report(ssrc, now))
        if not blocks:
            return
        packet = encode_receiver_report(ReceiverReport(NODE_SSRC, tuple(blocks[:_MAX_BLOCKS])))
        packet += encode_cname(NODE_SSRC, CNAME)
        if self._loss_rate is not None:
            bps = self._loss_rate.update(max(block.fraction_lost for block in blocks) / 256)
            packet += encode_remb(NODE_SSRC, bps, tuple(block.ssrc for block in blocks))
        self._send_rtcp(packet)

    def stats(self, now: float) -> list[FeedStats]:
        return [stream.stats(now) for publication in self.publications for stream in publication.streams]


def ask_for_key_frames(
    publication: Publication, streams: dict[int, Stream], send_rtcp: Callable[[bytes], None], now: float
) -> None:
    """Sends the PLIs of a feed that are due."""
    wanted = publication.key_frames.due(now)
    if not wanted:
        return
    for ssrc in wanted:
        if ssrc in streams:
            streams[ssrc].key_frames_asked += 1
    send_rtcp(_empty_report() + b"".join(encode_pli(NODE_SSRC, ssrc) for ssrc in wanted))


def ask_for_lost(stream: Stream, send_rtcp: Callable[[bytes], None], now: float) -> None:
    """Sends a NACK of what is missing, when it is time."""
    lost = stream.missing.due(now) if stream.missing is not None else None
    if lost:
        send_rtcp(_empty_report() + encode_nack(NODE_SSRC, stream.ssrc, lost))


def _empty_report() -> bytes:
    return encode_receiver_report(ReceiverReport(NODE_SSRC))
