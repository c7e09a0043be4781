"""Encoders and players that come by HTTP (WHIP, RFC 9725, and WHEP): their sessions, from the answer to the end.

A session is one endpoint at the media node, and its name says everything of it: "<owner>~<way>~<random>", so that a
server that was restarted knows the sessions of the one before by the endpoints that the node still has.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

from media import control
from rooms.ids import HallId, MeetingId
from rooms.roster import Hall
from rooms.visibility import Touched
from server.room import Room
from server.runner import Runner

MOST_SESSIONS = 500
MOST_ENCODERS = 4
MOST_PLAYERS = 4
MOST_STAFF_PLAYERS = 20
STAFF = "staff"
PLACES = {
    "camera": ("camera", "microphone"),
    "content": ("content",),
    "microphone": ("microphone",),
}
"""What an encoder publishes by the `source` of its URL; m-lines of other kinds stay inactive."""
STAGE_PLACES = ("stage.0", "stage.1", "audio.0", "audio.1", "audio.2")

Way = Literal["in", "out"]
_ENDPOINT = re.compile(r"([^~/]+)~(in|out)~([0-9a-f]{16})")
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)


OnNode = Callable[[MeetingId, str], bool]
"""Whether a meeting's endpoint is on the media node in question."""


class TooManySessions(Exception):
    """A bound of this server is reached."""


class OfferFailed(Exception):
    """The node did not take the offer or the fragment."""

    def __init__(self, failed: control.Failed) -> None:
        super().__init__(failed.code)
        self.code = failed.code
        self.detail = failed.detail


class Session(msgspec.Struct, kw_only=True):
    """`owner` is a hall's id, or "staff" for a player of the staff. `tag` names the ICE session (RFC 9725 §4.3.1)."""

    meeting: MeetingId
    endpoint: str
    owner: str
    way: Way
    tag: str


class WhipSessions:
    """All sessions of this process, by meeting and endpoint. The oldest of an owner ends when one too many comes."""

    def __init__(self, room_of: Callable[[Runner], Room], tasks: asyncio.TaskGroup) -> None:
        self._room_of = room_of
        self._tasks = tasks
        self._runners: dict[MeetingId, Runner] = {}
        self._sessions: dict[tuple[MeetingId, str], Session] = {}
        self._attached: tuple[control.EndpointState, ...] = ()

    def __len__(self) -> int:
        return len(self._sessions)

    def watch(self, runner: Runner) -> None:
        """A meeting was opened: end the sessions of halls whose link is renewed, and know those that are there."""
        self._runners[runner.id] = runner
        runner.listen(partial(self._note, runner.id))
        for state in self._attached:
            self._adopt(state)

    # -- what clients ask ----------------------------------------------------------------------------------------------

    async def begin(
        self, runner: Runner, owner: str, way: Way, sdp: str, places: tuple[str, ...]
    ) -> tuple[Session, str]:
        """A new session and its answer. Raises `OfferFailed`, `TooManySessions`, `MediaDown`."""
        if len(self) >= MOST_SESSIONS:
            raise TooManySessions
        await self._make_room(runner.id, owner, way)
        endpoint = f"{owner}~{way}~{secrets.token_hex(8)}"
        reply = await self._room_of(runner).offer_by_kind(endpoint, sdp, places, owner if way == "in" else None)
        if isinstance(reply, control.Failed):
            raise OfferFailed(reply)
        session = Session(meeting=runner.id, endpoint=endpoint, owner=owner, way=way, tag=_tag_of(reply.sdp))
        self._sessions[runner.id, endpoint] = session
        return session, reply.sdp

    def of(self, meeting: MeetingId, endpoint: str) -> Session | None:
        return self._sessions.get((meeting, endpoint))

    async def restart(self, session: Session, fragment: str) -> str:
        """The answer to an ICE restart; the session's tag is new. Raises `OfferFailed`, `MediaDown`."""
        reply = await self._room(session).restart(session.endpoint, fragment)
        if isinstance(reply, control.Failed):
            raise OfferFailed(reply)
        session.tag = _tag_of(reply.sdp)
        return reply.sdp

    async def end(self, session: Session) -> None:
        self._sessions.pop((session.meeting, session.endpoint), None)
        await self._room(session).close_endpoint(session.endpoint)

    async def _make_room(self, meeting: MeetingId, owner: str, way: Way) -> None:
        """An encoder that comes again and again must not lock itself out by what it left behind."""
        most = MOST_ENCODERS if way == "in" else MOST_STAFF_PLAYERS if owner == STAFF else MOST_PLAYERS
        same = [each for each in self._of(meeting) if (each.owner, each.way) == (owner, way)]
        for session in same[: max(0, len(same) + 1 - most)]:
            await self.end(session)

    def _of(self, meeting: MeetingId) -> list[Session]:
        """Of one meeting, the oldest first."""
        return [session for session in self._sessions.values() if session.meeting == meeting]

    def _room(self, session: Session) -> Room:
        return self._room_of(self._runners[session.meeting])

    # -- what the node and the meeting tell ----------------------------------------------------------------------------

    def node_attached(self, attached: control.Attached, on_it: OnNode) -> None:
        """A node of now: its endpoints are the sessions that are on it, whoever answered them."""
        there = {(MeetingId(state.group), state.endpoint) for state in attached.endpoints}
        self._forget(lambda meeting, endpoint: on_it(meeting, endpoint) and (meeting, endpoint) not in there)
        self._attached += tuple(state for state in attached.endpoints if state not in self._attached)
        for state in attached.endpoints:
            self._adopt(state)

    def node_gone(self, on_it: OnNode) -> None:
        self._forget(on_it)

    def _forget(self, gone: OnNode) -> None:
        self._attached = tuple(each for each in self._attached if not gone(MeetingId(each.group), each.endpoint))
        self._sessions = {key: session for key, session in self._sessions.items() if not gone(*key)}

    def peer_changed(self, event: control.PeerChanged) -> None:
        """A session ends with its peer."""
        meeting = MeetingId(event.group)
        if event.state != "closed":
            if (meeting, event.endpoint) not in self._sessions:  # another server process answered it
                self._adopt(control.EndpointState(group=meeting, endpoint=event.endpoint, state=event.state))
            return
        self._attached = tuple(
            state for state in self._attached if (state.group, state.endpoint) != (event.group, event.endpoint)
        )
        self._sessions.pop((meeting, event.endpoint), None)
        if any(session.owner == event.endpoint for session in self._of(meeting)):
            self._room_of(self._runners[meeting]).learn_media()  # the page is gone, its encoders still publish

    def _adopt(self, state: control.EndpointState) -> None:
        """A session that an earlier server process answered. Its tag is not known any more: a client restarts ICE."""
        found = _ENDPOINT.fullmatch(state.endpoint)
        key = MeetingId(state.group), state.endpoint
        if found is None or key in self._sessions or key[0] not in self._runners or state.state == "closed":
            return
        way: Way = "in" if found[2] == "in" else "out"
        self._sessions[key] = Session(
            meeting=key[0], endpoint=state.endpoint, owner=found[1], way=way, tag=secrets.token_hex(6)
        )

    def _note(self, meeting: MeetingId, rev: int, touched: Touched) -> None:
        """Whoever came by a link that was renewed must go."""
        for before, after in touched.values():
            if isinstance(before, Hall) and (not isinstance(after, Hall) or after.epoch != before.epoch):
                for session in self._of(meeting):
                    if session.owner == HallId(before.id):
                        self._sessions.pop((meeting, session.endpoint), None)
                        self._tasks.create_task(
                            self._room(session).close_endpoint(session.endpoint), name="end a void session"
                        )


def _tag_of(sdp: str) -> str:
    """The node's username fragment: it is new with every ICE session, and unique."""
    found = _UFRAG.search(sdp)
    if found is None:
        raise ValueError("the node's answer has no ufrag")
    return found[1]
