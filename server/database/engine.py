"""Opening the database: the settings of SQLite and PostgreSQL, and bringing it up to date with Alembic.

Several processes may open one database at once, older ones too: one of them migrates while the others wait, and a
database that a newer version has migrated is used as it is (migrations only add, see ARCHITECTURE.md).
"""

import asyncio
import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Any

from alembic import command as alembic
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, NullPool, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from server.database.transactions import LogUnavailable, writing
from server.logs import logger

WAIT_S = 30.0
"""How long a start waits for a PostgreSQL that is not there yet."""
CONNECT_S = 5.0
WAL_S = 10.0
ANSWER_S = 10.0
"""How long a statement may take; the database of a lost machine does not say so."""
IDLE_MS = 5_000
"""PostgreSQL ends a transaction whose process says nothing for so long: others wait for its entries."""
CONNECTIONS = 4
MORE_CONNECTIONS = 2
"""Six for a process at most: PostgreSQL takes a hundred as it comes."""
MIGRATION_LOCK = int.from_bytes(hashlib.sha256(b"diemcau migrations").digest()[:8], signed=True)


def driver_url(url: str) -> URL:
    """The address with the asynchronous driver in it: `postgresql://…` and `sqlite:///…` are understood."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    query = {("ssl" if name == "sslmode" else name): value for name, value in parsed.query.items()}  # asyncpg's name
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _sqlite_settings(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in (
        "busy_timeout=10000",
        "synchronous=FULL",  # an acknowledged command survives a power cut
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    _keep_a_wal(cursor)
    cursor.close()


def _keep_a_wal(cursor: Any) -> None:
    """Of processes that open a new file together one changes its mode; SQLite does not make the others wait."""
    until = time.monotonic() + WAL_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
        await_only(asyncio.sleep(0.02))


def _leave_the_closed(connection: object, record: object, proxy: object) -> None:
    """Not to be handed out: a connection that PostgreSQL closed while it was idle. Costs no question to the server."""
    if connection.driver_connection.is_closed():  # type: ignore[attr-defined]
        raise DisconnectionError


def _sqlite(url: URL) -> AsyncEngine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url)
    event.listen(engine.sync_engine, "connect", _sqlite_settings)
    return engine


def _postgresql(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        pool_timeout=ANSWER_S,
        connect_args={
            "timeout": CONNECT_S,
            "command_timeout": ANSWER_S,
            "server_settings": {
                "application_name": "diemcau",
                "synchronous_commit": "on",  # an acknowledged command survives a power cut
                "idle_in_transaction_session_timeout": str(IDLE_MS),
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _leave_the_closed)
    return engine


def alembic_config(connection: Connection) -> Config:
    """Alembic on this connection, with the migrations beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would begin with the first change only
    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    at = MigrationContext.configure(connection).get_current_revision()
    if at is not None and at not in known:
        logger(part="database").warning("database_is_newer", revision=at)
        return
    alembic.upgrade(config, "head")


async def _bring_up_to_date(engine: AsyncEngine) -> None:
    async with writing(engine) as connection:
        await connection.run_sync(_migrate)


async def open_database(url: str, wait_s: float = WAIT_S) -> AsyncEngine:
    """The engine of a database that is up to date. Creates the SQLite file and its folder if missing.

    Raises `LogUnavailable` when PostgreSQL was not there for `wait_s`.
    """
    parsed = driver_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
        await _bring_up_to_date(engine)
        return engine
    migrating = create_async_engine(parsed, poolclass=NullPool, connect_args={"timeout": CONNECT_S})
    until = time.monotonic() + wait_s
    while True:
        try:
            await _bring_up_to_date(migrating)
            return _postgresql(parsed)
        except LogUnavailable as error:
            if time.monotonic() > until:
                raise
            logger(part="database").warning("database_awaited", error=type(error.__cause__).__name__)
        await asyncio.sleep(0.5)
