"""A feed that is published on another node and comes over a trunk: to lines here a publication like any other."""

from media.control import FeedDescription
from media.forward.clock import PublisherClock
from media.publisher import NODE_SSRC, ask_for_key_frames, ask_for_lost
from media.router import Group
from media.rtp.extensions import AUDIO_LEVEL, VIDEO_ORIENTATION
from media.rtp.header import RtpPacket
from media.sdp import Codec, Section, Sending
from media.stream import Publication, Stream
from media.trunk import Trunk

_REPORT_S = 1.0

__all__ = ["NODE_SSRC", "ImportedFeed"]


def _sending(feed: str, description: FeedDescription) -> Sending:
    codec = Codec(
        description.payload_type, description.codec, description.clock_rate, "", "", frozenset({"nack", "nack pli"})
    )
    extensions = {VIDEO_ORIENTATION: description.orientation_id, AUDIO_LEVEL: description.level_id}
    kind = "audio" if description.codec == "opus" else "video"
    known = {uri: id for uri, id in extensions.items() if id}
    section = Section(kind, 9, "UDP/TLS/RTP/SAVPF", (), {}, codecs=(codec,), extensions=known, rids=description.rids)
    return Sending(section, feed.rpartition("/")[2], codec, False)


class ImportedFeed:
    """One feed of a group. `clock` is shared by what one endpoint publishes, so that lips and voice stay together."""

    def __init__(
        self, feed: str, description: FeedDescription, trunk: Trunk, group: Group, clock: PublisherClock, now: float
    ) -> None:
        self.group = group
        self.description = description
        self.publication = Publication(description.endpoint, _sending(feed, description), clock, now)
        self.publication.feed = feed
        self._trunk = trunk
        self._clock = clock
        self._streams: dict[int, Stream] = {}
        self._measured_at = now
        self.take(description)

    def same_kind(self, description: FeedDescription) -> bool:
        """Whether only the SSRCs are other ones."""
        old = self.description
        return (old.codec, old.payload_type, old.rids, old.orientation_id, old.level_id) == (
            description.codec,
            description.payload_type,
            description.rids,
            description.orientation_id,
            description.level_id,
        )

    def take(self, description: FeedDescription) -> None:
        """The layers have these SSRCs from now on."""
        self.description = description
        for rid, ssrc in zip(description.rids or (None,), description.ssrcs, strict=False):
            if ssrc and ssrc not in self._streams:
                self._streams[ssrc] = self.publication.learn(ssrc, rid)
        self._streams = {ssrc: each for ssrc, each in self._streams.items() if each in self.publication.streams}

    @property
    def streams(self) -> dict[int, Stream]:
        return self._streams

    def receive(self, packet: RtpPacket, size: int, now: float) -> None:
        """A packet whose SSRC is one of `streams`."""
        stream = self._streams[packet.ssrc]
        if packet.payload_type != self.publication.payload_type:
            return
        begins = stream.note(packet, size, now)
        if begins:
            self.group.stream_began(self.publication, now)
        stream.hand_on(packet, now)
        if begins and self.publication.key_frames.wanted:
            self.request_key_frames(self.publication, now)
        if stream.missing is not None and stream.missing.waiting:
            ask_for_lost(stream, self._trunk.send_rtcp, now)

    def note_report(self, ssrc: int, ntp: int, timestamp: int, wall: float) -> None:
        """The publisher's sender report, passed on by its node."""
        self._streams[ssrc].report = (ntp, timestamp)
        self._clock.observe(ntp, wall)

    def request_key_frames(self, publication: Publication, now: float) -> None:
        ask_for_key_frames(publication, self._streams, self._trunk.send_rtcp, now)

    def tick(self, now: float) -> None:
        self.request_key_frames(self.publication, now)
        for stream in self._streams.values():
            ask_for_lost(stream, self._trunk.send_rtcp, now)
        if now - self._measured_at >= _REPORT_S:
            for stream in self._streams.values():
                stream.measure_rate(now - self._measured_at)
            self._measured_at = now
