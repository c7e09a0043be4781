"""The contract of the log: one suite for every database it runs on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.ids import CommandId
from server.database.log import Conflict, Draft, Head, Log, LogUnavailable, first_broken, first_head
from tests.support.databases import LOG_ID, MEETING, database


def draft(n: int, actor: str = "staff:a") -> Draft:
    return Draft(
        at=1000.0 + n, actor=actor, command_id=CommandId(f"command-{n}"), command_type="x.y", change='{"put":[]}'
    )


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with database(database_url) as opened:
        yield opened


async def test_entries_come_back_in_order_and_chained(engine: AsyncEngine) -> None:
    log = Log(engine)
    head = await log.append(MEETING, first_head(LOG_ID), [draft(1), draft(2)])
    head = await log.append(MEETING, head, [draft(3)])
    entries = await log.read(MEETING, 0)
    assert [e.rev for e in entries] == [1, 2, 3]
    assert [e.command_id for e in entries] == ["command-1", "command-2", "command-3"]
    assert head == Head(3, entries[-1].hash)
    assert first_broken(MEETING, first_head(LOG_ID), entries) is None
    assert [e.rev for e in await log.read(MEETING, 1, limit=1)] == [2]


async def test_a_slower_writer_gets_a_conflict_and_writes_nothing(engine: AsyncEngine) -> None:
    log = Log(engine)
    start = first_head(LOG_ID)
    await log.append(MEETING, start, [draft(1)])
    with pytest.raises(Conflict):
        await log.append(MEETING, start, [draft(2), draft(3)])
    assert [e.command_id for e in await log.read(MEETING, 0)] == ["command-1"]


async def test_of_many_racing_writers_one_wins_each_entry(engine: AsyncEngine) -> None:
    log = Log(engine)

    async def write(n: int) -> int:
        tries = 0
        while True:
            entries = await log.read(MEETING, 0)
            head = Head(entries[-1].rev, entries[-1].hash) if entries else first_head(LOG_ID)
            try:
                await log.append(MEETING, head, [draft(n, actor=f"staff:{n}")])
                return tries
            except Conflict:
                tries += 1

    await asyncio.gather(*(write(n) for n in range(12)))
    entries = await log.read(MEETING, 0)
    assert [e.rev for e in entries] == list(range(1, 13))
    assert first_broken(MEETING, first_head(LOG_ID), entries) is None


async def test_the_same_actors_same_command_is_refused_by_the_database_too(engine: AsyncEngine) -> None:
    log = Log(engine)
    head = await log.append(MEETING, first_head(LOG_ID), [draft(1)])
    with pytest.raises(Conflict):
        await log.append(MEETING, head, [draft(1)])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET change = '{}' WHERE rev = 2",
        "UPDATE entries SET at = at + 1 WHERE rev = 2",
        "UPDATE entries SET actor = 'staff:b' WHERE rev = 2",
        "UPDATE entries SET hash = prev_hash WHERE rev = 2",
        "DELETE FROM entries WHERE rev = 2",
    ],
)
async def test_any_tampering_is_found_where_it_happened(engine: AsyncEngine, damage: str) -> None:
    log = Log(engine)
    await log.append(MEETING, first_head(LOG_ID), [draft(n) for n in (1, 2, 3)])
    async with engine.begin() as connection:
        await connection.execute(text(damage))
    broken = first_broken(MEETING, first_head(LOG_ID), await log.read(MEETING, 0))
    assert broken == (3 if damage.startswith("DELETE") else 2)


async def test_a_lost_table_is_unavailable_not_a_crash(engine: AsyncEngine) -> None:
    log = Log(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE entries"))
    with pytest.raises(LogUnavailable):
        await log.append(MEETING, first_head(LOG_ID), [draft(1)])
    with pytest.raises(LogUnavailable):
        await log.read(MEETING, 0)


async def test_migrations_make_the_tables_that_the_code_means(engine: AsyncEngine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from server.database.tables import metadata

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
