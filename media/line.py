"""One outgoing stream as receivers of one shape see it: one slot, one set of payload types and extension ids, one wish.

A line takes from one feed at a time and rewrites each packet once, without a seam at switches. What came is held until
its frame is complete, two milliseconds at most, then laid out once for each cohort of legs and encrypted for each leg.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from media.burst import Burst, Outgoing, equalise
from media.cohort import Cohort
from media.forward.gop import MOST_AGE_S, MOST_PACKETS
from media.forward.history import History
from media.forward.layers import BEHIND_S, Wish, choose_layer, highest_of
from media.forward.pictures import PictureMap, Pictures
from media.forward.seqmap import SeqMap
from media.forward.timestamps import TimestampMap
from media.leg import Leg, Moment, shifted
from media.rtp.extensions import ABS_SEND_TIME, AUDIO_LEVEL, VIDEO_ORIENTATION, abs_send_time
from media.rtp.header import RtpPacket, encode_header
from media.rtp.vp8 import MalformedVp8
from media.sdp import Receiving, kind_of, slot_ssrc
from media.stream import Publication, Stream

HOLD_S = 0.002
_HOLD_PICTURE_S = 2.0
_HALF_CYCLE = 0x8000
_MAX_RESENDS_AT_ONCE = 128
_MOST_AT_A_REJOIN = 20_000
_MOST_FOR_MORE = 24
"""Packets from the cache for a larger layer of what is seen already: about a key frame. To send each receiver the half
second that it has seen in the smaller layer would fill its line; a new key frame is less."""
_LATE_S = 0.3
"""A key frame that was asked for is here before that on a good line."""
_NTP_FRACTION = 1 << 32
_NO_TYPE = -1


@dataclass(frozen=True, slots=True)
class Shape:
    """What of the offer decides about an outgoing packet: payload types by codec, those of their retransmissions by
    theirs, extension ids (0: none)."""

    payload_types: tuple[tuple[str, int], ...]
    repairs: tuple[tuple[int, int], ...]
    orientation_id: int
    level_id: int
    send_time_id: int


def shape_of(place: Receiving) -> Shape:
    extensions = place.section.extensions
    return Shape(
        tuple((codec.name, codec.payload_type) for codec in place.codecs),
        tuple(place.repairs.items()),
        extensions.get(VIDEO_ORIENTATION, 0),
        extensions.get(AUDIO_LEVEL, 0),
        extensions.get(ABS_SEND_TIME, 0),
    )


class Line:
    """`held` is called when packets begin to wait for `flush`."""

    def __init__(self, slot: str, shape: Shape, wish: Wish, held: Callable[["Line"], None]) -> None:
        self.slot = slot
        self.kind = kind_of(slot)
        self.ssrc = slot_ssrc(slot)
        self.wish: Wish = wish
        self.legs: list[Leg] = []
        self.arriving: list[tuple[Leg, Callable[[float], None]]] = []
        self.publication: Publication | None = None
        self._payload_types = dict(shape.payload_types)
        self._vp8_type = self._payload_types.get("vp8", _NO_TYPE)
        self._shape = shape
        self._tell_held = held
        self._current: Stream | None = None
        self._pending: Stream | None = None
        self._pending_at = 0.0
        self._hold_until = 0.0
        self._cohorts: dict[tuple[int, int, Pictures], Cohort] = {}
        self._some_wait = False
        self._sequence = SeqMap(secrets.randbelow(_HALF_CYCLE))
        self._timestamps = TimestampMap(48000 if self.kind == "audio" else 90000, secrets.randbits(32))
        self._pictures = PictureMap()
        self._complete = True
        self._history = History(256, 1.0) if self.kind == "audio" else History(2048, 2.0)
        self._held: list[Outgoing] = []
        self._held_at = 0.0
        self._key_index: int | None = None
        self._key_at = 0.0

    # -- who receives --------------------------------------------------------------------------------------------------

    def add(self, leg: Leg, now: float) -> None:
        """A new receiver; it begins with the last key frame if that is near, else with the next."""
        self.legs.append(leg)
        if self.kind == "video" and leg.fresh and self._replay(leg, now):
            return
        self._some_wait = True
        self.request_key_frame()

    def remove(self, leg: Leg, now: float) -> None:
        self.flush(now)
        self.legs.remove(leg)
        self._forget_cohort(leg)
        leg.leave(self._moment(now), cut=self._cut)

    def expect(self, leg: Leg, arrives: Callable[[float], None]) -> None:
        """A receiver that gets another line until a key frame comes here; then `arrives` takes it from there."""
        self.arriving.append((leg, arrives))
        self._some_wait = True
        self.request_key_frame()

    def no_longer_expect(self, leg: Leg) -> None:
        if self.arriving:
            self.arriving = [(each, arrives) for each, arrives in self.arriving if each is not leg]

    @property
    def idle(self) -> bool:
        return not self.legs and not self.arriving

    def request_key_frame(self) -> None:
        """Some receiver cannot decode what it gets."""
        stream = self._pending or self._current
        if stream is not None and self.kind == "video":
            stream.want_key_frame()

    def _open(self, leg: Leg, start: Moment) -> None:
        leg.begin(start, self._timestamps.clock_rate)
        assert leg.cohort is not None
        self._cohorts.setdefault(leg.cohort, Cohort()).add(leg)

    def _forget_cohort(self, leg: Leg) -> None:
        if leg.cohort is None:
            return
        same = self._cohorts[leg.cohort]
        same.remove(leg)
        if not same.legs:
            del self._cohorts[leg.cohort]

    def _pause_all(self) -> None:
        for cohort in self._cohorts.values():
            for leg in cohort.legs:
                leg.part()
                leg.pause(cut=self._cut)
        self._cohorts = {}
        self._some_wait = True

    @property
    def _cut(self) -> bool:
        """What went out last is a part of a picture."""
        return self.kind == "video" and not self._complete

    def _moment(self, now: float) -> Moment:
        return Moment(self._sequence.last, self._timestamps.last, self._pictures.last, self._timestamps.last_at or now)

    # -- what is received ----------------------------------------------------------------------------------------------

    @property
    def feed(self) -> str | None:
        """What flows now; it may be the one before, until the first key frame of the next."""
        return None if self._current is None else self._current.publication.feed

    @property
    def rid(self) -> str | None:
        """The layer that flows now."""
        return None if self._current is None else self._current.rid

    def assign(self, publication: Publication | None, now: float) -> None:
        """The feed of this line from now on. Sound changes at once; a picture stays until the next one's key frame."""
        if publication is not None and publication.codec not in self._payload_types:
            publication = None
        if publication is self.publication:
            return
        if publication is not None:
            publication.settle()
        self.publication = publication
        self._drop_pending()
        if publication is None or self.kind == "audio":
            self._drop_current(now)
        self._hold_until = now + _HOLD_PICTURE_S
        self.choose(now)

    def choose(self, now: float) -> None:
        """Looks which layer to take, and gives up a picture that is held too long."""
        publication = self.publication
        if publication is None:
            return
        publication.settle()
        if self._current is not None and self._current.publication is not publication and now >= self._hold_until:
            self._drop_current(now)
        streams = publication.streams
        present = self._pending or self._current
        most = highest_of(self.wish, publication.layer_count)
        place = choose_layer(publication.layers(), most, streams.index(present) if present in streams else None, now)
        if place is None or streams[place] is present:
            self._repeat_request()
            self._begin_smaller(now)
            return
        self._drop_pending()
        if streams[place] is self._current:
            return
        self._pending, self._pending_at = streams[place], now
        self._pending.add_taker(self)
        shows = self._current is not None and self._current in streams and now - self._current.last < BEHIND_S
        if not self._rejoin(self._pending, now, _MOST_FOR_MORE if shows else MOST_PACKETS):
            self.request_key_frame()

    def _repeat_request(self) -> None:
        waits = self._some_wait and (self.arriving or any(leg.cohort is None for leg in self.legs))
        if self._pending is not None or waits:
            self.request_key_frame()

    def _begin_smaller(self, now: float) -> None:
        """Nothing of the feed is shown, and the chosen layer's key frame is late: a smaller layer's, if one came."""
        pending = self._pending
        if pending is None or now - self._pending_at < _LATE_S:
            return
        publication = pending.publication
        if self._current is not None and self._current.publication is publication:
            return
        layers = dict(zip(publication.streams, publication.layers(), strict=True))
        if pending not in layers:
            return
        smaller = [stream for stream, layer in layers.items() if layer.order < layers[pending].order]
        for stream in sorted(smaller, key=lambda each: layers[each].order, reverse=True):
            if now - stream.last < BEHIND_S and self._rejoin(stream, now):
                stream.add_taker(self)
                self._pending = pending
                return

    def _drop_pending(self) -> None:
        if self._pending is not None:
            self._pending.remove_taker(self)
            self._pending.publication.key_frames.forget(self._pending.ssrc)
            self._pending = None

    def _drop_current(self, now: float) -> None:
        if self._current is not None:
            self.flush(now)
            self._current.remove_taker(self)
            self._current = None
            self._key_index = None
            self._pause_all()

    # -- packets -------------------------------------------------------------------------------------------------------

    def receive(self, stream: Stream, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        if stream is self._pending and (starts_key_frame or self.kind == "audio"):
            if self.kind == "video" and not stream.is_newest(packet):
                self._rejoin(stream, now)  # it came late: what came before it is in the stream's cache
                return
            self._make_current(stream, packet, now)
            self._timestamps.switch(packet.timestamp, now)
        elif stream is not self._current:
            return
        self._forward(stream, packet, starts_key_frame, now)

    def _make_current(self, stream: Stream, packet: RtpPacket, now: float) -> None:
        """What follows comes from this stream, beginning with this packet."""
        self.flush(now)
        same_feed = self._current is not None and self._current.publication is stream.publication
        if self._current is not None:
            self._current.remove_taker(self)
        self._current, self._pending = stream, None
        self._sequence.switch(packet.sequence, gap=self._cut)
        self._pictures.switch()
        if self.kind == "audio" and not same_feed:
            packet.marker = True  # a new talkspurt (RFC 3551 §4.1)

    def _rejoin(self, stream: Stream, now: float, most: int = MOST_PACKETS) -> bool:
        """Begins with the stream's last key frame, if that is at most so many packets ago. Whether it did."""
        packets = stream.cache.packets(now) if self.kind == "video" else []
        if not 0 < len(packets) <= most or len(packets) * (len(self.legs) + len(self.arriving)) > _MOST_AT_A_REJOIN:
            return False
        self._make_current(stream, packets[0], now)
        self._timestamps.rejoin(list(dict.fromkeys(packet.timestamp for packet in packets if packet.payload)), now)
        for place, packet in enumerate(packets):
            self._forward(stream, packet, place == 0, now)
        self.flush(now)
        return True

    def _forward(self, stream: Stream, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        if not packet.payload:  # padding: a probe of the publisher's path
            self._sequence.drop(packet.sequence)
            return
        index = self._sequence.map(packet.sequence)
        if index is None:
            return
        newest = index == self._sequence.last
        payload = packet.payload
        try:
            if stream.publication.codec == "vp8":
                payload = self._pictures.rewrite(payload)
        except MalformedVp8:
            return
        timestamp = self._timestamps.map(packet.timestamp, now)
        if starts_key_frame:
            self._key_index, self._key_at = index, now
        if newest:
            if self._some_wait and (starts_key_frame or self.kind == "audio"):
                self._begin_waiting(stream, Moment(index, timestamp, self._pictures.begun, now))
            self._complete = packet.marker
        if not self._held:
            self._held_at = now
            self._tell_held(self)
        self._held.append(Outgoing(index, self._header(stream.publication, packet, index, timestamp, now), payload))

    def _begin_waiting(self, stream: Stream, start: Moment) -> None:
        """Legs that were left out begin here, except a microphone's own endpoint; others arrive from other lines."""
        self.flush(start.at)
        self._some_wait = False
        arriving, self.arriving = self.arriving, []
        for leg, arrives in arriving:
            arrives(start.at)
            self.legs.append(leg)
        for leg in self.legs:
            if leg.cohort is None and not (self.kind == "audio" and leg.endpoint == stream.publication.endpoint):
                self._open(leg, start)

    # -- out -----------------------------------------------------------------------------------------------------------

    def due(self, now: float) -> bool:
        """Whether what is held need not wait for more of its frame."""
        return self._complete or self.kind == "audio" or now - self._held_at >= HOLD_S

    def flush(self, now: float) -> None:
        """Sends what is held to every leg."""
        if not self._held:
            return
        packets, self._held = self._held, []
        if self.kind == "video":
            packets = equalise(packets)
        for packet in packets:
            self._history.add(packet, now)
        for cohort in self._cohorts.values():
            cohort.send(Burst(shifted(packets, cohort.legs[0].shift, self._vp8_type)))

    def _replay(self, leg: Leg, now: float) -> bool:
        """Gives a new receiver the last key frame and what followed, if that is near. Whether it did."""
        first, last = self._key_index, self._sequence.last
        if first is None or now - self._key_at > MOST_AGE_S or last - first >= MOST_PACKETS:
            return False
        self.flush(now)
        found = [self._history.find(index, now) for index in range(first, last + 1)]
        packets = [packet for packet in found if packet is not None]
        if len(packets) < len(found):
            return False
        self._open(leg, Moment(first, 0, Pictures(), now))
        leg.send(Burst(shifted(_squeezed(packets), leg.shift, self._vp8_type)))
        leg.not_resendable_below(last + 1)
        return True

    def of_these_sent(self, leg: Leg, lost: tuple[int, ...], now: float) -> tuple[int, ...]:
        """Which of a receiver's sequence numbers went out to it: a publisher's gaps are not its line's."""
        indices = ((sequence, leg.index_of(sequence)) for sequence in lost[:_MAX_RESENDS_AT_ONCE])
        return tuple(
            sequence for sequence, index in indices if index is not None and self._history.find(index, now) is not None
        )

    def send_again(self, leg: Leg, lost: tuple[int, ...], now: float) -> None:
        """A receiver misses these of its sequence numbers: the same packets again, as long as they are remembered."""
        for sequence in lost[:_MAX_RESENDS_AT_ONCE]:
            index = leg.missing(sequence, now)
            found = None if index is None else self._history.find(index, now)
            if found is not None:
                leg.send_again(found, self._vp8_type)
            elif leg.was_replayed(sequence):
                self.request_key_frame()

    def _header(self, publication: Publication, packet: RtpPacket, index: int, timestamp: int, now: float) -> bytes:
        extensions: dict[int, bytes] = {}
        if self.kind == "video":
            source, target = publication.orientation_id, self._shape.orientation_id
        else:
            source, target = publication.level_id, self._shape.level_id
        if source and target and (value := packet.extensions.get(source)) is not None:
            extensions[target] = value
        if self._shape.send_time_id:
            extensions[self._shape.send_time_id] = abs_send_time(now)
        return encode_header(
            payload_type=self._payload_types[publication.codec],
            marker=packet.marker,
            sequence=index & 0xFFFF,
            timestamp=timestamp,
            ssrc=self.ssrc,
            extensions=extensions,
        )

    @property
    def last_timestamp(self) -> int:
        return self._timestamps.last

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


def _squeezed(packets: list[Outgoing]) -> list[Outgoing]:
    """All frames in as many ticks up to the newest: what comes at once must not be played slowly, or it stays late."""
    times = list(dict.fromkeys(packet.header[4:8] for packet in packets))
    newest = int.from_bytes(times[-1], "big")
    ticks = {time: (newest - ahead & 0xFFFFFFFF).to_bytes(4, "big") for ahead, time in enumerate(reversed(times))}
    return [
        Outgoing(index, header[:4] + ticks[header[4:8]] + header[8:], payload) for index, header, payload in packets
    ]
