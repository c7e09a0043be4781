"""Synthetic halls without network: what they send is real VP8 and Opus, and a receiver's faults are found."""

from collections.abc import Callable
from dataclasses import dataclass

import av
import msgspec
import pytest

from clients.rehearsal.arrivals import Arrivals
from clients.rehearsal.offer import BadDescription, Local, Place, read_description, write_offer
from clients.rehearsal.receiving import Findings, Incoming, Known
from clients.rehearsal.recording import AUDIO_S, DESCRIPTOR, MARK, Recording, Studio, Wanted, parse_mark
from clients.rehearsal.report import RehearsalReport, describe, verdicts
from clients.rehearsal.report_values import Delays
from clients.rehearsal.sending import Names, Outgoing
from media.rtp.header import parse_rtp
from media.rtp.vp8 import starts_key_frame
from media.sdp import Receiving, Sending, Transport, parse_offer, place_sections, write_answer

SMALL = Wanted(160, 90, 400_000, 15, payload=600)
NO_NAMES = Names((0, b""), (0, b""), 0, 0)


@dataclass
class Plain:
    """No encryption: what was protected is the packet."""

    unprotect: Callable[[bytes], bytes] = bytes


class Wire:
    """A stream and its receiver; the packets on the way may be tampered with."""

    def __init__(self, studio: Studio, recording: Recording, sampling: int = 1) -> None:
        self.sampling = sampling
        self.stream = Outgoing(recording, 7, 0, 96, NO_NAMES, 1234)
        self.stream.start(100.0)
        self.packets: list[bytes] = []
        self.known = Known(studio.numbers, streams={(7, 0): self.stream})
        self.findings = Findings()
        self.track: Incoming | None = None

    def send(self, frames: int) -> list[bytes]:
        packets: list[bytes] = []
        for _ in range(frames):
            self.stream.send_frame(self.stream.due, lambda header, payload, *_: packets.append(header + payload), int)
        return packets

    def receive(self, packets: list[bytes]) -> None:
        arrived_ns = max(self.stream.sent_ns.values()) + 10**6
        for packet in packets:
            sequence = int.from_bytes(packet[2:4], "big")
            if self.track is None:
                self.track = Incoming("stage.0", 1234, sequence, self.sampling, True)
                self.track.await_picture(None)
            if sequence == self.track.expected and sequence & self.track.mask:
                self.track.expected += 1
            elif self.track.note(sequence, 0.0):
                self.track.examine(packet, arrived_ns, Plain(), self.known, self.findings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


@pytest.fixture(scope="module")
def recording(studio: Studio) -> Recording:
    return studio.record(SMALL)


def test_the_pictures_sent_are_decodable_vp8_with_one_key_frame(studio: Studio, recording: Recording) -> None:
    decoder = av.CodecContext.create("vp8", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frame, keys, decoded = b"", 0, 0
    for data in Wire(studio, recording).send(len(recording.frames)):
        packet = parse_rtp(data)
        assert len(packet.payload) <= SMALL.payload
        keys += starts_key_frame(packet.payload)
        frame += packet.payload[DESCRIPTOR:]
        if packet.marker:
            decoded += len(decoder.decode(av.Packet(frame)))
            frame = b""
    assert (keys, decoded) == (1, len(recording.frames))


def test_every_packet_recorded_is_known_by_its_bytes() -> None:
    """Also where two frames end in packets of the same byte."""
    whole = [frame.shares[0] for frame in Studio().record(Wanted(160, 90, 400_000, 15, payload=60_000)).frames]
    payload = next(
        room + DESCRIPTOR
        for room in range(100, 1200)
        if len(ends := [data[-1] for data in whole if len(data) % room == 1]) > len(set(ends))
    )
    studio = Studio()
    for frame in studio.record(Wanted(160, 90, 400_000, 15, payload=payload)).frames:
        known = [studio.numbers[share] for share in frame.shares]
        assert known == list(range(frame.first, frame.first + len(frame.shares)))


def test_the_tone_sent_is_decodable_opus(studio: Studio) -> None:
    tone = studio.record_tone()
    wire = Wire(studio, tone)
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48000, "stereo"
    samples = 0
    for data in wire.send(20):
        payload = parse_rtp(data).payload
        assert parse_mark(payload) is not None and len(payload) > 2 * MARK
        samples += sum(frame.samples for frame in decoder.decode(av.Packet(payload)))
    assert samples == 20 * int(48_000 * AUDIO_S)


def test_a_clean_stream_is_verified_and_its_first_picture_is_seen(studio: Studio, recording: Recording) -> None:
    wire = Wire(studio, recording)
    packets = wire.send(30)
    wire.receive(packets)
    assert wire.findings.faults == 0 and wire.findings.verified == len(packets)
    assert wire.track is not None and wire.track.picture is not None and wire.track.picture.publisher == 7
    assert not wire.track.missing


@pytest.mark.parametrize("fault", ["changed", "closed up", "repeated frame"])
def test_what_a_server_must_not_do_is_found(fault: str, studio: Studio, recording: Recording) -> None:
    wire = Wire(studio, recording)
    packets = wire.send(12)
    at = next(place for place, packet in enumerate(packets) if place > 20 and not packet[1] & 0x80)
    if fault == "changed":
        packets[at] = packets[at][:-1] + bytes((packets[at][-1] ^ 1,))
    elif fault == "closed up":  # dropped, with the numbers behind it closed up so that no gap shows
        packets = packets[:at] + [_renumbered(packet, -1) for packet in packets[at + 1 :]]
    else:
        packets += [_renumbered(packet, len(packets) - at) for packet in packets[at:]]
    wire.receive(packets)
    found = wire.findings
    assert {"changed": found.wrong, "closed up": found.miscounted, "repeated frame": found.disordered}[fault] > 0


def test_a_sample_is_enough_where_nothing_is_switched(studio: Studio, recording: Recording) -> None:
    wire = Wire(studio, recording, sampling=32)
    wire.known.steady = True
    packets = wire.send(60)
    at = len(packets) // 2
    wire.receive(packets[:at] + [_renumbered(packet, -1) for packet in packets[at + 1 :]])
    assert 0 < wire.findings.verified < len(packets) // 2 and wire.findings.miscounted >= 1


def test_a_gap_is_counted_until_it_is_filled(studio: Studio, recording: Recording) -> None:
    wire = Wire(studio, recording)
    packets = wire.send(12)
    wire.receive(packets[:5] + packets[7:])
    assert wire.track is not None and len(wire.track.missing) == 2
    wire.receive(packets[5:7])
    assert not wire.track.missing and wire.track.repaired == 2 and wire.findings.faults == 0


def _renumbered(packet: bytes, shift: int) -> bytes:
    return packet[:2] + (int.from_bytes(packet[2:4], "big") + shift & 0xFFFF).to_bytes(2, "big") + packet[4:]


def test_the_offer_is_one_that_the_node_answers_and_the_answer_one_that_is_read() -> None:
    local = Local("abcd", "p" * 24, "AA:BB", ("127.0.0.1", 5000))
    places = [Place("camera", (11, 12, 13), ("q", "h", "f")), Place("microphone", (14,)), Place("stage.0")]
    offer = parse_offer(write_offer(local, places))
    placed = place_sections(offer, {"0": "camera", "1": "microphone", "2": "stage.0"})
    camera, microphone, stage = placed
    assert isinstance(camera, Sending) and camera.section.rids == ("q", "h", "f") and camera.transport_cc
    assert isinstance(microphone, Sending) and microphone.section.ssrcs == (14,)
    assert isinstance(stage, Receiving)
    answer = write_answer(offer, placed, Transport("uf", "pw", "CC:DD", ("192.0.2.1", "127.0.0.1"), 4000))
    remote = read_description(answer, ("127.0.0.1",))
    assert (remote.ufrag, remote.password, remote.fingerprint) == ("uf", "pw", "CC:DD")
    assert remote.address == ("127.0.0.1", 4000) and remote.sections[2].ssrcs == [0x0D100000]
    with pytest.raises(BadDescription):
        read_description("v=0\r\n")


def judged(**more: object) -> RehearsalReport:
    """A good rehearsal, but for what is given."""
    figures: dict[str, object] = {
        **{"halls": 187, "joined": 187, "see_the_stage": 187, "errors": (), "node_join_cpu_ms": 1.5, "seconds": 30.0},
        **{"picture_s": Delays(p50=0.5, p95=1.0, most=1.5), "packets": 1_000_000, "node_cpu_share": 0.2, "lost": 0},
        **{"cpu_us_per_packet": 3.0, "repaired": 2, "dropped_here": 0, "verified": 10_000, "faults": 0, "switches": 6},
        **{"latency_p50_ms": 1.0, "latency_p99_ms": 8.0, "switch_ms": Delays(p50=50, p95=200, most=300)},
        **{"switch_late": 0, "node_rss_mb": 90.0, "server_rss_mb": 140.0, "srtp_profiles": (), "verdicts": {}},
        **more,
    }
    return msgspec.structs.replace(found := RehearsalReport(**figures), verdicts=verdicts(found))  # type: ignore[arg-type]


def test_a_report_says_in_both_languages_what_is_good_and_what_is_not() -> None:
    good = judged()
    assert set(good.verdicts.values()) == {"good"}
    assert "Kết luận: ĐẠT" in describe(good, "vi") and "Result: GOOD" in describe(good, "en")
    slow = judged(switch_ms=Delays(p50=50, p95=500, most=600), lost=3, node_cpu_share=None, dropped_here=9)
    assert {name for name, verdict in slow.verdicts.items() if verdict == "bad"} == {"switch", "loss"}
    assert slow.verdicts["node_cpu"] == "not_measured"
    shown = describe(slow, "vi")
    assert "✗ Gói mất: 3" in shown and "– Máy chủ hình khi họp: không đo được" in shown and "KHÔNG ĐẠT" in shown
    assert "9 gói bị bỏ ngay tại máy diễn tập" in shown
    assert judged(joined=186).verdicts["joined"] == "bad" and judged(switch_late=1).verdicts["switch"] == "bad"


def test_the_longest_gap_is_of_all_connections_together() -> None:
    arrivals = Arrivals()
    arrivals.note(5_000_000_000)
    arrivals.begin(10_000_000_000)
    for at_s in (12, 13, 11, 16):  # the second connection's came first
        arrivals.note(at_s * 1_000_000_000)
    assert arrivals.longest_gap_s(17_000_000_000) == 3.0
    assert arrivals.longest_gap_s(20_500_000_000) == 4.5, "one that lasts"
    arrivals.begin(21_000_000_000)
    assert arrivals.longest_gap_s(21_250_000_000) == 0.25
