"""The one table of commands: what each does and who may give it; and `decide`, the only way to a Change."""

import re
from collections.abc import Callable
from typing import Any

from rooms import agenda, attendance, documents, enrolment, floor, links, questions, roster, stage, voting
from rooms.actor import STAFF, Actor, ActorKind, DelegateActor, HallActor
from rooms.meeting import Change, Command, Meeting, merge
from rooms.refusal import Refusal, Refused

Rule = Callable[[Meeting, Actor, Any, float], Change]

_HOST: frozenset[ActorKind] = frozenset({"host", "server"})
_DESK: frozenset[ActorKind] = frozenset({"host", "secretary"})
_ALL_STAFF: frozenset[ActorKind] = STAFF
_FLOOR: frozenset[ActorKind] = frozenset({"hall", "delegate"})
_READERS: frozenset[ActorKind] = frozenset({"hall", "delegate"})
_SERVER: frozenset[ActorKind] = frozenset({"server"})
_DELEGATE: frozenset[ActorKind] = frozenset({"delegate"})

RULES: dict[type[Command], tuple[Rule, frozenset[ActorKind]]] = {
    agenda.EditMeeting: (agenda.edit_meeting, _HOST),
    agenda.OpenMeeting: (agenda.open_meeting, _HOST),
    agenda.CloseMeeting: (agenda.close_meeting, _HOST),
    agenda.AddItem: (agenda.add_item, _DESK | _SERVER),
    agenda.EditItem: (agenda.edit_item, _DESK),
    agenda.MoveItem: (agenda.move_item, _DESK),
    agenda.RemoveItem: (agenda.remove_item, _DESK),
    agenda.SetCurrentItem: (agenda.set_current_item, _DESK),
    enrolment.ImportRoster: (enrolment.import_roster, _DESK | _SERVER),
    enrolment.PutHall: (enrolment.put_hall, _ALL_STAFF),
    enrolment.PutDelegate: (enrolment.put_delegate, _DESK),
    enrolment.RemoveDelegate: (enrolment.remove_delegate, _DESK),
    roster.RenewLink: (roster.renew_link, _ALL_STAFF),
    attendance.CheckIn: (attendance.check_in, _DESK | {"delegate"}),
    attendance.CheckOut: (attendance.check_out, _DESK | {"delegate"}),
    attendance.Excuse: (attendance.excuse, _DESK),
    floor.RequestFloor: (floor.request_floor, _FLOOR),
    floor.WithdrawRequest: (floor.withdraw_request, _FLOOR | _DESK),
    floor.GiveFloor: (floor.give_floor, _DESK),
    floor.TakeFloor: (floor.take_floor, _DESK),
    floor.ExtendFloor: (floor.extend_floor, _DESK),
    stage.ShowHall: (stage.show_hall, _ALL_STAFF),
    stage.HearChair: (stage.hear_chair, _ALL_STAFF),
    questions.AskQuestion: (questions.ask_question, _FLOOR),
    questions.WithdrawQuestion: (questions.withdraw_question, _FLOOR),
    questions.ApproveQuestion: (questions.approve_question, _DESK),
    questions.AnswerQuestion: (questions.answer_question, _DESK),
    questions.DismissQuestion: (questions.dismiss_question, _DESK),
    questions.ShowQuestion: (questions.show_question, _DESK),
    documents.PublishDocument: (documents.publish_document, _DESK | _SERVER),
    documents.EditDocument: (documents.edit_document, _DESK),
    documents.WithdrawDocument: (documents.withdraw_document, _DESK),
    documents.OpenDocument: (documents.open_document, _READERS),
    voting.MakePoll: (voting.make_poll, _DESK | _SERVER),
    voting.RemovePoll: (voting.remove_poll, _DESK),
    voting.OpenPoll: (voting.open_poll, _DESK),
    voting.CastVote: (voting.cast_vote, _DELEGATE),
    voting.ClosePoll: (voting.close_poll, _DESK),
    voting.PublishPoll: (voting.publish_poll, _DESK),
    voting.ShowPoll: (voting.show_poll, _DESK),
    links.LinkUp: (links.link_up, _SERVER),
    links.LinkDown: (links.link_down, _SERVER),
}

UPLOADED: frozenset[type[Command]] = frozenset({enrolment.ImportRoster, documents.PublishDocument})
"""Commands that only the HTTP API makes, after it has checked a file; a socket may not send them."""

_ARRANGING = ("meeting/", "hall/", "speaker/", "stage/")
_COMMAND_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")


def decide(meeting: Meeting, actor: Actor, command: Command, now: float) -> Change:
    """What the command changes. Raises `Refused`. The meeting is not touched."""
    if not _COMMAND_ID.fullmatch(command.id):
        raise Refused(Refusal.BAD_VALUE, "id")
    rule, who = RULES[type(command)]
    if actor.kind not in who:
        raise Refused(Refusal.NOT_ALLOWED)
    if isinstance(actor, HallActor):
        meeting.require(roster.Hall, actor.id)
    elif isinstance(actor, DelegateActor):
        meeting.require(roster.Delegate, actor.id)
    change = rule(meeting, actor, command, now)
    return merge((change, _consequences(meeting, change, now)))


def _consequences(meeting: Meeting, change: Change, now: float) -> Change:
    """What follows from a change in other topics: the floor and the poll of a closed meeting, then the stage."""
    keys = [*(record.key for record in change.put), *change.drop]
    if not any(key.startswith(_ARRANGING) for key in keys):
        return Change()
    after = meeting.after(change)
    settled = merge((floor.settle(after, now), voting.settle(after, now)))
    return merge((settled, stage.arrange(after.after(settled))))
