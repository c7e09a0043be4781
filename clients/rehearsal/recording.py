"""Real VP8 and Opus, encoded once at the start and sent again and again.

A recording is one key frame and what follows it. Each frame is cut to packets, and behind the last packet's share of it
stands a `Mark`: who sent it, which frame it is, and when. A VP8 decoder reads over bytes behind the last partition.
So the stream stays decodable, and a receiver knows of every packet, by its bytes, what it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from struct import Struct

import av
from av.filter import Graph

from media.sdp import VOICE_PTIME_MS

DESCRIPTOR = 4  # bytes: the VP8 payload descriptor with a picture id of 15 bits (RFC 7741 §4.2)
_MARK = Struct("!BBHIQ")
_MAGIC = 0xD1
MARK = _MARK.size
_LEAST = 64
_SECONDS = 4
_AUDIO_RATE = 48000
AUDIO_S = VOICE_PTIME_MS / 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """`publisher` and `layer` name the stream, `frame` counts in it, `sent_ns` is CLOCK_REALTIME."""

    publisher: int
    layer: int
    frame: int
    sent_ns: int


def encode_mark(publisher: int, layer: int, frame: int, sent_ns: int) -> bytes:
    return _MARK.pack(_MAGIC, layer, publisher, frame & 0xFFFFFFFF, sent_ns)


def parse_mark(payload: bytes) -> Mark | None:
    """The mark at the end of a payload, if one is there."""
    if len(payload) < MARK:
        return None
    magic, layer, publisher, frame, sent_ns = _MARK.unpack_from(payload, len(payload) - MARK)
    return Mark(publisher, layer, frame, sent_ns) if magic == _MAGIC else None


@dataclass(frozen=True, slots=True)
class Frame:
    """`shares` are its bytes, packet by packet; the first packet has the number `first` of all packets recorded."""

    shares: tuple[bytes, ...]
    first: int


@dataclass(frozen=True, slots=True)
class Recording:
    """`frames[0]` is the key frame (of audio: any). `interval_s` passes between frames."""

    width: int
    height: int
    interval_s: float
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to record: a picture size, a rate, and the most bytes of a packet's payload."""

    width: int
    height: int
    rate_bps: int
    fps: int
    payload: int = 1160


STAGE_LAYERS = (
    Wanted(320, 180, 120_000, 15),
    Wanted(640, 360, 500_000, 30),
    Wanted(1280, 720, 1_500_000, 30),
)
RIDS = ("q", "h", "f")


@dataclass(slots=True)
class Studio:
    """Records, and knows what every packet of every recording holds: `numbers` by its bytes."""

    numbers: dict[bytes, int] = field(default_factory=dict)
    _next: Iterator[int] = field(default_factory=count)

    def record(self, wanted: Wanted) -> Recording:
        room = wanted.payload - DESCRIPTOR
        frames = tuple(self._numbered(self._cut(data, room)) for data in _encode_vp8(wanted))
        return Recording(wanted.width, wanted.height, 1 / wanted.fps, frames)

    def record_for(self, pps: float, size: int) -> Recording:
        """A 720p stream of so many packets a second, frames of about six, packets up to `size` bytes unencrypted."""
        payload = size - 12
        fps = max(1, round(pps / 6))
        # The last packet of a frame is half full on average, and the encoder aims at a rate of bytes.
        rate = pps * (payload - DESCRIPTOR) * (5.5 / 6) * 8
        found = self.record(Wanted(1280, 720, int(rate), fps, payload))
        per_frame = sum(len(frame.shares) for frame in found.frames) / len(found.frames)
        return Recording(found.width, found.height, per_frame / pps, found.frames)

    def record_tone(self) -> Recording:
        """A second of a tone in Opus, in packets as long as the node asks for."""
        frames = tuple(self._numbered((share,)) for share in _encode_opus())
        return Recording(0, 0, AUDIO_S, frames)

    @staticmethod
    def take_still() -> bytes:
        """A JPEG of the kind that hall pages send to the wall."""
        frame = next(_moving_pictures(Wanted(160, 90, 0, 1)))
        encoder = av.CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 160, 90, "yuvj420p", Fraction(1)
        packets = encoder.encode(frame.reformat(format="yuvj420p")) + encoder.encode(None)
        return b"".join(bytes(packet) for packet in packets)

    def _cut(self, data: bytes, room: int) -> tuple[bytes, ...]:
        """Into packets that no other is like: what is left for a frame's last one may be a byte."""
        shares = _cut(data, room)
        return _cut(data, room, _LEAST) if any(share in self.numbers for share in shares) else shares

    def _numbered(self, shares: tuple[bytes, ...]) -> Frame:
        first = -1
        for share in shares:
            number = next(self._next)
            first = number if first < 0 else first
            self.numbers[share] = number
        return Frame(shares, first)


def _cut(data: bytes, room: int, least: int = 0) -> tuple[bytes, ...]:
    """Full packets, then what is left with room for the mark. The last one has so many bytes at least."""
    shares = []
    while len(data) > room - MARK:
        full = room if len(data) > room else room - MARK
        shares.append(data[: min(full, len(data) - least)])
        data = data[len(shares[-1]) :]
    return (*shares, data) if data else tuple(shares)


def _encode_vp8(wanted: Wanted) -> list[bytes]:
    """Constant bit rate, one key frame at the start, as a browser's encoder is set up in a call."""
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = wanted.width, wanted.height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, wanted.fps), Fraction(wanted.fps)
    encoder.bit_rate, encoder.gop_size = wanted.rate_bps, 100_000
    rate = str(wanted.rate_bps)
    encoder.options = {
        "deadline": "realtime",
        "cpu-used": "12",
        "error-resilient": "1",
        "lag-in-frames": "0",
        "minrate": rate,
        "maxrate": rate,
        "bufsize": str(wanted.rate_bps // 2),
    }
    encoded = [bytes(packet) for frame in _moving_pictures(wanted) for packet in encoder.encode(frame)]
    return encoded + [bytes(packet) for packet in encoder.encode(None)]


def _moving_pictures(wanted: Wanted) -> Iterator[av.VideoFrame]:
    """FFmpeg's moving test picture with some noise, so that there is something to encode."""
    graph = Graph()
    source = graph.add("testsrc2", f"size={wanted.width}x{wanted.height}:rate={wanted.fps}")
    form = graph.add("format", "pix_fmts=yuv420p")
    noise = graph.add("noise", "c0s=8:c0f=t")
    sink = graph.add("buffersink")
    for one, other in ((source, form), (form, noise), (noise, sink)):
        one.link_to(other)
    graph.configure()
    for place in range(_SECONDS * wanted.fps):
        frame = graph.pull()
        assert isinstance(frame, av.VideoFrame)
        frame.pts, frame.time_base = place, Fraction(1, wanted.fps)
        frame.pict_type = av.video.frame.PictureType.NONE
        yield frame


def _encode_opus() -> list[bytes]:
    """Packets rewritten to code 3 with padding (RFC 6716 §3.2.5), where the mark goes."""
    graph = Graph()
    source = graph.add("sine", f"frequency=440:sample_rate={_AUDIO_RATE}:samples_per_frame=960")
    form = graph.add("aformat", "sample_fmts=s16:channel_layouts=stereo")
    sink = graph.add("abuffersink")
    source.link_to(form)
    form.link_to(sink)
    graph.configure()
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = _AUDIO_RATE, "s16", "stereo"
    encoder.bit_rate = 32_000
    encoder.options = {"application": "voip", "frame_duration": str(VOICE_PTIME_MS)}
    packets: list[bytes] = []
    while len(packets) < 1 / AUDIO_S:
        frame = graph.pull()
        assert isinstance(frame, av.AudioFrame)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    counts = {0: 0x41, 1: 0x42, 2: 0xC2}  # one frame, two of one size, two of different sizes; all with padding
    return [bytes((p[0] | 3, counts[p[0] & 3], MARK)) + p[1:] for p in packets if p[0] & 3 in counts]
