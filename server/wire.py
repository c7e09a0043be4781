"""What travels between the server and its pages: Socket.IO events and HTTP bodies. PROTOCOL.md tells them in order.

These Structs and those of rooms/ are the schema from which the pages' TypeScript types are generated.
"""

from typing import Literal

import msgspec

from media import control
from rooms.actor import Role
from rooms.attendance import Interval
from rooms.codec import AnyRecord
from rooms.enrolment import DelegateLine, HallLine
from rooms.ids import AccountId, DelegateId, HallId, Key, MeetingId
from rooms.visibility import AudienceKind

PROTOCOL = 1
OLDEST_PROTOCOL = 1
"""What pages of the version before speak; they are served as well, so that servers can be replaced one by one."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Anything that a client sends or gets."""


# -- socket: client -> server ------------------------------------------------------------------------------------------


class Hello(Wire, frozen=True, kw_only=True):
    """The first event of a connection. `since` with `log_id` asks for what was missed only."""

    protocol: int
    token: str
    log_id: str | None = None
    since: int | None = None


class MediaOffer(Wire, frozen=True, kw_only=True):
    """The page's one SDP offer; `slots` says what each mid is for (PROTOCOL.md, Media)."""

    sdp: str
    slots: dict[str, str]


class Tiles(Wire, frozen=True, kw_only=True):
    """The halls whose pictures a console wants in its tile slots, in their order."""

    halls: tuple[HallId | None, ...]


class Wall(Wire, frozen=True, kw_only=True):
    """The halls whose stills a console shows now; none when it shows no wall."""

    halls: tuple[HallId, ...]


class Report(Wire, frozen=True, kw_only=True):
    """A hall page's own state, at most one a second; latest wins, never logged.

    `camera` and `microphone`: it works and is not switched off, sent now or not. `still` is a small JPEG (base64, at
    most 10 KiB) of what its camera shows.
    """

    camera: bool
    microphone: bool
    viewing: bool
    trouble: Literal["none", "no_camera", "no_microphone", "no_media", "weak_line"] = "none"
    still: str | None = None


# -- socket: server -> client ------------------------------------------------------------------------------------------


class Me(Wire, frozen=True, kw_only=True):
    """Who the server takes this client for. `endpoint` names its feeds; None if it has no media."""

    kind: AudienceKind
    id: str
    name: str
    role: Role | None = None
    meeting: MeetingId
    hall: HallId | None = None
    endpoint: str | None = None


class IceServer(Wire, frozen=True, kw_only=True):
    """A relay for the page's connection, with a credential of its own: an `RTCIceServer` as it stands."""

    urls: tuple[str, ...]
    username: str
    credential: str


class IceServers(Wire, frozen=True, kw_only=True):
    """Event `ice_servers`, endpoints only: use these for connections made from now on."""

    servers: tuple[IceServer, ...]


class Welcome(Wire, frozen=True, kw_only=True):
    """The answer to Hello. With `reset` the replica starts empty; otherwise this is a patch on what the client has."""

    ok: Literal[True] = True
    protocol: int
    log_id: str
    rev: int
    reset: bool
    put: tuple[AnyRecord, ...]
    drop: tuple[Key, ...]
    me: Me
    now: float
    media_epoch: str | None
    ice_servers: tuple[IceServer, ...] = ()


class Patch(Wire, frozen=True, kw_only=True):
    """Event `patch`: what changed for this client up to `rev`."""

    rev: int
    put: tuple[AnyRecord, ...]
    drop: tuple[Key, ...]


def encode_patch(rev: int, put: bytes, drop: bytes) -> bytes:
    """A `Patch` as JSON, of arrays that are JSON already."""
    return msgspec.json.encode(Patch(rev=rev, put=msgspec.Raw(put), drop=msgspec.Raw(drop)))  # type: ignore[arg-type]


class Accepted(Wire, frozen=True, kw_only=True):
    """The command is durable and has been applied up to `rev`."""

    ok: Literal[True] = True
    rev: int


class Denied(Wire, frozen=True, kw_only=True):
    """Nothing happened. `code` is stable: a refusal of the domain, or one of ErrorCode."""

    ok: Literal[False] = False
    code: str
    field: str | None = None


class MediaAnswer(Wire, frozen=True, kw_only=True):
    ok: Literal[True] = True
    sdp: str


class MediaReset(Wire, frozen=True, kw_only=True):
    """Event `media`: the node runs under this epoch (None: there is none now). When it differs, offer anew, and keep
    the connection that there is until the new one shows pictures.
    """

    epoch: str | None


WantedSource = Literal["camera", "microphone", "content", "still"]


class Wanted(Wire, frozen=True, kw_only=True):
    """Event `wanted`, halls only: the layers of a source that somebody looks at now, by rid, smallest first.

    A source without simulcast has the one layer "". `still`: somebody looks at the wall of stills.
    """

    source: WantedSource
    rids: tuple[str, ...]


class Downlink(Wire, frozen=True, kw_only=True):
    """Event `downlink`: how much of the stage this client's own line carries, None while that is not known."""

    rung: control.Rung | None
    estimate_bps: int | None


SourceState = Literal["off", "ready", "sending", "lost"]
"""A hall's camera or microphone. off: there is none, or the hall switched it off; ready: it works and nothing of it is
asked for; sending: packets arrive; lost: they are asked for and none arrive."""


class HallPresence(Wire, frozen=True, kw_only=True):
    """One hall as it is now. `media` is its media connection, `rung` what its line carries of the stage.

    `level` is its microphone's loudness in dBov, in steps of 6, -127 for silence.
    """

    hall: HallId
    online: bool
    media: Literal["none", "connecting", "connected", "disconnected"] = "none"
    camera: SourceState = "off"
    microphone: SourceState = "off"
    viewing: bool = False
    trouble: Literal["none", "no_camera", "no_microphone", "no_media", "weak_line"] = "none"
    level: int = -127
    phones: int = 0
    rung: control.Rung | None = None
    estimate_bps: int | None = None


class Presence(Wire, frozen=True, kw_only=True):
    """Event `presence`, staff only: the halls whose state differs from the last one sent (all of them with `reset`)."""

    reset: bool
    halls: tuple[HallPresence, ...]
    phones: int


class Still(Wire, frozen=True, kw_only=True):
    """A hall's latest small picture (base64 JPEG)."""

    hall: HallId
    jpeg: str


class Stills(Wire, frozen=True, kw_only=True):
    """Event `stills`, staff only: new pictures of the halls that this console named in `wall`."""

    stills: tuple[Still, ...]


class Goodbye(Wire, frozen=True, kw_only=True):
    """Event `goodbye`: the server closes this connection. Come back with the same token only if `retry`."""

    code: str
    retry: bool


class NextPatch(Wire, frozen=True, kw_only=True):
    """The answer to a poll (PROTOCOL.md, HTTP instead of the socket): one of the two.

    An empty patch says that nothing happened; its `rev` is the next poll's `since` all the same.
    """

    patch: Patch | None = None
    goodbye: Goodbye | None = None


ErrorCode = Literal[
    "bad_request",
    "bad_token",
    "expired",
    "unauthorised",
    "not_found",
    "too_large",
    "too_many",
    "wrong_protocol",
    "unavailable",
    "internal",
    "media_down",
    "bad_sdp",
    "replaced",
    "not_allowed",
    "login_failed",
    "weak_password",
    "taken",
    "not_a_workbook",
    "no_lists_found",
    "not_a_pdf",
    "pdf_encrypted",
    "pdf_broken",
    "pdf_empty",
    "wrong_proof",
]

StreamErrorCode = Literal[
    "unsupported", "not_acceptable", "precondition_failed", "precondition_required", "unsupported_type"
]
"""What only encoders and players meet (WHIP, WHEP); pages have no words for these."""

# -- HTTP --------------------------------------------------------------------------------------------------------------


class Login(Wire, frozen=True, kw_only=True):
    login: str
    password: str


class FirstRun(Wire, frozen=True, kw_only=True):
    """The first host's account, with the secret of the link that `make run` prints."""

    secret: str
    login: str
    name: str
    password: str


class NewAccount(Wire, frozen=True, kw_only=True):
    login: str
    name: str
    role: Role
    password: str


class Account(Wire, frozen=True, kw_only=True):
    id: AccountId
    login: str
    name: str
    role: Role


class NewMeeting(Wire, frozen=True, kw_only=True):
    title: str
    place: str = ""
    planned_at: float | None = None


class MeetingSummary(Wire, frozen=True, kw_only=True):
    id: MeetingId
    title: str
    place: str
    planned_at: float | None
    state: Literal["planned", "open", "closed"]
    halls: int
    delegates: int
    created_at: float


class JoinToken(Wire, frozen=True, kw_only=True):
    """A token for Hello and for `Authorization: Bearer`; `page` is the path of the page that takes it."""

    token: str
    kind: AudienceKind
    page: str


class JoinCode(Wire, frozen=True, kw_only=True):
    """The six characters of a card; small letters, spaces and hyphens are forgiven."""

    code: str


class HallJoin(Wire, frozen=True, kw_only=True):
    """Joining by a hall's QR code: who it is, and as proof the last three digits of the phone number on the list."""

    token: str
    delegate: DelegateId
    proof: str


class HallSeat(Wire, frozen=True, kw_only=True):
    """A name that the hall's QR page offers. `proof`: whether the list has a phone number to prove it by."""

    id: DelegateId
    name: str
    unit: str
    proof: bool


class HallSeats(Wire, frozen=True, kw_only=True):
    hall: str
    meeting: str
    seats: tuple[HallSeat, ...]


class DoubtfulRow(Wire, frozen=True, kw_only=True):
    """A row that the import could not take as it stands, or took with a change a clerk should look at.

    `taken`: the row is imported all the same. `code` names the reason, `cells` are the row's cells as written,
    `hall` the hall it was (or would be) put in, `other_row` the row it repeats.
    """

    sheet: str
    row: int
    code: str
    taken: bool
    cells: tuple[str, ...]
    name: str = ""
    hall: str | None = None
    other_row: int | None = None


class RosterPreview(Wire, frozen=True, kw_only=True):
    """What an import would do. `upload` names the checked file for the import call."""

    upload: str
    halls: tuple[HallLine, ...]
    delegates: int
    new_halls: int
    new_delegates: int
    changed: int
    unchanged: int
    missing: int
    doubtful: tuple[DoubtfulRow, ...]


class RowCorrection(Wire, frozen=True, kw_only=True):
    """What the clerk says of a doubtful row: put it in `hall` (full name), or leave it out."""

    sheet: str
    row: int
    hall: str | None = None
    skip: bool = False


class RosterImport(Wire, frozen=True, kw_only=True):
    upload: str
    corrections: tuple[RowCorrection, ...] = ()


class RosterImported(Wire, frozen=True, kw_only=True):
    rev: int
    halls: int
    delegates: int
    new_halls: int
    new_delegates: int
    changed: int
    skipped: int


class DelegateRow(Wire, frozen=True, kw_only=True):
    """A line of the staff's delegate list."""

    id: DelegateId
    hall: HallId
    line: DelegateLine
    code: str
    present: bool
    intervals: tuple[Interval, ...]
    excused: str | None


class DelegatePage(Wire, frozen=True, kw_only=True):
    total: int
    page: int
    pages: int
    rows: tuple[DelegateRow, ...]


class HallCard(Wire, frozen=True, kw_only=True):
    """What staff hand to a hall. `encoder_url` and `encoder_token` are what OBS asks for (WHIP)."""

    hall: HallId
    code: str
    link: str
    delegates_link: str
    encoder_url: str
    encoder_token: str


class ReaderRow(Wire, frozen=True, kw_only=True):
    name: str
    hall: str
    opened_at: float


class ReaderPage(Wire, frozen=True, kw_only=True):
    total: int
    page: int
    pages: int
    rows: tuple[ReaderRow, ...]


class MediaStats(Wire, frozen=True, kw_only=True):
    """What the media node has counted since it started, for one meeting's endpoints; `age_s` is the figures' age.

    `cpu_s`, `rss_bytes` and `dropped` (datagrams not sent because the socket was full) are the whole node's.
    """

    age_s: float
    cpu_s: float
    rss_bytes: int
    dropped: int
    peers: tuple[control.PeerStats, ...]


class Health(Wire, frozen=True, kw_only=True):
    ok: bool
    database: bool
    media: bool


class Problem(Wire, frozen=True, kw_only=True):
    """The body of every HTTP error."""

    code: str
    field: str | None = None
