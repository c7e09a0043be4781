"""Staff accounts. Passwords are kept as argon2id hashes only."""

import argon2
import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.actor import Role
from rooms.ids import AccountId
from server.database.secrets import spend
from server.database.tables import accounts
from server.database.transactions import reading, writing


class StoredAccount(msgspec.Struct, frozen=True):
    id: AccountId
    login: str
    name: str
    role: Role
    password_hash: str


class LoginTaken(Exception):
    pass


class FirstRunOver(Exception):
    """There is an account already."""


FIRST_RUN = "first run"
"""The secret of the link by which the first account is made."""


_hasher = argon2.PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Slow on purpose: call it off the event loop."""
    return _hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Slow on purpose, and equally slow for an unknown login (None). Call it off the event loop."""
    try:
        return _hasher.verify(password_hash or _NOBODY, password) and password_hash is not None
    except argon2.exceptions.VerificationError:
        return False


class Accounts:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def count(self) -> int:
        async with reading(self._engine) as connection:
            return int(await connection.scalar(select(func.count()).select_from(accounts)) or 0)

    async def add(self, account: StoredAccount, now: float) -> None:
        """Raises `LoginTaken`."""
        try:
            async with writing(self._engine) as connection:
                await connection.execute(insert(accounts).values(**msgspec.structs.asdict(account), created_at=now))
        except IntegrityError as error:
            raise LoginTaken from error

    async def add_first(self, account: StoredAccount, secret: str, now: float) -> None:
        """Make the first account with the link's secret, which is spent by that: of several at once one gets it.

        Raises `FirstRunOver`.
        """
        async with writing(self._engine) as connection:
            if not await spend(connection, FIRST_RUN, secret.encode()):
                raise FirstRunOver
            if await connection.scalar(select(func.count()).select_from(accounts)):
                raise FirstRunOver
            await connection.execute(insert(accounts).values(**msgspec.structs.asdict(account), created_at=now))

    async def set_password(self, login: str, password_hash: str) -> bool:
        """Whether there is such a login."""
        async with writing(self._engine) as connection:
            done = await connection.execute(
                update(accounts).where(accounts.c.login == login).values(password_hash=password_hash)
            )
        return done.rowcount > 0

    async def all(self) -> list[StoredAccount]:
        return await self._select()

    async def by_login(self, login: str) -> StoredAccount | None:
        if "\0" in login:  # PostgreSQL takes no such text
            return None
        return next(iter(await self._select(login=login)), None)

    async def by_id(self, id: str) -> StoredAccount | None:
        return next(iter(await self._select(id=id)), None)

    async def _select(self, **where: str) -> list[StoredAccount]:
        query = select(*(accounts.c[f] for f in StoredAccount.__struct_fields__)).order_by(accounts.c.login)
        for column, value in where.items():
            query = query.where(accounts.c[column] == value)
        async with reading(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        return [msgspec.convert({str(k): v for k, v in row._mapping.items()}, StoredAccount) for row in rows]
