"""Opening the database: SQLite's settings, and bringing it up to date with Alembic."""

from pathlib import Path

from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def _sqlite_settings(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged command survives a power cut
        "foreign_keys=ON",
        "busy_timeout=10000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    alembic.upgrade(config, "head")


async def open_database(url: str) -> AsyncEngine:
    """The engine of a database that is up to date. Creates the SQLite file and its folder if missing."""
    parsed = make_url(url)
    engine = create_async_engine(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine.sync_engine, "connect", _sqlite_settings)
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    return engine
