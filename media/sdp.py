"""The one offer of an endpoint and its answer (RFC 8829, RFC 9143 BUNDLE, RFC 8851 rid, RFC 8853 simulcast).

Three steps, all pure: `parse_offer` reads, `place_sections` decides what each m-line is for, `write_answer` writes.
Payload types and extension ids are the offerer's. What the node cannot forward (VP9, AV1, RED, FEC) is left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from media.rtp.extensions import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    MID,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    VIDEO_ORIENTATION,
)

MAX_SDP = 256 * 1024
MAX_SECTIONS = 64
MAX_RIDS = 4
_MAX_CODECS = 128
_MAX_SSRCS = 32
_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF")
_FINGERPRINTS = ("sha-256", "sha-384", "sha-512")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_ICE = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
_SLOT = re.compile(r"camera|microphone|content|stage\.[01]|audio\.[012]|tile\.(?:1?[0-9]|2[0-4])")
_ATTRIBUTE = re.compile(r"\na=([^:\n]*):?([^\n]*)")
_OWN = re.compile(r"\na=(mid|msid|ssrc-group|ssrc|ice-ufrag|ice-pwd|fingerprint|candidate)(?![^:\n]):?([^\n]*)")
_REMEMBERED, _MOST_REMEMBERED = 64, 16 * 1024
"""So many kinds of m-lines, each of at most so many characters."""
_H264_CHOICE = ("42e01f", "42001f")
SOURCES = ("camera", "microphone", "content")

Kind = Literal["audio", "video"]


class BadSdp(ValueError):
    """The offer cannot be read, or not be answered by this node. The text says why and quotes nothing."""


class Unsupported(BadSdp):
    """The offer can be read, but asks for what this node cannot do."""


class BadSlots(ValueError):
    """The slots do not fit the offer."""


@dataclass(frozen=True, slots=True)
class Codec:
    """`name` in lower case; `parameters` the a=fmtp as offered."""

    payload_type: int
    name: str
    clock_rate: int
    channels: str
    parameters: str
    feedback: frozenset[str]


@dataclass(frozen=True, slots=True)
class Section:
    """One m-line. `attributes` holds every value of every attribute.

    `repair_types` and `repair_ssrcs` are of RFC 4588: from a codec's payload type to that of its retransmissions, and
    from the SSRC of retransmissions to the one they repair. Offers share what reads the same: nothing in it is changed.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: dict[str, list[str]]
    mid: str = ""
    direction: str = "sendrecv"
    codecs: tuple[Codec, ...] = ()
    extensions: dict[str, int] = field(default_factory=dict)
    rids: tuple[str, ...] = ()
    ssrcs: tuple[int, ...] = ()
    repair_types: dict[int, int] = field(default_factory=dict)
    repair_ssrcs: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedOffer:
    """`ufrag` and `fingerprints` are those of the bundled transport; `grouped`: the bundle was written down;
    `passive`: the offerer will only be the DTLS server.
    """

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]
    ufrag: str
    fingerprints: dict[str, str]
    mixed_extensions: bool
    grouped: bool = True
    passive: bool = False


# -- reading -----------------------------------------------------------------------------------------------------------


def parse_offer(text: str) -> ParsedOffer:
    """Raises BadSdp, never anything else."""
    if len(text) > MAX_SDP:
        raise BadSdp("too long")
    session, sections = _split(text)
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise BadSdp("a mid occurs twice")
    if "" in mids and len(mids) > 1:
        raise BadSdp("a section without a mid")
    bundle = _read_bundle(session, mids)
    tag = next((section for section in sections if section.mid == bundle[0]), None)
    if tag is None:
        raise BadSdp("the bundle names no section")
    attributes = {**session, **tag.attributes}
    return ParsedOffer(
        tuple(sections),
        bundle,
        _read_ufrag(attributes),
        _read_fingerprints(attributes),
        "extmap-allow-mixed" in session,
        any(value.split()[:1] == ["BUNDLE"] for value in session.get("group", ())),
        _first(attributes, "setup") == "passive",
    )


def _split(text: str) -> tuple[dict[str, list[str]], list[Section]]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("v=0"):
        raise BadSdp("no session description")
    session, *media = text.split("\nm=")
    if not media:
        raise BadSdp("no sections")
    if len(media) > MAX_SECTIONS:
        raise BadSdp("too many sections")
    return _grouped(_ATTRIBUTE.findall(session)), [_read_section(part) for part in media]


def _grouped(lines: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    for name, value in lines:
        attributes.setdefault(name, []).append(value.strip())
    return attributes


def _read_section(text: str) -> Section:
    """What belongs to the endpoint is read each time, the rest once for all whose browser writes the same."""
    parts = _OWN.split(text)  # of each line that is its own what is before it, its name, its value
    own, rest = _grouped(zip(parts[1::3], parts[2::3], strict=True)), "".join(parts[::3])
    common = _remember_common(rest) if len(rest) <= _MOST_REMEMBERED else _read_common(rest)
    mid = _first(own, "mid")
    if mid and not _TOKEN.fullmatch(mid):
        raise BadSdp("a bad mid")
    attributes = {**common.attributes, **own}
    if not common.codecs:
        return replace(common, attributes=attributes, mid=mid)
    return replace(common, attributes=attributes, mid=mid, ssrcs=_read_ssrcs(own), repair_ssrcs=_read_repair_ssrcs(own))


def _read_common(text: str) -> Section:
    kind, port, protocol, formats = _read_media_line(text.partition("\n")[0].split())
    attributes = _grouped(_ATTRIBUTE.findall(text))
    direction = "sendrecv"
    for each in ("sendonly", "recvonly", "inactive", "sendrecv"):
        if each in attributes:
            direction = each
    if protocol not in _PROTOCOLS or kind not in ("audio", "video"):
        return Section(kind, port, protocol, formats, attributes, direction=direction)
    if port and "rtcp-mux" not in attributes:
        raise Unsupported("rtcp-mux is needed")
    codecs = _read_codecs(formats, attributes)
    return Section(
        kind,
        port,
        protocol,
        formats,
        attributes,
        direction=direction,
        codecs=codecs,
        extensions=_read_extensions(attributes),
        rids=_read_rids(attributes),
        repair_types=_read_repair_types(codecs),
    )


_remember_common = lru_cache(maxsize=_REMEMBERED)(_read_common)


def _read_media_line(parts: list[str]) -> tuple[str, int, str, tuple[str, ...]]:
    if len(parts) < 4 or not parts[1].isdecimal() or len(parts[1]) > 5 or len(parts) > _MAX_CODECS:
        raise BadSdp("bad m-line")
    if not all(_TOKEN.fullmatch(part) for part in (parts[0], *parts[3:])) or not re.fullmatch(r"[\w/]{1,40}", parts[2]):
        raise BadSdp("bad m-line")
    return parts[0], int(parts[1]), parts[2], tuple(parts[3:])


def _first(attributes: dict[str, list[str]], name: str) -> str:
    return attributes.get(name, [""])[0]


def _number(text: str, limit: int) -> int | None:
    """A decimal number up to `limit`."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > limit:
        return None
    return int(text)


def _read_codecs(formats: tuple[str, ...], attributes: dict[str, list[str]]) -> tuple[Codec, ...]:
    parameters = dict(value.partition(" ")[::2] for value in attributes.get("fmtp", ()))
    feedback: dict[str, set[str]] = {}
    for value in attributes.get("rtcp-fb", ()):
        payload, _, kind = value.partition(" ")
        feedback.setdefault(payload, set()).add(kind)
    codecs = []
    for value in attributes.get("rtpmap", ()):
        payload, _, mapping = value.partition(" ")
        parts = mapping.split("/")
        number, rate = _number(payload, 127), _number(parts[1], 1_000_000) if len(parts) > 1 else None
        if payload not in formats or number is None or not rate or len(parts) > 3:
            continue
        channels = parts[2] if len(parts) == 3 else ""
        kinds = frozenset(feedback.get(payload, set()) | feedback.get("*", set()))
        codecs.append(Codec(number, parts[0].lower(), rate, channels, parameters.get(payload, ""), kinds))
    order = {name: place for place, name in enumerate(formats)}
    return tuple(sorted(codecs, key=lambda codec: order[str(codec.payload_type)]))


def _read_extensions(attributes: dict[str, list[str]]) -> dict[str, int]:
    extensions: dict[str, int] = {}
    for value in attributes.get("extmap", ()):
        parts = value.split()
        if len(parts) >= 2 and "/" not in parts[0]:
            number = _number(parts[0], 255)
            if number:
                extensions.setdefault(parts[1], number)
    return extensions


def _read_rids(attributes: dict[str, list[str]]) -> tuple[str, ...]:
    """The layers that will be sent, in the order of a=simulcast; without it none."""
    known = {parts[0] for value in attributes.get("rid", ()) if len(parts := value.split()) >= 2 and parts[1] == "send"}
    words = _first(attributes, "simulcast").split()
    if "send" not in words[:-1]:
        return ()
    order = words[words.index("send") + 1]
    rids = [layer.split(",")[0].removeprefix("~") for layer in order.split(";")]
    if (
        len(rids) > MAX_RIDS
        or len(set(rids)) != len(rids)
        or not all(rid in known and re.fullmatch(r"[A-Za-z0-9_-]{1,16}", rid) for rid in rids)
    ):
        raise BadSdp("bad simulcast")
    return tuple(rids)


def _read_ssrcs(attributes: dict[str, list[str]]) -> tuple[int, ...]:
    """The announced SSRCs that carry the media itself (not its retransmissions)."""
    repair = {
        parts[-1] for value in attributes.get("ssrc-group", ()) if len(parts := value.split()) > 2 and parts[0] == "FID"
    }
    found: dict[int, None] = {}
    for value in attributes.get("ssrc", ()):
        text = value.partition(" ")[0]
        number = _number(text, 0xFFFFFFFF)
        if number is not None and text not in repair:
            found[number] = None
    return tuple(found)[:_MAX_SSRCS]


def _read_repair_ssrcs(attributes: dict[str, list[str]]) -> dict[int, int]:
    """From a=ssrc-group:FID (RFC 5576 §4.2): original first, retransmissions second."""
    found: dict[int, int] = {}
    for value in attributes.get("ssrc-group", ())[:_MAX_SSRCS]:
        parts = value.split()
        if len(parts) == 3 and parts[0] == "FID":
            original, repair = (_number(part, 0xFFFFFFFF) for part in parts[1:])
            if original is not None and repair is not None:
                found[repair] = original
    return found


def _read_repair_types(codecs: tuple[Codec, ...]) -> dict[int, int]:
    found: dict[int, int] = {}
    for codec in codecs:
        apt = re.search(r"(?:^|;)\s*apt=(\d{1,3})", codec.parameters)
        if codec.name == "rtx" and apt is not None:
            found.setdefault(int(apt[1]), codec.payload_type)
    return found


def _read_bundle(session: dict[str, list[str]], mids: list[str]) -> tuple[str, ...]:
    for value in session.get("group", ()):
        parts = value.split()
        if len(parts) > 1 and parts[0] == "BUNDLE":
            if not set(parts[1:]) <= set(mids):
                raise BadSdp("the bundle names no section")
            return tuple(parts[1:])
    if len(mids) == 1:
        return (mids[0],)
    raise Unsupported("BUNDLE is needed")


def _read_ufrag(attributes: dict[str, list[str]]) -> str:
    """The password is only looked at: a lite agent sends no checks."""
    ufrag, password = _first(attributes, "ice-ufrag"), _first(attributes, "ice-pwd")
    if not _ICE.fullmatch(ufrag) or not _ICE.fullmatch(password):
        raise BadSdp("no ICE credentials")
    return ufrag


def _read_fingerprints(attributes: dict[str, list[str]]) -> dict[str, str]:
    if _first(attributes, "setup") not in ("actpass", "active", "passive"):
        raise Unsupported("no DTLS role")
    fingerprints: dict[str, str] = {}
    for value in attributes.get("fingerprint", ()):
        algorithm, _, digest = value.partition(" ")
        if algorithm.lower() in _FINGERPRINTS:
            fingerprints[algorithm.lower()] = digest.strip().upper()
    if not fingerprints:
        raise Unsupported("no usable fingerprint")
    return fingerprints


def read_fragment(text: str) -> str:
    """The new ufrag in an ICE restart's fragment (RFC 8840 §9). Raises BadSdp."""
    lines = text.splitlines()
    if len(text) > MAX_SDP or not all(re.match(r"[a-z]=", line) for line in lines if line):
        raise BadSdp("no fragment")
    attributes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attributes.setdefault(name, []).append(value.strip())
    return _read_ufrag(attributes)


# -- deciding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sending:
    """An m-line that the endpoint publishes a source on; the codec is the one that it will use."""

    section: Section
    source: str
    codec: Codec
    transport_cc: bool

    @property
    def repair_type(self) -> int | None:
        """The payload type of retransmissions."""
        return self.section.repair_types.get(self.codec.payload_type)


@dataclass(frozen=True, slots=True)
class Receiving:
    """An m-line that the endpoint receives a slot on, with each codec that may come."""

    section: Section
    slot: str
    codecs: tuple[Codec, ...]

    @property
    def repairs(self) -> dict[int, int]:
        """The payload type of each codec's retransmissions."""
        types = self.section.repair_types
        return {c.payload_type: types[c.payload_type] for c in self.codecs if c.payload_type in types}


@dataclass(frozen=True, slots=True)
class Idle:
    """An m-line that stays, without use; `rejected`: it is not even part of the transport."""

    section: Section
    rejected: bool


Placed = Sending | Receiving | Idle


def kind_of(slot: str) -> Kind:
    return "audio" if slot == "microphone" or slot.startswith("audio.") else "video"


def slots_by_kind(offer: ParsedOffer, places: tuple[str, ...]) -> dict[str, str]:
    """Mid to place: each place goes to the first m-line that is of its kind, goes its way and has none yet.

    Raises BadSlots when no place finds an m-line, or when two m-lines of one kind would publish (RFC 9725 §4.4.2).
    """
    slots: dict[str, str] = {}
    for place in places:
        fitting = [section for section in offer.sections if _is_live(offer, section) and _could_be(section, place)]
        if place in SOURCES and len(fitting) > 1:
            raise BadSlots("more than one m-line of a kind")
        free = next((section.mid for section in fitting if section.mid not in slots), None)
        if free is not None:
            slots[free] = place
    if not slots:
        raise BadSlots("no m-line for what is asked")
    return slots


def _is_live(offer: ParsedOffer, section: Section) -> bool:
    """It is part of the transport, with codecs to talk about."""
    live = section.port != 0 or "bundle-only" in section.attributes
    return live and section.mid in offer.bundle and bool(section.codecs)


def _could_be(section: Section, place: str) -> bool:
    way = "sendonly" if place in SOURCES else "recvonly"
    return kind_of(place) == section.kind and section.direction in (way, "sendrecv")


def place_sections(offer: ParsedOffer, slots: dict[str, str]) -> tuple[Placed, ...]:
    """What each m-line is for, in order. Raises BadSlots, or BadSdp where no codec fits."""
    if len(set(slots.values())) != len(slots):
        raise BadSlots("a slot occurs twice")
    if not set(slots) <= {section.mid for section in offer.sections}:
        raise BadSlots("a mid is not in the offer")
    if not all(_SLOT.fullmatch(slot) for slot in slots.values()):
        raise BadSlots("an unknown slot")
    return tuple(_place(offer, section, slots.get(section.mid)) for section in offer.sections)


def _place(offer: ParsedOffer, section: Section, slot: str | None) -> Placed:
    if not _is_live(offer, section):
        return Idle(section, rejected=True)
    if slot is None:
        return Idle(section, rejected=False)
    if kind_of(slot) != section.kind:
        raise BadSlots("a slot of the other kind")
    codecs = _forwardable(section)
    if not codecs:
        raise Unsupported("no codec that the node forwards")
    if not _could_be(section, slot):
        return Idle(section, rejected=False)
    if slot in SOURCES:
        feedback = "transport-cc" in codecs[0].feedback and TRANSPORT_CC in section.extensions
        return Sending(section, slot, codecs[0], feedback)
    return Receiving(section, slot, codecs)


def _forwardable(section: Section) -> tuple[Codec, ...]:
    """Opus; or VP8, then one H.264, each where it was offered."""
    if section.kind == "audio":
        return tuple(codec for codec in section.codecs if codec.name == "opus" and codec.clock_rate == 48000)[:1]
    vp8 = [codec for codec in section.codecs if codec.name == "vp8"][:1]
    h264 = sorted((codec for codec in section.codecs if codec.name == "h264"), key=_h264_order)[:1]
    return tuple(codec for codec in vp8 + h264 if codec.clock_rate == 90000)


def _h264_order(codec: Codec) -> tuple[bool, int]:
    text = codec.parameters.replace(" ", "").lower()
    profile = next(
        (place for place, name in enumerate(_H264_CHOICE) if f"profile-level-id={name}" in text), len(_H264_CHOICE)
    )
    return "packetization-mode=1" not in text, profile


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transport:
    """What the answer says of the node's side. `candidates` are IP addresses."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: tuple[str, ...]
    port: int


_FIRST_SSRC = {"stage": 0x0D100000, "audio": 0x0D200000, "tile": 0x0D300000}


def slot_ssrc(slot: str) -> int:
    """The SSRC of a receiving slot: the same for all endpoints, so that they can share a rewritten header."""
    name, _, number = slot.partition(".")
    return _FIRST_SSRC[name] + int(number)


def repair_ssrc(slot: str) -> int:
    """The SSRC of a slot's retransmissions."""
    return slot_ssrc(slot) | 0x00080000


CNAME = "diemcau"
VOICE_PTIME_MS = 40
"""How long a packet of a voice is asked to be: half as many packets as usual for everybody, 20 ms later."""


def write_answer(offer: ParsedOffer, places: tuple[Placed, ...], transport: Transport) -> str:
    used = [place.section.mid for place in places if not (isinstance(place, Idle) and place.rejected)]
    bundled = [mid for mid in used if mid and offer.grouped]
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"]
    if bundled:
        lines.append("a=group:BUNDLE " + " ".join(bundled))
    if offer.mixed_extensions:
        lines.append("a=extmap-allow-mixed")
    lines.append("a=msid-semantic: WMS *")
    setup = "active" if offer.passive else "passive"
    for place in places:
        lines += _write_place(place, transport, setup)
    return "\r\n".join(lines) + "\r\n"


def _write_place(place: Placed, transport: Transport, setup: str) -> list[str]:
    section = place.section
    if isinstance(place, Idle) and place.rejected:
        media = f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}"
        return [media, "c=IN IP4 0.0.0.0", *_write_mid(section), "a=inactive"]
    codecs = _answered_codecs(place)
    repairs = _answered_repairs(place)
    types = [*(codec.payload_type for codec in codecs), *repairs.values()]
    lines = [f"m={section.kind} 9 {section.protocol} " + " ".join(map(str, types))]
    lines += ["c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", *_write_transport(transport, setup)]
    lines += [*_write_mid(section), "a=rtcp-mux"]
    if "rtcp-rsize" in section.attributes:
        lines.append("a=rtcp-rsize")
    for codec in codecs:
        lines += _write_codec(codec, place)
    for original, repair in repairs.items():
        lines += [f"a=rtpmap:{repair} rtx/90000", f"a=fmtp:{repair} apt={original}"]
    if isinstance(place, Sending):
        return lines + _write_sending(place)
    if isinstance(place, Receiving):
        return lines + _write_receiving(place)
    return [*lines, "a=inactive"]


def write_fragment(offer: ParsedOffer, transport: Transport) -> str:
    """The answer to an ICE restart: the new credentials, and the candidates under the bundle's first m-line."""
    section = next(section for section in offer.sections if section.mid == offer.bundle[0])
    lines = ["a=ice-lite", f"a=ice-ufrag:{transport.ufrag}", f"a=ice-pwd:{transport.password}"]
    lines += [f"m={section.kind} 9 {section.protocol} {section.formats[0]}", *_write_mid(section)]
    return "\r\n".join(lines + _write_candidates(transport)) + "\r\n"


def _write_mid(section: Section) -> list[str]:
    return [f"a=mid:{section.mid}"] if section.mid else []


def _answered_codecs(place: Placed) -> tuple[Codec, ...]:
    if isinstance(place, Sending):
        return (place.codec,)
    if isinstance(place, Receiving):
        return place.codecs
    return _forwardable(place.section) or place.section.codecs[:1]


def _answered_repairs(place: Placed) -> dict[int, int]:
    """Retransmission of pictures, where it was offered."""
    if isinstance(place, Idle) or place.section.kind != "video":
        return {}
    if isinstance(place, Receiving):
        return place.repairs
    return {} if place.repair_type is None else {place.codec.payload_type: place.repair_type}


def _write_transport(transport: Transport, setup: str) -> list[str]:
    """In every section: aiortc reads the candidates of the last one."""
    return [
        f"a=ice-ufrag:{transport.ufrag}",
        f"a=ice-pwd:{transport.password}",
        f"a=fingerprint:sha-256 {transport.fingerprint}",
        f"a=setup:{setup}",
        *_write_candidates(transport),
    ]


def _write_candidates(transport: Transport) -> list[str]:
    lines = []
    for place, address in enumerate(transport.candidates):
        priority = 126 << 24 | (65535 - place) << 8 | 255
        lines.append(f"a=candidate:{place + 1} 1 udp {priority} {address} {transport.port} typ host")
    lines.append("a=end-of-candidates")
    return lines


def _write_codec(codec: Codec, place: Placed) -> list[str]:
    channels = f"/{codec.channels}" if codec.channels else ""
    name = codec.name.upper() if place.section.kind == "video" else codec.name
    lines = [f"a=rtpmap:{codec.payload_type} {name}/{codec.clock_rate}{channels}"]
    parameters = _with_opus_wishes(codec.parameters) if _is_voice(place) else codec.parameters
    if parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {parameters}")
    return lines + [f"a=rtcp-fb:{codec.payload_type} {kind}" for kind in _feedback(codec, place)]


def _is_voice(place: Placed) -> bool:
    return isinstance(place, Sending) and place.codec.name == "opus"


def _with_opus_wishes(parameters: str) -> str:
    """Ask for silence to be left out and for repair data (RFC 7587 §6.1), unless the offer ruled one out."""
    names = {parameter.partition("=")[0].strip() for parameter in parameters.split(";")}
    wishes = [f"{name}=1" for name in ("usedtx", "useinbandfec") if name not in names]
    return ";".join([parameters, *wishes] if parameters else wishes)


def _feedback(codec: Codec, place: Placed) -> list[str]:
    """What of the offered feedback works: see media/README.md."""
    if isinstance(place, Idle):
        return []
    wanted = ["nack", "nack pli", "ccm fir"] if place.section.kind == "video" else ["nack"]
    if isinstance(place, Receiving) and place.section.kind == "video" and ABS_SEND_TIME in place.section.extensions:
        wanted.append("goog-remb")
    if isinstance(place, Sending):
        wanted = [kind for kind in wanted if kind != "ccm fir"]
        wanted.append("transport-cc" if place.transport_cc else "goog-remb")
    return [kind for kind in wanted if kind in codec.feedback]


def _write_extensions(section: Section, uris: tuple[str, ...]) -> list[str]:
    return [f"a=extmap:{section.extensions[uri]} {uri}" for uri in uris if uri in section.extensions]


def _write_sending(place: Sending) -> list[str]:
    section = place.section
    uris = (MID, RID, REPAIRED_RID, AUDIO_LEVEL, VIDEO_ORIENTATION) + ((TRANSPORT_CC,) if place.transport_cc else ())
    lines = [*_write_extensions(section, uris), "a=recvonly"]
    if section.kind == "audio":
        lines.append(f"a=ptime:{VOICE_PTIME_MS}")
    if section.rids:
        lines += [f"a=rid:{rid} recv" for rid in section.rids]
        lines.append("a=simulcast:recv " + ";".join(section.rids))
    return lines


def _write_receiving(place: Receiving) -> list[str]:
    name = place.slot.replace(".", "-")
    stream = name.replace("audio-", "stage-")  # browsers keep lips and voice together within one stream
    ssrcs = [slot_ssrc(place.slot)]
    lines = [*_write_extensions(place.section, (AUDIO_LEVEL, VIDEO_ORIENTATION, ABS_SEND_TIME)), "a=sendonly"]
    lines.append(f"a=msid:{stream} {name}-track")
    if _answered_repairs(place):
        ssrcs.append(repair_ssrc(place.slot))
        lines.append(f"a=ssrc-group:FID {ssrcs[0]} {ssrcs[1]}")
    for ssrc in ssrcs:
        lines += [f"a=ssrc:{ssrc} cname:{CNAME}", f"a=ssrc:{ssrc} msid:{stream} {name}-track"]
    return lines
