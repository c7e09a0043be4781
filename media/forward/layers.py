"""Which simulcast layer of a feed a place receives: the stage the highest that is active, a tile the lowest.

A layer counts as active once it has sent for `SETTLED_S`, and until it was silent for `SILENT_S`; one that starts and
stops is not followed at once, since each switch costs a key frame.
"""

from dataclasses import dataclass
from typing import Literal

SETTLED_S = 0.5
SILENT_S = 1.5

Wish = Literal["highest", "lowest"]


@dataclass(frozen=True, slots=True)
class LayerState:
    """`rank` orders the layers of a feed by size; `since` is the start of the present run of packets."""

    rank: int
    since: float | None
    last: float


def choose_layer(layers: list[LayerState], wish: Wish, current: int | None, now: float) -> int | None:
    """The index of the layer to receive; `current` while nothing better is active, None while nothing is."""
    active = [place for place, layer in enumerate(layers) if layer.since is not None and now - layer.last < SILENT_S]
    settled = [place for place in active if now - (layers[place].since or 0.0) >= SETTLED_S]
    if current is not None and current in active and current not in settled:
        settled.append(current)
    candidates = settled or active
    if not candidates:
        return current
    pick = max if wish == "highest" else min
    return pick(candidates, key=lambda place: layers[place].rank)
