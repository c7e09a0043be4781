"""Files in the database, for servers on several machines that have no disk in common. Written once, never changed.

Invariant: a file that is there is whole; it was written in one transaction.
"""

from collections.abc import AsyncIterator

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.database.tables import file_pieces, files
from server.database.transactions import reading, writing


class Files:
    """`name` is at most 120 characters: a kind and a hash."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def has(self, name: str) -> bool:
        """Raises `LogUnavailable`."""
        async with reading(self._engine) as connection:
            return await connection.scalar(select(files.c.size).where(files.c.name == name)) is not None

    async def names(self, prefix: str) -> list[str]:
        """What follows the prefix in the names that begin with it, in order. Raises `LogUnavailable`."""
        query = select(files.c.name).where(files.c.name.startswith(prefix, autoescape=True)).order_by(files.c.name)
        async with reading(self._engine) as connection:
            return [str(name).removeprefix(prefix) for name in await connection.scalars(query)]

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep the file; one of this name that is there already stays. Pieces are of a megabyte or so.

        Raises `LogUnavailable`; then it was not kept.
        """
        if await self.has(name):
            return
        size = number = 0
        try:
            async with writing(self._engine) as connection:
                async for piece in pieces:
                    await connection.execute(insert(file_pieces).values(name=name, number=number, data=piece))
                    number += 1
                    size += len(piece)
                await connection.execute(insert(files).values(name=name, size=size))
        except IntegrityError:
            return  # another process has kept it meanwhile: its transaction ended before the database told us so

    async def pieces(self, name: str) -> AsyncIterator[bytes]:
        """The file from its beginning, nothing if it is not there. Raises `LogUnavailable`."""
        async with reading(self._engine) as connection:
            count = await connection.scalar(
                select(func.count())
                .select_from(file_pieces)
                .join(files, files.c.name == file_pieces.c.name)
                .where(file_pieces.c.name == name)
            )
        for number in range(count or 0):
            query = select(file_pieces.c.data).where(file_pieces.c.name == name, file_pieces.c.number == number)
            async with reading(self._engine) as connection:
                yield (await connection.execute(query)).scalar_one()
