"""A database's rows as one moment saw them, and the same rows in an empty database, SQLite or PostgreSQL.

Invariant: all rows of a snapshot are of one transaction's view, so they fit each other while servers go on writing.
Rows go into the newest schema, which those of an older backup fit because migrations only add.
"""

import base64
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, LargeBinary, MetaData, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from rooms.ids import MeetingId
from server.database.log import Head
from server.database.tables import entries

_ALEMBIC = "alembic_version"
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_ROWS = 1_000


class NotEmpty(Exception):
    """There are rows in the table named."""


class NotOurs(Exception):
    """The rows are not of this program's tables, or of a newer version's."""


def _reflected(connection: Connection) -> dict[str, Table]:
    """What tables there are, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return {table.name: table for table in metadata.sorted_tables if table.name != _ALEMBIC}


class Snapshot:
    """Readable while the block of `snapshot` lasts."""

    def __init__(self, connection: AsyncConnection, tables: dict[str, Table], revision: str) -> None:
        self._connection = connection
        self._tables = tables
        self.revision = revision

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self._tables)

    async def rows(self, table: str) -> AsyncIterator[bytes]:
        """Each row as a line of JSON: column to value, bytes in base64."""
        async with self._connection.stream(select(self._tables[table])) as result:
            async for row in result.mappings():
                yield msgspec.json.encode(dict(row)) + b"\n"

    async def heads(self) -> dict[MeetingId, Head]:
        """Where every meeting's log ends; one that is empty is not among them."""
        last = select(entries.c.meeting, func.max(entries.c.rev).label("rev")).group_by(entries.c.meeting).subquery()
        query = select(entries.c.meeting, entries.c.rev, entries.c.hash).join(
            last, (entries.c.meeting == last.c.meeting) & (entries.c.rev == last.c.rev)
        )
        rows = (await self._connection.execute(query)).all()
        return {MeetingId(row.meeting): Head(row.rev, row.hash) for row in rows}


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[Snapshot]:
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        else:
            await connection.execute(text("BEGIN"))  # the driver would begin with the first change only
        revision = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
        yield Snapshot(connection, await connection.run_sync(_reflected), revision or "")


async def fill(engine: AsyncEngine, rows: Iterable[tuple[str, Iterator[bytes]]]) -> None:
    """Write what `Snapshot.rows` gave, table by table, all in one transaction.

    Raises `NotEmpty` if there is anything in the database, `NotOurs`.
    """
    async with engine.begin() as connection:
        tables = await connection.run_sync(_reflected)
        for table in tables.values():
            if await connection.scalar(select(func.count()).select_from(table)):
                raise NotEmpty(table.name)
        lines = dict(rows)
        if unknown := lines.keys() - tables.keys():
            raise NotOurs(", ".join(sorted(unknown)))
        for name, table in tables.items():
            for batch in _batches(lines.get(name, iter(()))):
                await connection.execute(insert(table), [_row(table, line) for line in batch])


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _row(table: Table, line: bytes) -> dict[str, Any]:
    row = msgspec.json.decode(line, type=dict[str, Any])
    if unknown := row.keys() - set(table.columns.keys()):
        raise NotOurs(f"{table.name}: {', '.join(sorted(unknown))}")
    for name, value in row.items():
        if isinstance(table.columns[name].type, LargeBinary) and value is not None:
            row[name] = base64.b64decode(value)
    return row
