"""Which simulcast layer of a feed a place receives: the largest that its wish allows and that is active.

A layer is taken once it has sent for `SETTLED_S`: one that starts and stops is not followed, since each switch costs a
key frame. It is given up when it was silent for `SILENT_S`, or fell `BEHIND_S` behind its sister layers, which show
that the source goes on. Packets of padding alone do not count as sending: a browser fills a paused layer with them.
"""

from typing import Literal

import msgspec

SETTLED_S = 0.5
SILENT_S = 1.5
BEHIND_S = 0.5

Wish = Literal["high", "middle", "low"]


class LayerState(msgspec.Struct, frozen=True):
    """`order` is the layer's place by size, 0 the smallest; `since` is the start of the present run of packets."""

    order: int
    since: float | None
    last: float


def highest_of(wish: Wish, count: int) -> int:
    """The largest order that the wish allows of so many layers."""
    return {"high": count - 1, "middle": (count - 1) // 2, "low": 0}[wish]


def is_active(layer: LayerState, newest: float, now: float) -> bool:
    """`newest`: when any layer of the feed sent last."""
    return layer.since is not None and now - layer.last < SILENT_S and newest - layer.last < BEHIND_S


def choose_layer(layers: list[LayerState], most: int, current: int | None, now: float) -> int | None:
    """The index of the layer to receive: the largest up to order `most`, else the smallest there is.

    `current` while nothing better is active, None while nothing is.
    """
    newest = max((layer.last for layer in layers), default=0.0)
    active = [place for place, layer in enumerate(layers) if is_active(layer, newest, now)]
    settled = [place for place in active if now - (layers[place].since or 0.0) >= SETTLED_S]
    if current is not None and current in active and current not in settled:
        settled.append(current)
    candidates = settled or active
    if not candidates:
        return current
    allowed = [place for place in candidates if layers[place].order <= most]
    if allowed:
        return max(allowed, key=lambda place: layers[place].order)
    return min(candidates, key=lambda place: layers[place].order)
