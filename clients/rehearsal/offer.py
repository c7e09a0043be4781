"""Session descriptions as Chromium writes them, and the little of the other side's that an endpoint needs."""

from dataclasses import dataclass, field

from media.rtp.extensions import ABS_SEND_TIME, AUDIO_LEVEL, MID, RID, TRANSPORT_CC, VIDEO_ORIENTATION
from media.sdp import kind_of

VP8, VP8_RTX, H264, H264_RTX, OPUS = 96, 97, 102, 103, 111
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
IDS = {AUDIO_LEVEL: 1, ABS_SEND_TIME: 2, TRANSPORT_CC: 3, MID: 4, RID: 10, REPAIRED_RID: 11, VIDEO_ORIENTATION: 13}
_VIDEO_IDS = (ABS_SEND_TIME, VIDEO_ORIENTATION, TRANSPORT_CC, MID, RID, REPAIRED_RID)
_AUDIO_IDS = (AUDIO_LEVEL, ABS_SEND_TIME, TRANSPORT_CC, MID)
SOURCES = ("camera", "microphone", "content")


@dataclass(frozen=True, slots=True)
class Local:
    """This side's transport. `setup` is actpass in a browser's offer; active makes the other the DTLS server."""

    ufrag: str
    password: str
    fingerprint: str
    address: tuple[str, int]
    setup: str = "actpass"


@dataclass(frozen=True, slots=True)
class Place:
    """One m-line: a source that is sent (with its SSRCs, and rids when it is simulcast) or a slot that is received."""

    name: str
    ssrcs: tuple[int, ...] = ()
    rids: tuple[str, ...] = ()


def write_offer(local: Local, places: list[Place]) -> str:
    mids = " ".join(str(mid) for mid in range(len(places)))
    lines = ["v=0", "o=- 4611732120 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
    lines += ["a=extmap-allow-mixed", "a=msid-semantic: WMS *"]
    for mid, place in enumerate(places):
        lines += _write_section(local, mid, place)
    return "\r\n".join(lines) + "\r\n"


def _write_section(local: Local, mid: int, place: Place) -> list[str]:
    video = kind_of(place.name) == "video"
    formats = f"{VP8} {VP8_RTX} {H264} {H264_RTX}" if video else str(OPUS)
    lines = [f"m={'video' if video else 'audio'} 9 UDP/TLS/RTP/SAVPF {formats}", "c=IN IP4 0.0.0.0"]
    lines += ["a=rtcp:9 IN IP4 0.0.0.0", *_write_transport(local), f"a=mid:{mid}"]
    lines += [f"a=extmap:{IDS[uri]} {uri}" for uri in (_VIDEO_IDS if video else _AUDIO_IDS)]
    lines += ["a=sendonly" if place.name in SOURCES else "a=recvonly", "a=rtcp-mux", "a=rtcp-rsize"]
    lines += _VIDEO_CODECS if video else _AUDIO_CODECS
    if place.rids:
        lines += [f"a=rid:{rid} send" for rid in place.rids]
        lines.append("a=simulcast:send " + ";".join(place.rids))
    elif place.ssrcs:
        lines += [f"a=msid:- {place.name}", f"a=ssrc:{place.ssrcs[0]} cname:{local.ufrag}"]
        lines.append(f"a=ssrc:{place.ssrcs[0]} msid:- {place.name}")
    return lines


def _write_transport(local: Local) -> list[str]:
    host, port = local.address
    return [
        f"a=candidate:1 1 udp 2122260223 {host} {port} typ host generation 0 network-id 1",
        "a=end-of-candidates",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        f"a=setup:{local.setup}",
    ]


def _write_video_codec(payload_type: int, name: str, parameters: str = "") -> list[str]:
    kinds = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
    lines = [f"a=rtpmap:{payload_type} {name}/90000"]
    lines += [f"a=rtcp-fb:{payload_type} {kind}" for kind in kinds]
    lines += [f"a=fmtp:{payload_type} {parameters}"] if parameters else []
    return [*lines, f"a=rtpmap:{payload_type + 1} rtx/90000", f"a=fmtp:{payload_type + 1} apt={payload_type}"]


_VIDEO_CODECS = [
    *_write_video_codec(VP8, "VP8"),
    *_write_video_codec(H264, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
]
_AUDIO_CODECS = [
    f"a=rtpmap:{OPUS} opus/48000/2",
    f"a=rtcp-fb:{OPUS} transport-cc",
    f"a=fmtp:{OPUS} minptime=10;useinbandfec=1",
]


def write_answer(local: Local, remote: "Remote") -> str:
    """To a foreign server's offer of one picture: receive it, in VP8, without retransmission streams."""
    section = remote.sections[0]
    payload_type = section.payload_types["vp8"]
    lines = ["v=0", "o=- 4611732121 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {section.mid}"]
    lines += ["a=msid-semantic: WMS *", f"m=video 9 UDP/TLS/RTP/SAVPF {payload_type}", "c=IN IP4 0.0.0.0"]
    lines += [*_write_transport(local), f"a=mid:{section.mid}", "a=recvonly", "a=rtcp-mux"]
    lines += [f"a=rtpmap:{payload_type} VP8/90000"]
    lines += [f"a=rtcp-fb:{payload_type} {kind}" for kind in ("ccm fir", "nack", "nack pli")]
    return "\r\n".join(lines) + "\r\n"


class BadDescription(ValueError):
    """The other side's description lacks what a connection needs."""


@dataclass(slots=True)
class RemoteSection:
    """`ssrcs` without those of retransmissions; `payload_types` by codec name; `repairs` are those of RTX."""

    mid: str = ""
    ssrcs: list[int] = field(default_factory=list)
    payload_types: dict[str, int] = field(default_factory=dict)
    repairs: set[int] = field(default_factory=set)
    repair_ssrcs: set[int] = field(default_factory=set)
    feedback: set[str] = field(default_factory=set)
    extensions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Remote:
    """The other side: ICE credentials, certificate, address, and what it says of each m-line."""

    ufrag: str = ""
    password: str = ""
    fingerprint: str = ""
    address: tuple[str, int] = ("", 0)
    setup: str = ""
    sections: list[RemoteSection] = field(default_factory=list)


def read_description(text: str, addresses: tuple[str, ...] = ()) -> Remote:
    """An answer, or an offer. Of several candidates the first of `addresses`, else the first, is taken.

    Raises BadDescription.
    """
    remote = Remote()
    candidates: list[tuple[str, int]] = []
    for line in text.splitlines():
        if line.startswith("m="):
            remote.sections.append(RemoteSection())
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if name == "candidate" and len(parts := value.split()) >= 6 and parts[2].lower() == "udp" and parts[1] == "1":
            candidates.append((parts[4], int(parts[5])))
        _read_transport(remote, name, value)
        if remote.sections:
            _read_attribute(remote.sections[-1], name, value)
    usable = [candidate for candidate in candidates if ":" not in candidate[0]]
    if not (usable and remote.ufrag and remote.password and remote.fingerprint):
        raise BadDescription("no transport")
    remote.address = next((each for wanted in addresses for each in usable if each[0] == wanted), usable[0])
    return remote


def _read_transport(remote: Remote, name: str, value: str) -> None:
    if name == "ice-ufrag":
        remote.ufrag = remote.ufrag or value
    elif name == "ice-pwd":
        remote.password = remote.password or value
    elif name == "setup":
        remote.setup = remote.setup or value
    elif name == "fingerprint" and value.lower().startswith("sha-256 "):
        remote.fingerprint = remote.fingerprint or value.partition(" ")[2].upper()


def _read_attribute(section: RemoteSection, name: str, value: str) -> None:
    first, _, rest = value.partition(" ")
    if name == "mid":
        section.mid = value
    elif name == "ssrc" and int(first) not in section.ssrcs and int(first) not in section.repair_ssrcs:
        section.ssrcs.append(int(first))
    elif name == "ssrc-group" and first == "FID":  # stands before the SSRCs themselves
        section.repair_ssrcs.add(int(rest.split()[-1]))
    elif name == "rtpmap":
        codec = rest.partition("/")[0].lower()
        if codec == "rtx":
            section.repairs.add(int(first))
        else:
            section.payload_types.setdefault(codec, int(first))
    elif name == "rtcp-fb":
        section.feedback.add(rest)
    elif name == "extmap":
        section.extensions[rest.split()[0]] = int(first.partition("/")[0])
