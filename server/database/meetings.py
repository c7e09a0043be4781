"""The list of meetings."""

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.agenda import MeetingState
from rooms.ids import MeetingId
from server.database.tables import meetings
from server.database.transactions import reading, writing


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of meetings shows of one. A cache of what its log says."""

    title: str = ""
    place: str = ""
    planned_at: float | None = None
    state: MeetingState = "planned"
    halls: int = 0
    delegates: int = 0


class MeetingRow(msgspec.Struct, frozen=True):
    id: MeetingId
    log_id: str
    created_at: float
    summary: Summary


class Meetings:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, id: MeetingId, log_id: str, now: float) -> None:
        summary = msgspec.json.encode(Summary()).decode()
        async with writing(self._engine) as connection:
            await connection.execute(insert(meetings).values(id=id, log_id=log_id, created_at=now, summary=summary))

    async def all(self) -> list[MeetingRow]:
        """Newest first."""
        async with reading(self._engine) as connection:
            rows = (await connection.execute(select(meetings).order_by(meetings.c.created_at.desc()))).all()
        return [
            MeetingRow(MeetingId(row.id), row.log_id, row.created_at, msgspec.json.decode(row.summary, type=Summary))
            for row in rows
        ]

    async def summarise(self, id: MeetingId, summary: Summary) -> None:
        async with writing(self._engine) as connection:
            await connection.execute(
                update(meetings).where(meetings.c.id == id).values(summary=msgspec.json.encode(summary).decode())
            )
