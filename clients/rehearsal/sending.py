"""What an endpoint sends: one stream of a recording, paced, marked, with key frames when they are asked for."""

import secrets
import time
from collections.abc import Callable
from struct import Struct

from clients.rehearsal.recording import DESCRIPTOR, Recording, encode_mark
from media.rtp.extensions import encode_extensions
from media.rtp.rtcp import SenderReport, encode_cname, encode_sender_report

_HEADER = Struct("!BBHII")
_HISTORY = 256
_RESEND_S = 0.3
_NTP_EPOCH = 2_208_988_800
_NAMED = 100  # packets that carry mid and rid, as until a browser knows they were understood
_LEVEL = b"\x1e"  # RFC 6464: -30 dBov

Protect = Callable[[bytes, bytes, int, int], None]


class Names:
    """The header extensions of one stream: ids as negotiated (0: not), values as they are."""

    def __init__(self, mid: tuple[int, bytes], rid: tuple[int, bytes], level_id: int, arrival_id: int) -> None:
        self.level = {level_id: _LEVEL} if level_id else {}
        self.arrival_id = arrival_id
        self.names = {ident: value for ident, value in (mid, rid) if ident and value}


class Outgoing:
    """One SSRC. `sent_ns` tells for every packet number of the recording when it went out last.

    `counts` holds the sequence number behind each frame, so that a receiver can check that it got as many packets.
    """

    def __init__(
        self, recording: Recording, publisher: int, layer: int, payload_type: int, names: Names, ssrc: int
    ) -> None:
        self.ssrc = ssrc
        self.recording = recording
        self.clock_rate = 90000 if recording.width else 48000
        self.active = False
        self.due = 0.0
        self.packets = self.octets = 0
        self.sent_ns: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self._publisher, self._layer = publisher, layer
        self._payload_type = payload_type
        self._names = names
        self._index = secrets.randbelow(0x4000)
        self._began_at = 0.0
        self._base = secrets.randbits(31)
        self._frame = 0
        self._place = 0
        self._picture = secrets.randbelow(1 << 15)
        self._history: dict[int, tuple[bytes, bytes, int]] = {}
        self._resent: dict[int, float] = {}

    def start(self, now: float) -> None:
        """From now on, with a key frame first."""
        if not self.active:
            self.active, self._place = True, 0
            self.due = now
            self._began_at = self._began_at or now

    def stop(self) -> None:
        self.active = False

    def restart(self) -> None:
        """The next frame is a key frame."""
        self._place = 0

    def send_frame(self, now: float, protect: Protect, next_arrival: Callable[[], int]) -> None:
        """The frame that is due, in one go."""
        frame = self.recording.frames[self._place]
        self._place = (self._place + 1) % len(self.recording.frames)
        timestamp = self._timestamp(self.due)
        last = len(frame.shares) - 1
        sent_ns = time.time_ns()
        for place, share in enumerate(frame.shares):
            payload = self._describe(place == 0) + share if self.clock_rate == 90000 else share
            if place == last:
                payload += encode_mark(self._publisher, self._layer, self._frame, sent_ns)
            header = self._header(place == last, timestamp, next_arrival)
            index = self._index
            self._index += 1
            self.packets += 1
            self.octets += len(payload)
            self._history[index & 0xFFFF] = header, payload, index
            self.sent_ns[frame.first + place] = sent_ns
            protect(header, payload, self.ssrc, index)
        self._forget()
        self.counts[self._frame] = self._index & 0xFFFF
        self.counts.pop(self._frame - _HISTORY, None)
        self._frame += 1
        self._picture = (self._picture + 1) & 0x7FFF
        self.due += self.recording.interval_s
        if now - self.due > 0.5:  # this process was held up: do not send the backlog
            self.due = now

    def _forget(self) -> None:
        while len(self._history) > _HISTORY:
            sequence = next(iter(self._history))
            del self._history[sequence]
            self._resent.pop(sequence, None)

    def _describe(self, first: bool) -> bytes:
        descriptor = bytes((0x90 if first else 0x80, 0x80, 0x80 | self._picture >> 8, self._picture & 0xFF))
        assert len(descriptor) == DESCRIPTOR
        return descriptor

    def _timestamp(self, at: float) -> int:
        return (self._base + round((at - self._began_at) * self.clock_rate)) & 0xFFFFFFFF

    def _header(self, marker: bool, timestamp: int, next_arrival: Callable[[], int]) -> bytes:
        extensions = dict(self._names.level)
        if self._names.arrival_id:
            extensions[self._names.arrival_id] = next_arrival().to_bytes(2, "big")
        if self.packets < _NAMED:
            extensions |= self._names.names
        marked = marker and self.clock_rate == 90000
        second = (0x80 if marked else 0) | self._payload_type
        fixed = _HEADER.pack(0x90 if extensions else 0x80, second, self._index & 0xFFFF, timestamp, self.ssrc)
        return fixed + encode_extensions(extensions) if extensions else fixed

    def send_again(self, lost: tuple[int, ...], protect: Protect, now: float) -> None:
        """Each packet at most once in `_RESEND_S`, as browsers do in a round trip: more would feed a congestion."""
        for sequence in lost:
            found = self._history.get(sequence)
            if found is not None and now - self._resent.get(sequence, 0.0) >= _RESEND_S:
                self._resent[sequence] = now
                header, payload, index = found
                protect(header, payload, self.ssrc, index)

    def report(self, now: float) -> bytes:
        ntp = int((time.time() + _NTP_EPOCH) * (1 << 32))
        report = SenderReport(self.ssrc, ntp, self._timestamp(now), self.packets, self.octets)
        return encode_sender_report(report) + encode_cname(self.ssrc, f"hall-{self._publisher}")
