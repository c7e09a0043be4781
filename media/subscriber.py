"""What one endpoint receives: its legs, what it tells of them, and how much of the stage its line carries."""

import secrets
from dataclasses import dataclass

from media.control import Rung, SlotStats
from media.forward.downlink import Downlink
from media.forward.ladder import HIGH, Ladder, LineState
from media.forward.pictures import Pictures
from media.leg import Leg, Repair, Transport
from media.line import Line, Shape
from media.rtp.extensions import abs_send_time, encode_extensions
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
from media.sdp import CNAME, Receiving, kind_of, repair_ssrc
from media.stream import Publication

RUNGS: tuple[Rung, ...] = ("audio", "low", "middle", "high")
_PACKET_OVERHEAD = 12
_HALF_CYCLE = 0x8000
_MOST_PADDING_AT_ONCE = 16_000
_REPORTS_AT_FIRST = 3
_REPORT_EVERY = 4
_FULL_REPORT = 1000
"""Bytes from which on further reports go into another datagram."""


@dataclass(slots=True)
class Place:
    """A slot of the endpoint: its leg, and the line that the leg is on, if it is on one.

    `reports` counts the sender reports since `reported`, what its timestamps meant, was another.
    """

    receiving: Receiving
    shape: Shape
    leg: Leg
    line: Line | None = None
    octets_before: int = 0
    reports: int = 0
    reported: tuple[tuple[int, int, Pictures], Publication | None] | None = None

    @property
    def slot(self) -> str:
        return self.receiving.slot

    @property
    def on_ladder(self) -> bool:
        """Pictures of the stage are what is left out on a weak line."""
        return self.slot.startswith("stage.")


class Subscriber:
    """`easy`: its line carries all there is and showed no trouble lately."""

    def __init__(self, transport: Transport, now: float) -> None:
        self.places: list[Place] = []
        self.ladder = Ladder(now)
        self.easy = False
        self._downlink = Downlink(now)
        self._transport = transport
        self._by_ssrc: dict[int, Place] = {}
        self._on_ladder = False
        self._climbed_at = now
        self._padded_at = now
        self._padding = 0
        self._flows_bps = self._sent_bps = 0
        self._packets_before = 0

    def add(self, endpoint: str, receiving: Receiving, shape: Shape, ssrc: int) -> Place:
        """A slot without a line yet."""
        repairs = receiving.repairs if kind_of(receiving.slot) == "video" else {}
        first = secrets.randbelow(_HALF_CYCLE)
        repair = Repair(repair_ssrc(receiving.slot), repairs, first) if repairs else None
        place = Place(receiving, shape, Leg(endpoint, ssrc, self._transport, repair))
        self.places.append(place)
        self._on_ladder = self._on_ladder or place.on_ladder
        self._by_ssrc[ssrc] = place
        return place

    @property
    def rung(self) -> Rung | None:
        """How much of the stage its line carries; None without pictures of the stage."""
        return RUNGS[self.ladder.rung] if self._on_ladder else None

    @property
    def misses(self) -> bool:
        """Its line is to be looked at as often as can be."""
        return self._downlink.misses

    @property
    def packets_out(self) -> int:
        """What went out to its legs in bursts."""
        return sum(place.leg.packets for place in self.places)

    @property
    def bytes_out(self) -> int:
        """The same in bytes of datagrams."""
        return sum(place.leg.wire_bytes for place in self.places)

    # -- what it tells -------------------------------------------------------------------------------------------------

    def receive_rtcp(self, part: AnyRtcp, now: float, wall: float) -> bool:
        """Whether a key frame is wanted because of this part."""
        if isinstance(part, (ReceiverReport, SenderReport)):
            self._note_blocks(part.blocks, now, wall)
        elif isinstance(part, Remb):
            self._downlink.note_remb(part.bps, now)
            self.easy = self.easy and part.bps > self._sent_bps
        elif isinstance(part, Nack):
            self._note_lost(part, now)
        elif isinstance(part, KeyFrameRequest):
            lines = [self._by_ssrc[ssrc].line for ssrc in part.media if ssrc in self._by_ssrc]
            asked = [line for line in lines if line is not None]
            for line in asked:
                line.request_key_frame()
            return bool(asked)
        return False

    def _note_lost(self, part: Nack, now: float) -> None:
        if self.easy:
            self.easy = False
            self._note_sent(now)  # what came well until now
        place = self._by_ssrc.get(part.media)
        if place is not None and place.line is not None:
            self._downlink.note_asked(part.media, place.line.of_these_sent(place.leg, part.lost, now))
            place.line.send_again(place.leg, part.lost, now)

    def _note_blocks(self, blocks: tuple[ReportBlock, ...], now: float, wall: float) -> None:
        for block in blocks:
            place = self._by_ssrc.get(block.ssrc)
            if place is None:
                continue
            leg = place.leg
            leg.loss = block.fraction_lost / 256
            leg.jitter = block.jitter
            self.easy = self.easy and not block.fraction_lost
            self._downlink.note_report(block.ssrc, block.highest_sequence, block.lost - leg.skipped, now)
            if block.last_report:
                middle = int(wall * 65536) & 0xFFFFFFFF
                rtt = (middle - block.last_report - block.delay) & 0xFFFFFFFF
                if rtt < 1 << 31:
                    leg.rtt_s = rtt / 65536

    # -- how much the line carries -------------------------------------------------------------------------------------

    def climb(self, needs_bps: tuple[int, int, int, int], now: float) -> bool:
        """Some times a second: what the line carries against what each rung sends. Whether the rung changed."""
        elapsed_s = max(now - self._climbed_at, 0.05)
        self._climbed_at = now
        sent, others = self._measure()
        self._note_sent(now)
        fading = min(1.0, elapsed_s)
        self._flows_bps = int(self._flows_bps * (1 - fading) + sent * 8 / elapsed_s * fading)
        self._sent_bps = int(self._sent_bps * (1 - fading) + (sent + self._padding) * 8 / elapsed_s * fading)
        self._padding = 0
        besides = int(others * 8 / elapsed_s)
        audio, low, middle, high = needs_bps
        needs = (audio + besides, low + besides, middle + besides, high + besides)
        estimate, loss = self._downlink.estimate_bps(now), self._downlink.loss(now)
        late = self._downlink.is_late(self.rtt_s)
        missing, still_missing = self._downlink.missing, self._downlink.still_missing
        state = LineState(needs, self._sent_bps, estimate, loss, late, missing, still_missing)
        probed = bool(self.ladder.probe_bps)
        changed = self.ladder.update(state, now)
        unstrained = estimate is None or estimate > self._sent_bps
        self.easy = self.ladder.rung == HIGH and unstrained and not (loss or late or self.misses)
        if changed or (probed and not self.ladder.probe_bps):
            self._downlink.restart(now)
        if not changed:
            return False
        self._flows_bps = min(self._flows_bps, needs[self.ladder.rung])
        self._sent_bps = min(self._sent_bps, needs[self.ladder.rung])
        return True

    def _note_sent(self, now: float) -> None:
        packets = sum(place.leg.packets for place in self.places if place.leg.repair is not None)
        self._downlink.note_sent(packets - self._packets_before, now)
        self._packets_before = packets

    def _measure(self) -> tuple[int, int]:
        """Octets that went out since the last time: in all, and those of them that are not the stage's or its sound."""
        sent = others = 0
        for place in self.places:
            octets = place.leg.octets + _PACKET_OVERHEAD * place.leg.packets
            step = octets - place.octets_before
            place.octets_before = octets
            sent += step
            if place.slot.startswith("tile."):
                others += step
        return sent, others

    def probe(self, now: float) -> None:
        """Padding on top of what is sent, up to the rate that the ladder wants to try. Some twenty times a second."""
        elapsed_s = min(now - self._padded_at, 0.2)
        self._padded_at = now
        more_bps = self.ladder.probe_bps - self._flows_bps if self.ladder.probe_bps else 0
        if more_bps <= 0:
            return
        octets = min(int(more_bps * elapsed_s / 8), _MOST_PADDING_AT_ONCE)
        for place in self.places:
            if place.on_ladder and place.leg.repair is not None:
                id = place.shape.send_time_id
                extensions = encode_extensions({id: abs_send_time(now)}) if id else b""
                timestamp = place.line.last_timestamp if place.line is not None else 0
                self._padding += place.leg.send_padding(timestamp, octets, extensions)
                return

    # -- what it is told -----------------------------------------------------------------------------------------------

    def report(self, wall: float) -> None:
        """Once a second: sender reports of what flows, each second at first and then every fourth (RFC 3550 §6.2)."""
        reports = b""
        for place in self.places:
            leg, line = place.leg, place.line
            if leg.cohort is None or line is None:
                continue
            clock = (leg.cohort, line.publication)
            if clock != place.reported:  # its timestamps have another meaning now
                place.reported, place.reports = clock, 0
            if place.reports > _REPORTS_AT_FIRST and place.reports % _REPORT_EVERY:
                place.reports += 1
                continue
            if (times := line.report_time(wall)) is None:
                continue
            place.reports += 1
            ntp, timestamp = times
            timestamp = timestamp + leg.shift.time & 0xFFFFFFFF
            report = SenderReport(leg.ssrc, ntp, timestamp, leg.packets, leg.octets)
            reports += encode_sender_report(report) + encode_cname(leg.ssrc, CNAME)
            if len(reports) > _FULL_REPORT:
                self._transport.send_rtcp(reports)
                reports = b""
        if reports:
            self._transport.send_rtcp(reports)

    def say_goodbye(self) -> None:
        ssrcs = tuple(place.leg.ssrc for place in self.places if place.leg.packets)
        if ssrcs:
            self._transport.send_rtcp(encode_bye(ssrcs[:31]))

    @property
    def rtt_s(self) -> float | None:
        return max((place.leg.rtt_s for place in self.places if place.leg.rtt_s is not None), default=None)

    @property
    def loss(self) -> float | None:
        return max((place.leg.loss for place in self.places if place.leg.loss is not None), default=None)

    def estimate_bps(self, now: float) -> int | None:
        return self._downlink.estimate_bps(now)

    def stats(self) -> tuple[SlotStats, ...]:
        return tuple(_slot_stats(place) for place in self.places)


def _slot_stats(place: Place) -> SlotStats:
    leg, line = place.leg, place.line
    flowing = line if line is not None and leg.cohort is not None else None
    clock_rate = 48000 if kind_of(place.slot) == "audio" else 90000
    return SlotStats(
        slot=place.slot,
        feed=None if flowing is None else flowing.feed,
        rid=None if flowing is None else flowing.rid,
        packets=leg.packets,
        bytes=leg.octets,
        resent=leg.resent,
        loss=leg.loss,
        jitter_s=leg.jitter / clock_rate if leg.loss is not None else None,
    )
