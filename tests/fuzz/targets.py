"""One target for each parser of bytes from outside, and two for what lies behind them."""

import re
import zlib

from media.dtls import Dtls, DtlsError, Identity
from media.rtp import h264, vp8
from media.rtp import rtcp as rtcp_codec
from media.rtp.extensions import encode_extensions, parse_extensions
from media.rtp.header import MalformedRtp, encode_rtp, header_length, parse_rtp
from media.rtp.rtcp import MalformedRtcp, parse_rtcp
from media.rtp.twcc import MalformedTwcc, encode_twcc, parse_twcc
from media.rtp.vp8 import MalformedVp8
from media.sdp import (
    BadSdp,
    BadSlots,
    ParsedOffer,
    Transport,
    parse_offer,
    place_sections,
    read_fragment,
    slot_ssrc,
    slots_by_kind,
    write_answer,
    write_fragment,
)
from media.srtp import PROFILES, ReplayWindow, Srtp, SrtpError, srtp_of_server
from media.stun import MalformedStun, authentic, parse_request
from tests.fuzz.engine import Target
from tests.support.media_group import FakeMeeting, receiving, sending
from tests.support.vp8_descriptor import encode_vp8

TRANSPORT = Transport("ufrag1", "password-password-12345", "AB:CD", ("192.0.2.7",), 4000)
ENCODER = ("camera", "microphone")
PLAYER = ("stage.0", "stage.1", "audio.0", "audio.1", "audio.2")
IDENTITY = Identity()


def stun(data: bytes) -> None:
    """The last attribute is made a right fingerprint, or nearly everything would be refused for that alone."""
    length = (max(len(data), 28) - 20).to_bytes(2, "big")
    covered = data[:2] + length + data[4:-8]
    seal = (zlib.crc32(covered) ^ 0x5354554E).to_bytes(4, "big")
    for candidate in (data, covered + b"\x80\x28\0\4" + seal):
        try:
            request = parse_request(candidate)
        except MalformedStun:
            continue
        assert request.signed == candidate[: len(request.signed)] and len(request.integrity) == 20
        assert not authentic(request, "a password")
        return
    raise MalformedStun


def rtp(data: bytes) -> None:
    packet = parse_rtp(data)
    assert 0 <= packet.payload_type < 128 and header_length(data) <= len(data)
    assert parse_rtp(encode_rtp(packet)) == packet


def extensions(data: bytes) -> None:
    elements = parse_extensions(int.from_bytes(data[:2], "big"), data[2:])
    assert all(0 < number < 256 and len(value) < 256 for number, value in elements.items())
    encode_extensions(elements)


def rtcp(data: bytes) -> None:
    parse_rtcp(data)


def twcc(data: bytes) -> None:
    feedback = parse_twcc(data)
    if any(arrival is not None for arrival in feedback.arrivals):
        assert parse_twcc(encode_twcc(feedback)) == feedback


def vp8_payload(data: bytes) -> None:
    descriptor = vp8.parse_vp8(data)
    assert 1 <= descriptor.length <= len(data)
    encode_vp8(descriptor)
    if vp8.starts_key_frame(data):
        assert descriptor.starts_partition and descriptor.partition == 0
        vp8.key_frame_size(data)


def h264_payload(data: bytes) -> None:
    h264.starts_key_frame(data)
    size = h264.key_frame_size(data)
    assert size is None or all(0 <= side < 2**40 for side in size)


def _answer(offer: ParsedOffer, slots: dict[str, str]) -> None:
    lines = write_answer(offer, place_sections(offer, slots), TRANSPORT).split("\r\n")
    assert all(re.fullmatch(r"[a-z]=[^\r\n]+", line) for line in lines[:-1]), lines
    assert sum(line.startswith("m=") for line in lines) == len(offer.sections)


def sdp(data: bytes) -> None:
    """As the pages' offers are answered, and as those by WHIP and WHEP are."""
    offer = parse_offer(data.decode("utf-8", "replace"))
    write_fragment(offer, TRANSPORT)
    refused: list[Exception] = []
    for places in ((), ENCODER, PLAYER):
        try:
            _answer(offer, slots_by_kind(offer, places) if places else {})
        except (BadSdp, BadSlots) as error:
            refused.append(error)
    if len(refused) == 3:
        raise refused[0]


def sdpfrag(data: bytes) -> None:
    ufrag = read_fragment(data.decode("utf-8", "replace"))
    assert re.fullmatch(r"[A-Za-z0-9+/=_-]{4,256}", ufrag)


def _pair(material: bytes, name: str) -> Srtp:
    return srtp_of_server(PROFILES[name], material[: PROFILES[name].material])


_RECEIVERS = [_pair(bytes(range(200)), name) for name in PROFILES]


def srtp(data: bytes) -> None:
    """Nobody can make a packet that is taken, without the keys."""
    for receiver in _RECEIVERS:
        for read in (receiver.unprotect, receiver.receive, receiver.unprotect_rtcp):
            try:
                read(data)
            except SrtpError:
                continue
            raise AssertionError("taken")
    raise SrtpError


def dtls(data: bytes) -> None:
    """Any first datagram, and the same once more."""
    association = Dtls(IDENTITY, {"sha-256": "AB"})
    for _ in range(2):
        assert association.receive(data) is None
        association.outgoing()


_RECEIVED = 200


class Hostile:
    """An endpoint that passed the handshake and sends anything: to be forwarded, or asked for, or about what it got."""

    def __init__(self) -> None:
        self._since = 0
        self._begin()

    def _begin(self) -> None:
        self._meeting = FakeMeeting()
        self._windows: dict[bytes, ReplayWindow] = {}
        sends = [sending("camera", ("q", "h", "f")), sending("microphone"), sending("content")]
        self._hostile = self._meeting.join("h1", sends, [receiving("stage.0"), receiving("audio.0")])
        self._other = self._meeting.join("h2", [sending("camera")], [receiving("stage.0"), receiving("audio.0")])
        self._meeting.stage(["h1/camera", "h2/camera"], ["h1/microphone"])
        self._hostile.sound()
        for key in (True, False):
            for rid in ("q", "h", "f"):
                self._hostile.frame(key=key, rid=rid, parts=2)
        self._hostile.packet("content", b"\x10more", marker=True)
        for sequence, data in self._hostile.sent.items():
            self._windows.setdefault(data[8:12], ReplayWindow()).accept(sequence)

    @property
    def sent(self) -> tuple[bytes, ...]:
        """What it has sent honestly: seeds that find their stream."""
        return tuple(self._hostile.sent.values())

    def _step(self) -> None:
        """Now and then time goes on, and all begins anew."""
        self._since += 1
        if self._since % 10 == 0:
            self._meeting.wait(0.05)
        if self._since > _RECEIVED:
            self._since = 0
            self._check_indices()
            self._begin()

    def _check_indices(self) -> None:
        """An index of SRTP is never used twice for different contents: GCM would break."""
        for endpoint in (self._other, self._hostile):  # each has keys of its own
            seen: dict[tuple[int, int], object] = {}
            for each in endpoint.received:
                where = each.packet.ssrc, each.index
                assert seen.setdefault(where, each.packet) == each.packet, where
        assert self._other.received

    def rtp(self, data: bytes) -> None:
        """SRTP lets no sequence number through twice: one that came before is made the next of its source."""
        self._step()
        if len(data) >= 12:
            window = self._windows.setdefault(data[8:12], ReplayWindow())
            index = window.estimate(int.from_bytes(data[2:4], "big"))
            if not window.fresh(index):
                index = window.highest + 1
            window.accept(index)
            data = data[:2] + (index & 0xFFFF).to_bytes(2, "big") + data[4:]
        self._hostile.publisher.receive_rtp(parse_rtp(data), len(data), self._meeting.now)

    def rtcp(self, data: bytes) -> None:
        self._step()
        wall = self._meeting.now + 3_900_000_000
        for part in parse_rtcp(data):
            self._hostile.publisher.receive_rtcp(part, self._meeting.now, wall)
            self._hostile.subscriber.receive_rtcp(part, self._meeting.now, wall)


_REPORT = rtcp_codec.encode_receiver_report(rtcp_codec.ReceiverReport(7))
_FEEDBACK = (
    _REPORT + rtcp_codec.encode_nack(7, 9, [1, 2, 18, 65535]),
    _REPORT + rtcp_codec.encode_pli(7, 9),
    _REPORT + rtcp_codec.encode_remb(7, 1_500_000, (9, 10)),
    _REPORT + rtcp_codec.encode_bye((7, 9)),
    _REPORT + rtcp_codec.encode_cname(7, "name"),
    _REPORT + rtcp_codec.encode_transport_feedback(7, 9, bytes.fromhex("0000000300000100e0032004")),
    _REPORT + bytes.fromhex("84ce0004000000070000000900000009aa000000"),  # full intra request
    _REPORT + bytes.fromhex("80cf0002000000070401000000") + bytes(3),  # extended report
)
_ABOUT_SLOTS = tuple(
    _REPORT + message
    for slot in ("stage.0", "audio.0")
    for message in (rtcp_codec.encode_nack(7, slot_ssrc(slot), [0, 1, 2, 5]), rtcp_codec.encode_pli(7, slot_ssrc(slot)))
)
_HOSTILE = Hostile()
_SFU = ("publisher.py", "subscriber.py", "line.py", "leg.py", "rtp/rtx.py", "rtp/vp8.py", "forward/gop.py")

TARGETS = (
    Target("stun", stun, (MalformedStun,), ("stun.py",)),
    Target("rtp", rtp, (MalformedRtp,), ("rtp/header.py", "rtp/extensions.py")),
    Target("extensions", extensions, (), ("rtp/extensions.py",)),
    Target("rtcp", rtcp, (MalformedRtcp,), ("rtp/rtcp.py",), crafted=_FEEDBACK),
    Target("twcc", twcc, (MalformedTwcc,), ("rtp/twcc.py",)),
    Target("vp8", vp8_payload, (MalformedVp8,), ("rtp/vp8.py",)),
    Target("h264", h264_payload, (), ("rtp/h264.py",)),
    Target("sdp", sdp, (BadSdp, BadSlots), ("sdp.py",), text=True),
    Target("sdpfrag", sdpfrag, (BadSdp,), ("sdp.py",), text=True),
    Target("srtp", srtp, (SrtpError,), ("srtp.py",)),
    Target("dtls", dtls, (DtlsError,), ("dtls.py",)),
    Target("hostile-rtp", _HOSTILE.rtp, (MalformedRtp,), _SFU, crafted=_HOSTILE.sent),
    Target("hostile-rtcp", _HOSTILE.rtcp, (MalformedRtcp,), _SFU, crafted=(*_FEEDBACK, *_ABOUT_SLOTS)),
)
