"""One group: which feed flows into which slot of whom. The floor is enforced here.

`set_stage` and `set_tiles` only note wishes by name; a wish is fulfilled when its feed is there, whichever comes first.
A microphone outside the stage's `audio` is assigned to no line, so nobody can receive it.
"""

from collections.abc import Callable

from media.forward.levels import LevelMeter
from media.publisher import Publication
from media.sdp import Receiving
from media.subscriber import Leg, Line, SendRtp, Shape, Subscriber, shape_of

STAGE_SLOTS, AUDIO_SLOTS, TILE_SLOTS = 2, 3, 25
MAX_TILE_WISHES = 512
_CHOOSE_S = 0.1

Feeds = tuple[str | None, ...]
LineKey = tuple[str, str, Shape]


class BadFeeds(ValueError):
    """More feeds than slots, or a name that cannot be in such a slot."""


def _check(feeds: Feeds, slots: int, sources: tuple[str, ...]) -> None:
    if len(feeds) > slots:
        raise BadFeeds("more feeds than slots")
    for feed in feeds:
        if feed is not None and feed.rpartition("/")[2] not in sources:
            raise BadFeeds("this feed cannot be there")


class Group:
    """`feed_changed` is told when packets of a feed begin or cease."""

    def __init__(self, name: str, feed_changed: Callable[[str, str, bool], None]) -> None:
        self.name = name
        self.levels = LevelMeter()
        self._feed_changed = feed_changed
        self._publications: dict[str, Publication] = {}
        self._askers: dict[str, Callable[[Publication, float], None]] = {}
        self._stage: dict[str, str | None] = {}
        self._tiles: dict[str, Feeds] = {}
        self._lines: dict[LineKey, Line] = {}
        self._chosen_at = float("-inf")

    # -- wishes --------------------------------------------------------------------------------------------------------

    def set_stage(self, video: Feeds, audio: Feeds, now: float) -> None:
        """Raises BadFeeds."""
        _check(video, STAGE_SLOTS, ("camera", "content"))
        _check(audio, AUDIO_SLOTS, ("microphone",))
        self._stage = {f"stage.{place}": feed for place, feed in enumerate(video)}
        self._stage |= {f"audio.{place}": feed for place, feed in enumerate(audio)}
        self._fulfil(now)

    def set_tiles(self, endpoint: str, feeds: Feeds, now: float) -> None:
        """Raises BadFeeds."""
        _check(feeds, TILE_SLOTS, ("camera", "content"))
        if endpoint not in self._tiles and len(self._tiles) >= MAX_TILE_WISHES:
            raise BadFeeds("too many endpoints with tiles")
        self._tiles[endpoint] = feeds
        self._fulfil(now)

    def forget_endpoint(self, endpoint: str) -> None:
        self._tiles.pop(endpoint, None)

    def idle(self) -> bool:
        """Nothing is wished and nobody is here."""
        return not (self._publications or self._lines or any(self._stage.values()) or self._tiles)

    def _wish(self, slot: str, owner: str) -> str | None:
        if not slot.startswith("tile."):
            return self._stage.get(slot)
        feeds = self._tiles.get(owner, ())
        place = int(slot.removeprefix("tile."))
        return feeds[place] if place < len(feeds) else None

    def _fulfil(self, now: float) -> None:
        for (slot, owner, _), line in self._lines.items():
            self._assign(line, self._wish(slot, owner), now)

    def _assign(self, line: Line, feed: str | None, now: float) -> None:
        publication = None if feed is None else self._publications.get(feed)
        if publication is not None and publication.kind != line.kind:
            publication = None
        line.assign(publication, now)
        self._ask(line, now)

    def _ask(self, line: Line, now: float) -> None:
        if line.publication is not None:
            self._askers[line.publication.feed](line.publication, now)

    # -- who is here ---------------------------------------------------------------------------------------------------

    def publish(self, publications: list[Publication], ask: Callable[[Publication, float], None], now: float) -> None:
        for publication in publications:
            self._publications[publication.feed] = publication
            self._askers[publication.feed] = ask
        self._fulfil(now)

    def withdraw(self, publications: list[Publication], now: float) -> None:
        """Feeds that ended; one that was replaced meanwhile stays."""
        for publication in publications:
            if self._publications.get(publication.feed) is publication:
                del self._publications[publication.feed]
                if publication.active:
                    publication.active = False
                    self.feed_changed(publication)
        self._fulfil(now)
        for publication in publications:
            if publication.feed not in self._publications:
                self._askers.pop(publication.feed, None)

    def subscribe(
        self, endpoint: str, places: list[Receiving], subscriber: Subscriber, send: SendRtp, now: float
    ) -> None:
        for place in places:
            line = self._line(endpoint, place)
            subscriber.attach(line, Leg(endpoint, line.ssrc, send))
            self._assign(line, self._wish(place.slot, endpoint), now)

    def unsubscribe(self, subscriber: Subscriber, now: float) -> None:
        for line in subscriber.detach():
            if not line.legs:
                line.assign(None, now)
                self._lines = {key: other for key, other in self._lines.items() if other is not line}

    def _line(self, endpoint: str, place: Receiving) -> Line:
        tile = place.slot.startswith("tile.")
        key = (place.slot, endpoint if tile else "", shape_of(place))
        if key not in self._lines:
            self._lines[key] = Line(place.slot, key[2], "lowest" if tile else "highest")
        return self._lines[key]

    # -- what publishers tell ------------------------------------------------------------------------------------------

    def stream_began(self, publication: Publication, now: float) -> None:
        for line in self._lines.values():
            if line.publication is publication:
                line.choose(now)
                self._ask(line, now)

    def feed_changed(self, publication: Publication) -> None:
        self._feed_changed(self.name, publication.feed, publication.active)

    def level_heard(self, publication: Publication, level: int) -> None:
        self.levels.record(publication.feed, level)

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        if now - self._chosen_at < _CHOOSE_S:
            return
        self._chosen_at = now
        for line in self._lines.values():
            line.choose(now)

    def key_frame_wanted(self, now: float) -> None:
        """A receiver asked: send what is due without waiting for the tick."""
        for line in self._lines.values():
            if line.kind == "video":
                self._ask(line, now)

    def describe(self) -> list[str]:
        """The graph for a person to read."""
        rows = [f"group {self.name}"]
        for feed, publication in sorted(self._publications.items()):
            layers = " ".join(f"{stream.rid or '-'}:{stream.width}x{stream.height}" for stream in publication.streams)
            rows.append(f"  feed {feed} {publication.codec} {'active' if publication.active else 'silent'} {layers}")
        for (slot, owner, _), line in sorted(self._lines.items(), key=lambda item: item[0][:2]):
            feed = line.publication.feed if line.publication else "-"
            rows.append(f"  line {slot}{' of ' + owner if owner else ''} <- {feed}, {len(line.legs)} legs")
        return rows
