"""Which simulcast layer of a feed a place receives: the stage the highest that is active, a tile the lowest.

A layer is taken once it has sent for `SETTLED_S`: one that starts and stops is not followed, since each switch costs a
key frame. It is given up when it was silent for `SILENT_S`, or fell `BEHIND_S` behind its sister layers, which show
that the source goes on. Packets of padding alone do not count as sending: a browser fills a paused layer with them.
"""

from dataclasses import dataclass
from typing import Literal

SETTLED_S = 0.5
SILENT_S = 1.5
BEHIND_S = 0.5

Wish = Literal["highest", "lowest"]


@dataclass(frozen=True, slots=True)
class LayerState:
    """`rank` orders the layers of a feed by size; `since` is the start of the present run of packets."""

    rank: int
    since: float | None
    last: float


def choose_layer(layers: list[LayerState], wish: Wish, current: int | None, now: float) -> int | None:
    """The index of the layer to receive; `current` while nothing better is active, None while nothing is."""
    newest = max((layer.last for layer in layers), default=0.0)
    active = [
        place
        for place, layer in enumerate(layers)
        if layer.since is not None and now - layer.last < SILENT_S and newest - layer.last < BEHIND_S
    ]
    settled = [place for place in active if now - (layers[place].since or 0.0) >= SETTLED_S]
    if current is not None and current in active and current not in settled:
        settled.append(current)
    candidates = settled or active
    if not candidates:
        return current
    pick = max if wish == "highest" else min
    return pick(candidates, key=lambda place: layers[place].rank)
