"""Migrations that the version before survives: servers of both versions run on one database during an upgrade."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from alembic import command as alembic
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Float, Integer, LargeBinary, MetaData, Table, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from server.database.accounts import Accounts
from server.database.engine import alembic_config, driver_url, open_database
from server.database.log import Draft, Log, first_head
from tests.support.databases import LOG_ID, MEETING, database
from tests.support.meetings import command_id

Shape = dict[str, dict[str, tuple[str, bool]]]
"""Table, column: its type, and whether a row may leave it out."""


@asynccontextmanager
async def empty(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(driver_url(url))
    try:
        yield engine
    finally:
        await engine.dispose()


def revisions(connection: Connection) -> list[str]:
    """Oldest first."""
    scripts = ScriptDirectory.from_config(alembic_config(connection)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def upgrade(connection: Connection, revision: str) -> None:
    alembic.upgrade(alembic_config(connection), revision)


def shape(connection: Connection) -> Shape:
    look = inspect(connection)
    return {
        table: {
            column["name"]: (str(column["type"]), column["nullable"] or column["default"] is not None)
            for column in look.get_columns(table)
        }
        for table in look.get_table_names()
        if table != "alembic_version"
    }


def constraints(connection: Connection, table: str) -> dict[str, object]:
    """What a row must fulfil."""
    look = inspect(connection)
    return {
        "unique": sorted(tuple(each["column_names"]) for each in look.get_unique_constraints(table)),
        "key": look.get_pk_constraint(table)["constrained_columns"],
        "foreign": sorted(
            (each["referred_table"], *each["constrained_columns"]) for each in look.get_foreign_keys(table)
        ),
        "check": sorted(each["sqltext"] for each in look.get_check_constraints(table)),
    }


async def test_each_migration_only_adds(database_url: str) -> None:
    """What was there stays as it is; new columns of old tables may be left out; old rows meet no new demands."""
    async with empty(database_url) as engine, engine.begin() as connection:
        steps = await connection.run_sync(revisions)
        await connection.run_sync(upgrade, steps[0])
        for revision in steps[1:]:
            before = await connection.run_sync(shape)
            demands = {table: await connection.run_sync(constraints, table) for table in before}
            await connection.run_sync(upgrade, revision)
            after = await connection.run_sync(shape)
            for table, columns in before.items():
                assert columns.items() <= after.get(table, {}).items(), f"{revision} changes {table}"
                fresh = after[table].keys() - columns.keys()
                assert all(after[table][name][1] for name in fresh), f"{revision}: {fresh} cannot be left out"
                assert await connection.run_sync(constraints, table) == demands[table], f"{revision} demands more"


def row(table: Table, number: int) -> dict[str, object]:
    """Of whatever columns it has."""
    values: dict[str, object] = {}
    for column in table.columns:
        kind = column.type
        if column.foreign_keys:
            values[column.name] = "x1"
        elif isinstance(kind, LargeBinary):
            values[column.name] = bytes([number])
        elif isinstance(kind, Integer | Float):
            values[column.name] = number
        else:
            values[column.name] = f"x{number}"
    return values


def reflected(connection: Connection) -> MetaData:
    tables = MetaData()
    tables.reflect(connection, only=lambda name, _: name != "alembic_version")
    return tables


def use(connection: Connection, tables: MetaData, number: int) -> None:
    """What code written for these tables does with them: rows in, read, changed."""
    for table in tables.sorted_tables:
        wanted = row(table, number)
        connection.execute(table.insert().values(wanted))
        assert wanted in [dict(found) for found in connection.execute(table.select()).mappings()]
        same = [column == wanted[column.name] for column in table.primary_key]
        assert connection.execute(table.update().where(*same).values(wanted)).rowcount == 1


async def test_the_code_of_each_version_works_on_the_next_ones_database(database_url: str) -> None:
    async with empty(database_url) as engine, engine.begin() as connection:
        steps = await connection.run_sync(revisions)
        await connection.run_sync(upgrade, steps[0])
        for number, revision in enumerate(steps[1:], 1):
            older = await connection.run_sync(reflected)
            await connection.run_sync(use, older, 2 * number - 1)
            await connection.run_sync(upgrade, revision)
            await connection.run_sync(use, older, 2 * number)


async def test_a_server_starts_on_a_database_that_a_newer_one_has_migrated(database_url: str) -> None:
    async with database(database_url) as engine, engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'of the future'"))
        await connection.execute(text("CREATE TABLE future (id integer PRIMARY KEY)"))
    async with database(database_url) as engine:
        draft = Draft(at=1.0, actor="staff:a", command_id=command_id(), command_type="x.y", change="{}")
        assert (await Log(engine).append(MEETING, first_head(LOG_ID), [draft])).rev == 1
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "of the future"


async def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    engines = await asyncio.gather(*(open_database(database_url) for _ in range(6)))
    for engine in engines:
        assert await Accounts(engine).count() == 0
        await engine.dispose()


@pytest.mark.slow
async def test_processes_of_their_own_too(database_url: str) -> None:
    script = (
        "import asyncio, sys; from server.database.engine import open_database\nasyncio.run(open_database(sys.argv[1]))"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", "-c", script, database_url)
        for _ in range(4)
    ]
    assert [await process.wait() for process in processes] == [0] * 4
