"""Transport-wide feedback: what the recorder saw is what the publisher reads."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.forward.arrivals import ArrivalRecorder
from media.publisher import Publisher
from media.rtp.extensions import TRANSPORT_CC
from media.rtp.header import RtpPacket
from media.rtp.rtcp import TransportFeedback, parse_rtcp
from media.rtp.twcc import TICK_S, MalformedTwcc, TwccFeedback, encode_twcc, parse_twcc
from tests.support.media_group import FakeMeeting, NoWaiting, sending


@st.composite
def feedbacks(draw: st.DrawFn) -> TwccFeedback:
    clock = draw(st.integers(1 << 16, 1 << 30))
    arrivals: list[int | None] = [clock]
    for step in draw(st.lists(st.none() | st.integers(-300, 300) | st.integers(-32767, 32767), max_size=60)):
        if step is None:
            arrivals.append(None)
        else:
            clock = max(0, clock + step) if abs(max(0, clock + step) - clock) < 32768 else clock
            arrivals.append(clock)
    return TwccFeedback(draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 255)), tuple(arrivals))


@given(feedbacks())
def test_feedback_survives_encoding(feedback: TwccFeedback) -> None:
    information = encode_twcc(feedback)
    assert len(information) % 4 == 0
    read = parse_twcc(information)
    assert (read.base, read.count) == (feedback.base, feedback.count)
    first = next(each for each in feedback.arrivals if each is not None)
    shift = first // 256 - (first // 256 & 0xFFFFFF)  # the reference time has 24 bits
    assert read.arrivals == tuple(None if each is None else each - shift * 256 for each in feedback.arrivals)


@given(st.binary(max_size=100))
@example(b"\0\0\xff\xff\0\0\0\0" + b"\x1f\xff")
def test_any_bytes_are_feedback_or_malformed(information: bytes) -> None:
    try:
        feedback = parse_twcc(information)
    except MalformedTwcc:
        return
    assert len(feedback.arrivals) == int.from_bytes(information[2:4], "big")


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 0.4)), min_size=1, max_size=200),
    st.integers(1, 50),
)
def test_every_arrival_is_told_once_and_the_rest_lost(first: int, steps: list[tuple[int, float]], between: int) -> None:
    recorder = ArrivalRecorder()
    now, number = 1000.0, first
    expected: dict[int, int] = {}
    told: dict[int, int] = {}

    def collect() -> None:
        for message in recorder.feedback():
            for place, arrival in enumerate(parse_twcc(encode_twcc(message)).arrivals):
                if arrival is not None:
                    key = (message.base + place) & 0xFFFF
                    assert key not in told
                    told[key] = arrival

    for place, (step, wait) in enumerate(steps):
        number += step
        now += wait
        expected[number & 0xFFFF] = int(now / TICK_S)
        recorder.record(number & 0xFFFF, now)
        if place % between == 0:
            collect()
    collect()
    assert told == expected


def test_losses_between_two_messages_are_told() -> None:
    recorder = ArrivalRecorder()
    recorder.record(65534, 10.0)
    assert [message.arrivals for message in recorder.feedback()] == [(40000,)]
    recorder.record(1, 10.1)
    [message] = recorder.feedback()
    assert (message.base, message.arrivals) == (65535, (None, None, 40400))
    assert message.count == 1
    assert recorder.feedback() == []


def test_a_burst_beyond_one_message_takes_more() -> None:
    recorder = ArrivalRecorder()
    for number in range(4000):
        recorder.record(number, 10.0)
    messages = recorder.feedback()
    assert [message.count for message in messages] == list(range(len(messages)))
    assert sum(len(message.arrivals) for message in messages) == 4000
    assert all(len(encode_twcc(message)) < 1200 + 1500 for message in messages)


def test_truncation_is_noticed() -> None:
    information = encode_twcc(TwccFeedback(5, 0, (1000, None, 1001, 2000)))
    with pytest.raises(MalformedTwcc):
        parse_twcc(information[:9])


def test_who_sends_little_is_told_of_it_less_often() -> None:
    """Ten packets or more in a tenth of a second are told at once, fewer after a quarter."""
    place = replace(sending("camera"), transport_cc=True)
    place.section.extensions[TRANSPORT_CC] = 5
    upstream = NoWaiting()
    sent = upstream.sent
    publisher = Publisher("h1", [place], FakeMeeting().group, upstream, 0.0)
    number = 0

    def told_of(a_second: int, seconds: float, now: float) -> list[float]:
        """When, of a steady stream."""
        nonlocal number
        at = []
        for step in range(round(seconds * 20)):
            tick = now + step / 20
            for _ in range(a_second // 20):
                number += 1
                extensions = {9: b"camera", 5: number.to_bytes(2, "big")}
                publisher.receive_rtp(RtpPacket(True, 96, number, 1, 7, extensions, b"\x10abc"), 50, tick)
            before = len(sent)
            publisher.tick(tick)
            at += [tick] * (len(sent) > before)
        return at

    for a_second, apart, now in ((200, 0.1, 100.0), (40, 0.25, 200.0)):
        times = told_of(a_second, 3.0, now)[1:]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(gaps) > 8 and all(abs(gap - apart) < 0.051 for gap in gaps)
    (feedback,) = parse_rtcp(sent[-1])
    assert isinstance(feedback, TransportFeedback)
    arrivals = parse_twcc(feedback.information).arrivals
    assert 8 <= len(arrivals) <= 12 and None not in arrivals
