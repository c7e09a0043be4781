"""Looking at a meeting's log from the command line: is it whole, and what does it say."""

from collections import Counter
from collections.abc import AsyncIterator, Callable

from rooms.codec import decode_change
from rooms.ids import MeetingId
from rooms.meeting import Meeting, kind_of
from server.database.log import Entry, Head, Log, first_broken, first_head
from server.offline import offline
from server.settings import Settings

Say = Callable[[str], None]


async def _chunks(log: Log, meeting: MeetingId) -> AsyncIterator[list[Entry]]:
    after = 0
    while entries := await log.read(meeting, after):
        yield entries
        after = entries[-1].rev


async def verify_log(settings: Settings, meeting: MeetingId, say: Say) -> bool:
    """Whether every entry fits the one before it."""
    async with offline(settings) as parts:
        log_id = await parts.log.log_id(meeting)
        if log_id is None:
            say(f"no meeting {meeting}")
            return False
        head = first_head(log_id)
        async for entries in _chunks(parts.log, meeting):
            broken = first_broken(meeting, head, entries)
            if broken is not None:
                say(f"entry {broken} does not fit: the log was altered there")
                return False
            head = Head(entries[-1].rev, entries[-1].hash)
        say(f"{head.rev} entries, all fit; the last has hash {head.hash.hex()}")
        return True


async def replay_log(settings: Settings, meeting: MeetingId, say: Say) -> None:
    """Every entry on a line, then how many records of each kind there are."""
    state = Meeting()
    async with offline(settings) as parts:
        async for entries in _chunks(parts.log, meeting):
            for entry in entries:
                change = decode_change(entry.change)
                state.apply(change, entry.rev)
                keys = [*(r.key for r in change.put[:4]), *change.drop[:4]]
                more = len(change.put) + len(change.drop) - len(keys)
                say(
                    f"{entry.rev} {entry.at:.3f} {entry.actor} {entry.command_type} {' '.join(keys)}"
                    + f" +{more}" * (more > 0)
                )
    for kind, count in sorted(Counter(kind_of(type(r)) for r in state.records()).items()):
        say(f"{kind}: {count}")
