"""Questions from the floor of the phones, moderated.  Rules Q1–Q8 in SPEC.md."""

from typing import Literal

from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor, HallActor
from rooms.agenda import require_not_closed
from rooms.ids import DelegateId, HallId, ItemId, QuestionId
from rooms.meeting import Change, Command, Meeting, Record, long_text, new_id, put
from rooms.refusal import Refusal, Refused
from rooms.roster import asking

QuestionState = Literal["pending", "approved", "answered", "dismissed", "withdrawn"]
MOST_PENDING = 3
LONGEST_QUESTION = 1_000
LONGEST_ANSWER = 4_000


class Question(Record, frozen=True, kw_only=True, tag="question"):
    """A question. `delegate` is None when a hall asks. `shown`: on the hall pages now."""

    found_by = ("hall", "delegate")

    hall: HallId
    delegate: DelegateId | None = None
    name: str
    item: ItemId | None = None
    text: str
    asked_at: float
    state: QuestionState = "pending"
    decided_at: float | None = None
    reason: str = ""
    answer: str = ""
    shown: bool = False


class AskQuestion(Command, frozen=True, kw_only=True, tag="question.ask"):
    text: str


class WithdrawQuestion(Command, frozen=True, kw_only=True, tag="question.withdraw"):
    question: QuestionId


class ApproveQuestion(Command, frozen=True, kw_only=True, tag="question.approve"):
    question: QuestionId


class AnswerQuestion(Command, frozen=True, kw_only=True, tag="question.answer"):
    """Write the answer; an unapproved question is approved by it."""

    question: QuestionId
    answer: str


class DismissQuestion(Command, frozen=True, kw_only=True, tag="question.dismiss"):
    question: QuestionId
    reason: str


class ShowQuestion(Command, frozen=True, kw_only=True, tag="question.show"):
    """Put an approved question on the hall pages, in place of the one shown, or take it off."""

    question: QuestionId
    shown: bool


def ask_question(meeting: Meeting, actor: Actor, command: AskQuestion, now: float) -> Change:
    item = require_not_closed(meeting).item
    words = long_text(command.text, "text", LONGEST_QUESTION)
    hall, delegate, name = asking(meeting, actor)
    if sum(1 for _ in meeting.select(Question, hall=hall, delegate=delegate, state="pending")) >= MOST_PENDING:
        raise Refused(Refusal.TOO_MANY_PENDING)  # Q2
    id = new_id(meeting, Question, command)
    return put(Question(id=id, hall=hall, delegate=delegate, name=name, item=item, text=words, asked_at=now))


def is_author(question: Question, actor: Actor) -> bool:
    if isinstance(actor, DelegateActor):
        return question.delegate == actor.id
    return isinstance(actor, HallActor) and question.delegate is None and question.hall == actor.id


def withdraw_question(meeting: Meeting, actor: Actor, command: WithdrawQuestion, now: float) -> Change:
    question = meeting.require(Question, command.question)
    if not is_author(question, actor):
        raise Refused(Refusal.NOT_FOUND, "question")  # Q1: others' pending questions do not exist
    if question.state != "pending":
        raise Refused(Refusal.ALREADY_DECIDED)
    return put(replace(question, state="withdrawn", decided_at=now))


def approve_question(meeting: Meeting, actor: Actor, command: ApproveQuestion, now: float) -> Change:
    question = _undecided(meeting, command.question, "pending", "dismissed")
    return put(replace(question, state="approved", decided_at=now, reason=""))  # Q3


def answer_question(meeting: Meeting, actor: Actor, command: AnswerQuestion, now: float) -> Change:
    question = _undecided(meeting, command.question, "pending", "approved", "answered")
    answer = long_text(command.answer, "answer", LONGEST_ANSWER)
    return put(replace(question, state="answered", answer=answer, decided_at=question.decided_at or now))  # Q4


def dismiss_question(meeting: Meeting, actor: Actor, command: DismissQuestion, now: float) -> Change:
    question = _undecided(meeting, command.question, "pending", "approved")
    reason = long_text(command.reason, "reason", 500)
    return put(replace(question, state="dismissed", decided_at=now, reason=reason, shown=False))  # Q5


def _undecided(meeting: Meeting, id: QuestionId, *states: QuestionState) -> Question:
    question = meeting.require(Question, id)
    if question.state not in states:
        raise Refused(Refusal.ALREADY_DECIDED)
    return question


def show_question(meeting: Meeting, actor: Actor, command: ShowQuestion, now: float) -> Change:
    question = meeting.require(Question, command.question)
    if not command.shown:
        return put(replace(question, shown=False))
    if question.state not in ("approved", "answered"):
        raise Refused(Refusal.NOT_APPROVED)  # Q6
    others = (replace(q, shown=False) for q in meeting.select(Question, shown=True) if q.id != question.id)
    return put(*others, replace(question, shown=True))  # Q7
