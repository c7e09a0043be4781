"""Whatever happens in a meeting, each receiver sees streams without a seam; and what GCM relies on holds throughout.

`FakeEndpoint.send_rtp` refuses an index that is used twice for different bytes, in these tests and in all others.
"""

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from media.forward.ladder import AUDIO_ALONE, HIGH, LOW, MIDDLE
from media.rtp.rtcp import Nack
from media.sdp import Receiving, Sending, slot_ssrc
from tests.support.media_group import H264, FakeEndpoint, FakeMeeting, receiving, sending
from tests.support.media_seams import check_pictures, check_repairs, check_sound

STAGE, AUDIO = slot_ssrc("stage.0"), slot_ssrc("audio.0")
RIDS = ("q", "h", "f")
HALLS = ("h1", "h2", "h3")
CAMERAS = [*(f"{name}/camera" for name in HALLS), None]
RECEIVERS = (*HALLS, "v1", "v2")
FRAME_S = 0.1


def sends_of(name: str) -> list[Sending]:
    """Simulcast, H.264, and one layer of VP8 without retransmissions."""
    camera = {
        "h1": sending("camera", RIDS, repairs=True),
        "h2": sending("camera", codec=H264, repairs=True),
        "h3": sending("camera"),
    }
    return [camera[name], sending("microphone")] if name in camera else []


def receives_of(name: str) -> list[Receiving]:
    """Two shapes: Chromium's with retransmissions, Firefox's without."""
    if name in ("h1", "v1"):
        stage = receiving("stage.0", 96, h264=102, repairs=True)
    else:
        stage = receiving("stage.0", 120, h264=126)
    return [stage, receiving("audio.0")]


class Played:
    """A meeting that goes on: every hall sends pictures and sound, and answers key frame requests."""

    _keeps_halls = False

    def __init__(self) -> None:
        self.meeting = FakeMeeting()
        self.here: dict[str, FakeEndpoint] = {}
        self.gone: list[FakeEndpoint] = []
        self.floor: str | None = None
        self.layers = set(RIDS)
        self._halves: list[Iterator[None]] = []
        self._answered: dict[str, int] = {}
        for name in (*HALLS, "v1"):
            self.join(name)

    def join(self, name: str) -> None:
        if name not in self.here:
            self.here[name] = self.meeting.join(name, sends_of(name), receives_of(name))
            self._answered[name] = 0

    def leave(self, name: str) -> None:
        if name in self.here and not (self._keeps_halls and name in HALLS):
            self._finish()
            self.gone.append(self.here.pop(name))
            self.gone[-1].leave()

    def rids(self, name: str) -> list[str | None]:
        return [*(rid for rid in RIDS if rid in self.layers)] if name == "h1" else [None]

    def play(self, frames: int, parts: int) -> None:
        self._finish()
        for _ in range(frames):
            for name in HALLS:
                if name in self.here:
                    self._picture(name, parts)
            self.speak()
            self.speak()

    def half(self) -> None:
        """The first packet of a picture of everybody; the rest comes after whatever is next."""
        self._finish()
        for name in HALLS:
            if name in self.here:
                for rid in self.rids(name):
                    parts = self.here[name].frame_parts(rid=rid, key=self._asked(name), parts=3)
                    next(parts)
                    self._halves.append(parts)

    def probe(self) -> None:
        for name in HALLS:
            if name in self.here:
                for rid in self.rids(name):
                    self.here[name].packet("camera", b"", rid=rid)

    def jump(self) -> None:
        """Browsers do not, but a hardware encoder that starts again may."""
        self._finish()
        for name in HALLS:
            if name in self.here:
                for source in self.here[name].sources.values():
                    source.sequence = (source.sequence + 5000) & 0xFFFF

    def miss(self, seed: int) -> None:
        """Everybody says that it missed some of the last packets."""
        dice = random.Random(seed)
        for endpoint in self.here.values():
            for ssrc in (STAGE, AUDIO):
                numbers = tuple(each.packet.sequence for each in endpoint.of(ssrc)[-30:] if dice.random() < 0.3)
                endpoint.subscriber.receive_rtcp(Nack(5, ssrc, numbers), self.meeting.now, 0.0)

    def rung(self, name: str, rung: int) -> None:
        if name in self.here:
            self.meeting.rung(self.here[name], rung)

    def send_layers(self, rids: set[str]) -> None:
        self.layers = set(rids)

    def wait(self, seconds: float) -> None:
        self.meeting.wait(seconds)

    def fill(self, bps: int) -> None:
        """Padding on top of what is sent, as the ladder's attempts do it."""
        for endpoint in self.here.values():
            self.meeting.rung(endpoint, getattr(endpoint.subscriber.ladder, "wanted", HIGH))
            endpoint.subscriber.ladder.probe_bps = bps

    def speak(self) -> None:
        """Everybody speaks; who has the floor is heard, by all others."""
        before = {name: len(endpoint.of(AUDIO)) for name, endpoint in self.here.items()}
        for name in HALLS:
            if name in self.here:
                self.here[name].sound()
        heard = self.floor is not None and self.floor in self.here
        for name, endpoint in self.here.items():
            fresh = [each.packet.payload for each in endpoint.of(AUDIO)[before[name] :]]
            assert fresh == ([f"opus of {self.floor}".encode()] if heard and name != self.floor else [])
        self.meeting.wait(FRAME_S / 2)

    def stage(self, feed: str | None, floor: str | None) -> None:
        self.floor = floor
        self.meeting.stage([feed], [f"{floor}/microphone" if floor else None])

    def check(self, *, lossy: bool = False) -> None:
        for endpoint in (*self.here.values(), *self.gone):
            check_pictures(endpoint, "stage.0", lossy=lossy)
            check_repairs(endpoint, "stage.0")
            check_sound(endpoint, "audio.0")

    def _picture(self, name: str, parts: int) -> None:
        asked = self._asked(name)
        for rid in self.rids(name):
            self.here[name].frame(rid=rid, key=asked, parts=parts)

    def _asked(self, name: str) -> bool:
        """Whether a key frame was asked for since the last time. A new hall begins with one."""
        asked = 1 + len(self.here[name].key_frames_asked())
        fresh = asked > self._answered[name]
        self._answered[name] = asked
        return fresh

    def _finish(self) -> None:
        halves, self._halves = self._halves, []
        for parts in halves:
            for _ in parts:
                pass


steps = st.one_of(
    st.tuples(st.just("play"), st.integers(1, 12), st.integers(1, 4)),
    st.tuples(st.just("play"), st.integers(1, 12), st.integers(1, 4)),
    st.tuples(st.just("stage"), st.sampled_from(CAMERAS), st.sampled_from([*HALLS, None])),
    st.tuples(st.just("rung"), st.sampled_from(RECEIVERS), st.sampled_from([AUDIO_ALONE, LOW, MIDDLE, HIGH])),
    st.tuples(st.just("join"), st.sampled_from(RECEIVERS)),
    st.tuples(st.just("leave"), st.sampled_from(RECEIVERS)),
    st.tuples(st.just("send_layers"), st.sets(st.sampled_from(RIDS), min_size=1)),
    st.tuples(st.just("half")),
    st.tuples(st.just("probe")),
    st.tuples(st.just("jump")),
    st.tuples(st.just("fill"), st.sampled_from([0, 300_000])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 3.0])),
    st.tuples(st.just("miss"), st.integers(0, 99)),
)


def perform(played: Played, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    getattr(played, name)(*arguments)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=4, max_size=22))
def test_no_receiver_sees_a_seam(script: list[tuple[Any, ...]]) -> None:
    played = Played()
    played.stage("h1/camera", "h1")
    for step in script:
        perform(played, step)
    played.play(3, 2)
    played.check()


class Lossy(Played):
    """On the way to the node packets of pictures get lost; they are sent again, and come late, as it happens.

    SRTP lets each packet pass once; retransmissions are packets of their own. Halls stay: the first parameter set of a
    stream that was lost would leave a receiver without a beginning until it asks.
    """

    _keeps_halls = True

    def __init__(self, seed: int, loss: float) -> None:
        self._dice = random.Random(seed)
        self._loss = 0.0
        self._arrived: set[bytes] = set()
        self._read: dict[str, int] = {}
        super().__init__()
        self.play(1, 2)
        self._loss = loss

    def join(self, name: str) -> None:
        super().join(name)
        self._read[name] = 0
        self.here[name].losing = self._loses

    def _loses(self, data: bytes) -> bool:
        if data[1] & 0x7F == 111:
            return False
        key = data[2:4] + data[8:12]
        if key in self._arrived or self._dice.random() < self._loss:
            return True
        self._arrived.add(key)
        return False

    def speak(self) -> None:
        super().speak()
        for name in HALLS:
            if name in self.here:
                self._answer(self.here[name])

    def _answer(self, endpoint: FakeEndpoint) -> None:
        """Sends again what was asked for: as a retransmission, late by itself, both, or not."""
        asked = endpoint.asked_again(self._read[endpoint.name])
        self._read[endpoint.name] = len(endpoint.feedback)
        for ssrc, number in asked:
            source = next(each for each in endpoint.sources.values() if each.ssrc == ssrc)
            if number in source.sent:
                if self._dice.random() < 0.6:
                    endpoint.repair("camera", number, rid=source.rid)
                if self._dice.random() < 0.6:
                    endpoint.come_late(source, number)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(steps.filter(lambda step: step[0] != "jump"), min_size=4, max_size=22),
    st.integers(0, 2**32),
    st.sampled_from([0.02, 0.2, 0.5]),
)
def test_no_loss_on_the_way_in_makes_a_seam(script: list[tuple[Any, ...]], seed: int, loss: float) -> None:
    """Holes may be left; what is there is in order, begins with key frames, and no index is used twice."""
    played = Lossy(seed, loss)
    played.stage("h1/camera", "h1")
    for step in script:
        perform(played, step)
    played.play(3, 2)
    played.check(lossy=True)
