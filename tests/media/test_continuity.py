"""What a receiver sees has no seam: sequence numbers, timestamps and picture ids across switches, drops and wraps."""

from hypothesis import given
from hypothesis import strategies as st

from media.forward.pictures import PictureMap
from media.forward.seqmap import SeqMap, Unwrapper
from media.forward.timestamps import TimestampMap
from media.rtp.vp8 import Vp8Descriptor, parse_vp8
from tests.support.vp8_descriptor import encode_vp8

sources = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.lists(st.booleans(), min_size=1, max_size=80)), min_size=1, max_size=6
)


@given(st.integers(0, 2**20), sources)
def test_indices_go_up_by_one_whatever_is_dropped_and_switched(last: int, runs: list[tuple[int, list[bool]]]) -> None:
    sequence_map = SeqMap(last)
    given_out = []
    for first, keep in runs:
        sequence_map.switch(first)
        for place, kept in enumerate(keep):
            sequence = (first + place) & 0xFFFF
            if kept:
                given_out.append(sequence_map.map(sequence))
            else:
                sequence_map.drop(sequence)
    assert given_out == list(range(last + 1, last + 1 + len(given_out)))


@given(st.integers(0, 2**20), st.integers(0, 0xFFFF), st.permutations(list(range(40))), st.sets(st.integers(0, 39)))
def test_no_index_is_given_twice_in_any_order(last: int, first: int, order: list[int], dropped: set[int]) -> None:
    sequence_map = SeqMap(last)
    sequence_map.switch(first)
    given_out = []
    for place in order:
        if place in dropped:
            sequence_map.drop((first + place) & 0xFFFF)
        else:
            given_out.append(sequence_map.map((first + place) & 0xFFFF))
    found = [index for index in given_out if index is not None]
    assert len(set(found)) == len(found)
    assert all(index > last for index in found)
    sequence_map.switch(9)
    following = sequence_map.map(9)
    assert following is not None and following > max(found, default=last)


def test_loss_stays_visible_and_packets_from_before_a_switch_do_not_pass() -> None:
    sequence_map = SeqMap(99)
    sequence_map.switch(65535)
    assert [sequence_map.map(number) for number in (65535, 2, 0)] == [100, 103, 101]
    assert sequence_map.map(65534) is None
    sequence_map.switch(500, gap=True)
    assert sequence_map.map(499) is None
    assert sequence_map.map(500) == 105  # one is skipped: the frame before was cut


def test_a_wide_jump_of_the_source_is_none_for_the_receiver() -> None:
    sequence_map = SeqMap(9)
    sequence_map.switch(0)
    assert sequence_map.map(0) == 10
    assert sequence_map.map(20000) == 11
    assert sequence_map.map(20001) == 12


@given(st.integers(0, 2**20), st.lists(st.integers(0, 0xFFFF) | st.integers(0, 40), max_size=120))
def test_no_index_is_given_twice_whatever_a_sender_repeats(last: int, sequences: list[int]) -> None:
    sequence_map = SeqMap(last)
    sequence_map.switch(20)
    found = [index for sequence in sequences if (index := sequence_map.map(sequence)) is not None]
    assert len(set(found)) == len(found)


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-1000, 3000), max_size=200))
def test_unwrapping_follows_the_true_number(first: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(first)
    highest = first
    for step in steps:
        true = highest + step
        assert unwrapper.unwrap(true & 0xFFFF) == true
        highest = max(highest, true)


@given(
    st.integers(0, 0xFFFFFFFF),
    st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(1, 50)), min_size=1, max_size=6),
)
def test_timestamps_go_on_at_the_clocks_pace(first: int, runs: list[tuple[int, int]]) -> None:
    timestamps = TimestampMap(90000, first)
    now, previous = 50.0, None
    for start, frames in runs:
        timestamps.switch(start, now)
        for frame in range(frames):
            mapped = timestamps.map((start + 3000 * frame) & 0xFFFFFFFF, now)
            if previous is not None:
                assert 2999 <= (mapped - previous) & 0xFFFFFFFF <= 3001
            previous = mapped
            now += 1 / 30


def test_packets_of_one_frame_share_a_timestamp_and_a_switch_at_once_moves_on() -> None:
    timestamps = TimestampMap(90000, 1000)
    timestamps.switch(7, 1.0)
    assert [timestamps.map(7, 1.0), timestamps.map(7, 1.01)] == [1001, 1001]
    timestamps.switch(900, 1.0)
    assert timestamps.map(900, 1.0) == 1002


@st.composite
def pictures(draw: st.DrawFn) -> list[tuple[int, int, int, bool, int]]:
    """Runs of (first picture, first tl0, first key index, long, frames)."""
    run = st.tuples(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 31), st.booleans(), st.integers(1, 300))
    return draw(st.lists(run, min_size=1, max_size=4))


@given(pictures())
def test_picture_ids_continue_across_sources(runs: list[tuple[int, int, int, bool, int]]) -> None:
    rewriting = PictureMap()
    expected = 0
    for first, tl0, key, long, frames in runs:
        rewriting.switch()
        for frame in range(frames):
            modulus = 0x8000 if long else 0x80
            descriptor = Vp8Descriptor(
                0, False, True, 0, (first + frame) % modulus, long, (tl0 + frame) % 256, 0, False, (key + frame) % 32
            )
            for _ in range(2):  # two packets a frame
                seen = parse_vp8(rewriting.rewrite(encode_vp8(descriptor) + b"frame"))
                assert (seen.picture_id, seen.tl0_index, seen.key_index) == (
                    expected % 0x8000,
                    expected % 256,
                    expected % 32,
                )
                assert seen.long_picture_id
            expected += 1


def test_a_late_packet_keeps_its_own_picture_id() -> None:
    rewriting = PictureMap()
    rewriting.switch()

    def picture(number: int) -> int | None:
        payload = encode_vp8(Vp8Descriptor(0, False, True, 0, number, True)) + b"frame"
        return parse_vp8(rewriting.rewrite(payload)).picture_id

    assert [picture(number) for number in (32766, 0, 32767, 1)] == [0, 2, 1, 3]


def test_payloads_without_running_fields_are_left_alone() -> None:
    assert PictureMap().rewrite(b"\x10\x02frame") == b"\x10\x02frame"
