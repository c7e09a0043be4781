"""Looking from the command line: is a meeting's log whole, what does it say, and what does the media node hold."""

from collections import Counter
from collections.abc import AsyncIterator, Callable

import aiohttp
import msgspec

from rooms.codec import decode_change
from rooms.ids import MeetingId
from rooms.meeting import Meeting, kind_of
from server.database.log import Entry, Head, Log, first_broken, first_head
from server.offline import offline
from server.settings import Settings
from server.wire import Problem

Say = Callable[[str], None]


async def _chunks(log: Log, meeting: MeetingId) -> AsyncIterator[list[Entry]]:
    after = 0
    while entries := await log.read(meeting, after):
        yield entries
        after = entries[-1].rev


class BrokenChain(Exception):
    """The entry of this number does not fit what is before it."""


async def chain_end(log: Log, meeting: MeetingId, log_id: str) -> Head:
    """The end of a log whose entries all fit. Raises `BrokenChain`."""
    head = first_head(log_id)
    async for entries in _chunks(log, meeting):
        broken = first_broken(meeting, head, entries)
        if broken is not None:
            raise BrokenChain(broken)
        head = Head(entries[-1].rev, entries[-1].hash)
    return head


async def verify_log(settings: Settings, meeting: MeetingId, say: Say) -> bool:
    """Whether every entry fits the one before it."""
    async with offline(settings) as parts:
        log_id = await parts.log.log_id(meeting)
        if log_id is None:
            say(f"no meeting {meeting}")
            return False
        try:
            head = await chain_end(parts.log, meeting, log_id)
        except BrokenChain as broken:
            say(f"entry {broken} does not fit: the log was altered there")
            return False
        say(f"{head.rev} entries, all fit; the last has hash {head.hash.hex()}")
        return True


async def verify_all(settings: Settings, say: Say) -> bool:
    """The same for every meeting that there is."""
    async with offline(settings) as parts:
        meetings = [row.id for row in await parts.listed.all()]
    good = True
    for meeting in meetings:
        said: list[str] = []
        good &= await verify_log(settings, meeting, said.append)
        say(f"meeting {meeting}: {' '.join(said)}")
    return good


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


class CannotDump(Exception):
    """The server cannot be asked, or did not tell; the text says why."""


async def fetch_dump(url: str, token: str) -> str:
    """The media node's graph, as the server at `url` tells it. Raises `CannotDump`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
            http.get(f"{url.rstrip('/')}/api/media/dump", headers=headers) as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotDump(f"no server at {url} [{type(error).__name__}]") from error
    if answer.status != 200:
        raise CannotDump(_code(text, answer.status))
    return text


def _code(text: str, status: int) -> str:
    try:
        return msgspec.json.decode(text, type=Problem).code
    except msgspec.MsgspecError:
        return f"status {status}"
