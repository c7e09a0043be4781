"""Secrets that all servers on one database must share."""

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from server.database.tables import secrets
from server.database.transactions import reading, writing


class Secrets:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def shared(self, name: str, fresh: bytes) -> bytes:
        """The secret of this name, the same for whoever asks: `fresh` if there was none. Raises `LogUnavailable`."""
        while (known := await self._known(name)) is None:
            try:
                async with writing(self._engine) as connection:
                    await connection.execute(insert(secrets).values(name=name, value=fresh))
            except IntegrityError:
                continue  # another process was faster: its secret holds
        return known

    async def _known(self, name: str) -> bytes | None:
        async with reading(self._engine) as connection:
            found: bytes | None = await connection.scalar(select(secrets.c.value).where(secrets.c.name == name))
        return found


async def spend(connection: AsyncConnection, name: str, value: bytes) -> bool:
    """Remove the secret in this transaction; whether it was there with this value. Of many who try one succeeds."""
    done = await connection.execute(delete(secrets).where(secrets.c.name == name, secrets.c.value == value))
    return done.rowcount > 0
