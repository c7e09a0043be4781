"""What endpoints receive: lines and legs.

A `Line` is one outgoing stream as receivers of one shape see it: one slot, one set of payload types and extension ids.
It takes from one feed at a time and rewrites each packet once, without a seam at switches. A `Leg` is one receiver on
it: encryption, and its own shift of the sequence numbers, since a receiver that joins late or is left out for a while
(its own microphone) must not lose count of the rollovers (RFC 3711 §3.3.1).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from media.forward.history import History, ResendGuard
from media.forward.layers import Wish, choose_layer
from media.forward.pictures import PictureMap
from media.forward.seqmap import SeqMap
from media.forward.timestamps import TimestampMap
from media.publisher import Publication, Stream
from media.rtp.extensions import AUDIO_LEVEL, VIDEO_ORIENTATION
from media.rtp.header import RtpPacket, encode_header
from media.rtp.rtcp import (
    AnyRtcp,
    KeyFrameRequest,
    Nack,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    encode_bye,
    encode_cname,
    encode_sender_report,
)
from media.rtp.vp8 import MalformedVp8
from media.sdp import CNAME, Receiving, kind_of, slot_ssrc

_REPORT_S = 1.0
_HOLD_S = 2.0
_NEAR_ROLLOVER = 0xF000
_HALF_CYCLE = 0x8000
_SMALL_GAP = 1000
_MAX_RESENDS_AT_ONCE = 128
_NTP_FRACTION = 1 << 32

SendRtp = Callable[[bytes, bytes, int, int], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """What of the offer decides about an outgoing packet: payload types by codec, extension ids (0: none)."""

    payload_types: tuple[tuple[str, int], ...]
    orientation_id: int
    level_id: int


def shape_of(place: Receiving) -> Shape:
    extensions = place.section.extensions
    return Shape(
        tuple((codec.name, codec.payload_type) for codec in place.codecs),
        extensions.get(VIDEO_ORIENTATION, 0),
        extensions.get(AUDIO_LEVEL, 0),
    )


class Leg:
    """One receiver on one line. `waiting` until it may begin: video begins with a key frame."""

    __slots__ = (
        "_floor",
        "_guard",
        "_highest",
        "_send",
        "_shift",
        "endpoint",
        "loss",
        "octets",
        "packets",
        "rtt_s",
        "ssrc",
        "waiting",
    )

    def __init__(self, endpoint: str, ssrc: int, send: SendRtp) -> None:
        self.endpoint = endpoint
        self.ssrc = ssrc
        self.waiting = True
        self.packets = self.octets = 0
        self.rtt_s: float | None = None
        self.loss: float | None = None
        self._send = send
        self._shift = 0
        self._floor = 0
        self._highest: int | None = None
        self._guard = ResendGuard()

    def begin(self, index: int) -> None:
        """From this index of the line on, packets go out; its own indices continue, or start in the first cycle."""
        if self._highest is not None:
            if not 0 < index + self._shift - self._highest < _SMALL_GAP:
                self._shift = self._highest + 1 - index
        else:
            self._shift = -(index & ~0xFFFF)
            if index & 0xFFFF >= _NEAR_ROLLOVER:
                self._shift -= _HALF_CYCLE
        self._floor = index
        self.waiting = False

    def send(self, header: bytes, payload: bytes, index: int) -> None:
        if index < self._floor:
            return
        own = index + self._shift
        if self._shift & 0xFFFF:
            header = header[:2] + (own & 0xFFFF).to_bytes(2, "big") + header[4:]
        if self._highest is None or own > self._highest:
            self._highest = own
        self.packets += 1
        self.octets += len(payload)
        self._send(header, payload, self.ssrc, own)

    def missing(self, sequence: int, now: float) -> int | None:
        """The line's index of a packet that the receiver misses, if it may be sent again now."""
        if self._highest is None:
            return None
        index = self._highest - ((self._highest - sequence) & 0xFFFF) - self._shift
        if index < self._floor or not self._guard.allows(index, self.rtt_s, now):
            return None
        return index


class Line:
    def __init__(self, slot: str, shape: Shape, wish: Wish) -> None:
        self.slot = slot
        self.kind = kind_of(slot)
        self.ssrc = slot_ssrc(slot)
        self.legs: list[Leg] = []
        self.publication: Publication | None = None
        self._wish = wish
        self._payload_types = dict(shape.payload_types)
        self._shape = shape
        self._current: Stream | None = None
        self._pending: Stream | None = None
        self._hold_until = 0.0
        self._open: list[Leg] = []
        self._some_wait = False
        self._sequence = SeqMap(secrets.randbelow(_HALF_CYCLE))
        self._timestamps = TimestampMap(48000 if self.kind == "audio" else 90000, secrets.randbits(32))
        self._pictures = PictureMap()
        self._complete = True
        self._history = History(256, 1.0) if self.kind == "audio" else History(2048, 2.0)

    # -- who receives --------------------------------------------------------------------------------------------------

    def add(self, leg: Leg) -> None:
        self.legs.append(leg)
        self._some_wait = True
        self.request_key_frame()

    def remove(self, leg: Leg) -> None:
        self.legs.remove(leg)
        if leg in self._open:
            self._open.remove(leg)

    def request_key_frame(self) -> None:
        """Some receiver cannot decode what it gets."""
        stream = self._pending or self._current
        if stream is not None and self.kind == "video":
            stream.publication.key_frames.want(stream.ssrc)

    # -- what is received ----------------------------------------------------------------------------------------------

    def assign(self, publication: Publication | None, now: float) -> None:
        """The feed of this line from now on. Sound changes at once; a picture stays until the next one's key frame."""
        if publication is not None and publication.codec not in self._payload_types:
            publication = None
        if publication is self.publication:
            return
        self.publication = publication
        self._drop_pending()
        if publication is None or self.kind == "audio":
            self._drop_current()
        self._hold_until = now + _HOLD_S
        self.choose(now)

    def choose(self, now: float) -> None:
        """Looks which layer to take, and gives up a picture that is held too long."""
        publication = self.publication
        if publication is None:
            return
        if self._current is not None and self._current.publication is not publication and now >= self._hold_until:
            self._drop_current()
        streams = publication.streams
        present = self._pending or self._current
        place = choose_layer(
            publication.layers(), self._wish, streams.index(present) if present in streams else None, now
        )
        if place is None or streams[place] is present:
            self._repeat_request()
            return
        self._drop_pending()
        if streams[place] is self._current:
            return
        self._pending = streams[place]
        self._pending.takers.append(self)
        self.request_key_frame()

    def _repeat_request(self) -> None:
        if self._pending is not None or any(leg.waiting for leg in self.legs):
            self.request_key_frame()

    def _drop_pending(self) -> None:
        if self._pending is not None:
            self._pending.takers.remove(self)
            self._pending.publication.key_frames.forget(self._pending.ssrc)
            self._pending = None

    def _drop_current(self) -> None:
        if self._current is not None:
            self._current.takers.remove(self)
            self._current = None
            self._open = []
            self._some_wait = True

    # -- packets -------------------------------------------------------------------------------------------------------

    def receive(self, stream: Stream, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        if stream is self._pending and (starts_key_frame or self.kind == "audio"):
            self._switch(stream, packet, now)
        elif stream is not self._current:
            return
        if not packet.payload:  # padding: a probe of the publisher's path
            self._sequence.drop(packet.sequence)
            return
        index = self._sequence.map(packet.sequence)
        if index is None:
            return
        try:
            payload = self._pictures.rewrite(packet.payload) if stream.publication.codec == "vp8" else packet.payload
        except MalformedVp8:
            return
        if self._some_wait and (starts_key_frame or self.kind == "audio"):
            self._begin_waiting(stream, index)
        self._complete = packet.marker
        header = self._header(stream.publication, packet, index, now)
        self._history.add(index, header, payload, now)
        for leg in self._open:
            leg.send(header, payload, index)

    def send_again(self, leg: Leg, lost: tuple[int, ...], now: float) -> None:
        """A receiver misses these of its sequence numbers: the same packets again, as long as they are remembered."""
        for sequence in lost[:_MAX_RESENDS_AT_ONCE]:
            index = leg.missing(sequence, now)
            found = None if index is None else self._history.find(index, now)
            if index is not None and found is not None:
                leg.send(*found, index)

    def _switch(self, stream: Stream, packet: RtpPacket, now: float) -> None:
        same_feed = self._current is not None and self._current.publication is stream.publication
        if self._current is not None:
            self._current.takers.remove(self)
        self._current, self._pending = stream, None
        self._sequence.switch(packet.sequence, gap=not self._complete and self.kind == "video")
        self._timestamps.switch(packet.timestamp, now)
        self._pictures.switch()
        if self.kind == "audio" and not same_feed:
            packet.marker = True  # a new talkspurt (RFC 3551 §4.1)

    def _begin_waiting(self, stream: Stream, index: int) -> None:
        """Legs that were left out begin here, except a microphone's own endpoint."""
        self._some_wait = False
        for leg in self.legs:
            if leg not in self._open and not (self.kind == "audio" and leg.endpoint == stream.publication.endpoint):
                leg.begin(index)
                self._open.append(leg)

    def _header(self, publication: Publication, packet: RtpPacket, index: int, now: float) -> bytes:
        extensions: dict[int, bytes] = {}
        if self.kind == "video":
            source, target = publication.orientation_id, self._shape.orientation_id
        else:
            source, target = publication.level_id, self._shape.level_id
        if source and target and (value := packet.extensions.get(source)) is not None:
            extensions[target] = value
        return encode_header(
            payload_type=self._payload_types[publication.codec],
            marker=packet.marker,
            sequence=index & 0xFFFF,
            timestamp=self._timestamps.map(packet.timestamp, now),
            ssrc=self.ssrc,
            extensions=extensions,
        )

    def report_time(self, wall: float) -> tuple[int, int] | None:
        """NTP and RTP time of this moment for a sender report, on the node's clock; None before the publisher's own."""
        stream = self._current
        if stream is None or stream.report is None:
            return None
        ntp, timestamp = stream.report
        reported = stream.publication.clock.to_wall(ntp)
        if reported is None:
            return None
        elapsed = round((wall - reported) * self._timestamps.clock_rate)
        return int(wall * _NTP_FRACTION), (timestamp + self._timestamps.offset + elapsed) & 0xFFFFFFFF


class Subscriber:
    """What one endpoint receives: its legs, and what it reports about them."""

    def __init__(self, send_rtcp: Callable[[bytes], None]) -> None:
        self.estimate_bps: int | None = None
        self._send_rtcp = send_rtcp
        self._legs: dict[int, tuple[Line, Leg]] = {}
        self._reported_at = float("-inf")

    def attach(self, line: Line, leg: Leg) -> None:
        self._legs[leg.ssrc] = (line, leg)
        line.add(leg)

    def detach(self) -> list[Line]:
        """Leaves every line; the lines left."""
        lines = []
        for line, leg in self._legs.values():
            line.remove(leg)
            lines.append(line)
        self._legs.clear()
        return lines

    def receive_rtcp(self, part: AnyRtcp, now: float, wall: float) -> bool:
        """Whether a key frame is wanted because of this part."""
        if isinstance(part, KeyFrameRequest):
            asked = [self._legs[ssrc][0] for ssrc in part.media if ssrc in self._legs]
            for line in asked:
                line.request_key_frame()
            return bool(asked)
        if isinstance(part, Nack) and part.media in self._legs:
            line, leg = self._legs[part.media]
            line.send_again(leg, part.lost, now)
        elif isinstance(part, Remb):
            self.estimate_bps = part.bps
        elif isinstance(part, ReceiverReport | SenderReport):
            for block in part.blocks:
                self._note_block(block, wall)
        return False

    def _note_block(self, block: ReportBlock, wall: float) -> None:
        if block.ssrc not in self._legs:
            return
        leg = self._legs[block.ssrc][1]
        leg.loss = block.fraction_lost / 256
        if block.last_report:
            middle = int(wall * 65536) & 0xFFFFFFFF
            rtt = (middle - block.last_report - block.delay) & 0xFFFFFFFF
            if rtt < 1 << 31:
                leg.rtt_s = rtt / 65536

    def tick(self, now: float, wall: float) -> None:
        if now - self._reported_at < _REPORT_S:
            return
        self._reported_at = now
        reports = [
            SenderReport(leg.ssrc, *times, leg.packets, leg.octets)
            for line, leg in self._legs.values()
            if not leg.waiting and (times := line.report_time(wall)) is not None
        ]
        for report in reports:
            self._send_rtcp(encode_sender_report(report) + encode_cname(report.ssrc, CNAME))

    def say_goodbye(self) -> None:
        ssrcs = tuple(ssrc for ssrc, (_, leg) in self._legs.items() if leg.packets)
        if ssrcs:
            self._send_rtcp(encode_bye(ssrcs[:31]))

    @property
    def rtt_s(self) -> float | None:
        return max((leg.rtt_s for _, leg in self._legs.values() if leg.rtt_s is not None), default=None)

    @property
    def loss(self) -> float | None:
        return max((leg.loss for _, leg in self._legs.values() if leg.loss is not None), default=None)
