"""A feed on its way to another node: the layers that are wanted there, each packet once, as it came in.

Only the SSRC is the trunk's own, so that feeds of many endpoints do not meet; a stream that is replaced gets a new one,
because its numbers begin anew and an index must never be used twice (media.srtp).
"""

from collections.abc import Callable

from media.burst import Outgoing
from media.control import FeedDescription
from media.forward.history import History, ResendGuard
from media.forward.seqmap import SeqMap
from media.forward.timestamps import squeezed
from media.rtp.header import RtpPacket, encode_header
from media.rtp.rtcp import SenderReport, encode_sender_report
from media.stream import Publication, Stream
from media.trunk import Trunk

_HISTORY = 1024
_HISTORY_S = 2.0
_FIRST = 1000
_MOST_AT_ONCE = 60
"""Packets of a cached key frame and what followed it: on the other node each goes to all its receivers at once."""


class _Layer:
    """One stream on the trunk. It is numbered anew from near zero, so that both ends agree on the cycle (RFC 3711)."""

    def __init__(self, ssrc: int, stream: Stream) -> None:
        self.ssrc = ssrc
        self.stream = stream
        self.history = History(_HISTORY, _HISTORY_S)
        self.guard = ResendGuard()
        self.report: tuple[int, int] | None = None
        self.newest: int | None = None  # the publisher's number of the newest packet that went out
        self._sequence = SeqMap(_FIRST - 1)
        self._begins = True

    def begin(self) -> None:
        """The next packet comes after any number of others that were not wanted: its index follows the last one."""
        self._begins = True

    def index_of(self, sequence: int) -> int | None:
        """None for a packet from before the layer was wanted, or of a number that was given before."""
        if self._begins:
            self._begins = False
            self._sequence.switch(sequence)
        index = self._sequence.map(sequence)
        if index is not None and index == self._sequence.last:
            self.newest = sequence
        return index

    def index_near(self, number: int) -> int:
        """The index of a packet that went out with this number."""
        return self._sequence.last - ((self._sequence.last - number) & 0xFFFF)


class ExportedFeed:
    """`changed` is told when the description is another one."""

    def __init__(
        self,
        publication: Publication,
        trunk: Trunk,
        new_ssrc: Callable[[], int],
        changed: Callable[["ExportedFeed"], None],
    ) -> None:
        self.publication = publication
        self._trunk = trunk
        self._new_ssrc = new_ssrc
        self._changed = changed
        self._ranks: frozenset[int] = frozenset()
        self._layers: dict[int, _Layer] = {}

    @property
    def ranks(self) -> frozenset[int]:
        """The layers that are wanted on the other node."""
        return self._ranks

    def want(self, rids: tuple[str, ...], now: float) -> None:
        known = self.publication.rids or ("",)
        self._ranks = frozenset(known.index(rid) for rid in rids if rid in known)
        self.settle(now)

    def settle(self, now: float) -> None:
        """Takes from the streams that are wanted and from no others."""
        self.publication.settle()  # first: a stream may begin by it, and then this is called again
        fresh = False
        for stream in self.publication.streams:
            layer = self._layers.get(stream.rank)
            if layer is None or layer.stream is not stream:
                if layer is not None and self in layer.stream.takers:
                    layer.stream.remove_taker(self)
                self._layers[stream.rank] = _Layer(self._new_ssrc(), stream)
                fresh = True
            takes = self in stream.takers
            if stream.rank in self._ranks and not takes:
                self._layers[stream.rank].begin()
                stream.add_taker(self)
                self._hand_over(stream, now)
            elif stream.rank not in self._ranks and takes:
                stream.remove_taker(self)
        if fresh:
            self._changed(self)

    def _hand_over(self, stream: Stream, now: float) -> None:
        """The last key frame and what followed it. At a change of the floor the key frame comes before the other node
        has asked for it, and the publisher is not asked for the next within a second (media.forward.keyframes).

        As in media.forward.timestamps the frames are squeezed into as many ticks, or they would be played late there.
        """
        packets = stream.cache.packets(now) if self.publication.kind == "video" else []
        if not packets or len(packets) > _MOST_AT_ONCE or packets[-1].sequence == self._layers[stream.rank].newest:
            return
        times = list(dict.fromkeys(packet.timestamp for packet in packets))
        times_there = squeezed(times, times[-1])
        for packet in packets:
            self._send(stream, packet, times_there[packet.timestamp], now)

    def end(self) -> None:
        self._ranks = frozenset()
        for layer in self._layers.values():
            if self in layer.stream.takers:
                layer.stream.remove_taker(self)

    def describe(self) -> FeedDescription:
        publication = self.publication
        ssrcs = (self._layers[rank].ssrc if rank in self._layers else 0 for rank in range(publication.layer_count))
        return FeedDescription(
            endpoint=publication.endpoint,
            codec=publication.codec,
            clock_rate=publication.clock_rate,
            payload_type=publication.payload_type,
            rids=publication.rids,
            ssrcs=tuple(ssrcs),
            orientation_id=publication.orientation_id,
            level_id=publication.level_id,
        )

    # -- packets -------------------------------------------------------------------------------------------------------

    def receive(self, stream: Stream, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        self._send(stream, packet, packet.timestamp, now)

    def _send(self, stream: Stream, packet: RtpPacket, timestamp: int, now: float) -> None:
        layer = self._layers.get(stream.rank)
        if layer is None or layer.stream is not stream:
            return
        index = layer.index_of(packet.sequence)
        if index is None:
            return
        kept = {self.publication.orientation_id, self.publication.level_id} - {0}
        header = encode_header(
            payload_type=packet.payload_type,
            marker=packet.marker,
            sequence=index & 0xFFFF,
            timestamp=timestamp,
            ssrc=layer.ssrc,
            extensions={id: value for id, value in packet.extensions.items() if id in kept},
        )
        layer.history.add(Outgoing(index, header, packet.payload), now)
        self._trunk.send_rtp(header, packet.payload, layer.ssrc, index)

    def ssrcs(self) -> dict[int, Stream]:
        return {layer.ssrc: layer.stream for layer in self._layers.values()}

    def send_again(self, ssrc: int, lost: tuple[int, ...], now: float) -> None:
        """The other node misses these numbers of a layer."""
        for layer in self._layers.values():
            if layer.ssrc != ssrc:
                continue
            for number in lost:
                found = layer.history.find(layer.index_near(number), now)
                if found is not None and layer.guard.allows(found.number, None, now):
                    self._trunk.send_rtp(found.header, found.payload, ssrc, found.number)

    def report(self) -> None:
        """Passes the publisher's sender reports on, each once: they keep lips and voice together."""
        for layer in self._layers.values():
            report = layer.stream.report
            if report is not None and report != layer.report and layer.stream.rank in self._ranks:
                layer.report = report
                ntp, timestamp = report
                self._trunk.send_rtcp(encode_sender_report(SenderReport(layer.ssrc, ntp, timestamp, 0, 0)))
