"""Six-character join codes: unique on the server, random, each for one hall or delegate."""

import secrets
from collections.abc import Iterable
from typing import Literal

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.ids import MeetingId
from server.database.tables import join_codes
from server.database.transactions import reading, writing

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
LENGTH = 6
CodeKind = Literal["hall", "delegate"]


class CodeOwner(msgspec.Struct, frozen=True):
    meeting: MeetingId
    kind: CodeKind
    subject: str


def read_code(written: str) -> str:
    """The code as stored: capitals, without spaces and hyphens."""
    return "".join(c for c in written.upper() if not c.isspace() and c not in "-–.")


def _fresh() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


class Codes:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def owner(self, code: str) -> CodeOwner | None:
        if not code.isalnum():
            return None
        query = select(join_codes.c.meeting, join_codes.c.kind, join_codes.c.subject)
        async with reading(self._engine) as connection:
            row = (await connection.execute(query.where(join_codes.c.code == code))).first()
        return msgspec.convert({str(k): v for k, v in row._mapping.items()}, CodeOwner) if row else None

    async def of(self, meeting: MeetingId, kind: CodeKind, subjects: Iterable[str]) -> dict[str, str]:
        """The code of each subject; missing ones are made."""
        wanted = set(subjects)
        while True:
            have = await self._stored(meeting, kind)
            missing = wanted - have.keys()
            if not missing:
                return {subject: have[subject] for subject in wanted}
            rows = [{"code": _fresh(), "meeting": meeting, "kind": kind, "subject": s} for s in sorted(missing)]
            try:
                async with writing(self._engine) as connection:
                    await connection.execute(insert(join_codes), rows)
            except IntegrityError:
                continue  # a code was taken, or somebody else made them meanwhile: look again

    async def _stored(self, meeting: MeetingId, kind: CodeKind) -> dict[str, str]:
        query = select(join_codes.c.subject, join_codes.c.code).where(
            join_codes.c.meeting == meeting, join_codes.c.kind == kind
        )
        async with reading(self._engine) as connection:
            return {row.subject: row.code for row in (await connection.execute(query)).all()}
