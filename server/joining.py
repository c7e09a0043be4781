"""From a token to who somebody is in a meeting."""

import msgspec

from rooms.actor import Actor, DelegateActor, HallActor, Staff
from rooms.agenda import FACTS, MeetingFacts
from rooms.ids import AccountId, DelegateId, HallId
from rooms.meeting import Meeting
from rooms.roster import Delegate, Hall
from rooms.visibility import STAFF_AUDIENCE, Audience
from server import wire
from server.database.accounts import Accounts, StoredAccount
from server.database.log import LogUnavailable
from server.meetings import NoSuchMeeting, OpenMeetings
from server.runner import Runner
from server.tokens import BadToken, Grant, Tokens


class Denial(Exception):
    """The client may not; `code` is a wire.ErrorCode or a refusal."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


def check_protocol(said: int, newest: int = wire.PROTOCOL, oldest: int = wire.OLDEST_PROTOCOL) -> None:
    """Raises `Denial`: pages that are too old are to be loaded anew. One that is newer was loaded from a server that is
    newer than this one, and will find such a one if it comes again."""
    if said < oldest:
        raise Denial("wrong_protocol")
    if said > newest:
        raise Denial("unavailable")


class Admitted(msgspec.Struct, frozen=True):
    runner: Runner
    actor: Actor
    audience: Audience
    name: str
    hall: HallId | None = None


class Joining:
    def __init__(self, tokens: Tokens, accounts: Accounts, meetings: OpenMeetings) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._meetings = meetings

    async def admit(self, token: str) -> Admitted:
        """Whom the token stands for. Raises `Denial`."""
        try:
            return await self._admit(self._tokens.read_join(token))
        except (BadToken, NoSuchMeeting) as error:
            raise Denial("bad_token") from error
        except LogUnavailable as error:
            raise Denial("unavailable") from error

    async def _admit(self, grant: Grant) -> Admitted:
        runner = await self._meetings.get(grant.meeting)
        try:
            return await self._admitted(grant, runner)
        except Denial:
            if grant.kind not in ("hall", "delegate"):
                raise
            await runner.catch_up()  # another process may just have put them on the list, or renewed their link
            return await self._admitted(grant, runner)

    async def _admitted(self, grant: Grant, runner: Runner) -> Admitted:
        match grant.kind:
            case "staff":
                return await self._staff(grant, runner)
            case "hall":
                hall = current_hall(runner.meeting, grant)
                return Admitted(
                    runner, HallActor(HallId(hall.id)), Audience("hall", hall.id), hall.name, HallId(hall.id)
                )
            case "delegate":
                person = current_delegate(runner.meeting, grant)
                actor = DelegateActor(DelegateId(person.id))
                return Admitted(runner, actor, Audience("delegate", person.id), person.name, person.hall)
            case "seat":
                raise Denial("bad_token")

    async def _staff(self, grant: Grant, runner: Runner) -> Admitted:
        account = await self._accounts.by_id(grant.id)
        if account is None:
            raise Denial("bad_token")
        return Admitted(runner, staff_actor(account), STAFF_AUDIENCE, account.name)


def staff_actor(account: StoredAccount) -> Staff:
    return Staff(AccountId(account.id), account.name, account.role)


def current_hall(meeting: Meeting, grant: Grant) -> Hall:
    """The hall of the grant, if its link was not renewed since. Raises `Denial`."""
    hall = meeting.get(Hall, grant.id)
    if hall is None or hall.epoch != grant.epoch:
        raise Denial("bad_token")
    return hall


def current_delegate(meeting: Meeting, grant: Grant) -> Delegate:
    """The delegate of the grant, if their link was not renewed since. Raises `Denial`."""
    person = meeting.get(Delegate, grant.id)
    if person is None or person.epoch != grant.epoch:
        raise Denial("bad_token")
    return person


def meeting_title(meeting: Meeting) -> str:
    facts = meeting.get(MeetingFacts, FACTS)
    return facts.title if facts else ""
