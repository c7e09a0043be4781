"""One group: which feed flows into which slot of whom. The floor is enforced here.

`set_stage` and `set_tiles` only note wishes by name; a wish is fulfilled when its feed is there, whichever comes first.
A microphone outside the stage's `audio` is assigned to no line, so nobody can receive it.

A slot of the stage has a line for each shape and each rung of the ladder that somebody stands on; tiles have one for
each console and take the smallest layer. What no line takes is not asked of its publisher.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

from media.forward.ladder import AUDIO_ALONE, HIGH, LOW, MIDDLE
from media.forward.layers import Wish, highest_of
from media.forward.levels import LevelMeter
from media.line import Line, Shape, shape_of
from media.sdp import Receiving, slot_ssrc
from media.stream import Publication
from media.subscriber import Place, Subscriber

STAGE_SLOTS, AUDIO_SLOTS, TILE_SLOTS = 2, 3, 25
MAX_TILE_WISHES = 512
_CHOOSE_S = 0.1
_ASK_S = 0.5
_TURNS = 3  # an endpoint's line is looked at in every third choice, one that misses packets in each
_EASY_ROUNDS = 8  # and one that shows no trouble in every eighth of these
_SOUND_BPS = 45_000
_USUAL_BPS = (120_000, 500_000, 1_500_000)
_WISHES: dict[int, Wish] = {LOW: "low", MIDDLE: "middle", HIGH: "high"}

Feeds = tuple[str | None, ...]
LineKey = tuple[str, str, Shape, Wish]


class BadFeeds(ValueError):
    """More feeds than slots, or a name that cannot be in such a slot."""


class GroupEvents(Protocol):
    """What a group tells."""

    def feed_changed(self, group: str, feed: str, active: bool) -> None:
        """Packets of a feed began or ceased."""

    def source_wanted(self, group: str, publication: Publication, node: str | None) -> None:
        """Other layers of it are asked for from now on; of the other `node` where it comes from one."""

    def feed_published(self, group: str, feed: str, here: bool) -> None:
        """A feed is published on this node from now on, or no longer."""

    def stream_began(self, group: str, feed: str, now: float) -> None:
        """A layer of a feed that is published here has its first packets, or its first after a silence."""

    def feeds_wished(self, group: str, feeds: tuple[str, ...]) -> None:
        """The stage and the tiles name these feeds."""

    def rung_changed(self, group: str, endpoint: str, subscriber: Subscriber, now: float) -> None:
        """An endpoint's line carries more or less of the stage from now on."""


def _check(feeds: Feeds, slots: int, sources: tuple[str, ...]) -> None:
    if len(feeds) > slots:
        raise BadFeeds("more feeds than slots")
    for feed in feeds:
        if feed is not None and feed.rpartition("/")[2] not in sources:
            raise BadFeeds("this feed cannot be there")


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Somebody publishes a feed: here, or on `node`; `ask` sends the key frame requests that are due."""

    publication: Publication
    ask: Callable[[Publication, float], None]
    node: str | None
    encoder: bool


class Group:
    def __init__(self, name: str, events: GroupEvents) -> None:
        self.name = name
        self.levels = LevelMeter()
        self._events = events
        self._publications: dict[str, Publication] = {}  # the one of each feed that is forwarded
        self._claims: dict[str, list[Claim]] = {}  # all who publish it; the last one is forwarded
        self._subscribers: dict[str, Subscriber] = {}
        self._stage: dict[str, str | None] = {}
        self._tiles: dict[str, Feeds] = {}
        self._lines: dict[LineKey, Line] = {}
        self._held: list[Line] = []
        self._origins: dict[str, str] = {}
        self._looks: dict[str, dict[str, frozenset[int]]] = {}
        self._wished: tuple[str, ...] = ()
        self._chosen_at = self._asked_at = float("-inf")
        self._turn = 0
        self._probing: set[Subscriber] = set()
        self._missing: set[str] = set()

    # -- wishes --------------------------------------------------------------------------------------------------------

    def set_stage(self, video: Feeds, audio: Feeds, now: float) -> None:
        """Raises BadFeeds."""
        _check(video, STAGE_SLOTS, ("camera", "content"))
        _check(audio, AUDIO_SLOTS, ("microphone",))
        self._stage = {f"stage.{place}": feed for place, feed in enumerate(video)}
        self._stage |= {f"audio.{place}": feed for place, feed in enumerate(audio)}
        self._wish_changed(now)

    def set_tiles(self, endpoint: str, feeds: Feeds, now: float) -> None:
        """Raises BadFeeds."""
        _check(feeds, TILE_SLOTS, ("camera", "content"))
        if endpoint not in self._tiles and len(self._tiles) >= MAX_TILE_WISHES:
            raise BadFeeds("too many endpoints with tiles")
        self._tiles[endpoint] = feeds
        self._wish_changed(now)

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

    def wished(self) -> tuple[str, ...]:
        """The feeds that the stage and the tiles name."""
        tiles = (feed for feeds in self._tiles.values() for feed in feeds)
        return tuple(sorted({feed for feed in (*self._stage.values(), *tiles) if feed is not None}))

    def _wish_changed(self, now: float) -> None:
        wished = self.wished()
        if wished != self._wished:
            self._wished = wished
            self._events.feeds_wished(self.name, wished)
        for (slot, owner, _, _), line in self._lines.items():
            self._assign(line, self._wish(slot, owner), now)
        self._ask_for_layers(now, self._claims)

    def _feeds_changed(self, feeds: Collection[str], now: float) -> None:
        """These feeds are there, are others, or are gone; what else is wished stays as it is."""
        for (slot, owner, _, _), line in self._lines.items():
            if (wish := self._wish(slot, owner)) in feeds:
                self._assign(line, wish, now)
        self._ask_for_layers(now, feeds)

    def _assign(self, line: Line, feed: str | None, now: float) -> None:
        publication = None if feed is None else self._publications.get(feed)
        if publication is not None and publication.kind != line.kind:
            publication = None
        line.assign(publication, now)
        self._ask(line, now)

    def _ask(self, line: Line, now: float) -> None:
        if line.publication is not None:
            self.ask(line.publication, now)

    def ask(self, publication: Publication, now: float) -> None:
        """Sends the key frame requests that are due."""
        if self._publications.get(publication.feed) is publication:
            self._claims[publication.feed][-1].ask(publication, now)

    # -- who is here ---------------------------------------------------------------------------------------------------

    def publish(
        self,
        publications: list[Publication],
        ask: Callable[[Publication, float], None],
        now: float,
        *,
        node: str | None = None,
        encoder: bool = False,
    ) -> None:
        """Feeds that are here from now on; with `node` they come from there. Of one name the newest is forwarded, an
        encoder's before all others.
        """
        for publication in publications:
            feed = publication.feed
            claims = self._claims.setdefault(feed, [])
            claims.append(Claim(publication, ask, node, encoder))
            claims.sort(key=lambda claim: claim.encoder)  # stable: the newest stays last among its equals
            before = self._publications.get(feed)
            self._elect(feed)
            if encoder and before is not None and before.active:
                self.feed_changed(publication)  # not until its packets come
            if node is None:
                self._events.feed_published(self.name, feed, True)
            if not encoder:  # nothing leads to an encoder to tell it by
                self._events.source_wanted(self.name, publication, node)
        self._feeds_changed({publication.feed for publication in publications}, now)

    def published_here(self, feed: str) -> Publication | None:
        """The one that an endpoint of this node publishes, though one from elsewhere may be newer: its endpoint is on
        the way to another node, and both have it until it is there."""
        here = [claim.publication for claim in self._claims.get(feed, ()) if claim.node is None]
        return here[-1] if here else None

    def feeds_here(self) -> tuple[str, ...]:
        return tuple(feed for feed in self._claims if self.published_here(feed) is not None)

    def look(self, node: str, feed: str, ranks: frozenset[int], now: float) -> None:
        """These layers are wanted on another node."""
        looks = self._looks.setdefault(feed, {})
        if ranks:
            looks[node] = ranks
        else:
            looks.pop(node, None)
        if not looks:
            del self._looks[feed]
        self._ask_for_layers(now, (feed,))

    def withdraw(self, publications: list[Publication], now: float) -> None:
        """Feeds that ended. One that it stood before is back."""
        for publication in publications:
            self._withdraw(publication)
        self._feeds_changed({publication.feed for publication in publications}, now)

    def _withdraw(self, publication: Publication) -> None:
        feed = publication.feed
        claims = self._claims.get(feed, [])
        was_here = self.published_here(feed) is not None
        claims[:] = [claim for claim in claims if claim.publication is not publication]
        if self._publications.get(feed) is publication:
            was_active = publication.active
            publication.active = False
            self._elect(feed)
            back = self._publications.get(feed)
            is_active = back is not None and back.active
            if was_active != is_active:
                self._events.feed_changed(self.name, feed, is_active)
        if was_here != (self.published_here(feed) is not None):
            self._events.feed_published(self.name, feed, not was_here)

    def _elect(self, feed: str) -> None:
        """Takes the last claim on a feed; without one the feed is not here."""
        self._publications.pop(feed, None)
        self._origins.pop(feed, None)
        claims = self._claims[feed]
        if not claims:
            del self._claims[feed]
            return
        self._publications[feed] = claims[-1].publication
        if claims[-1].node is not None:
            self._origins[feed] = claims[-1].node

    def subscribe(self, endpoint: str, receivings: list[Receiving], subscriber: Subscriber, now: float) -> None:
        """Each of these slots of the endpoint has a leg on a line from now on."""
        self._subscribers[endpoint] = subscriber
        for receiving in receivings:
            place = subscriber.add(endpoint, receiving, shape_of(receiving), slot_ssrc(receiving.slot))
            self._settle(endpoint, subscriber, place, now)
        lines = [place.line for place in subscriber.places if place.line is not None]
        self._ask_for_layers(now, {line.publication.feed for line in lines if line.publication is not None})

    def unsubscribe(self, endpoint: str, subscriber: Subscriber, now: float) -> None:
        self._probing.discard(subscriber)
        if self._subscribers.get(endpoint) is subscriber:
            del self._subscribers[endpoint]
        for line in self._lines.values():
            for place in subscriber.places:
                line.no_longer_expect(place.leg)
        for place in subscriber.places:
            if place.line is not None:
                place.line.remove(place.leg, now)
                place.line = None
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Lines that nobody is on."""
        idle = [line for line in self._lines.values() if line.idle]
        if not idle:
            return
        feeds = {line.publication.feed for line in idle if line.publication is not None}
        for line in idle:
            line.assign(None, now)
        self._lines = {key: line for key, line in self._lines.items() if not line.idle}
        self._ask_for_layers(now, feeds)

    # -- which line a leg is on ----------------------------------------------------------------------------------------

    def _settle(self, endpoint: str, subscriber: Subscriber, place: Place, now: float) -> None:
        """Puts a leg on the line of its rung: at once when it gets nothing or hardly anything comes through to it, else
        when a key frame comes there."""
        wish = _WISHES.get(subscriber.ladder.rung) if place.on_ladder else "high"
        if place.slot.startswith("tile."):
            wish = "low"
        for line in self._lines.values():
            line.no_longer_expect(place.leg)
        target = None if wish is None else self._line(endpoint, place, wish)
        if target is place.line:
            return
        breaks = place.on_ladder and subscriber.ladder.breaks
        if target is not None and place.line is not None and place.leg.cohort is not None and not breaks:
            target.expect(place.leg, partial(self._arrive, place, target))
        else:
            if place.line is not None:
                place.line.remove(place.leg, now)
            place.line = target
            if target is not None:
                target.add(place.leg, now)
        if target is not None:
            self._assign(target, self._wish(place.slot, endpoint), now)

    @staticmethod
    def _arrive(place: Place, target: Line, now: float) -> None:
        if place.line is not None:
            place.line.remove(place.leg, now)
        place.line = target

    def _line(self, endpoint: str, place: Place, wish: Wish) -> Line:
        key = (place.slot, endpoint if place.slot.startswith("tile.") else "", place.shape, wish)
        if key not in self._lines:
            self._lines[key] = Line(place.slot, place.shape, wish, self._held.append)
        return self._lines[key]

    def _climb(self, now: float) -> None:
        """Looks what everybody's line carries."""
        needs = self._needs_bps()
        self._turn = (self._turn + 1) % (_TURNS * _EASY_ROUNDS)
        looked = dict(islice(self._subscribers.items(), self._turn % _TURNS, None, _TURNS))
        looked |= {name: self._subscribers[name] for name in self._missing if name in self._subscribers}
        self._missing.clear()
        for endpoint, subscriber in looked.items():
            if (subscriber.easy and self._turn >= _TURNS) or subscriber.rung is None:
                continue
            changed = subscriber.climb(needs, now)
            if subscriber.ladder.probe_bps:
                self._probing.add(subscriber)
            else:
                self._probing.discard(subscriber)
            if subscriber.misses:
                self._missing.add(endpoint)
            if not changed:
                continue
            for place in subscriber.places:
                if place.on_ladder:
                    self._settle(endpoint, subscriber, place, now)
            self._events.rung_changed(self.name, endpoint, subscriber, now)

    def _needs_bps(self) -> tuple[int, int, int, int]:
        """What each rung of the stage sends."""
        needs = [sum(_SOUND_BPS for slot, feed in self._stage.items() if feed and slot.startswith("audio."))] * 4
        for slot, feed in self._stage.items():
            publication = self._publications.get(feed or "")
            if publication is None or not slot.startswith("stage."):
                continue
            for rung, wish in _WISHES.items():
                most = highest_of(wish, publication.layer_count)
                usual = _USUAL_BPS[-1] if publication.layer_count == 1 else _USUAL_BPS[min(most, 2)]
                needs[rung] += publication.bps_of(most) or usual
        return needs[AUDIO_ALONE], needs[LOW], needs[MIDDLE], needs[HIGH]

    # -- which layers are asked for ------------------------------------------------------------------------------------

    def _ask_for_layers(self, now: float, feeds: Collection[str]) -> None:
        """More of these sources at once, less after a while. A microphone is always asked for: its level is shown."""
        looked_at: dict[str, set[int]] = {feed: set() for feed in feeds}
        for line in self._lines.values():
            publication = line.publication
            if publication is None or line.idle or publication.feed not in looked_at:
                continue
            if self._publications.get(publication.feed) is not publication:
                continue
            most = highest_of(line.wish, publication.layer_count)
            orders = {0, most} if publication.flowing(most, now) else set(range(most + 1))
            looked_at[publication.feed] |= {publication.rank_of(order) for order in orders}
        for feed in feeds:
            claims = self._claims.get(feed, ())
            looked = frozenset(looked_at[feed]).union(*self._looks.get(feed, {}).values())
            for claim in claims:
                publication, wanted = claim.publication, looked
                if publication is not self._publications[feed]:
                    wanted = frozenset()
                elif publication.kind == "audio" and claim.node is None:
                    wanted = frozenset((0,))
                if publication.wanted.update(wanted, now) and not claim.encoder:
                    self._events.source_wanted(self.name, publication, claim.node)

    # -- what publishers tell ------------------------------------------------------------------------------------------

    def stream_began(self, publication: Publication, now: float) -> None:
        """Lines may take it from now on; whoever publishes sends the key frame requests that are due after that."""
        if publication.feed not in self._origins:
            self._events.stream_began(self.name, publication.feed, now)
        for line in self._lines.values():
            if line.publication is publication:
                line.choose(now)

    def feed_changed(self, publication: Publication) -> None:
        if self._publications.get(publication.feed) is publication:
            self._events.feed_changed(self.name, publication.feed, publication.active)

    def level_heard(self, publication: Publication, level: int) -> None:
        if self._publications.get(publication.feed) is publication:
            self.levels.record(publication.feed, level)

    # -- time ----------------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> bool:
        """Sends what lines hold and need not hold longer. Whether some still wait for the rest of a frame."""
        held = self._held[:]
        self._held.clear()
        for line in held:
            if line.due(now):
                line.flush(now)
            else:
                self._held.append(line)
        return bool(self._held)

    def tick(self, now: float) -> None:
        for subscriber in tuple(self._probing):
            subscriber.probe(now)
        if now - self._chosen_at < _CHOOSE_S:
            return
        self._chosen_at = now
        for line in self._lines.values():
            line.choose(now)
        self._climb(now)
        self._sweep(now)
        if now - self._asked_at >= _ASK_S:
            self._asked_at = now
            self._ask_for_layers(now, self._claims)

    def look_soon(self, endpoint: str) -> None:
        """It misses packets in numbers: see what its line carries, without waiting for its turn."""
        self._missing.add(endpoint)

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
            asked = ",".join(publication.asked_rids())
            state = "active" if publication.active else "silent"
            origin = f" from {self._origins[feed]}" if feed in self._origins else ""
            rows.append(f"  feed {feed} {publication.codec} {state} {layers} asked [{asked}]{origin}")
        for (slot, owner, _, wish), line in sorted(self._lines.items(), key=lambda item: (*item[0][:2], item[0][3])):
            feed = line.publication.feed if line.publication else "-"
            place = f"{slot} {wish}{' of ' + owner if owner else ''}"
            rows.append(
                f"  line {place} <- {feed} {line.rid or ''}, {len(line.legs)} legs, {len(line.arriving)} coming"
            )
        return rows
