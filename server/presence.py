"""How the halls of a meeting are right now: connected, sending, in trouble. Latest wins; nothing here is logged."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from media import control
from rooms.ids import HallId
from server import wire

TICK_S = 0.5
Send = Callable[[str, bytes], None]
"""Send an event to all staff of the meeting."""


class Presence:
    """One meeting's. `run` sends what changed to the staff, at most twice a second."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._halls: dict[HallId, wire.HallPresence] = {}
        self._stills: dict[HallId, str] = {}
        self._sent: dict[HallId, wire.HallPresence] = {}
        self._phones: defaultdict[HallId, int] = defaultdict(int)
        self._sent_phones = 0
        self._changed = asyncio.Event()

    def of(self, hall: HallId) -> wire.HallPresence:
        return self._halls.get(hall) or wire.HallPresence(hall=hall, online=False)

    def _put(self, presence: wire.HallPresence) -> None:
        if presence != self.of(presence.hall):
            self._halls[presence.hall] = presence
            self._changed.set()

    def hall_online(self, hall: HallId, online: bool) -> None:
        old = self.of(hall)
        if not online:
            self._stills.pop(hall, None)
        self._put(
            replace(old, online=online, viewing=old.viewing and online, trouble=old.trouble if online else "none")
        )

    def phone(self, hall: HallId, more: int) -> None:
        self._phones[hall] += more
        self._put(replace(self.of(hall), phones=self._phones[hall]))
        self._changed.set()

    def report(self, hall: HallId, report: wire.Report) -> None:
        self._put(replace(self.of(hall), viewing=report.viewing, trouble=report.trouble))
        if report.still is not None:
            self._stills[hall] = report.still
            self._send("still", msgspec.json.encode(wire.Still(hall=hall, jpeg=report.still)))

    def node_gone(self) -> None:
        """No media node: nobody has media."""
        for hall in list(self._halls):
            self._put(replace(self.of(hall), media="none", camera=False, microphone=False, level=-127))

    def peer(self, hall: HallId, state: control.PeerState) -> None:
        old = self.of(hall)
        if state == "closed":
            self._put(replace(old, media="none", camera=False, microphone=False, level=-127))
        else:
            self._put(replace(old, media=state))

    def feed(self, hall: HallId, source: str, active: bool) -> None:
        if source == "camera":
            self._put(replace(self.of(hall), camera=active))
        elif source == "microphone":
            self._put(replace(self.of(hall), microphone=active))

    def level(self, hall: HallId, dbov: int) -> None:
        self._put(replace(self.of(hall), level=dbov))

    def everything(self) -> bytes:
        """All halls, for a console that has just connected."""
        halls = tuple(self._halls.values())
        return msgspec.json.encode(wire.Presence(reset=True, halls=halls, phones=sum(self._phones.values())))

    def stills(self) -> list[bytes]:
        return [msgspec.json.encode(wire.Still(hall=hall, jpeg=jpeg)) for hall, jpeg in self._stills.items()]

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            changed = tuple(p for hall, p in self._halls.items() if self._sent.get(hall) != p)
            phones = sum(self._phones.values())
            if changed or phones != self._sent_phones:
                self._sent.update({p.hall: p for p in changed})
                self._sent_phones = phones
                self._send("presence", msgspec.json.encode(wire.Presence(reset=False, halls=changed, phones=phones)))
            await asyncio.sleep(TICK_S)
