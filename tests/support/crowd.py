"""The 187 halls of the sample meeting without media: a socket for each, reports with stills, and what a node tells."""

import asyncio
import base64
import io
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from PIL import Image, ImageDraw

from media.control import DownlinkChanged, FeedChanged, Levels, PeerChanged, Rung
from rooms.roster import Hall
from server.sample import make_sample
from tests.support.control_tap import ControlTap
from tests.support.live import Live, WireClient, client

STILL_S = 4.0
LEVELS_S = 0.2


def still(number: int, tick: int) -> str:
    """A small JPEG of a hall, as a hall's page sends it: 240 pixels wide, grainy as a camera's picture is."""
    dice = random.Random(number)
    wall = tuple(dice.randrange(120, 230) for _ in range(3))
    picture = Image.effect_noise((240, 135), 30).convert("RGB")
    picture = Image.blend(picture, Image.new("RGB", (240, 135), wall), 0.75)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 8, 220, 80), fill=tuple(dice.randrange(20, 140) for _ in range(3)))
    for x in (80, 120, 160):
        draw.ellipse((x - 10, 40 + tick % 3, x + 10, 62 + tick % 3), fill=(206, 164, 134))
    draw.rectangle((40, 80, 200, 105), fill=(120, 78, 46))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=60)
    return base64.b64encode(written.getvalue()).decode()


class Crowd:
    """The halls by number. Every eleventh never came, every thirteenth has lost its line, a few are in trouble."""

    def __init__(self, server: Live, tap: ControlTap) -> None:
        self.server = server
        self.tap = tap
        self.halls = sorted(server.runner.meeting.select(Hall), key=lambda hall: hall.order)
        self.sockets: dict[str, WireClient] = {}
        self.bytes_sent = 0

    async def come(self, stack: AsyncExitStack) -> None:
        for number, hall in enumerate(self.halls):
            if number % 11 == 10:
                continue
            one = await stack.enter_async_context(client(self.server, self.server.hall_token(hall.id)))
            if number % 13 == 12:
                await one.close()
                continue
            self.sockets[hall.id] = one
            self._media(number, hall.id)

    def _media(self, number: int, hall: str) -> None:
        group = self.server.meeting
        self.tap.say(PeerChanged(group=group, endpoint=hall, state="connected" if _has_line(number) else "connecting"))
        self.tap.say(FeedChanged(group=group, feed=f"{hall}/microphone", active=number % 5 != 0))
        rung: Rung = "audio" if number % 37 == 5 else "low" if number % 17 == 3 else "high"
        self.tap.say(DownlinkChanged(group=group, endpoint=hall, rung=rung, estimate_bps=900_000))

    @property
    def filmed(self) -> set[str]:
        """The halls that are here, have their media line, and whose camera works."""
        works = {hall.id for number, hall in enumerate(self.halls) if _has_line(number) and _camera_works(number)}
        return works & self.sockets.keys()

    async def report(self, number: int, hall: str) -> None:
        """As the page does: what works, and a still every four seconds."""
        await asyncio.sleep(random.random() * STILL_S)
        pictures = [still(number, tick) for tick in range(2)]
        tick = 0
        while True:
            works = _camera_works(number)
            told = {"camera": works, "microphone": number % 5 != 0, "viewing": True, "trouble": "none"}
            if number % 23 == 11:
                told["trouble"] = "weak_line"
            if works:
                told["still"] = pictures[tick % 2]
                self.bytes_sent += len(pictures[tick % 2])
            await self.sockets[hall].sio.emit("report", told)
            tick += 1
            await asyncio.sleep(STILL_S)

    async def sound(self) -> None:
        """Five times a second the loudness of every microphone; every fourth hall talks among itself."""
        while True:
            levels = {
                f"{hall.id}/microphone": random.randrange(-60, -15) if number % 4 == 0 else -100
                for number, hall in enumerate(self.halls)
                if hall.id in self.sockets and number % 5 != 0
            }
            self.tap.say(Levels(group=self.server.meeting, levels=levels))
            await asyncio.sleep(LEVELS_S)


def _has_line(number: int) -> bool:
    return number % 29 != 7


def _camera_works(number: int) -> bool:
    return number % 9 != 4


@asynccontextmanager
async def crowded(server: Live, tap: ControlTap) -> AsyncIterator[tuple[Live, Crowd]]:
    """The sample meeting of 187 halls, with almost all of them there and reporting."""
    full = Live(server.running, await make_sample(server.service), server.http)
    crowd = Crowd(full, tap)
    async with AsyncExitStack() as stack:
        await crowd.come(stack)
        works = [asyncio.create_task(crowd.sound())]
        works += [
            asyncio.create_task(crowd.report(number, hall.id))
            for number, hall in enumerate(crowd.halls)
            if hall.id in crowd.sockets
        ]
        try:
            yield full, crowd
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
