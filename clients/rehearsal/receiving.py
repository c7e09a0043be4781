"""What an endpoint receives: most packets are counted by their headers, a sample is decrypted and verified.

Verified is that the bytes are those that the publisher sent, that frames come in their order, and that between two of
them there are as many packets as went out. The time from the publisher's send to the kernel's taking in is measured,
of packets that come as they are sent, not of a cached key frame for who comes late.
"""

from array import array
from dataclasses import dataclass, field

from clients.rehearsal.arrivals import Arrivals
from clients.rehearsal.recording import MARK, Mark, parse_mark
from clients.rehearsal.sending import Outgoing
from media.rtp.header import MalformedRtp, header_length
from media.rtp.vp8 import MalformedVp8, parse_vp8, starts_key_frame
from media.srtp import Srtp, SrtpError

_MOST_MISSING = 1000
_PADDED = 0x20
_MOST_LATENCIES = 2_000_000
Source = tuple[int, int]


@dataclass(slots=True)
class Findings:
    """What all receivers of this process found; `latencies_ms` of the sampled packets."""

    verified: int = 0
    wrong: int = 0
    disordered: int = 0
    miscounted: int = 0
    unreadable: int = 0
    latencies_ms: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def faults(self) -> int:
        """Sampled packets that were not what the publisher sent, or not where it belongs."""
        return self.wrong + self.disordered + self.miscounted + self.unreadable

    def __str__(self) -> str:
        names = ("verified", "wrong", "disordered", "miscounted", "unreadable")
        return ", ".join(f"{getattr(self, name)} {name}" for name in names)

    def clear(self) -> None:
        self.verified = self.wrong = self.disordered = self.miscounted = self.unreadable = 0
        self.latencies_ms = array("d")


@dataclass(slots=True)
class Known:
    """What was sent, by whom: the packets' numbers by their bytes, and the streams by publisher and layer.

    `marked` False: what comes was made elsewhere and is not known. `steady`: every receiver gets one stream throughout,
    so that frames far apart can be compared too.
    """

    numbers: dict[bytes, int]
    marked: bool = True
    steady: bool = False
    streams: dict[Source, Outgoing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Picture:
    """A key frame that came whole: when its first and its last packet came (CLOCK_REALTIME), and whose it is."""

    publisher: int
    first_ns: int
    whole_ns: int


class Incoming:
    """One SSRC. Packets whose sequence number has no bit of `mask` are looked into, each to the next frame's end."""

    __slots__ = (
        "_awaited",
        "_doubt",
        "_frame",
        "_joint",
        "_key_ns",
        "_key_sequence",
        "_mark_sequence",
        "_pending",
        "_reported",
        "_sampling",
        "_since_ns",
        "_source",
        "arrivals",
        "expected",
        "mask",
        "missing",
        "packets",
        "picture",
        "repaired",
        "repeated",
        "report",
        "skipped",
        "slot",
        "ssrc",
        "video",
    )

    def __init__(self, slot: str, ssrc: int, sequence: int, sampling: int, video: bool) -> None:
        self.slot, self.ssrc, self.video = slot, ssrc, video
        self.expected = sequence
        self.packets = self.repaired = self.skipped = 0
        self.missing: dict[int, float] = {}
        self._reported = sequence, 0
        self.report = 0, 0.0  # the middle of the last sender report's time, and when it came
        self.picture: Picture | None = None
        self.arrivals: Arrivals | None = None
        self._sampling = sampling - 1
        self.mask = self._sampling
        self._awaited: int | None = None
        self._source: Source | None = None
        self._frame = self._mark_sequence = self._key_sequence = self._since_ns = 0
        self._key_ns: int | None = None
        self._pending: list[tuple[int, int]] = []  # packet numbers and arrivals of a frame whose mark is to come
        self._joint = False  # every packet since the last mark was looked into, and all are of one run
        self._doubt: int | None = None  # a missing number right before a key frame: lost, or left out at a switch

    # -- counting ------------------------------------------------------------------------------------------------------

    def note(self, sequence: int, now: float) -> bool:
        """Counts a packet that is not simply the next one. False: it was here before."""
        distance = (sequence - self.expected) & 0xFFFF
        if distance < 0x8000:
            if distance <= _MOST_MISSING:
                self.missing.update(((self.expected + place) & 0xFFFF, now) for place in range(distance))
            if distance:
                self._begin_run()
            self.expected = (sequence + 1) & 0xFFFF
        elif self.missing.pop(sequence, None) is not None:
            self.repaired += 1
        else:
            return False
        self.packets += 1
        return True

    def begin_count(self) -> None:
        """Count from here on."""
        self.packets = self.repaired = self.skipped = 0
        self._reported = self.expected, 0
        self.missing.clear()

    def fraction_lost(self) -> int:
        """Since the last call, in 1/256 (RFC 3550 §6.4.1)."""
        expected, packets = self._reported
        self._reported = self.expected, self.packets
        due = (self.expected - expected) & 0xFFFF
        lost = due - (self.packets - packets)
        return min(255, 256 * lost // due) if due and lost > 0 else 0

    def _begin_run(self) -> None:
        self._pending.clear()
        self._joint = False

    # -- pictures ------------------------------------------------------------------------------------------------------

    def await_picture(self, publisher: int | None) -> None:
        """Look into every packet until a key frame of this publisher (or of anyone) is whole: then `picture` is it."""
        self.picture, self._awaited, self._key_ns = None, -1 if publisher is None else publisher, None
        self.mask = 0

    # -- looking into a packet -----------------------------------------------------------------------------------------

    def examine(self, packet: bytes, arrived_ns: int, srtp: Srtp, known: Known, findings: Findings) -> None:
        sequence = packet[2] << 8 | packet[3]
        try:
            plain = srtp.unprotect(packet)
            payload = plain[header_length(plain) : len(plain) - plain[-1] if plain[0] & _PADDED else None]
            start, key = self._describe(payload)
        except (SrtpError, MalformedRtp, MalformedVp8):
            findings.unreadable += 1
            return
        if key:
            self._begin_run()
            self._key_ns, self._key_sequence = arrived_ns, sequence
        if key and (before := (sequence - 1) & 0xFFFF) in self.missing and (sequence - 2) & 0xFFFF not in self.missing:
            self._doubt, self.mask = before, 0
        if not known.marked:
            findings.verified += 1
            if packet[1] & 0x80:
                self._finish_picture(-1, sequence, arrived_ns)
            return
        mark = parse_mark(payload) if not self.video or packet[1] & 0x80 else None
        share = payload[start:-MARK] if mark else payload[start:]
        number = known.numbers.get(share)
        if number is None:
            findings.wrong += 1
            return
        findings.verified += 1
        if self.expected != (sequence + 1) & 0xFFFF:  # it came late, behind others
            return
        self._pending.append((number, arrived_ns))
        if mark is None:
            self.mask = 0
            return
        self._finish_frame(mark, known, findings)
        self._note_mark(mark, sequence, known, findings)
        # The frame behind the one that was met by chance is looked into as well, since its packets can be counted.
        self.mask = self._sampling if self._joint and self._awaited is None else 0
        self._joint = self.mask == 0
        self._finish_picture(mark.publisher, sequence, arrived_ns)

    def _finish_frame(self, mark: Mark, known: Known, findings: Findings) -> None:
        """The mark tells whose the packets before it are, and so when each of them was sent."""
        pending, self._pending = self._pending, []
        numbers = [number for number, _ in pending]
        findings.miscounted += numbers != list(range(numbers[0], numbers[0] + len(numbers)))
        source = mark.publisher, mark.layer
        if source != self._source:
            self._since_ns = pending[0][1]
        stream = known.streams.get(source)
        if stream is None or len(findings.latencies_ms) > _MOST_LATENCIES:
            return
        sent = [stream.sent_ns.get(number, 0) for number in numbers[:-1]] + [mark.sent_ns]
        # What was sent before this source began here came out of a forwarder's cache.
        findings.latencies_ms.extend(
            (arrived_ns - sent_ns) / 1e6
            for sent_ns, (_, arrived_ns) in zip(sent, pending, strict=True)
            if sent_ns >= self._since_ns
        )

    def _describe(self, payload: bytes) -> tuple[int, bool]:
        """Where the recorded bytes begin, and whether a key frame does."""
        if not self.video:
            return 0, False
        descriptor = parse_vp8(payload)
        return descriptor.length, starts_key_frame(payload)

    def _note_mark(self, mark: Mark, sequence: int, known: Known, findings: Findings) -> None:
        source = mark.publisher, mark.layer
        if source == self._source and (self._joint or known.steady):
            ahead = (sequence - self._mark_sequence) & 0xFFFF
            if mark.frame <= self._frame:
                findings.disordered += 1
                return
            counts = known.streams[source].counts if source in known.streams else {}
            before, after = counts.get(self._frame), counts.get(mark.frame)
            if before is not None and after is not None:
                findings.miscounted += (after - before) & 0xFFFF != ahead
        elif source != self._source and self._doubt is not None:
            # A forwarder leaves out one number where it cut a frame to switch (media.forward.seqmap).
            self.skipped += self.missing.pop(self._doubt, None) is not None
        self._doubt = None
        self._source, self._frame, self._mark_sequence = source, mark.frame, sequence

    def _finish_picture(self, publisher: int, sequence: int, arrived_ns: int) -> None:
        """The first mark after a key frame's start ends that frame."""
        if self._key_ns is None:
            return
        packets = (sequence - self._key_sequence) & 0xFFFF
        whole = not any((self._key_sequence + place) & 0xFFFF in self.missing for place in range(packets))
        if whole and self._awaited in (-1, publisher):
            self.picture = Picture(publisher, self._key_ns, arrived_ns)
            self._awaited = None
        self._key_ns = None
