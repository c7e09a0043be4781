"""Transactions, and the one error for a database that cannot be reached or does not do what it is asked."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class LogUnavailable(Exception):
    """The database did not take or give what it was asked; nothing is known to have been written."""


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, NoFreeConnection, OSError) as error:  # OSError: asyncpg's own, of sockets and of waiting
        raise LogUnavailable from error


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read by. Raises `LogUnavailable`."""
    with _reachable():
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction, durable when the block is left. Raises `LogUnavailable` and SQLAlchemy's `IntegrityError`."""
    with _reachable():
        async with engine.begin() as connection:
            yield connection
