"""Offers and answers: real browsers' offers, what is left out of the answer, and nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.sdp import (
    BadSdp,
    BadSlots,
    Idle,
    Receiving,
    Sending,
    Transport,
    Unsupported,
    parse_offer,
    place_sections,
    read_fragment,
    repair_ssrc,
    slot_ssrc,
    slots_by_kind,
    write_answer,
    write_fragment,
)

TRANSPORT = Transport("ufrag1", "password-password-12345", "AB:CD", ("192.0.2.7", "127.0.0.1"), 4000)

SESSION = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {mids}
a=extmap-allow-mixed
"""
COMMON = """c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 12:34:56
a=setup:actpass
a=mid:{mid}
a={direction}
a=rtcp-mux
a=rtcp-rsize
"""
VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 45 103 104
{common}a=extmap:1 urn:ietf:params:rtp-hdrext:toffset
a=extmap:3 urn:3gpp:video-orientation
a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
a=rtpmap:98 VP9/90000
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:45 AV1/90000
a=rtpmap:103 H264/90000
a=rtcp-fb:103 nack pli
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f
a=rtpmap:104 H264/90000
a=rtcp-fb:104 nack pli
a=fmtp:104 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
"""
SIMULCAST = """a=rid:q send
a=rid:h send
a=rid:f send
a=simulcast:send q;h;~f
"""
AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0
{common}a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=rtpmap:0 PCMU/8000
"""
DATA = """m=application 9 UDP/DTLS/SCTP webrtc-datachannel
{common}a=sctp-port:5000
"""


def offer(*sections: tuple[str, str, str], extra: str = "") -> str:
    """Sections of (template, mid, direction)."""
    text = SESSION.format(mids=" ".join(mid for _, mid, _ in sections))
    for template, mid, direction in sections:
        text += template.format(common=COMMON.format(mid=mid, direction=direction))
    return (text + extra).replace("\n", "\r\n")


HALL = offer((VIDEO, "0", "sendonly"), (AUDIO, "1", "sendonly"), (VIDEO, "2", "recvonly"), (AUDIO, "3", "recvonly"))
SLOTS = {"0": "camera", "1": "microphone", "2": "stage.0", "3": "audio.0"}


def answer_sections(text: str, slots: dict[str, str]) -> list[list[str]]:
    parsed = parse_offer(text)
    lines = write_answer(parsed, place_sections(parsed, slots), TRANSPORT).split("\r\n")
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def test_the_session_is_lite_and_bundled() -> None:
    session, *media = answer_sections(HALL, SLOTS)
    assert "a=ice-lite" in session
    assert "a=group:BUNDLE 0 1 2 3" in session
    assert "a=extmap-allow-mixed" in session
    for section in media:
        assert "a=setup:passive" in section
        assert "a=ice-ufrag:ufrag1" in section
        assert "a=fingerprint:sha-256 AB:CD" in section
        assert "a=rtcp-mux" in section
        assert [line.split()[4] for line in section if line.startswith("a=candidate")] == ["192.0.2.7", "127.0.0.1"]


def test_a_camera_is_received_in_vp8_without_what_cannot_be_forwarded() -> None:
    camera = answer_sections(HALL, SLOTS)[1]
    assert camera[0] == "m=video 9 UDP/TLS/RTP/SAVPF 96 97"  # and its retransmissions
    assert "a=fmtp:97 apt=96" in camera
    assert "a=recvonly" in camera
    assert "a=rtcp-fb:96 transport-cc" in camera and "a=rtcp-fb:96 nack pli" in camera
    assert "a=rtcp-fb:96 goog-remb" not in camera
    assert {line for line in camera if line.startswith("a=extmap")} == {
        "a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "a=extmap:3 urn:3gpp:video-orientation",
        "a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    }


def test_a_slot_takes_both_codecs_on_one_ssrc() -> None:
    stage = answer_sections(HALL, SLOTS)[3]
    assert stage[0] == "m=video 9 UDP/TLS/RTP/SAVPF 96 104 97"  # the better H.264 of the two, retransmissions of VP8
    assert "a=sendonly" in stage
    assert f"a=ssrc:{slot_ssrc('stage.0')} cname:diemcau" in stage
    assert "a=msid:stage-0 stage-0-track" in stage
    assert not any("transport-wide" in line for line in stage)
    assert f"a=ssrc-group:FID {slot_ssrc('stage.0')} {repair_ssrc('stage.0')}" in stage


def test_simulcast_is_answered_in_its_order() -> None:
    camera = answer_sections(offer((VIDEO + SIMULCAST, "0", "sendonly")), {"0": "camera"})[1]
    assert [line for line in camera if line.startswith(("a=rid", "a=simulcast"))] == [
        "a=rid:q recv",
        "a=rid:h recv",
        "a=rid:f recv",
        "a=simulcast:recv q;h;f",
    ]


def test_remb_is_the_fallback() -> None:
    text = offer((VIDEO, "0", "sendonly")).replace("a=rtcp-fb:96 transport-cc\r\n", "")
    camera = answer_sections(text, {"0": "camera"})[1]
    assert "a=rtcp-fb:96 goog-remb" in camera
    assert not any("transport-wide" in line for line in camera)


def test_h264_alone_is_taken() -> None:
    text = offer((VIDEO, "0", "sendonly")).replace("a=rtpmap:96 VP8/90000\r\n", "")
    [place] = place_sections(parse_offer(text), {"0": "camera"})
    assert isinstance(place, Sending) and (place.codec.name, place.codec.payload_type) == ("h264", 104)


def test_sections_without_a_place_stay_idle() -> None:
    text = offer((VIDEO, "v", "sendonly"), (AUDIO, "a", "recvonly"), (DATA, "d", "sendrecv"), (VIDEO, "x", "inactive"))
    places = place_sections(parse_offer(text), {"a": "audio.0", "x": "stage.0"})
    idle, receiving, data, inactive = places
    assert isinstance(receiving, Receiving)
    assert isinstance(idle, Idle) and not idle.rejected
    assert isinstance(data, Idle) and data.rejected
    assert isinstance(inactive, Idle)
    session, video, _, application, _ = answer_sections(text, {"a": "audio.0", "x": "stage.0"})
    assert "a=group:BUNDLE v a x" in session
    assert "a=inactive" in video
    assert application[0] == "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"


def test_a_source_that_is_not_sent_is_idle() -> None:
    [place] = place_sections(parse_offer(offer((VIDEO, "0", "recvonly"))), {"0": "camera"})
    assert isinstance(place, Idle)


@pytest.mark.parametrize(
    "slots",
    [
        {"0": "microphone"},
        {"9": "camera"},
        {"0": "camera", "2": "camera"},
        {"0": "stage.2"},
        {"0": "tile.25"},
        {"0": "tile.01"},
        {"0": ""},
        {"1": "audio.3"},
    ],
)
def test_slots_that_do_not_fit_are_refused(slots: dict[str, str]) -> None:
    with pytest.raises(BadSlots):
        place_sections(parse_offer(HALL), slots)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v=0", "v=1"),
        ("a=group:BUNDLE 0 1 2 3", "a=group:LS 0 1"),
        ("a=group:BUNDLE 0 1 2 3", "a=group:BUNDLE 0 9"),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1", "a=x"),
        ("a=mid:1", "a=mid:é"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("a=ice-pwd:0123456789012345678901", "a=ice-pwd:"),
        ("a=fingerprint:sha-256 12:34:56", "a=fingerprint:md5 12"),
        ("a=rtcp-mux", "a=nothing"),
        ("m=video 9", "m=video nine"),
        ("m=video 9", "m=vi\u00e9deo 9"),
    ],
)
def test_offers_that_cannot_be_answered_are_refused(old: str, new: str) -> None:
    assert old in HALL
    with pytest.raises(BadSdp):
        parse_offer(HALL.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=group:BUNDLE 0 1 2 3", "a=group:LS 0 1"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("a=fingerprint:sha-256 12:34:56", "a=fingerprint:md5 12"),
        ("a=rtcp-mux", "a=nothing"),
    ],
)
def test_what_is_readable_but_not_supported_is_told_apart(old: str, new: str) -> None:
    with pytest.raises(Unsupported):
        parse_offer(HALL.replace(old, new))


def test_places_go_to_the_m_lines_of_their_kind() -> None:
    parsed = parse_offer(HALL)
    assert slots_by_kind(parsed, ("camera", "microphone")) == {"0": "camera", "1": "microphone"}
    assert slots_by_kind(parsed, ("content",)) == {"0": "content"}
    player = parse_offer(
        offer((AUDIO, "x", "recvonly"), (VIDEO, "y", "recvonly"), (VIDEO, "off", "inactive"), (AUDIO, "z", "sendrecv"))
    )
    wishes = ("stage.0", "stage.1", "audio.0", "audio.1", "audio.2")
    assert slots_by_kind(player, wishes) == {"y": "stage.0", "x": "audio.0", "z": "audio.1"}


def test_places_that_find_no_m_line_or_too_many_are_refused() -> None:
    for text, places in (
        (offer((AUDIO, "0", "sendonly")), ("content",)),
        (offer((VIDEO, "0", "recvonly")), ("camera", "microphone")),
        (offer((VIDEO, "0", "sendonly")), ("stage.0",)),
        (offer((VIDEO, "0", "sendonly"), (VIDEO, "1", "sendonly")), ("camera",)),
        (offer((VIDEO, "0", "sendonly")).replace("m=video 9", "m=video 0"), ("camera",)),
    ):
        with pytest.raises(BadSlots):
            slots_by_kind(parse_offer(text), places)


def test_a_single_section_needs_neither_mid_nor_bundle() -> None:
    text = offer((AUDIO, "0", "sendonly")).replace("a=mid:0\r\n", "").replace("a=group:BUNDLE 0\r\n", "")
    parsed = parse_offer(text)
    answer = write_answer(parsed, place_sections(parsed, slots_by_kind(parsed, ("microphone",))), TRANSPORT)
    assert "a=mid" not in answer and "BUNDLE" not in answer
    assert "a=recvonly" in answer.split("\r\n")
    assert "a=mid" not in write_fragment(parsed, TRANSPORT)


OBS = """v=0
o=rtc 2390139542 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:7Fqz
a=ice-pwd:iWvTLcxsAr9lScsLe3DHZ4
a=ice-options:ice2,trickle
a=fingerprint:sha-256 12:34:56
m=audio 57643 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.9
a=mid:0
a=sendonly
a=ssrc:1382 cname:obs
a=ssrc:1382 msid:obs obs-audio
a=msid:obs obs-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=candidate:1 1 UDP 2122317823 192.0.2.9 57643 typ host
m=video 57643 UDP/TLS/RTP/SAVPF 96
c=IN IP4 192.0.2.9
a=mid:1
a=sendonly
a=ssrc:1383 cname:obs
a=ssrc:1383 msid:obs obs-video
a=msid:obs obs-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
""".replace("\n", "\r\n")
FFMPEG = """v=0
o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
s=FFmpegPublishSession
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:ba9ae0f5
a=ice-pwd:1e2f8f0b63c9d7a4f5e4ab6d3b8f4c11
a=fingerprint:sha-256 12:34:56
a=setup:passive
a=mid:0
a=sendonly
a=msid:FFmpeg audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=ssrc:3982 cname:FFmpeg
a=ssrc:3982 msid:FFmpeg audio
m=video 9 UDP/TLS/RTP/SAVPF 106
c=IN IP4 0.0.0.0
a=ice-ufrag:ba9ae0f5
a=ice-pwd:1e2f8f0b63c9d7a4f5e4ab6d3b8f4c11
a=fingerprint:sha-256 12:34:56
a=setup:passive
a=mid:1
a=sendonly
a=msid:FFmpeg video
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:106 H264/90000
a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01e
a=ssrc:3983 cname:FFmpeg
a=ssrc:3983 msid:FFmpeg video
""".replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "video", "setup"), [(OBS, 96, "actpass"), (FFMPEG, 106, "passive")], ids=["obs", "ffmpeg"]
)
def test_offers_of_encoders_are_answered(text: str, video: int, setup: str) -> None:
    """Written after what OBS Studio 30 (libdatachannel) and FFmpeg 8 offer; FFmpeg will only be the DTLS server."""
    parsed = parse_offer(text)
    slots = slots_by_kind(parsed, ("camera", "microphone"))
    places = place_sections(parsed, slots)
    assert all(isinstance(place, Sending) for place in places)
    session, audio, picture = answer_sections(text, slots)
    assert "a=group:BUNDLE 0 1" in session
    for section in (audio, picture):
        assert ("a=setup:active" if setup == "passive" else "a=setup:passive") in section
        assert {"a=recvonly", "a=rtcp-mux", "a=ice-ufrag:ufrag1"} <= set(section)
    assert picture[0] == f"m=video 9 UDP/TLS/RTP/SAVPF {video}"
    assert any(line.startswith("a=fmtp:111") and "usedtx=1" in line for line in audio)
    assert slots_by_kind(parsed, ("content",)) == {"1": "content"}
    assert "a=inactive" in answer_sections(text, {"1": "content"})[1]


def test_microphones_are_asked_for_repair_data_and_silence_left_out() -> None:
    microphone, receiving = answer_sections(HALL, SLOTS)[2], answer_sections(HALL, SLOTS)[4]
    assert "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1" in microphone
    assert "a=ptime:40" in microphone and not any(line.startswith("a=ptime") for line in receiving)
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in receiving
    for offered, answered in (
        ("a=fmtp:111 usedtx=0; useinbandfec=0", "a=fmtp:111 usedtx=0; useinbandfec=0"),
        ("a=x", "a=fmtp:111 usedtx=1;useinbandfec=1"),
        ("a=fmtp:111 stereo=1", "a=fmtp:111 stereo=1;usedtx=1;useinbandfec=1"),
    ):
        text = HALL.replace("a=fmtp:111 minptime=10;useinbandfec=1", offered)
        assert answered in answer_sections(text, SLOTS)[2]


def test_a_fragment_is_read_and_answered() -> None:
    fragment = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    assert read_fragment(fragment + "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n") == "EsAw"
    assert write_fragment(parse_offer(HALL), TRANSPORT).split("\r\n")[:6] == [
        "a=ice-lite",
        "a=ice-ufrag:ufrag1",
        "a=ice-pwd:password-password-12345",
        "m=video 9 UDP/TLS/RTP/SAVPF 98",
        "a=mid:0",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host",
    ]
    for wrong in ("", "hello", fragment.replace("EsAw", "E"), fragment.replace("ice-pwd", "pwd"), "a=x\r\n" * 60_000):
        with pytest.raises(BadSdp):
            read_fragment(wrong)


def test_bounds() -> None:
    with pytest.raises(BadSdp):
        parse_offer(HALL + "a=x\r\n" * 60_000)
    with pytest.raises(BadSdp):
        parse_offer(offer(*((VIDEO, f"m{number}", "recvonly") for number in range(65))))
    host = offer(*((VIDEO, f"m{number}", "recvonly") for number in range(25)))
    places = place_sections(parse_offer(host), {f"m{number}": f"tile.{number}" for number in range(25)})
    assert len({slot_ssrc(place.slot) for place in places if isinstance(place, Receiving)}) == 25


def test_a_microphone_is_asked_to_be_brief_in_silence() -> None:
    _, _, microphone, _, heard = answer_sections(HALL, SLOTS)
    assert "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1" in microphone
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in heard
    plain = HALL.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "")
    assert "a=fmtp:111 usedtx=1;useinbandfec=1" in answer_sections(plain, SLOTS)[2]


def test_no_codec_is_no_answer() -> None:
    text = offer((AUDIO, "0", "sendonly")).replace("opus", "isac")
    with pytest.raises(BadSdp):
        place_sections(parse_offer(text), {"0": "microphone"})


@given(st.text(max_size=300))
def test_any_text_is_an_offer_or_refused(text: str) -> None:
    for candidate in (text, "v=0\r\n" + text, HALL + text):
        try:
            parse_offer(candidate)
        except BadSdp:
            pass


@given(st.data())
def test_a_damaged_offer_is_answered_or_refused(data: st.DataObject) -> None:
    lines = HALL.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        cut = data.draw(st.integers(0, len(line)))
        lines[place] = line[:cut] + data.draw(st.text("0123456789 :;/=~,ax\u0661", max_size=4)) + line[cut + 1 :]
    try:
        answer_sections("\r\n".join(lines), SLOTS)
    except (BadSdp, BadSlots):
        pass
