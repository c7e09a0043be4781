"""The hall that has the floor in a cluster's rehearsal, in a process of its own (this module run as a program).

What it sends must not wait for 186 other halls that read: each would see a gap that is not the cluster's.
A line of JSON in, one out: `Speaking`, then an empty one whenever its own lateness since the last is asked for.
"""

import asyncio
import contextlib
import os

import aiohttp
import msgspec
import uvloop

from clients.rehearsal.aside import Aside, asked, say
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.desk import Invited
from clients.rehearsal.endpoint import Setting
from clients.rehearsal.hall import Hall
from clients.rehearsal.recording import STAGE_LAYERS, Studio
from tests.support.hold_ups import HoldUps


class Speaking(msgspec.Struct, frozen=True):
    """`here`: the address that it is reached at; `nodes`: those of the media nodes. `number` marks what it sends."""

    here: str
    nodes: tuple[str, ...]
    urls: tuple[str, ...]
    number: int
    hall: str
    token: str


class Speaker:
    """The parent's side."""

    def __init__(self, there: Aside) -> None:
        self._there = there

    async def begin(self, speaking: Speaking) -> None:
        """Returns when it is connected."""
        await self._there.ask(msgspec.json.encode(speaking))

    async def held_up_s(self) -> float:
        """How long it stood still at most since it was last asked: gaps up to that are its own."""
        return msgspec.json.decode(await self._there.ask(b""), type=float)


async def _serve() -> None:
    reader = await asked()
    told = msgspec.json.decode(await reader.readline(), type=Speaking)
    studio = Studio()
    layers = tuple(studio.record(each) for each in STAGE_LAYERS)
    setting = Setting(studio, host=told.here, others=told.nodes, marked=False)
    async with aiohttp.ClientSession() as http, Crowd() as crowd, asyncio.TaskGroup() as tasks:
        invited = Invited(told.hall, told.token, False)
        hall = Hall(crowd, setting, told.number, invited, layers, studio.record_tone(), False)
        await hall.join(http, told.urls[0], tasks)
        staying = tasks.create_task(hall.stay(http, told.urls, tasks))
        say(None)
        async with HoldUps() as held:
            while await reader.readline():
                say(held.worst_s)
                held.worst_s = 0.0
        staying.cancel()
        await hall.socket.close()


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # it stands for a machine of its own, as the nodes do
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    uvloop.run(_serve())
