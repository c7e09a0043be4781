"""What other processes told of a meeting's halls: whose page is there, how they are, whose stills are looked at.

A hall has one page. Pages are ordered by (since, process): of two the greater one stays, whoever hears of it first.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec.structs import replace

from rooms.ids import HallId
from server import wire

Page = tuple[float, str]
"""Since when, and at which process."""
_MEDIA: tuple[Literal["none", "disconnected", "connecting", "connected"], ...] = (
    "none",
    "disconnected",
    "connecting",
    "connected",
)


class Told(msgspec.Struct, frozen=True):
    """One hall as a process told it last. `since` is None if the hall has no page there."""

    since: float | None
    presence: wire.HallPresence


class Elsewhere:
    """Of one meeting, by process."""

    def __init__(self) -> None:
        self._halls: dict[HallId, dict[str, Told]] = {}
        self._watching: dict[str, frozenset[HallId]] = {}

    def put(self, process: str, told: Iterable[Told], *, reset: bool) -> list[HallId]:
        """Take what a process told; the halls that have changed by it, or may have."""
        fresh = {one.presence.hall: one for one in told}
        changed = [*fresh]
        if reset:
            changed += [hall for hall, by in self._halls.items() if process in by and hall not in fresh]
            self._forget(process)
        for hall, one in fresh.items():
            self._halls.setdefault(hall, {})[process] = one
        return changed

    def drop(self, process: str) -> list[HallId]:
        """That process has gone; the halls whose pages were there."""
        had = [hall for hall, by in self._halls.items() if process in by and by[process].since is not None]
        self._forget(process)
        self._watching.pop(process, None)
        return had

    def _forget(self, process: str) -> None:
        for by in self._halls.values():
            by.pop(process, None)

    def page(self, hall: HallId) -> Page | None:
        """The hall's newest page elsewhere, if it has one."""
        pages = [(one.since, process) for process, one in self._halls.get(hall, {}).items() if one.since is not None]
        return max(pages, default=None)

    @property
    def halls(self) -> Iterable[HallId]:
        """Those of which something is known."""
        return [hall for hall, by in self._halls.items() if by]

    @property
    def phones(self) -> int:
        return sum(one.presence.phones for by in self._halls.values() for one in by.values())

    def watch(self, process: str, halls: Iterable[HallId]) -> frozenset[HallId]:
        """These are the halls whose stills it shows now; those that it did not show before."""
        before = self._watching.get(process, frozenset())
        self._watching[process] = frozenset(halls)
        return self._watching[process] - before

    @property
    def watched(self) -> frozenset[HallId]:
        """The halls whose stills any other process shows."""
        return frozenset[HallId]().union(*self._watching.values())

    def merged(self, here: wire.HallPresence) -> wire.HallPresence:
        """The hall as it is, from what is known of it here and elsewhere.

        Its page's process knows best; of its media, the one that has it (an encoder may have come by another process).
        """
        by = self._halls.get(here.hall)
        if not by:
            return here
        told = [one.presence for _, one in sorted(by.items(), key=lambda item: (item[1].since or 0.0, item[0]))]
        best = here if here.online else next((one for one in reversed(told) if one.online), here)
        media = max([best, here, *told], key=lambda one: _MEDIA.index(one.media))
        return replace(
            best,
            phones=here.phones + sum(one.phones for one in told),
            media=media.media,
            camera=media.camera,
            microphone=media.microphone,
            level=media.level,
            rung=media.rung,
            estimate_bps=media.estimate_bps,
        )
