"""The log of a meeting: numbered, hash-chained entries. The only durable truth; everything else is derived.

Invariant: entries are gapless from 1, and each carries the hash of the one before. Appending is optimistic: the writer
says which entry it follows; if somebody else was faster it gets `Conflict`, follows, and decides again. Writers who
meet often take turns.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from rooms.ids import CommandId, MeetingId
from server.database.tables import entries, meetings
from server.database.transactions import LogUnavailable as LogUnavailable
from server.database.transactions import reading, writing


class Conflict(Exception):
    """Another writer appended first."""


class Draft(msgspec.Struct, frozen=True):
    """An entry to be: `change` is JSON text (rooms.codec)."""

    at: float
    actor: str
    command_id: CommandId
    command_type: str
    change: str


class Entry(msgspec.Struct, frozen=True):
    rev: int
    at: float
    actor: str
    command_id: CommandId
    command_type: str
    change: str
    prev_hash: bytes
    hash: bytes


class Head(msgspec.Struct, frozen=True):
    """The end of a log: the last entry's number and hash; of an empty log 0 and the hash of its log_id."""

    rev: int
    hash: bytes


def first_head(log_id: str) -> Head:
    return Head(0, hashlib.sha256(log_id.encode()).digest())


def entry_hash(meeting: MeetingId, rev: int, draft: Draft, prev_hash: bytes) -> bytes:
    """SHA-256 over the previous hash and, as a JSON array, meeting, rev, at, actor, command id and type, change."""
    facts = [meeting, rev, draft.at, draft.actor, draft.command_id, draft.command_type, draft.change]
    return hashlib.sha256(prev_hash + msgspec.json.encode(facts)).digest()


def first_broken(meeting: MeetingId, head: Head, chain: Sequence[Entry]) -> int | None:
    """The number of the first entry that does not fit what is before it, None if all do."""
    for entry in chain:
        draft = Draft(entry.at, entry.actor, entry.command_id, entry.command_type, entry.change)
        fits = entry.rev == head.rev + 1 and entry.prev_hash == head.hash
        if not fits or entry.hash != entry_hash(meeting, entry.rev, draft, entry.prev_hash):
            return entry.rev
        head = Head(entry.rev, entry.hash)
    return None


class Turn:
    """A meeting's log while its other writers wait. What is appended is durable once the turn has ended well."""

    def __init__(self, connection: AsyncConnection, meeting: MeetingId) -> None:
        self._connection = connection
        self._meeting = meeting

    async def append(self, after: Head, drafts: Sequence[Draft]) -> Head:
        """Once a turn. Raises `Conflict`: there are writers who do not take turns."""
        rows, head = _rows(self._meeting, after, drafts)
        try:
            await self._connection.execute(insert(entries), rows)
        except IntegrityError as error:
            raise Conflict from error
        return head

    async def read(self, meeting: MeetingId, after: int, limit: int = 1_000) -> list[Entry]:
        """As `Log.read`."""
        return await _select(self._connection, meeting, after, limit)


def _turn_key(meeting: MeetingId) -> int:
    """The meeting's advisory lock."""
    return int.from_bytes(hashlib.sha256(f"turn {meeting}".encode()).digest()[:8], signed=True)


def _rows(meeting: MeetingId, after: Head, drafts: Sequence[Draft]) -> tuple[list[dict[str, object]], Head]:
    rows: list[dict[str, object]] = []
    head = after
    for draft in drafts:
        rev = head.rev + 1
        hash = entry_hash(meeting, rev, draft, head.hash)
        rows.append({"meeting": meeting, "rev": rev, **msgspec.structs.asdict(draft), "prev_hash": head.hash})
        rows[-1]["hash"] = hash
        head = Head(rev, hash)
    return rows, head


async def _select(connection: AsyncConnection, meeting: MeetingId, after: int, limit: int) -> list[Entry]:
    query = (
        select(*(entries.c[f] for f in Entry.__struct_fields__))
        .where(entries.c.meeting == meeting, entries.c.rev > after)
        .order_by(entries.c.rev)
        .limit(limit)
    )
    return [Entry(*row) for row in (await connection.execute(query)).all()]


class Log:
    """The logs of all meetings in one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def turn(self, meeting: MeetingId) -> AsyncIterator[Turn]:
        """Wait for those who asked before (on SQLite: in any order), and keep others waiting. Raises `LogUnavailable`.

        Those who append without a turn get a conflict meanwhile (on SQLite they wait first).
        """
        async with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(select(func.pg_advisory_xact_lock(_turn_key(meeting))))
            else:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield Turn(connection, meeting)

    async def append(self, meeting: MeetingId, after: Head, drafts: Sequence[Draft]) -> Head:
        """Write all drafts in one transaction right after `after`; the new head once they are durable.

        Raises `Conflict` or `LogUnavailable`; then none was written.
        """
        rows, head = _rows(meeting, after, drafts)
        try:
            async with writing(self._engine) as connection:
                if connection.dialect.name == "postgresql":  # whoever waits for a turn must not be overtaken
                    free = await connection.scalar(select(func.pg_try_advisory_xact_lock(_turn_key(meeting))))
                    if not free:
                        raise Conflict
                await connection.execute(insert(entries), rows)
        except IntegrityError as error:
            raise Conflict from error
        return head

    async def read(self, meeting: MeetingId, after: int, limit: int = 1_000) -> list[Entry]:
        """Up to `limit` entries after the given number, in order. Raises `LogUnavailable`."""
        async with reading(self._engine) as connection:
            return await _select(connection, meeting, after, limit)

    async def newest(self, meeting: MeetingId) -> int:
        """The rev of the last entry, 0 of none. Raises `LogUnavailable`."""
        async with reading(self._engine) as connection:
            newest = await connection.scalar(select(func.max(entries.c.rev)).where(entries.c.meeting == meeting))
        return int(newest or 0)

    async def log_id(self, meeting: MeetingId) -> str | None:
        """The identity of the meeting's log; None if there is no such meeting. Raises `LogUnavailable`."""
        if "\0" in meeting:  # PostgreSQL takes no such text
            return None
        async with reading(self._engine) as connection:
            found = await connection.scalar(select(meetings.c.log_id).where(meetings.c.id == meeting))
        return str(found) if found is not None else None
