"""What processes tell each other. MessagePack; unknown fields and kinds are read over, so that a version and the one
before it understand each other. Add fields with defaults only.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from rooms.ids import HallId, MeetingId
from server import wire
from server.database.log import Draft, Entry, Head, entry_hash

MOST_CARRIED = 8 * 1024
"""Bytes of changes that go along with a wake-up; larger ones the others read from the log."""


class Body(msgspec.Struct, frozen=True, array_like=False, omit_defaults=True):
    """Anything that is told."""


class Beat(Body, frozen=True, tag="beat"):
    """The sender lives."""


class Bye(Body, frozen=True, tag="bye"):
    """The sender ends."""


class Ask(Body, frozen=True, tag="ask"):
    """Tell all that you have told before; None asks everybody."""

    process: str | None = None


class Tried(Body, frozen=True, tag="tried"):
    """A failed attempt that counts against a limit of all processes together."""

    limit: str
    key: str


class MeetingBody(Body, frozen=True):
    meeting: MeetingId


class Wrote(MeetingBody, frozen=True, tag="wrote"):
    """The log has reached `rev`; `entries` are the last ones, if they are small."""

    rev: int
    entries: tuple[Entry, ...] = ()


class HallNow(msgspec.Struct, frozen=True):
    """What the sender knows of a hall. `since` is when its page came to the sender, None if it has none there."""

    since: float | None
    presence: dict[str, Any]


class Halls(MeetingBody, frozen=True, tag="halls"):
    """Halls that have changed; with `reset` all of which the sender knows something."""

    halls: tuple[HallNow, ...]
    reset: bool = False


class Watching(MeetingBody, frozen=True, tag="watching"):
    """The halls whose stills consoles at the sender show now."""

    halls: tuple[HallId, ...]


class StillsNow(MeetingBody, frozen=True, tag="stills"):
    """New stills that somebody watches: hall and `wire.Still` as JSON."""

    stills: tuple[tuple[HallId, bytes], ...]


AnyBody = Beat | Bye | Ask | Tried | Wrote | Halls | Watching | StillsNow


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """`number` counts a sender's messages, so that a lost one is noticed."""

    process: str
    number: int
    body: msgspec.Raw


_envelope = msgspec.msgpack.Decoder(Envelope)
_body: msgspec.msgpack.Decoder[AnyBody] = msgspec.msgpack.Decoder(AnyBody)


def pack(process: str, number: int, body: AnyBody) -> bytes:
    return msgspec.msgpack.encode((process, number, body))


def unpack(message: bytes) -> tuple[str, int, AnyBody | None]:
    """Sender, number and body; no body if this version does not know it. Raises `msgspec.DecodeError`."""
    envelope = _envelope.decode(message)
    try:
        return envelope.process, envelope.number, _body.decode(envelope.body)
    except msgspec.ValidationError:
        return envelope.process, envelope.number, None


def wrote(meeting: MeetingId, after: Head, drafts: Sequence[Draft]) -> Wrote:
    """The wake-up for drafts that were written behind `after`."""
    rev = after.rev + len(drafts)
    if sum(len(draft.change) for draft in drafts) > MOST_CARRIED:
        return Wrote(meeting, rev)
    entries: list[Entry] = []
    head = after
    for draft in drafts:
        hash = entry_hash(meeting, head.rev + 1, draft, head.hash)
        entries.append(Entry(head.rev + 1, **msgspec.structs.asdict(draft), prev_hash=head.hash, hash=hash))
        head = Head(head.rev + 1, hash)
    return Wrote(meeting, rev, tuple(entries))


_PRESENCE = frozenset(wire.HallPresence.__struct_fields__)


def hall_now(presence: wire.HallPresence, since: float | None) -> HallNow:
    return HallNow(since, msgspec.to_builtins(presence))


def presence_of(told: HallNow) -> wire.HallPresence:
    """The hall's presence as far as this version knows its fields. Raises `msgspec.ValidationError`."""
    known = {name: value for name, value in told.presence.items() if name in _PRESENCE}
    return msgspec.convert(known, wire.HallPresence)
