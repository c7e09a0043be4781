"""One meeting as this process serves it: its runner with all that hangs on it, and its part of the media node."""

import asyncio
import time
from collections.abc import Collection, Iterable
from typing import Protocol, get_args

import msgspec

from media import control
from rooms.actor import SERVER
from rooms.ids import HallId, Key, MeetingId
from rooms.links import Link, LinkDown, LinkUp
from rooms.meeting import Record
from rooms.refusal import Refused
from rooms.roster import Delegate, Hall
from rooms.stage import STAGE, Stage, current
from rooms.visibility import STAFF_AUDIENCE, Audience, AudienceKind, Touched
from server import wire
from server.cluster.cluster import Cluster
from server.cluster.messages import Halls, MeetingBody, StillsNow, Watching, Wrote, hall_now, presence_of
from server.database.log import LogUnavailable
from server.elsewhere import Elsewhere, Told
from server.fanout import Encoder, FanOut, Subscriber
from server.logs import logger
from server.media_node import MediaDown
from server.media_nodes import MediaNodes
from server.meetings import new_command_id
from server.metrics import Metrics
from server.presence import STILLS_AT_ONCE, Presence
from server.runner import InternalError, Overloaded, Runner
from server.views import Views

STAGE_KEY = Key(f"stage/{STAGE}")
MOST_TILES = 25
MOST_PRESENCE = 32 * 1024
"""Unsent bytes of a console above which presence and stills pass it by."""
SETTLED_S = 5.0
"""After so long among the others, whoever has not been heard of is not there."""


SOURCES: frozenset[str] = frozenset(get_args(wire.WantedSource))


class Member(Subscriber, Protocol):
    """A connected client. `endpoint` is the name of its media, None if it has none."""

    endpoint: str | None


class Room:
    """`cluster` is where other processes tell what they know of the same meeting; the room is this process's part."""

    def __init__(
        self, runner: Runner, views: Views, encode: Encoder, metrics: Metrics, nodes: MediaNodes, cluster: Cluster
    ) -> None:
        self.runner = runner
        self.views = views
        self.fanout = FanOut(runner, self.views, encode, metrics)
        self._elsewhere = Elsewhere()
        self.presence = Presence(self._to_staff, self._new_stills, self._elsewhere, self._tell_halls)
        self._cluster = cluster
        self._since: dict[HallId, float] = {}
        self._doubtful: set[HallId] = set()
        self._judge = asyncio.Event()
        self._encode = encode
        self._nodes = nodes
        self._staff: set[Member] = set()
        self._members: dict[str, Member] = {}
        self._wanted: dict[str, dict[str, wire.Wanted]] = {}
        self._downlinks: dict[str, wire.Downlink] = {}
        self._tiles: dict[str, tuple[str | None, ...]] = {}
        self._walls: dict[Member, frozenset[HallId]] = {}
        self._watched: frozenset[HallId] = frozenset()
        self._shown: frozenset[HallId] = frozenset()
        self._tell = asyncio.Event()
        self._learn = asyncio.Event()
        self._logger = logger(meeting=runner.id, part="room")
        runner.listen(self._note)
        self.tell_stage()
        self.learn_media()
        cluster.join(runner.id, self)

    @property
    def id(self) -> MeetingId:
        return self.runner.id

    def arrive(self, member: Member) -> Member | None:
        """It takes part from now on. For a hall: the older page of the same hall at this process, which must go."""
        self.fanout.add(member)
        older = self._members.get(member.endpoint) if member.endpoint is not None else None
        if member.endpoint is not None:
            self._members[member.endpoint] = member
        if member.audience == STAFF_AUDIENCE:
            self._staff.add(member)
        elif member.audience.kind == "hall":
            self._hall_arrived(HallId(str(member.audience.id)))
        return older

    def leave(self, member: Member) -> bool:
        """It is gone. Whether a hall has lost its (last) page by that, here and elsewhere."""
        self.fanout.remove(member)
        self._staff.discard(member)
        if self._walls.pop(member, None):
            self._watch()
        if member.endpoint is None or self._members.get(member.endpoint) is not member:
            return False
        del self._members[member.endpoint]
        if member.audience.kind != "hall":
            return False
        hall = HallId(str(member.audience.id))
        self._since.pop(hall, None)
        self.presence.hall_online(hall, False)
        self._tell_halls([self.presence.of(hall)])
        return self._elsewhere.page(hall) is None

    def has_line(self, endpoint: str) -> bool:
        """Whether its page is connected to this process."""
        return endpoint in self._members

    def stands_in(self, hall: str) -> str:
        """The names of the hall and its unit, which say the district."""
        found = self.runner.meeting.get(Hall, hall)
        return "" if found is None else f"{found.unit} / {found.name}"

    def greet(self, member: Member) -> None:
        """Tell it what holds for it now beside the records, once its welcome is on its way."""
        if member.audience == STAFF_AUDIENCE:
            member.push(self._encode("presence", self.presence.everything()))
        if member.endpoint is None:
            return
        for wanted in self._wanted.get(member.endpoint, {}).values():
            self._push(member, "wanted", wanted)
        if member.endpoint in self._watched:
            self._push(member, "wanted", wire.Wanted(source="still", rids=("",)))
        if member.endpoint in self._downlinks:
            self._push(member, "downlink", self._downlinks[member.endpoint])

    def _push(self, member: Member, event: str, body: wire.Wire) -> None:
        member.push(self._encode(event, msgspec.json.encode(body)))

    def _to_staff(self, event: str, body: bytes) -> None:
        if not self._staff:
            return
        frame = self._encode(event, body)
        for member in self._staff:
            if member.backlog < MOST_PRESENCE:  # presence is not worth queueing for a slow console
                member.push(frame)

    # -- the wall of stills --------------------------------------------------------------------------------------------

    def wall(self, member: Member, halls: Collection[HallId]) -> None:
        """The halls whose stills this console shows from now on."""
        shown = frozenset(halls)
        fresh = shown - self._walls.get(member, frozenset())
        if shown:
            self._walls[member] = shown
        else:
            self._walls.pop(member, None)
        self._watch()
        self._send_stills(member, fresh)

    def _watch(self) -> None:
        """Tell the halls whose stills somebody began or ceased to look at, here or elsewhere."""
        shown = frozenset[HallId]().union(*self._walls.values())
        if shown != self._shown:
            self._shown = shown
            self._cluster.send(Watching(self.id, tuple(shown)))
        watched = shown | self._elsewhere.watched
        for hall in watched ^ self._watched:
            member = self._members.get(hall)
            if member is not None:
                self._push(member, "wanted", wire.Wanted(source="still", rids=("",) if hall in watched else ()))
        self._watched = watched

    def _new_stills(self, halls: Collection[HallId]) -> None:
        self._share_stills(self._elsewhere.watched.intersection(halls))
        for member, shown in self._walls.items():
            self._send_stills(member, shown.intersection(halls))

    def _send_stills(self, member: Member, halls: Collection[HallId]) -> None:
        for body in self.presence.stills.bodies(halls):
            if member.backlog < MOST_PRESENCE:
                member.push(self._encode("stills", body))

    def _share_stills(self, halls: Iterable[HallId]) -> None:
        """Tell the other processes the stills of these halls, as far as their pages are here."""
        found = self.presence.stills.encoded(hall for hall in halls if hall in self._since)
        for first in range(0, len(found), STILLS_AT_ONCE):
            self._cluster.send(StillsNow(self.id, tuple(found[first : first + STILLS_AT_ONCE])))

    # -- other processes -----------------------------------------------------------------------------------------------

    def _hall_arrived(self, hall: HallId) -> None:
        """Its page is here now, newer than any that is known elsewhere, whatever the other machine's clock says."""
        other = self._elsewhere.page(hall)
        self._since[hall] = max(time.time(), other[0] + 0.001 if other else 0.0)
        self.presence.hall_online(hall, True)
        self._tell_halls([self.presence.of(hall)])

    def _tell_halls(self, halls: Collection[wire.HallPresence], *, reset: bool = False) -> None:
        if self._cluster.shared:
            self._cluster.send(self._halls_now(halls, reset=reset))

    def _halls_now(self, halls: Collection[wire.HallPresence], *, reset: bool) -> Halls:
        return Halls(self.id, tuple(hall_now(each, self._since.get(each.hall)) for each in halls), reset=reset)

    def everything(self) -> Iterable[MeetingBody]:
        yield self._halls_now(self.presence.known_here, reset=True)
        yield Watching(self.id, tuple(self._shown))

    def told(self, process: str, body: MeetingBody) -> None:
        match body:
            case Wrote():
                self.runner.heard(body.rev, body.entries)
            case Halls():
                self._told_halls(process, body)
            case Watching():
                fresh = self._elsewhere.watch(process, body.halls)
                self._watch()
                self._share_stills(fresh)
            case StillsNow():
                for hall, still in body.stills:
                    if hall in self._shown:
                        self.presence.stills.put_encoded(hall, still)
                self.presence.look_again()

    def _told_halls(self, process: str, body: Halls) -> None:
        try:
            told = [Told(one.since, presence_of(one)) for one in body.halls]
        except msgspec.ValidationError:
            self._logger.warning("presence_not_understood", process=process)
            return
        for hall in self._elsewhere.put(process, told, reset=body.reset):
            page, here = self._elsewhere.page(hall), self._since.get(hall)
            if page is not None and here is not None and page > (here, self._cluster.process):
                older = self._members.get(hall)
                if older is not None:
                    older.send_away("replaced", retry=False)
            elif page is None and here is None:
                self.presence.stills.drop(hall)
        self.presence.look_again()

    def gone(self, process: str) -> None:
        """Its halls are without a page, unless they have come back elsewhere."""
        self._judge_lines(self._elsewhere.drop(process))
        self._watch()
        self.presence.look_again()

    # -- the record of the lines ---------------------------------------------------------------------------------------

    def _judge_lines(self, halls: Iterable[HallId]) -> None:
        """The record of these halls' lines may be wrong."""
        self._doubtful.update(halls)
        if self._doubtful:
            self._judge.set()

    async def keep_lines_right(self) -> None:
        """Correct the record of the halls' lines where it is in doubt, until cancelled: a process that was killed could
        not note that its halls are gone, and one that has heard nothing may note it of a hall that is here."""
        if self._cluster.shared:
            await self._cluster.neighbours.settled(SETTLED_S)
            self._judge_lines(HallId(link.id) for link in self.runner.meeting.select(Link, up=True))
        while True:
            await self._judge.wait()
            self._judge.clear()
            halls, self._doubtful = self._doubtful, set()
            await asyncio.gather(*(self._correct_line(hall) for hall in halls))

    async def _correct_line(self, hall: HallId) -> None:
        if hall in self._since:
            await self.note_line(hall, up=True)
        elif self._elsewhere.page(hall) is None:
            await self.note_line(hall, up=False)

    async def note_line(self, hall: HallId, *, up: bool) -> None:
        """Put it on record that the hall's line is up or lost."""
        command = LinkUp if up else LinkDown
        try:
            await self.runner.submit(SERVER, command(id=new_command_id(), hall=hall))
        except (Refused, Overloaded, LogUnavailable, InternalError) as error:
            self._logger.warning("link_not_noted", hall=hall, error=type(error).__name__)

    # -- the media node ------------------------------------------------------------------------------------------------

    def _note(self, rev: int, touched: Touched) -> None:
        if STAGE_KEY in touched:
            self.tell_stage()
        for before, after in touched.values():
            self._send_away_the_void(before, after)
            if isinstance(after, Link) and not after.up and after.id in self._since:
                self._judge_lines((HallId(after.id),))

    def _send_away_the_void(self, before: Record | None, after: Record | None) -> None:
        """Whoever came by a link that was renewed, or is no longer on the lists, must go."""
        if isinstance(before, Hall | Delegate) and (after is None or before.epoch != getattr(after, "epoch", None)):
            kind: AudienceKind = "hall" if isinstance(before, Hall) else "delegate"
            for subscriber in self.fanout.of(Audience(kind, before.id)):
                subscriber.send_away("bad_token", retry=False)

    def tell_stage(self) -> None:
        """Have the node told of the stage as it is."""
        self._tell.set()

    async def keep_stage_told(self) -> None:
        """Tell the nodes whenever the stage changes, until cancelled. One that is down is told when it is back."""
        while True:
            await self._tell.wait()
            self._tell.clear()
            stage: Stage = current(self.runner.meeting)
            order = control.SetStage(group=self.id, video=stage.video, audio=stage.audio, rev=self.runner.meeting.rev)
            if not self._nodes.tell_all(order):
                self._logger.info("stage_not_told")

    def learn_media(self) -> None:
        """Have the state of the halls' media asked for: the node was attached, or knew this meeting before we did."""
        self._wanted.clear()
        self._learn.set()

    async def keep_media_known(self) -> None:
        """Ask the node whenever `learn_media` was called, until cancelled."""
        while True:
            await self._learn.wait()
            self._learn.clear()
            try:
                stats = await self._nodes.stats()
            except MediaDown:
                continue
            self.presence.node_gone()
            peers = [
                peer
                for name, told in stats.items()
                for peer in told.peers
                if peer.group == self.id and self._nodes.counts(name, self.id, peer.endpoint)
            ]
            feeds: dict[str, bool] = {}
            for peer in peers:
                self._learn_peer(peer)
                for feed in peer.feeds:  # one layer each; a hall's page and its encoder may both have one of a name
                    feeds[feed.feed] = feeds.get(feed.feed, False) or feed.active
            for name, active in feeds.items():
                self.feed_changed(name, active)

    def _learn_peer(self, peer: control.PeerStats) -> None:
        self.peer_changed(peer.endpoint, peer.state)
        if peer.rung is not None:
            self.downlink_changed(peer.endpoint, peer.rung, peer.estimate_bps)
        if peer.state == "connected":
            known = self._wanted.get(peer.endpoint, {})
            for source, rids in peer.wanted.items():
                newer = known.get(source)  # an event that came meanwhile is newer than these figures
                self.source_wanted(peer.endpoint, source, newer.rids if newer else rids)

    async def offer(self, endpoint: str, sdp: str, slots: dict[str, str]) -> control.Answer | control.Failed:
        """Raises `MediaDown`."""
        answer = await self._ask(control.Offer(group=self.id, endpoint=endpoint, sdp=sdp, slots=slots))
        if endpoint in self._tiles:  # it may come to another node
            await self._show_tiles(endpoint)
        return answer

    async def offer_by_kind(
        self, endpoint: str, sdp: str, places: tuple[str, ...], publish_as: str | None
    ) -> control.Answer | control.Failed:
        """For who does not know its mids, see `control.Offer`. Raises `MediaDown`."""
        return await self._ask(
            control.Offer(group=self.id, endpoint=endpoint, sdp=sdp, places=places, publish_as=publish_as)
        )

    async def restart(self, endpoint: str, fragment: str) -> control.Answer | control.Failed:
        """An ICE restart. Raises `MediaDown`."""
        return await self._ask(control.Restart(group=self.id, endpoint=endpoint, fragment=fragment))

    async def _ask(self, request: control.Offer | control.Restart) -> control.Answer | control.Failed:
        reply = await self._nodes.ask_for(request.endpoint, request)
        if isinstance(reply, control.Answer | control.Failed):
            return reply
        raise MediaDown

    async def tiles(self, endpoint: str, halls: tuple[HallId | None, ...]) -> None:
        """Show these halls in the console's tile slots. Raises `MediaDown`."""
        self._tiles[endpoint] = tuple(f"{hall}/camera" if hall else None for hall in halls[:MOST_TILES])
        await self._show_tiles(endpoint)

    async def _show_tiles(self, endpoint: str) -> None:
        node = self._nodes.place(self.id, endpoint)
        await node.request(control.SetTiles(group=self.id, endpoint=endpoint, feeds=self._tiles[endpoint]))

    async def close_endpoint(self, endpoint: str) -> None:
        try:
            node = self._nodes.place(self.id, endpoint)
            await node.request(control.CloseEndpoint(group=self.id, endpoint=endpoint))
        except MediaDown:
            self._logger.info("endpoint_gone_with_node")
        self._tiles.pop(endpoint, None)
        self._nodes.forget(self.id, endpoint)

    def peer_changed(self, endpoint: str, state: control.PeerState) -> None:
        if state == "closed":
            self._wanted.pop(endpoint, None)
            self._downlinks.pop(endpoint, None)
        if self._is_hall(endpoint):
            self.presence.peer(HallId(endpoint), state)

    def node_gone(self, endpoints: Collection[str]) -> None:
        """These endpoints lost their node, and what it wanted of them went with it."""
        for endpoint in endpoints:
            self.peer_changed(endpoint, "closed")

    def source_wanted(self, endpoint: str, source: str, rids: tuple[str, ...]) -> None:
        """Keep the latest, so that a page whose socket comes back gets it again."""
        if source not in SOURCES:
            return
        wanted = wire.Wanted(source=source, rids=rids)  # type: ignore[arg-type]
        self._wanted.setdefault(endpoint, {})[source] = wanted
        if self._is_hall(endpoint):
            self.presence.wanted(HallId(endpoint), source, bool(rids))
        if endpoint in self._members:
            self._push(self._members[endpoint], "wanted", wanted)

    def downlink_changed(self, endpoint: str, rung: control.Rung, estimate_bps: int | None) -> None:
        downlink = wire.Downlink(rung=rung, estimate_bps=estimate_bps)
        self._downlinks[endpoint] = downlink
        if self._is_hall(endpoint):
            self.presence.downlink(HallId(endpoint), rung, estimate_bps)
        if endpoint in self._members:
            self._push(self._members[endpoint], "downlink", downlink)

    def feed_changed(self, feed: str, active: bool) -> None:
        endpoint, _, source = feed.partition("/")
        if self._is_hall(endpoint):
            self.presence.feed(HallId(endpoint), source, active)

    def levels(self, levels: dict[str, int]) -> None:
        for feed, dbov in levels.items():
            endpoint, _, _ = feed.partition("/")
            if self._is_hall(endpoint):
                self.presence.level(HallId(endpoint), dbov)

    def _is_hall(self, endpoint: str) -> bool:
        return self.runner.meeting.get(Hall, endpoint) is not None
