"""One synthetic endpoint: a transport, what it sends and what it receives."""

import secrets
from dataclasses import dataclass, field
from struct import Struct

from clients.rehearsal.arrivals import Arrivals
from clients.rehearsal.batch import Batch, dropped_at
from clients.rehearsal.offer import IDS, OPUS, SOURCES, VP8, Place, Remote, read_description, write_offer
from clients.rehearsal.receiving import Findings, Incoming, Known
from clients.rehearsal.recording import RIDS, Recording, Studio
from clients.rehearsal.sending import Names, Outgoing
from clients.rehearsal.transport import Transport
from media.dtls import Identity
from media.rtp.extensions import AUDIO_LEVEL, MID, RID, TRANSPORT_CC
from media.rtp.rtcp import (
    AnyRtcp,
    KeyFrameRequest,
    MalformedRtcp,
    Nack,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    encode_nack,
    encode_pli,
    encode_receiver_report,
    encode_remb,
    parse_rtcp,
)
from media.sdp import kind_of
from media.srtp import SrtpError

HALL_SLOTS = ("stage.0", "stage.1", "audio.0", "audio.1", "audio.2")
_HEAD = Struct("!BBHII")
_REPORT_S = 1.0
_ASK_PICTURE_S = 1.0
_ASK_AGAIN_S = 0.3
_REORDERED_S = 0.02
_GIVE_UP_S = 1.0
_ESTIMATE_BPS = 20_000_000


@dataclass(slots=True)
class Setting:
    """What the endpoints of a process share. One in `sampling` packets (a power of two) is verified, with
    the rest of its frame and the frame after it.

    `host` is this machine's address, where the node is reached too, or at one of `others`.
    `marked`: what comes is what one of these endpoints sent; otherwise it is only counted and seen to be authentic.
    `steady`: nothing is switched on the way. `bursts`: sockets take what was sent in one piece in one piece.
    `timed`: halls note when each packet of the stage comes in.
    """

    studio: Studio
    sampling: int = 128
    host: str = "127.0.0.1"
    others: tuple[str, ...] = ()
    setup: str = "actpass"
    resends: bool = True
    marked: bool = True
    steady: bool = False
    bursts: bool = True
    timed: bool = False
    identity: Identity = field(default_factory=Identity)
    findings: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        self.known = Known(self.studio.numbers, self.marked, self.steady)

    known: Known = field(init=False)


Camera = tuple[Recording, ...]
"""Layers, smallest first; more than one is simulcast."""


class Endpoint:
    """`number` marks what it sends. `receives` are slot names; without `camera` or `tone` it sends nothing.

    `arrivals` is told when packets of the stage's picture come in.
    """

    def __init__(
        self,
        setting: Setting,
        number: int,
        receives: tuple[str, ...],
        camera: Camera = (),
        tone: Recording | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self.number = number
        self.transport = Transport(setting.identity, setting.host, setting.setup, bursts=setting.bursts)
        self.tracks: dict[int, Incoming] = {}
        self.joined_at: float | None = None
        self.feedback = 0
        self._setting, self._arrivals = setting, arrivals
        self._known, self._findings = setting.known, setting.findings
        self._recordings = {"camera": camera, "microphone": (tone,) if tone else ()}
        self.sends: dict[str, list[Outgoing]] = {}
        self._places = [
            Place(source, tuple(secrets.randbits(31) | 1 for _ in layers), RIDS[: len(layers)] if layers[1:] else ())
            for source, layers in self._recordings.items()
            if layers
        ] + [Place(slot) for slot in receives]
        self._outgoing: dict[int, Outgoing] = {}
        self._slots: dict[int, str] = {}
        self._repairs: set[int] = set()
        self._estimates = False
        self._arrival = 0
        self._own_ssrc = self._places[0].ssrcs[0] if self._places[0].ssrcs else 1
        self._reported_at = self._asked_at = 0.0
        self._nacked: dict[tuple[int, int], float] = {}

    # -- joining -------------------------------------------------------------------------------------------------------

    def offer(self) -> str:
        return write_offer(self.transport.local, self._places)

    @property
    def slots(self) -> dict[str, str]:
        return {str(mid): place.name for mid, place in enumerate(self._places)}

    def accept(self, answer: str, now: float) -> None:
        """The other side's answer. Raises BadDescription."""
        remote = read_description(answer, (self._setting.host, *self._setting.others))
        for section in remote.sections:
            place = self._places[int(section.mid)]
            if place.name in SOURCES:
                self._prepare(place, section.mid, section.extensions)
            else:
                self._slots.update(dict.fromkeys(section.ssrcs, place.name))
                self._repairs |= section.repairs
                self._estimates = self._estimates or "goog-remb" in section.feedback
        self.transport.connect(remote, now)

    def take_offer(self, remote: Remote, now: float) -> None:
        """A foreign server's offer of one picture was answered."""
        self._slots = dict.fromkeys(remote.sections[0].ssrcs, "stage.0")
        self.transport.connect(remote, now)

    def _prepare(self, place: Place, mid: str, extensions: dict[str, int]) -> None:
        video = kind_of(place.name) == "video"
        ids = {uri: number for uri, number in IDS.items() if extensions.get(uri) == number}
        streams = []
        for layer, recording in enumerate(self._recordings[place.name]):
            rid = place.rids[layer] if place.rids else ""
            names = Names(
                (ids.get(MID, 0), mid.encode()),
                (ids.get(RID, 0), rid.encode()),
                0 if video else ids.get(AUDIO_LEVEL, 0),
                ids.get(TRANSPORT_CC, 0),
            )
            source = (self.number, layer if video else len(RIDS))
            stream = Outgoing(recording, *source, VP8 if video else OPUS, names, place.ssrcs[layer])
            streams.append(stream)
            self._outgoing[stream.ssrc] = stream
            self._known.streams[source] = stream
        self.sends[place.name] = streams

    # -- in ------------------------------------------------------------------------------------------------------------

    def read(self, batch: Batch, now: float) -> None:
        """Everything that waits at the socket."""
        unpack, memory, tracks = _HEAD.unpack_from, batch.memory, self.tracks
        descriptor, srtp = self.transport.descriptor, self.transport.srtp
        more = True
        while more:
            more = batch.read(descriptor)
            for place, offset in enumerate(batch.offsets):
                first, second, sequence, _, ssrc = unpack(memory, offset)
                if 127 < first < 192 and srtp is not None and not 191 < second < 224:
                    track = tracks.get(ssrc)
                    if track is not None and track.arrivals is not None:
                        track.arrivals.note(batch.arrived_ns(place))
                    if track is not None and sequence == track.expected and sequence & track.mask:
                        track.expected = sequence + 1 & 0xFFFF
                        track.packets += 1
                        continue
                    self._receive_rtp(track, batch, place, now)
                else:
                    self._receive_other(first, batch.datagram(place), now)
                    srtp = self.transport.srtp

    def _receive_rtp(self, track: Incoming | None, batch: Batch, place: int, now: float) -> None:
        packet = batch.datagram(place)
        srtp = self.transport.srtp
        assert srtp is not None
        if packet[1] & 0x7F in self._repairs:
            self._receive_repair(packet, now)
            return
        if track is None:
            track = self._track(packet)
        if track.note(packet[2] << 8 | packet[3], now):
            track.examine(packet, batch.arrived_ns(place), srtp, self._known, self._findings)

    def _track(self, packet: bytes) -> Incoming:
        ssrc = int.from_bytes(packet[8:12], "big")
        slot = self._slots.get(ssrc, "stage.0")
        video = kind_of(slot) == "video"
        track = Incoming(slot, ssrc, packet[2] << 8 | packet[3], self._setting.sampling, video)
        self.tracks[ssrc] = track
        track.arrivals = self._arrivals if slot == "stage.0" else None
        if video:
            track.await_picture(None)
        return track

    def _receive_repair(self, packet: bytes, now: float) -> None:
        """RFC 4588: the original's sequence number is in front of its payload; whose it is, who misses it tells."""
        assert self.transport.srtp is not None
        try:
            plain = self.transport.srtp.unprotect(packet)
        except SrtpError:
            return
        at = 12 + (4 + 4 * int.from_bytes(plain[14:16], "big") if plain[0] & 0x10 else 0)
        sequence = int.from_bytes(plain[at : at + 2], "big")
        for track in self.tracks.values():
            if sequence in track.missing:
                track.note(sequence, now)
                return

    def _receive_other(self, first: int, datagram: bytes, now: float) -> None:
        if first < 4:
            self.transport.receive_stun(datagram, now)
        elif 19 < first < 64:
            if self.transport.receive_dtls(datagram):
                self.joined_at = now
        elif 127 < first < 192 and self.transport.srtp is not None:
            try:
                parts = parse_rtcp(self.transport.srtp.unprotect_rtcp(datagram))
            except (SrtpError, MalformedRtcp):
                self._findings.unreadable += 1
                return
            for part in parts:
                self._receive_rtcp(part, now)

    def _receive_rtcp(self, part: AnyRtcp, now: float) -> None:
        if isinstance(part, KeyFrameRequest):
            for ssrc in part.media:
                if ssrc in self._outgoing:
                    self._restart(self._outgoing[ssrc])
        elif isinstance(part, Nack) and part.media in self._outgoing:
            self._outgoing[part.media].send_again(part.lost, self._protect, now)
        elif isinstance(part, SenderReport) and part.ssrc in self.tracks:
            self.tracks[part.ssrc].report = part.ntp >> 16 & 0xFFFFFFFF, now
        else:
            self.feedback += 1

    def _restart(self, asked: Outgoing) -> None:
        """As Chromium does: a request for one simulcast layer gives key frames on all."""
        for streams in self.sends.values():
            if asked in streams:
                for stream in streams:
                    stream.restart()

    # -- out -----------------------------------------------------------------------------------------------------------

    def send_frame(self, stream: Outgoing, now: float) -> None:
        """The frame that is due; a stream of an endpoint that is not connected (any more) is stopped."""
        if self.transport.srtp is None or self.transport.closed:
            stream.stop()
            return
        stream.send_frame(now, self._protect, self._next_arrival)

    def _protect(self, header: bytes, payload: bytes, ssrc: int, index: int) -> None:
        assert self.transport.srtp is not None
        self.transport.send(self.transport.srtp.protect(header, payload, ssrc, index))

    def _next_arrival(self) -> int:
        self._arrival = (self._arrival + 1) & 0xFFFF
        return self._arrival

    def _send_rtcp(self, packet: bytes) -> None:
        if self.transport.srtp is not None:
            self.transport.send(self.transport.srtp.protect_rtcp(packet))

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Some twenty times a second. Raises TransportFailed."""
        self.transport.tick(now)
        if self.transport.srtp is None:
            return
        if self._setting.resends:
            self._ask_again(now)
        if now - self._reported_at >= _REPORT_S:
            self._reported_at = now
            self._report(now)
        if now - self._asked_at >= _ASK_PICTURE_S:
            self._asked_at = now
            self._ask_pictures()

    def _ask_again(self, now: float) -> None:
        for track in self.tracks.values():
            if not track.missing:
                continue
            due = [
                sequence
                for sequence, since in track.missing.items()
                if _REORDERED_S < now - since < _GIVE_UP_S
                and now - self._nacked.get((track.ssrc, sequence), 0.0) > _ASK_AGAIN_S
            ]
            if due:
                self._nacked.update(((track.ssrc, sequence), now) for sequence in due)
                self._send_rtcp(
                    encode_receiver_report(ReceiverReport(self._own_ssrc))
                    + encode_nack(self._own_ssrc, track.ssrc, due)
                )

    def _ask_pictures(self) -> None:
        waiting = [track.ssrc for track in self.tracks.values() if track.video and track.mask == 0]
        if waiting:
            report = encode_receiver_report(ReceiverReport(self._own_ssrc))
            self._send_rtcp(report + b"".join(encode_pli(self._own_ssrc, ssrc) for ssrc in waiting))

    def _report(self, now: float) -> None:
        blocks = tuple(_block(track, now) for track in self.tracks.values())[:31]
        packet = b"".join(stream.report(now) for stream in self._outgoing.values() if stream.active)
        if not packet or blocks:
            packet += encode_receiver_report(ReceiverReport(self._own_ssrc, blocks))
        if self._estimates:
            packet += encode_remb(self._own_ssrc, _ESTIMATE_BPS, tuple(self.tracks))
        self._send_rtcp(packet)

    def track_of(self, slot: str) -> Incoming | None:
        return next((track for track in self.tracks.values() if track.slot == slot), None)

    @property
    def dropped(self) -> int:
        """What found this endpoint's own socket full."""
        return dropped_at(self.transport.socket)

    def close(self) -> None:
        self.transport.close()


def _block(track: Incoming, now: float) -> ReportBlock:
    middle, came_at = track.report
    delay = int((now - came_at) * 65536) if middle else 0
    highest = (track.expected - 1) & 0xFFFF
    return ReportBlock(track.ssrc, track.fraction_lost(), len(track.missing), highest, 0, middle, delay)
