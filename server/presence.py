"""How the halls of a meeting are right now: connected, sending, in trouble. Latest wins; nothing here is logged."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Literal

import msgspec
from msgspec.structs import replace

from media import control
from rooms.ids import HallId
from server import wire
from server.elsewhere import Elsewhere

TICK_S = 0.5
PATIENCE_S = 4.0
"""How long a source that is asked for may take until packets arrive."""
LEVEL_STEP_DB = 6
QUIETEST_DBOV = -66
STILLS_AT_ONCE = 16
Send = Callable[[str, bytes], None]
"""Send an event to all staff of the meeting."""
Device = Literal["camera", "microphone"]
DEVICES: tuple[Device, ...] = ("camera", "microphone")


class _Facts(msgspec.Struct):
    """What is known of one camera or microphone.

    `works` is what the hall's page says, `wanted` what the node asks for; None before they said anything.
    """

    works: bool | None = None
    arriving: bool = False
    wanted: bool | None = None
    waiting: bool = False
    overdue: bool = False
    wait: int = 0

    @property
    def missing(self) -> bool:
        return self.wanted is True and self.works is True and not self.arriving

    @property
    def state(self) -> wire.SourceState:
        if self.works is False:
            return "off"
        if self.arriving and self.wanted is not False:
            return "sending"
        if self.works is None and not self.arriving:
            return "off"
        return "lost" if self.overdue else "ready"


class Stills:
    """The latest small picture of each hall, and which are new since they were last handed out."""

    def __init__(self) -> None:
        self._encoded: dict[HallId, bytes] = {}
        self._new: set[HallId] = set()

    def put(self, hall: HallId, jpeg: str) -> None:
        self.put_encoded(hall, msgspec.json.encode(wire.Still(hall=hall, jpeg=jpeg)))

    def put_encoded(self, hall: HallId, still: bytes) -> None:
        """A `wire.Still` as JSON."""
        self._encoded[hall] = still
        self._new.add(hall)

    def encoded(self, halls: Iterable[HallId]) -> list[tuple[HallId, bytes]]:
        """The pictures of these halls, as far as there are any, each as JSON of a `wire.Still`."""
        return [(hall, self._encoded[hall]) for hall in halls if hall in self._encoded]

    def drop(self, hall: HallId) -> None:
        self._encoded.pop(hall, None)
        self._new.discard(hall)

    def take_new(self) -> set[HallId]:
        new, self._new = self._new, set()
        return new

    def bodies(self, halls: Iterable[HallId]) -> list[bytes]:
        """The pictures of these halls, as far as there are any, as bodies of `stills` events."""
        found = [still for _, still in self.encoded(halls)]
        parts = (found[n : n + STILLS_AT_ONCE] for n in range(0, len(found), STILLS_AT_ONCE))
        return [b'{"stills":[' + b",".join(part) + b"]}" for part in parts]


class Presence:
    """One meeting's. `run` sends what changed, here or elsewhere, to the staff, at most twice a second.

    `on_stills` is called with the halls whose stills are new, `on_changed` with the halls as known here that have
    changed, both at most as often.
    """

    def __init__(
        self,
        send: Send,
        on_stills: Callable[[Collection[HallId]], None],
        elsewhere: Elsewhere,
        on_changed: Callable[[Collection[wire.HallPresence]], None],
    ) -> None:
        self._send = send
        self._on_stills = on_stills
        self._elsewhere = elsewhere
        self._on_changed = on_changed
        self._told: dict[HallId, wire.HallPresence] = {}
        self._halls: dict[HallId, wire.HallPresence] = {}
        self._sources: defaultdict[tuple[HallId, Device], _Facts] = defaultdict(_Facts)
        self._sent: dict[HallId, wire.HallPresence] = {}
        self._phones: defaultdict[HallId, int] = defaultdict(int)
        self._sent_phones = 0
        self._changed = asyncio.Event()
        self.stills = Stills()

    def of(self, hall: HallId) -> wire.HallPresence:
        return self._halls.get(hall) or wire.HallPresence(hall=hall, online=False)

    @property
    def known_here(self) -> tuple[wire.HallPresence, ...]:
        """The halls of which this process knows something itself."""
        return tuple(self._halls.values())

    def look_again(self) -> None:
        """Something has changed elsewhere."""
        self._changed.set()

    def _put(self, presence: wire.HallPresence) -> None:
        if presence != self.of(presence.hall):
            self._halls[presence.hall] = presence
            self._changed.set()

    def hall_online(self, hall: HallId, online: bool) -> None:
        old = self.of(hall)
        if not online and self._elsewhere.page(hall) is None:
            self.stills.drop(hall)
        self._put(
            replace(old, online=online, viewing=old.viewing and online, trouble=old.trouble if online else "none")
        )

    def phone(self, hall: HallId, more: int) -> None:
        self._phones[hall] += more
        self._put(replace(self.of(hall), phones=self._phones[hall]))
        self._changed.set()

    def report(self, hall: HallId, report: wire.Report) -> None:
        self._put(replace(self.of(hall), viewing=report.viewing, trouble=report.trouble))
        for device, works in (("camera", report.camera), ("microphone", report.microphone)):
            self._sources[hall, device].works = works  # type: ignore[index]
        self._judge(hall)
        if report.still is not None:
            self.stills.put(hall, report.still)
            self._changed.set()

    def node_gone(self) -> None:
        """No media node: nobody has media."""
        for hall in list(self._halls):
            self._without_media(hall)

    def _without_media(self, hall: HallId) -> None:
        for device in DEVICES:
            facts = self._sources[hall, device]
            facts.arriving, facts.wanted = False, None
        self._put(replace(self.of(hall), media="none", level=-127, rung=None, estimate_bps=None))
        self._judge(hall)

    def peer(self, hall: HallId, state: control.PeerState) -> None:
        if state == "closed":
            self._without_media(hall)
        else:
            self._put(replace(self.of(hall), media=state))

    def feed(self, hall: HallId, source: str, active: bool) -> None:
        if source in DEVICES:
            self._sources[hall, source].arriving = active
            self._judge(hall)

    def wanted(self, hall: HallId, source: str, wanted: bool) -> None:
        """Whether anything of the source is asked of the hall's page."""
        if source in DEVICES:
            self._sources[hall, source].wanted = wanted
            self._judge(hall)

    def _judge(self, hall: HallId) -> None:
        """Put the states of its camera and microphone as they follow from what is known."""
        for device in DEVICES:
            facts = self._sources[hall, device]
            if not facts.missing:
                facts.overdue = facts.waiting = False
            elif not facts.waiting:
                facts.waiting = True
                facts.wait += 1
                asyncio.get_running_loop().call_later(PATIENCE_S, self._waited, hall, device, facts.wait)
        camera, microphone = (self._sources[hall, device].state for device in DEVICES)
        old = self.of(hall)
        level = old.level if microphone == "sending" else -127
        self._put(replace(old, camera=camera, microphone=microphone, level=level))

    def _waited(self, hall: HallId, device: Device, wait: int) -> None:
        """The time for packets to arrive is over, unless something has changed since."""
        facts = self._sources[hall, device]
        if facts.wait == wait and facts.waiting:
            facts.overdue = True
            self._judge(hall)

    def level(self, hall: HallId, dbov: int) -> None:
        steps = -127 if dbov < QUIETEST_DBOV else round(dbov / LEVEL_STEP_DB) * LEVEL_STEP_DB
        self._put(replace(self.of(hall), level=steps))

    def downlink(self, hall: HallId, rung: control.Rung | None, estimate_bps: int | None) -> None:
        self._put(replace(self.of(hall), rung=rung, estimate_bps=estimate_bps))

    def everything(self) -> bytes:
        """All halls, for a console that has just connected."""
        halls = tuple(self._merged().values())
        return msgspec.json.encode(wire.Presence(reset=True, halls=halls, phones=self._all_phones))

    def _merged(self) -> dict[HallId, wire.HallPresence]:
        halls = {*self._halls, *self._sent, *self._elsewhere.halls}
        return {hall: self._elsewhere.merged(self.of(hall)) for hall in halls}

    @property
    def _all_phones(self) -> int:
        return sum(self._phones.values()) + self._elsewhere.phones

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            told = tuple(p for hall, p in self._halls.items() if self._told.get(hall) != p)
            if told:
                self._told.update({p.hall: p for p in told})
                self._on_changed(told)
            changed = tuple(p for hall, p in self._merged().items() if self._sent.get(hall) != p)
            phones = self._all_phones
            if changed or phones != self._sent_phones:
                self._sent.update({p.hall: p for p in changed})
                self._sent_phones = phones
                self._send("presence", msgspec.json.encode(wire.Presence(reset=False, halls=changed, phones=phones)))
            if new := self.stills.take_new():
                self._on_stills(new)
            await asyncio.sleep(TICK_S)
