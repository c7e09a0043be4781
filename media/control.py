"""The control channel between the server and a media node: message types and framing.

A node listens on a Unix socket, and for other machines by TLS (media.cluster_tls); servers connect, several at once.
Each frame is a 4-byte big-endian length and one JSON object. A server sends a `Request`; the node answers each with one
`Reply` of the same `seq` to who asked, and tells every server an `Event` whenever something happens. The node outlives
the servers: one that connects sends `Attach`, and learns what is running. When none is connected for `orphan_s` the
node ends by itself. What a version does not know in a message it reads over, so that versions may meet.

Words: *group* is one meeting; *endpoint* is one connected device within it ("h12", "host-3"); a *feed* is one published
source, named "<endpoint>/<source>" with source camera, microphone or content; a *slot* is a fixed receiving place of an
endpoint ("stage.0", "stage.1", "audio.0".."audio.2", "tile.0".."tile.24"), bound to one m-line for good.
"""

from typing import Literal

import msgspec

MAX_FRAME = 4 * 1024 * 1024
MAX_FIRST_FRAME = 4096
"""Of a connection that has not attached yet."""


class ControlMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Anything that travels on the control channel."""


# -- requests: server -> node ------------------------------------------------------------------------------------------


class Attach(ControlMessage, frozen=True, tag="attach"):
    """The first request of a connection; again whenever one of these changes. Answered with `Attached`.

    `listens`: it wants to be told events. `charge`: trunks, exports and imports are this server's business; the number
    is greater than that of whoever had the charge before it, whose orders are refused from then on. While nobody has
    said so, they are everybody's.
    """

    listens: bool = True
    charge: int | None = None


class Ping(ControlMessage, frozen=True, tag="ping"):
    """Answered with `Done`: the node is alive and not stuck."""


class SetDraining(ControlMessage, frozen=True, tag="set_draining"):
    """The node is to be left: nobody new, and who is here is moved elsewhere by the servers, which are all told."""

    draining: bool


class Offer(ControlMessage, frozen=True, tag="offer"):
    """A browser's SDP offer. Replaces the endpoint's earlier connection once the new one is up. Answered with `Answer`.

    `slots` maps each mid of the offer to its place: sources ("camera", "microphone", "content") for sending m-lines,
    slots ("stage.0", "audio.0", "tile.0" …) for receiving ones. A mid without a place is answered inactive.
    Who does not know the mids (of a WHIP encoder's offer) names `places` instead: each goes to the first m-line of its
    kind that can have it. `publish_as` is the name that its feeds bear instead of the endpoint's own: an encoder
    "h12~in~3f" publishes "h12/camera", before the hall's own page, and the newest encoder before the others. When it
    ends, the feed that it stood before is back.
    """

    group: str
    endpoint: str
    sdp: str
    slots: dict[str, str] = {}
    places: tuple[str, ...] = ()
    publish_as: str | None = None


class Restart(ControlMessage, frozen=True, tag="restart"):
    """An endpoint restarts ICE (RFC 8445 §9): `fragment` (RFC 8840) has its new credentials. Answered with `Answer`,
    a fragment with the node's new ones. Media goes on; the earlier credentials hold until the new ones are used.
    """

    group: str
    endpoint: str
    fragment: str


class SetStage(ControlMessage, frozen=True, tag="set_stage"):
    """What every endpoint of the group receives in its stage and audio slots. `None` empties a slot.

    This is also the floor's enforcement: a microphone that is not in `audio` is forwarded to nobody.
    Feeds may be named before they exist. `rev` is the log's number: an order that is older than the one in force is
    passed over, whichever server is late with it. When the last server has gone any order is news.
    """

    group: str
    video: tuple[str | None, ...]
    audio: tuple[str | None, ...]
    rev: int = 0


class SetTiles(ControlMessage, frozen=True, tag="set_tiles"):
    """What one endpoint (a host console) receives in its tile slots, in the order of the slots."""

    group: str
    endpoint: str
    feeds: tuple[str | None, ...]


class CloseEndpoint(ControlMessage, frozen=True, tag="close_endpoint"):
    group: str
    endpoint: str


class SetTrunk(ControlMessage, frozen=True, tag="set_trunk"):
    """A trunk to another node: feeds that are looked at there go over it once, authenticated and encrypted.

    Both ends get the same `trunk` (a name that is new with each key) and `material` (56 bytes: as DTLS would export it
    for AEAD_AES_128_GCM), one of them with `first`. It replaces an earlier trunk to the same node.
    """

    node: str
    trunk: str
    host: str
    port: int
    material: bytes
    first: bool


class CutTrunk(ControlMessage, frozen=True, tag="cut_trunk"):
    """The other node is gone: what came from there is withdrawn."""

    node: str


class ExportWish(msgspec.Struct, frozen=True, kw_only=True):
    """A feed that another node wants; `rids` as in `SourceWanted`."""

    group: str
    feed: str
    rids: tuple[str, ...]


class SetExports(ControlMessage, frozen=True, tag="set_exports"):
    """All that goes over the trunk to `node` from now on. Feeds may be named before they exist."""

    node: str
    feeds: tuple[ExportWish, ...]


class FeedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed travels on a trunk: an SSRC for each layer (0: nothing came of it yet), in the order of `rids`."""

    endpoint: str
    codec: str
    clock_rate: int
    payload_type: int
    rids: tuple[str, ...]
    ssrcs: tuple[int, ...]
    orientation_id: int
    level_id: int


class Import(ControlMessage, frozen=True, tag="import"):
    """What `Exported` said on the other node; without a description the feed is gone."""

    node: str
    group: str
    feed: str
    description: FeedDescription | None


class GetStats(ControlMessage, frozen=True, tag="get_stats"):
    """Answered with `Stats`."""


class Dump(ControlMessage, frozen=True, tag="dump"):
    """Answered with `Text`: the node's media graph for a person to read."""


class Shutdown(ControlMessage, frozen=True, tag="shutdown"):
    """Say goodbye to every peer and end the process; with `if_last` not while other servers are attached that have not
    asked for it as well: then `Failed` with the code in_use."""

    if_last: bool = False


AnyRequest = (
    Attach
    | Ping
    | SetDraining
    | Offer
    | Restart
    | SetStage
    | SetTiles
    | CloseEndpoint
    | SetTrunk
    | CutTrunk
    | SetExports
    | Import
    | GetStats
    | Dump
    | Shutdown
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    body: AnyRequest


# -- replies and events: node -> server --------------------------------------------------------------------------------

PeerState = Literal["connecting", "connected", "disconnected", "closed"]


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    group: str
    endpoint: str
    state: PeerState


class Attached(ControlMessage, frozen=True, tag="attached"):
    """`epoch` changes with every start of a node process; `port` is its UDP port; `trunks` those it has, by node.

    `feeds` are those published here, as (group, feed); `wished` those named on stages and tiles here; `asked` what
    receivers here want of feeds from other nodes, as `ImportWanted` told it: node, group, feed, layers.
    """

    epoch: str
    port: int
    pid: int
    endpoints: tuple[EndpointState, ...]
    trunks: dict[str, str] = {}
    feeds: tuple[tuple[str, str], ...] = ()
    wished: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()
    draining: bool = False


class Done(ControlMessage, frozen=True, tag="done"):
    pass


class Answer(ControlMessage, frozen=True, tag="answer"):
    sdp: str


FailureCode = Literal[
    "bad_sdp", "unsupported", "bad_slots", "unknown_endpoint", "bad_request", "not_in_charge", "in_use", "internal"
]
"""`bad_sdp` cannot be read, `unsupported` can, but not be answered; `bad_slots`: its m-lines are not the right ones."""


class Failed(ControlMessage, frozen=True, tag="failed"):
    """`detail` is for the log, in English; it holds no SDP and no addresses."""

    code: FailureCode
    detail: str = ""


Rung = Literal["high", "middle", "low", "audio"]
"""How much of the stage an endpoint's line carries: the rungs of the ladder, from the largest pictures to none."""


class FeedStats(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a feed as it comes in. `wanted`: somebody receives it, so it is asked of the publisher."""

    feed: str
    rid: str | None
    codec: str
    active: bool
    wanted: bool
    packets: int
    bytes: int
    lost: int
    jitter_s: float
    key_frames: int
    key_frames_asked: int
    width: int
    height: int
    bps: int


class SlotStats(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out into one slot. `loss` (0 to 1) and `jitter_s` are the receiver's; `feed` and `rid` flow now."""

    slot: str
    feed: str | None
    rid: str | None
    packets: int
    bytes: int
    resent: int
    loss: float | None
    jitter_s: float | None


class PeerStats(msgspec.Struct, frozen=True, kw_only=True):
    """One connection of an endpoint. `wanted`: what is asked of each of its sources, as `SourceWanted` tells it."""

    group: str
    endpoint: str
    state: PeerState
    srtp_profile: str
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    rtt_s: float | None
    loss_out: float | None
    estimate_bps: int | None
    rung: Rung | None
    wanted: dict[str, tuple[str, ...]]
    feeds: tuple[FeedStats, ...]
    slots: tuple[SlotStats, ...]


class Stats(ControlMessage, frozen=True, tag="stats"):
    cpu_s: float
    rss_bytes: int
    dropped: int
    peers: tuple[PeerStats, ...]


class Text(ControlMessage, frozen=True, tag="text"):
    text: str


AnyReply = Attached | Done | Answer | Failed | Stats | Text


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply"):
    seq: int
    body: AnyReply


class PeerChanged(ControlMessage, frozen=True, tag="peer_changed"):
    group: str
    endpoint: str
    state: PeerState


class FeedChanged(ControlMessage, frozen=True, tag="feed_changed"):
    """Packets of a feed began or ceased (nothing for 2 s) to come in."""

    group: str
    feed: str
    active: bool


class Levels(ControlMessage, frozen=True, tag="levels"):
    """Audio levels (RFC 6464, dBov, 0 loudest … -127 silence) of the microphones of a group, at most 5 a second."""

    group: str
    levels: dict[str, int]


class SourceWanted(ControlMessage, frozen=True, tag="source_wanted"):
    """Which layers of a source somebody receives now, by rid, smallest first; the endpoint need not send others.

    A source without simulcast has the one layer "". Told when an endpoint is connected and whenever it changes: more at
    once, less after some seconds. An endpoint that cannot switch its layers may go on sending all of them.
    """

    group: str
    endpoint: str
    source: str
    rids: tuple[str, ...]


class DownlinkChanged(ControlMessage, frozen=True, tag="downlink_changed"):
    """An endpoint's line carries another rung of the stage from now on."""

    group: str
    endpoint: str
    rung: Rung
    estimate_bps: int | None


class FeedPublished(ControlMessage, frozen=True, tag="feed_published"):
    """A feed is published here from now on, or (`here` false) no more."""

    group: str
    feed: str
    here: bool


class FeedsWished(ControlMessage, frozen=True, tag="feeds_wished"):
    """The feeds that this group's stage and tiles name on this node, wherever they are published."""

    group: str
    feeds: tuple[str, ...]


class Exported(ControlMessage, frozen=True, tag="exported"):
    """How a feed travels to `node` from now on, for `Import` there; without a description it is gone."""

    node: str
    group: str
    feed: str
    description: FeedDescription | None


class ImportWanted(ControlMessage, frozen=True, tag="import_wanted"):
    """Which layers of a feed from `node` somebody receives here; see `SourceWanted`."""

    node: str
    group: str
    feed: str
    rids: tuple[str, ...]


class DrainingChanged(ControlMessage, frozen=True, tag="draining_changed"):
    """See `SetDraining`."""

    draining: bool


AnyEvent = (
    PeerChanged
    | DrainingChanged
    | FeedChanged
    | Levels
    | SourceWanted
    | DownlinkChanged
    | FeedPublished
    | FeedsWished
    | Exported
    | ImportWanted
)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    body: AnyEvent


FromNode = Reply | Event


def encode_frame(message: Request | Reply | Event) -> bytes:
    """The message with its length in front."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(4, "big") + body


decode_request = msgspec.json.Decoder(Request).decode
decode_from_node = msgspec.json.Decoder(FromNode).decode
