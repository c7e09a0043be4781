"""Feeds between nodes: what goes out over trunks and what comes in, as the server arranged it.

Each direction is declared: `set_exports` names all that goes to a node, and `Exported` tells how it travels; the server
passes that on to the other node as `Import`. What the other node's receivers want comes back as `ImportWanted`.
"""

import itertools
from collections.abc import Callable
from functools import partial

from media.control import AnyEvent, Exported, ExportWish, FeedDescription, ImportWanted
from media.exports import ExportedFeed
from media.forward.clock import PublisherClock
from media.imports import ImportedFeed
from media.lane import Address, Outlet
from media.port import Port
from media.router import Group
from media.rtp.header import RtpPacket
from media.rtp.rtcp import KeyFrameRequest, MalformedRtcp, Nack, SenderReport, parse_rtcp
from media.stream import Publication
from media.trunk import Trunk

MOST_TRUNKS = 64
MOST_FEEDS = 1024

FeedKey = tuple[str, str]


class BadRelay(ValueError):
    """An unknown node, or more than the node keeps."""


class Side:
    """All that goes to and comes from one other node."""

    def __init__(self, node: str, trunk: Trunk) -> None:
        self.node = node
        self.trunk = trunk
        self.wishes: dict[FeedKey, tuple[str, ...]] = {}
        self.exports: dict[FeedKey, ExportedFeed] = {}
        self.imports: dict[FeedKey, ImportedFeed] = {}
        self.clocks: dict[str, PublisherClock] = {}
        self.by_ssrc: dict[int, ImportedFeed] = {}
        self.malformed = 0
        self._ssrcs = itertools.count(1)

    def index(self) -> None:
        """After the imports or their SSRCs changed."""
        self.by_ssrc = {ssrc: feed for feed in self.imports.values() for ssrc in feed.streams}

    def new_ssrc(self) -> int:
        return next(self._ssrcs)


class Relay:
    """`group_of` makes a group where there is none; `find` names the publication of a feed that is published here."""

    def __init__(
        self,
        port: Port,
        outlet: Outlet,
        tell: Callable[[AnyEvent], None],
        group_of: Callable[[str], Group],
        wall: float,
    ) -> None:
        self._port = port
        self._outlet = outlet
        self._tell = tell
        self._group_of = group_of
        self._wall = wall
        self._sides: dict[str, Side] = {}

    # -- what the server arranges --------------------------------------------------------------------------------------

    def set_trunk(self, node: str, name: str, address: Address, material: bytes, now: float, *, first: bool) -> None:
        """Raises BadRelay or media.trunk.BadTrunk. The same trunk again changes nothing."""
        side = self._sides.get(node)
        if side is not None and side.trunk.name == name:
            return
        if side is None and len(self._sides) >= MOST_TRUNKS:
            raise BadRelay("too many trunks")
        trunk = Trunk(name, address, material, self._outlet, first=first)
        self.cut(node, now)
        side = self._sides[node] = Side(node, trunk)
        trunk.listen(partial(self._receive_rtp, side), partial(self._receive_rtcp, side))
        self._port.bind(address, trunk)

    def cut(self, node: str, now: float) -> None:
        side = self._sides.pop(node, None)
        if side is None:
            return
        self._port.release(side.trunk)
        for key in list(side.exports):
            self._end_export(side, key, now)
        for key in list(side.imports):
            self._end_import(side, key, now)

    def trunks(self) -> dict[str, str]:
        return {node: side.trunk.name for node, side in self._sides.items()}

    def asked(self) -> tuple[tuple[str, str, str, tuple[str, ...]], ...]:
        """Node, group, feed and layers of all that is wanted from other nodes."""
        return tuple(
            (side.node, group, feed, known.publication.asked_rids())
            for side in self._sides.values()
            for (group, feed), known in side.imports.items()
        )

    def set_exports(self, node: str, feeds: tuple[ExportWish, ...], now: float) -> None:
        """Raises BadRelay."""
        side = self._side(node)
        if len(feeds) > MOST_FEEDS:
            raise BadRelay("too many feeds")
        side.wishes = {(wish.group, wish.feed): wish.rids for wish in feeds}
        for key in [key for key in side.exports if key not in side.wishes]:
            self._end_export(side, key, now)
        for key in side.wishes:
            self._settle_export(side, key, now)

    def import_feed(self, node: str, group: str, feed: str, description: FeedDescription | None, now: float) -> None:
        """Raises BadRelay."""
        side = self._side(node)
        key = (group, feed)
        known = side.imports.get(key)
        if description is None:
            self._end_import(side, key, now)
            return
        if known is not None and known.same_kind(description):
            known.take(description)
            side.index()
            return
        if len(side.imports) >= MOST_FEEDS:
            raise BadRelay("too many feeds")
        clock = side.clocks.setdefault(f"{group} {description.endpoint}", PublisherClock())
        fresh = ImportedFeed(feed, description, side.trunk, self._group_of(group), clock, now)
        side.imports[key] = fresh
        side.index()
        fresh.group.publish([fresh.publication], fresh.request_key_frames, now, node=node)
        if known is not None:
            known.group.withdraw([known.publication], now)
            known.publication.end()

    def _side(self, node: str) -> Side:
        side = self._sides.get(node)
        if side is None:
            raise BadRelay("no trunk to this node")
        return side

    # -- what happens here ---------------------------------------------------------------------------------------------

    def published(self, group: str, feed: str, now: float) -> None:
        """A feed is published here, anew, or no longer."""
        for side in self._sides.values():
            if (group, feed) in side.wishes:
                self._settle_export(side, (group, feed), now)

    def stream_began(self, group: str, feed: str, now: float) -> None:
        """A layer of a feed may be new."""
        for side in self._sides.values():
            export = side.exports.get((group, feed))
            if export is not None:
                export.settle(now)

    def _settle_export(self, side: Side, key: FeedKey, now: float) -> None:
        group = self._group_of(key[0])
        publication = group.published_here(key[1])
        export = side.exports.get(key)
        if export is not None and export.publication is not publication:
            self._end_export(side, key, now)
            export = None
        if publication is None:
            return
        if export is None:
            export = side.exports[key] = ExportedFeed(
                publication, side.trunk, side.new_ssrc, partial(self._tell_export, side, key)
            )
            self._tell_export(side, key, export)
        export.want(side.wishes[key], now)
        group.look(side.node, key[1], export.ranks, now)

    def _tell_export(self, side: Side, key: FeedKey, export: ExportedFeed) -> None:
        self._tell(Exported(node=side.node, group=key[0], feed=key[1], description=export.describe()))

    def _end_export(self, side: Side, key: FeedKey, now: float) -> None:
        export = side.exports.pop(key, None)
        if export is not None:
            export.end()
            self._group_of(key[0]).look(side.node, key[1], frozenset(), now)
            self._tell(Exported(node=side.node, group=key[0], feed=key[1], description=None))

    def _end_import(self, side: Side, key: FeedKey, now: float) -> None:
        known = side.imports.pop(key, None)
        side.index()
        if known is not None:
            known.group.withdraw([known.publication], now)
            known.publication.end()

    def wanted(self, node: str, group: str, publication: Publication) -> None:
        """Receivers here want other layers of a feed that comes from this node."""
        self._tell(ImportWanted(node=node, group=group, feed=publication.feed, rids=publication.asked_rids()))

    # -- packets -------------------------------------------------------------------------------------------------------

    def _receive_rtp(self, side: Side, packet: RtpPacket, size: int, now: float) -> None:
        feed = side.by_ssrc.get(packet.ssrc)
        if feed is None:
            side.malformed += 1
            return
        feed.receive(packet, size, now)

    def _receive_rtcp(self, side: Side, data: bytes, now: float) -> None:
        try:
            parts = parse_rtcp(data)
        except MalformedRtcp:
            side.malformed += 1
            return
        for part in parts:
            if isinstance(part, KeyFrameRequest):
                self._want_key_frames(side, part.media, now)
            elif isinstance(part, Nack):
                for export in side.exports.values():
                    export.send_again(part.media, part.lost, now)
            elif isinstance(part, SenderReport):
                feed = side.by_ssrc.get(part.ssrc)
                if feed is not None:
                    feed.note_report(part.ssrc, part.ntp, part.timestamp, now + self._wall)

    def _want_key_frames(self, side: Side, ssrcs: tuple[int, ...], now: float) -> None:
        for (group, _), export in side.exports.items():
            for ssrc, stream in export.ssrcs().items():
                if ssrc in ssrcs:
                    stream.want_key_frame()
                    self._group_of(group).ask(stream.publication, now)

    def tick(self, now: float) -> None:
        for side in self._sides.values():
            for export in side.exports.values():
                export.settle(now)
                export.report()
            for feed in side.imports.values():
                feed.tick(now)

    def describe(self) -> list[str]:
        """For a person to read."""
        rows = []
        for node, side in sorted(self._sides.items()):
            rows.append(f"trunk to {node}: {side.trunk.packets_in} packets in, {side.trunk.packets_out} out")
            rows += [f"  export {group} {feed}" for group, feed in sorted(side.exports)]
            rows += [f"  import {group} {feed}" for group, feed in sorted(side.imports)]
        return rows
