"""One meeting as this process serves it: its runner with all that hangs on it, and its part of the media node."""

import asyncio

from media import control
from rooms.ids import HallId, Key, MeetingId
from rooms.meeting import Record
from rooms.roster import Delegate, Hall
from rooms.stage import STAGE, Stage, current
from rooms.visibility import STAFF_AUDIENCE, Audience, AudienceKind, Touched
from server.fanout import Encoder, FanOut, Subscriber
from server.logs import logger
from server.media_node import MediaDown, MediaNode
from server.metrics import Metrics
from server.presence import Presence
from server.runner import Runner
from server.views import Views

STAGE_KEY = Key(f"stage/{STAGE}")
MOST_TILES = 25
MOST_PRESENCE = 16


class Room:
    def __init__(self, runner: Runner, encode: Encoder, metrics: Metrics, node: MediaNode) -> None:
        self.runner = runner
        self.views = Views(runner)
        self.fanout = FanOut(runner, encode, metrics)
        self.presence = Presence(self._to_staff)
        self._encode = encode
        self._node = node
        self._staff: set[Subscriber] = set()
        self._halls: dict[HallId, Subscriber] = {}
        self._tell = asyncio.Event()
        self._learn = asyncio.Event()
        self._logger = logger(meeting=runner.id, part="room")
        runner.listen(self._note)
        self.tell_stage()
        self.learn_media()

    @property
    def id(self) -> MeetingId:
        return self.runner.id

    def arrive(self, subscriber: Subscriber) -> Subscriber | None:
        """It takes part from now on. For a hall: the older page of the same hall, which must go."""
        self.fanout.add(subscriber)
        if subscriber.audience == STAFF_AUDIENCE:
            self._staff.add(subscriber)
            return None
        if subscriber.audience.kind != "hall":
            return None
        hall = HallId(str(subscriber.audience.id))
        older = self._halls.get(hall)
        self._halls[hall] = subscriber
        self.presence.hall_online(hall, True)
        return older

    def leave(self, subscriber: Subscriber) -> bool:
        """It is gone. Whether a hall has lost its (last) page by that."""
        self.fanout.remove(subscriber)
        self._staff.discard(subscriber)
        if subscriber.audience.kind != "hall":
            return False
        hall = HallId(str(subscriber.audience.id))
        if self._halls.get(hall) is not subscriber:
            return False
        del self._halls[hall]
        self.presence.hall_online(hall, False)
        return True

    def _to_staff(self, event: str, body: bytes) -> None:
        if not self._staff:
            return
        frame = self._encode(event, body)
        for subscriber in self._staff:
            if subscriber.backlog < MOST_PRESENCE:  # presence is not worth queueing for a slow console
                subscriber.push(frame)

    # -- the media node ------------------------------------------------------------------------------------------------

    def _note(self, rev: int, touched: Touched) -> None:
        if STAGE_KEY in touched:
            self.tell_stage()
        for before, after in touched.values():
            self._send_away_the_void(before, after)

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
        """Tell the node whenever the stage changes, until cancelled. A node that is down is told when it is back."""
        while True:
            await self._tell.wait()
            self._tell.clear()
            stage: Stage = current(self.runner.meeting)
            try:
                await self._node.request(control.SetStage(group=self.id, video=stage.video, audio=stage.audio))
            except MediaDown:
                self._logger.info("stage_not_told")

    def learn_media(self) -> None:
        """Have the state of the halls' media asked for: the node was attached, or knew this meeting before we did."""
        self._learn.set()

    async def keep_media_known(self) -> None:
        """Ask the node whenever `learn_media` was called, until cancelled."""
        while True:
            await self._learn.wait()
            self._learn.clear()
            try:
                stats = await self._node.request(control.GetStats())
            except MediaDown:
                continue
            self.presence.node_gone()
            for peer in stats.peers if isinstance(stats, control.Stats) else ():
                if peer.group == self.id:
                    self.peer_changed(peer.endpoint, peer.state)
                    for feed in peer.feeds:
                        self.feed_changed(feed.feed, feed.active)

    async def offer(self, endpoint: str, sdp: str, slots: dict[str, str]) -> control.Answer | control.Failed:
        """Raises `MediaDown`."""
        reply = await self._node.request(control.Offer(group=self.id, endpoint=endpoint, sdp=sdp, slots=slots))
        if isinstance(reply, control.Answer | control.Failed):
            return reply
        raise MediaDown

    async def tiles(self, endpoint: str, halls: tuple[HallId | None, ...]) -> None:
        """Show these halls in the console's tile slots. Raises `MediaDown`."""
        feeds = tuple(f"{hall}/camera" if hall else None for hall in halls[:MOST_TILES])
        await self._node.request(control.SetTiles(group=self.id, endpoint=endpoint, feeds=feeds))

    async def close_endpoint(self, endpoint: str) -> None:
        try:
            await self._node.request(control.CloseEndpoint(group=self.id, endpoint=endpoint))
        except MediaDown:
            self._logger.info("endpoint_gone_with_node")

    def peer_changed(self, endpoint: str, state: control.PeerState) -> None:
        if self._is_hall(endpoint):
            self.presence.peer(HallId(endpoint), state)

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
