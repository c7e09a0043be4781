"""Who is connected: from an offer to the end of its peer, endpoint by endpoint.

An endpoint has at most one connection in use and one on the way. The one on the way takes over when it is connected;
until then the one in use goes on. No socket and no clock here either: `Endpoints` is the node without its process.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from media.control import (
    AnyEvent,
    DownlinkChanged,
    EndpointState,
    FeedChanged,
    FeedPublished,
    FeedsWished,
    Levels,
    PeerChanged,
    PeerState,
    PeerStats,
    SourceWanted,
)
from media.lane import Outlet
from media.peer import Credentials, Identity, Peer, PeerEvents
from media.port import Port
from media.publisher import Publisher
from media.relay import Relay
from media.router import Feeds, Group
from media.rtp.rtcp import MalformedRtcp, parse_rtcp
from media.sdp import (
    ParsedOffer,
    Receiving,
    Sending,
    Transport,
    parse_offer,
    place_sections,
    read_fragment,
    slots_by_kind,
    write_answer,
    write_fragment,
)
from media.stream import Publication
from media.subscriber import Subscriber

MAX_PEERS = 2000
MAX_GROUPS = 256
_MOST_REVS = 4096
_TURNS = 20  # ticks in a second
_DUE_AT_ONCE = 16  # publishers; of more than that at most half in one tick, those who wait longest first
_WITHOUT_PAUSE = 8  # publishers: a millisecond
_MOST_PAUSES = 12  # so that there is time for all within a tick

Key = tuple[str, str]


class NoRoom(Exception):
    """A bound of the node is reached."""


@dataclass(slots=True)
class Connection:
    """One peer with what it sends and receives. `encoder`: its feeds go before those of the hall's own page."""

    offer: ParsedOffer
    encoder: bool
    peer: Peer
    publisher: Publisher
    subscriber: Subscriber
    receiving: list[Receiving]


@dataclass(slots=True, eq=False)
class Endpoint:
    """`told` is the state that was announced last."""

    group: Group
    name: str
    in_use: Connection | None = None
    coming: Connection | None = None
    told: PeerState = "closed"

    def connections(self) -> Iterator[Connection]:
        if self.in_use is not None:
            yield self.in_use
        if self.coming is not None:
            yield self.coming


@dataclass(slots=True)
class Outlets:
    """What the process lends: the socket, the control channel, the log (an event name and ids)."""

    socket: Outlet
    tell: Callable[[AnyEvent], None]
    log: Callable[..., None]


@dataclass(slots=True)
class Site:
    """Where the node can be reached; the port is known once the socket is bound. `wall` adds to `now` (since 1900)."""

    candidates: tuple[str, ...]
    wall: float
    port: int = 0
    identity: Identity = field(default_factory=Identity)


class Endpoints:
    def __init__(self, site: Site, outlets: Outlets) -> None:
        self.port = Port()
        self._site = site
        self._outlets = outlets
        self._groups: dict[str, Group] = {}
        self._endpoints: dict[Key, Endpoint] = {}
        self._revs: dict[str, int] = {}
        self._turn = 0
        self._coming: set[Endpoint] = set()
        self._publishing: set[Publisher] = set()
        self.relay = Relay(self.port, outlets.socket, outlets.tell, self._group, site.wall)

    # -- commands ------------------------------------------------------------------------------------------------------

    def offer(
        self,
        group: str,
        name: str,
        sdp: str,
        slots: dict[str, str],
        now: float,
        *,
        places_by_kind: tuple[str, ...] = (),
        publish_as: str | None = None,
    ) -> str:
        """The answer; see `media.control.Offer`. Raises BadSdp, BadSlots or NoRoom, and then nothing has changed."""
        offer = parse_offer(sdp)
        places = place_sections(offer, slots_by_kind(offer, places_by_kind) if places_by_kind else slots)
        if len(self.port) >= MAX_PEERS:
            raise NoRoom("too many peers")
        endpoint = self._endpoints.get((group, name))
        if endpoint is None:
            endpoint = self._endpoints[group, name] = Endpoint(self._group(group), name)
        if endpoint.coming is not None:
            endpoint.coming.peer.close("replaced", now)
        peer = Peer(
            self._site.identity,
            offer.ufrag,
            offer.fingerprints,
            self._outlets.socket,
            now,
            dtls_client=offer.passive,
        )
        publisher = Publisher(
            publish_as or name,
            [place for place in places if isinstance(place, Sending)],
            endpoint.group,
            peer,
            now,
        )
        connection = Connection(
            offer,
            publish_as is not None,
            peer,
            publisher,
            Subscriber(peer, now),
            [place for place in places if isinstance(place, Receiving)],
        )
        peer.listen(
            PeerEvents(
                rtp=publisher.receive_rtp,
                full=publisher.settle,
                rtcp=partial(self._receive_rtcp, connection, endpoint),
                state=partial(self._peer_changed, endpoint, connection),
                path=lambda address: self.port.bind(address, peer),
            )
        )
        endpoint.coming = connection
        self._coming.add(endpoint)
        self.port.add(peer)
        self._outlets.log("peer_offered", group=group, endpoint=name)
        if endpoint.in_use is None:
            self._tell_state(endpoint, "connecting")
        return write_answer(offer, places, self._transport(peer.credentials))

    def restart(self, group: str, name: str, fragment: str) -> str | None:
        """The answer to an endpoint's ICE restart; None: there is none of this name. Raises BadSdp."""
        remote_ufrag = read_fragment(fragment)
        endpoint = self._endpoints.get((group, name))
        if endpoint is None:
            return None
        *_, connection = endpoint.connections()
        credentials = connection.peer.restart(remote_ufrag)
        self.port.add(connection.peer)
        self._outlets.log("ice_restarted", group=group, endpoint=name)
        return write_fragment(connection.offer, self._transport(credentials))

    def _transport(self, credentials: Credentials) -> Transport:
        site = self._site
        return Transport(credentials.ufrag, credentials.password, site.identity.fingerprint, site.candidates, site.port)

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            if len(self._groups) >= MAX_GROUPS:
                raise NoRoom("too many groups")
            self._groups[name] = Group(name, self)
        return self._groups[name]

    def set_stage(self, group: str, video: Feeds, audio: Feeds, now: float, *, rev: int = 0) -> None:
        """Passes over what is older than the order in force. Raises BadFeeds or NoRoom."""
        if rev < self._revs.get(group, 0):
            return
        self._group(group).set_stage(video, audio, now)
        self._revs.pop(group, None)
        self._revs[group] = rev
        if len(self._revs) > _MOST_REVS:
            del self._revs[next(iter(self._revs))]

    def forget_orders(self) -> None:
        """From now on any order is news."""
        self._revs.clear()

    def set_tiles(self, group: str, endpoint: str, feeds: Feeds, now: float) -> None:
        """Raises BadFeeds or NoRoom."""
        self._group(group).set_tiles(endpoint, feeds, now)

    def close_endpoint(self, group: str, name: str, now: float) -> bool:
        """False: there is none of this name."""
        if group in self._groups:
            self._groups[group].forget_endpoint(name)
        endpoint = self._endpoints.get((group, name))
        if endpoint is None:
            return False
        for connection in list(endpoint.connections()):
            self._close(connection, "asked", now)
        return True

    def close_all(self, now: float) -> None:
        for endpoint in list(self._endpoints.values()):
            for connection in list(endpoint.connections()):
                self._close(connection, "shutdown", now)

    @staticmethod
    def _close(connection: Connection, reason: str, now: float) -> None:
        connection.subscriber.say_goodbye()
        connection.peer.close(reason, now)

    # -- what peers tell -----------------------------------------------------------------------------------------------

    def _receive_rtcp(self, connection: Connection, endpoint: Endpoint, data: bytes, now: float) -> None:
        try:
            parts = parse_rtcp(data)
        except MalformedRtcp:
            connection.publisher.malformed += 1
            return
        publisher, subscriber, wall = connection.publisher, connection.subscriber, now + self._site.wall
        wanted = False
        for part in parts:
            if publisher.publications:
                publisher.receive_rtcp(part, now, wall)
            wanted = subscriber.receive_rtcp(part, now, wall) or wanted
        if wanted:
            endpoint.group.key_frame_wanted(now)
        if subscriber.misses:
            endpoint.group.look_soon(endpoint.name)

    def _peer_changed(self, endpoint: Endpoint, connection: Connection, state: PeerState, now: float) -> None:
        if state == "closed":
            self._end(endpoint, connection, now)
            return
        if state == "connected" and connection is endpoint.coming:
            self._take_over(endpoint, connection, now)
        elif connection is endpoint.in_use:
            self._tell_state(endpoint, state)
            if state == "disconnected":
                connection.publisher.cease()

    def _take_over(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        previous, endpoint.in_use, endpoint.coming = endpoint.in_use, connection, None
        self._coming.discard(endpoint)
        if connection.publisher.publications:
            self._publishing.add(connection.publisher)
        group, publisher = endpoint.group, connection.publisher
        self._outlets.log("peer_connected", group=group.name, endpoint=endpoint.name, srtp=connection.peer.profile)
        endpoint.told = "connected"
        self._tell_state(endpoint, "connected", again=True)  # first: what is wanted of it comes from this node then
        group.publish(publisher.publications, publisher.request_key_frames, now, encoder=connection.encoder)
        self._settle_exports(group, publisher, now)
        group.subscribe(endpoint.name, connection.receiving, connection.subscriber, now)
        if previous is not None:
            self._close(previous, "replaced", now)

    def _end(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        self.port.remove(connection.peer)
        self._outlets.log(
            "peer_closed", group=endpoint.group.name, endpoint=endpoint.name, reason=connection.peer.ended
        )
        endpoint.group.unsubscribe(endpoint.name, connection.subscriber, now)
        endpoint.group.withdraw(connection.publisher.publications, now)
        self._settle_exports(endpoint.group, connection.publisher, now)
        self._publishing.discard(connection.publisher)
        connection.publisher.end()
        if endpoint.coming is connection:
            endpoint.coming = None
            self._coming.discard(endpoint)
        if endpoint.in_use is connection:
            endpoint.in_use = None
        if endpoint.in_use is None:
            self._tell_state(endpoint, "connecting" if endpoint.coming is not None else "closed")
            if endpoint.coming is None:
                del self._endpoints[endpoint.group.name, endpoint.name]

    def _settle_exports(self, group: Group, publisher: Publisher, now: float) -> None:
        for publication in publisher.publications:
            self.relay.published(group.name, publication.feed, now)

    def _tell_state(self, endpoint: Endpoint, state: PeerState, *, again: bool = False) -> None:
        if state != endpoint.told or again:
            endpoint.told = state
            self._outlets.tell(PeerChanged(group=endpoint.group.name, endpoint=endpoint.name, state=state))

    # -- what groups tell ----------------------------------------------------------------------------------------------

    def feed_changed(self, group: str, feed: str, active: bool) -> None:
        self._outlets.tell(FeedChanged(group=group, feed=feed, active=active))

    def feed_published(self, group: str, feed: str, here: bool) -> None:
        self._outlets.tell(FeedPublished(group=group, feed=feed, here=here))

    def stream_began(self, group: str, feed: str, now: float) -> None:
        self.relay.stream_began(group, feed, now)

    def feeds_wished(self, group: str, feeds: tuple[str, ...]) -> None:
        self._outlets.tell(FeedsWished(group=group, feeds=feeds))

    def source_wanted(self, group: str, publication: Publication, node: str | None) -> None:
        if node is not None:
            self.relay.wanted(node, group, publication)
            return
        self._outlets.tell(
            SourceWanted(
                group=group,
                endpoint=publication.endpoint,
                source=publication.source,
                rids=publication.asked_rids(),
            )
        )

    def rung_changed(self, group: str, endpoint: str, subscriber: Subscriber, now: float) -> None:
        rung = subscriber.rung
        if rung is None:
            return
        self._outlets.log("rung_changed", group=group, endpoint=endpoint, rung=rung)
        estimate_bps = subscriber.estimate_bps(now)
        self._outlets.tell(DownlinkChanged(group=group, endpoint=endpoint, rung=rung, estimate_bps=estimate_bps))

    # -- time ----------------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> bool:
        """After each batch of datagrams. Whether packets are still held for the rest of their frame."""
        holding = False
        for group in self._groups.values():
            holding = group.flush(now) or holding
        return holding

    def tick(self, now: float) -> Generator[None, float, None]:
        """Some twenty times a second. Where there is much to do it pauses, so that packets need not wait for all of it,
        and is sent the time."""
        for endpoint in list(self._coming):
            if endpoint.coming is not None:
                endpoint.coming.peer.tick(now)
        due = sorted((each for each in self._publishing if each.due_at <= now), key=lambda each: each.due_at)
        due = due[: max(_DUE_AT_ONCE, len(self._publishing) // 2)]
        step = max(_WITHOUT_PAUSE, -(-len(due) // _MOST_PAUSES))
        for place, publisher in enumerate(due, 1):
            publisher.tick(now)
            if place % step == 0:
                now = yield
        wall = now + self._site.wall
        self._turn = (self._turn + 1) % _TURNS
        for endpoint in tuple(islice(self._endpoints.values(), self._turn, None, _TURNS)):  # each once a second
            if (in_use := endpoint.in_use) is not None:
                if in_use.publisher.publications:
                    in_use.publisher.report(now)
                in_use.subscriber.report(wall)
                in_use.peer.tick(now)
        self.relay.tick(now)
        for group in list(self._groups.values()):
            group.tick(now)
            levels = group.levels.due(now)
            if levels is not None:
                self._outlets.tell(Levels(group=group.name, levels=levels))
        self._sweep()

    def _sweep(self) -> None:
        """Groups that nobody is in and nothing is wished for."""
        idle = {name for name, group in self._groups.items() if group.idle()}
        if not idle:
            return
        for name in idle - {endpoint.group.name for endpoint in self._endpoints.values()}:
            del self._groups[name]

    # -- what the server asks ------------------------------------------------------------------------------------------

    def states(self) -> tuple[EndpointState, ...]:
        return tuple(
            EndpointState(group=group, endpoint=name, state=endpoint.told)
            for (group, name), endpoint in self._endpoints.items()
        )

    def feeds(self) -> tuple[tuple[str, str], ...]:
        """Those published here."""
        return tuple((name, feed) for name, group in self._groups.items() for feed in group.feeds_here())

    def wished(self) -> tuple[tuple[str, str], ...]:
        """Those named on stages and tiles."""
        return tuple((name, feed) for name, group in self._groups.items() for feed in group.wished())

    def stats(self, now: float) -> tuple[PeerStats, ...]:
        return tuple(
            self._peer_stats(endpoint, connection, now)
            for endpoint in self._endpoints.values()
            for connection in endpoint.connections()
        )

    @staticmethod
    def _peer_stats(endpoint: Endpoint, connection: Connection, now: float) -> PeerStats:
        peer, subscriber = connection.peer, connection.subscriber
        feeds = tuple(connection.publisher.stats(now))  # first: it looks at what waited
        return PeerStats(
            group=endpoint.group.name,
            endpoint=endpoint.name,
            state=peer.state,
            srtp_profile=peer.profile,
            packets_in=peer.packets_in,
            packets_out=peer.packets_out + subscriber.packets_out - peer.unsent,
            bytes_in=peer.bytes_in,
            bytes_out=peer.bytes_out + subscriber.bytes_out - peer.bytes_unsent,
            rtt_s=subscriber.rtt_s,
            loss_out=subscriber.loss,
            estimate_bps=subscriber.estimate_bps(now),
            rung=subscriber.rung,
            wanted={one.source: one.asked_rids() for one in connection.publisher.publications},
            feeds=feeds,
            slots=subscriber.stats(),
        )

    @property
    def dropped(self) -> int:
        """Datagrams that fitted nobody or were not authentic, over the peers that are here."""
        return self.port.dropped + sum(
            connection.peer.dropped + connection.publisher.malformed
            for endpoint in self._endpoints.values()
            for connection in endpoint.connections()
        )

    def describe(self) -> str:
        rows = [row for group in self._groups.values() for row in group.describe()]
        rows += self.relay.describe()
        for (group, name), endpoint in sorted(self._endpoints.items()):
            rows.append(f"endpoint {group} {name} {endpoint.told}")
        return "\n".join(rows)
