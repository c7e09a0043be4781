"""What a receiver may see of its streams, whatever went on behind them: checks over all that a `FakeEndpoint` got."""

import itertools
from dataclasses import dataclass

from media.rtp.rtx import unwrap_rtx
from media.rtp.vp8 import Vp8Descriptor, parse_vp8
from media.sdp import repair_ssrc, slot_ssrc
from tests.support.media_group import FakeEndpoint, Received

_HALF = 1 << 31


@dataclass(frozen=True)
class Seen:
    """A packet of a picture: `source` is the layer that it came from, `frame` counts there."""

    received: Received
    source: str
    frame: int
    part: int
    key: bool

    @property
    def starts(self) -> bool:
        return self.key and self.part == 0

    @property
    def pictures(self) -> Vp8Descriptor | None:
        """None: it is H.264."""
        payload = self.received.packet.payload
        return None if payload[:1] in (b"\x67", b"\x65", b"\x41") else parse_vp8(payload)


def _same_picture(before: Seen, after: Seen) -> bool:
    """A key frame may be shown anew, after another source or on another line: as a picture of its own."""
    return (before.source, before.frame) == (after.source, after.frame) and not after.starts


def _seen(received: Received) -> Seen:
    _, source, frame, part, key = received.packet.payload.rsplit(b"|", 4)
    return Seen(received, source.decode(), int(frame), int(part), key == b"key")


def first_copies(endpoint: FakeEndpoint, ssrc: int) -> list[Received]:
    """In the order of arrival, without what came again."""
    found: dict[int, Received] = {}
    for each in endpoint.of(ssrc):
        found.setdefault(each.index, each)
    return list(found.values())


def check_pictures(endpoint: FakeEndpoint, slot: str, *, lossy: bool = False) -> None:
    """Begins with a key frame, and so does every other source; numbers without a gap, but for one after a frame that
    was cut; timestamps and picture ids go up frame by frame. `lossy`: holes are left that nobody filled."""
    packets = first_copies(endpoint, slot_ssrc(slot))
    if lossy:
        packets.sort(key=lambda each: each.index)
    seen = [_seen(each) for each in packets]
    assert not seen or seen[0].starts
    for before, after in itertools.pairwise(seen):
        _check_step(before, after, lossy=lossy)
    _check_picture_ids(seen, lossy=lossy)


def _check_step(before: Seen, after: Seen, *, lossy: bool) -> None:
    step = after.received.index - before.received.index
    whole = before.received.packet.marker
    same = _same_picture(before, after)
    passed = (after.received.packet.timestamp - before.received.packet.timestamp) & 0xFFFFFFFF
    assert passed == 0 if same else 0 < passed < _HALF
    if lossy and step > 1:
        return
    if after.starts and not (same or whole):
        assert step == 2 or before.source == after.source
        return
    assert step == 1
    if same:
        assert after.part == before.part + 1
    elif not after.starts:
        assert (after.source, after.frame, after.part) == (before.source, before.frame + 1, 0)


def _check_picture_ids(seen: list[Seen], *, lossy: bool) -> None:
    ids = [(each, each.pictures) for each in seen]
    known = [(each, fields) for each, fields in ids if fields is not None]
    for (before, earlier), (after, later) in itertools.pairwise(known):
        skipped = 0 if _same_picture(before, after) else 1
        steps = (
            ((later.picture_id or 0) - (earlier.picture_id or 0)) % 0x8000,
            ((later.tl0_index or 0) - (earlier.tl0_index or 0)) % 256,
            ((later.key_index or 0) - (earlier.key_index or 0)) % 32,
        )
        if lossy and after.received.index != before.received.index + 1:
            assert steps[0] < 0x4000  # how many frames were lost is not known here
        else:
            assert steps == (skipped, skipped, skipped)


def check_sound(endpoint: FakeEndpoint, slot: str) -> None:
    packets = first_copies(endpoint, slot_ssrc(slot))
    for before, after in itertools.pairwise(packets):
        assert after.index == before.index + 1
        assert 0 < (after.packet.timestamp - before.packet.timestamp) & 0xFFFFFFFF < _HALF


def check_repairs(endpoint: FakeEndpoint, slot: str) -> None:
    """Each retransmission repeats what went out under that number, and has a number of its own."""
    originals = {each.packet.sequence: each.packet for each in endpoint.of(slot_ssrc(slot))}
    repairs = endpoint.of(repair_ssrc(slot))
    for before, after in itertools.pairwise(repairs):
        assert after.index == before.index + 1
    for each in repairs:
        if each.packet.payload:
            number, payload = unwrap_rtx(each.packet.payload)
            original = originals.get(number)
            if original is not None:
                assert payload == original.payload
                assert (each.packet.timestamp, each.packet.marker) == (original.timestamp, original.marker)
                assert each.packet.payload_type == original.payload_type + 1
