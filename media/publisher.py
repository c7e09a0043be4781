"""What one endpoint sends: its feeds, their simulcast layers, and the feedback that it gets for them.

Packets come in decrypted. Each finds its `Stream` by SSRC; an unknown SSRC is learned from the mid and rid extensions
(RFC 8843 §9.2, RFC 8852), from the offer's a=ssrc, or from a payload type that only one m-line has. A stream hands its
packets to the lines that take from it (media.subscriber).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from media.control import FeedStats
from media.forward.arrivals import ArrivalRecorder
from media.forward.clock import PublisherClock
from media.forward.lossrate import LossRate
from media.rtp.extensions import MID, REPAIRED_RID, RID, TRANSPORT_CC, audio_level
from media.rtp.header import Came, RtpPacket
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
from media.sdp import CNAME, Sending
from media.stream import FEED_SILENT_S, Publication, Stream

NODE_SSRC = 1
_REPORT_S = 1.0
_FEEDBACK_S, _SELDOM_S = 0.1, 0.25
_MANY = 10
"""Who sends fewer packets in a feedback's time is told of them less often, as browsers do among themselves."""
_MAX_STREAMS = 32
_MAX_BLOCKS = 31


class Upstream(Protocol):
    """The way that an endpoint's packets come, and feedback goes (media.peer)."""

    def send_rtcp(self, packet: bytes) -> None: ...

    def let_wait(self, ssrcs: Iterable[int]) -> None:
        """Packets of these streams wait from now on until they are taken."""

    def take_waiting(self) -> list[list[Came]]:
        """What waited, stream by stream in the order of its coming; nothing waits from now on."""


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
        upstream: Upstream,
        now: float,
    ) -> None:
        clock = PublisherClock()
        self.publications = [Publication(endpoint, sending, clock, now) for sending in sendings]
        self.malformed = 0
        self._clock = clock
        self._events = events
        self._upstream = upstream
        self._send_rtcp = upstream.send_rtcp
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
        self._fed_back_at = self._look_at = now
        self.due_at = now
        for publication in self.publications:
            publication.owner = self
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
            self.attend()
            ask_for_lost(stream, self._send_rtcp, now)

    def settle(self) -> None:
        """Looks at what waited. Nothing waits from now on, until the next look."""
        for run in self._upstream.take_waiting():
            self._receive_run(run)

    def _receive_run(self, run: list[Came]) -> None:
        """Packets of one stream, as if each were received when it came."""
        ssrc = run[0].packet.ssrc
        stream = self._streams.get(ssrc)
        if stream is None or not stream.note_run(run):
            for packet, size, at in run:
                self.receive_rtp(packet, size, at)
            return
        self._last_ssrc = ssrc
        if self._arrival_id:
            numbers = [(packet.extensions.get(self._arrival_id, b""), at) for packet, _, at in run]
            self._arrivals.record_run([(n[0] << 8 | n[1], at) for n, at in numbers if len(n) == 2])
        publication = stream.publication
        if publication.level_id:
            levels = [level for packet, _, _ in run if (level := packet.extensions.get(publication.level_id))]
            if levels:
                self._events.level_heard(publication, max(map(audio_level, levels)))
        if publication.kind == "video":
            for packet, _, at in run:
                stream.hand_on(packet, at)

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
            self.settle()
            for ssrc in part.sources:
                gone = self._streams.get(ssrc)
                if gone is not None:
                    gone.since = None

    # -- out -----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """What is due, at `due_at` or soon after it."""
        if now >= self._look_at:
            self._look(now)
        restless = False
        for publication in self.publications:
            if publication.key_frames.wanted:
                restless = True
                self.request_key_frames(publication, now)
        for stream in self._streams.values():
            if stream.missing is not None and stream.missing.waiting:
                restless = True
                ask_for_lost(stream, self._send_rtcp, now)
        self.due_at = now if restless else self._look_at

    def attend(self) -> None:
        """Something is due at the next tick."""
        self.due_at = 0.0

    def _look(self, now: float) -> None:
        """At what waited; tells which packets came when; and lets wait whose packets nobody takes."""
        self.settle()
        untold, elapsed = len(self._arrivals), now - self._fed_back_at
        if untold >= _MANY or (untold and elapsed >= _SELDOM_S):
            self._feed_back()
            self._fed_back_at = now
            self._look_at = now + (_FEEDBACK_S if untold * _FEEDBACK_S >= _MANY * elapsed else _SELDOM_S)
        else:
            self._look_at = (self._fed_back_at if untold else now) + _SELDOM_S
        self._upstream.let_wait(ssrc for ssrc, stream in self._streams.items() if stream.may_wait(now))

    def _feed_back(self) -> None:
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
        self.settle()
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
