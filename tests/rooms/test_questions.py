"""Rules Q1–Q8, D1–D5, L1–L3."""

from typing import Any

from rooms.actor import SERVER, Actor
from rooms.agenda import AddItem
from rooms.documents import (
    Document,
    EditDocument,
    OpenDocument,
    PublishDocument,
    Readership,
    Reading,
    WithdrawDocument,
)
from rooms.ids import HallId
from rooms.links import Link, LinkDown, LinkUp
from rooms.meeting import Meeting
from rooms.questions import (
    AnswerQuestion,
    ApproveQuestion,
    AskQuestion,
    DismissQuestion,
    Question,
    ShowQuestion,
    WithdrawQuestion,
)
from rooms.refusal import Refusal
from tests.rooms.test_agenda import refusal
from tests.support.meetings import D1, D2, H1, H2, HOST, NOON, SECRETARY, give, open_meeting


def ask(meeting: Meeting, actor: Actor = D1, text: str = "Bao giờ có đường?") -> str:
    return give(meeting, actor, AskQuestion, text=text).put[0].id


def question(meeting: Meeting, id: str) -> Question:
    return meeting.require(Question, id)


def test_Q1_others_pending_questions_do_not_exist() -> None:
    meeting = open_meeting()
    id = ask(meeting)
    for actor in (D2, H1):
        assert refusal(meeting, actor, WithdrawQuestion, question=id) is Refusal.NOT_FOUND
    own = ask(meeting, H1)
    assert refusal(meeting, H2, WithdrawQuestion, question=own) is Refusal.NOT_FOUND
    give(meeting, H1, WithdrawQuestion, question=own)


def test_Q2_three_pending_at_most() -> None:
    meeting = open_meeting()
    ids = [ask(meeting) for _ in range(3)]
    assert refusal(meeting, D1, AskQuestion, text="Nữa") is Refusal.TOO_MANY_PENDING
    ask(meeting, D2)
    give(meeting, SECRETARY, ApproveQuestion, question=ids[0])
    ask(meeting)
    assert refusal(meeting, D2, AskQuestion, text="x" * 1001) is Refusal.BAD_VALUE


def test_Q3_a_dismissed_one_may_still_be_approved() -> None:
    meeting = open_meeting()
    id = ask(meeting)
    give(meeting, SECRETARY, DismissQuestion, question=id, reason="Trùng")
    give(meeting, SECRETARY, ApproveQuestion, NOON + 1, question=id)
    assert (question(meeting, id).state, question(meeting, id).reason) == ("approved", "")
    assert refusal(meeting, SECRETARY, ApproveQuestion, question=id) is Refusal.ALREADY_DECIDED


def test_Q4_answers_can_be_corrected() -> None:
    meeting = open_meeting()
    id = ask(meeting)
    give(meeting, SECRETARY, AnswerQuestion, question=id, answer="Quý I")
    give(meeting, SECRETARY, AnswerQuestion, question=id, answer="Quý II")
    assert (question(meeting, id).state, question(meeting, id).answer) == ("answered", "Quý II")


def test_Q5_dismissing_needs_a_reason() -> None:
    meeting = open_meeting()
    id = ask(meeting)
    assert refusal(meeting, SECRETARY, DismissQuestion, question=id, reason=" ") is Refusal.BAD_VALUE
    give(meeting, SECRETARY, DismissQuestion, question=id, reason="Ngoài nội dung")
    assert question(meeting, id).reason == "Ngoài nội dung"


def test_Q6_Q7_only_approved_ones_are_shown_and_one_at_a_time() -> None:
    meeting = open_meeting()
    first, second = ask(meeting), ask(meeting, D2)
    assert refusal(meeting, SECRETARY, ShowQuestion, question=first, shown=True) is Refusal.NOT_APPROVED
    for id in (first, second):
        give(meeting, SECRETARY, ApproveQuestion, question=id)
        give(meeting, SECRETARY, ShowQuestion, question=id, shown=True)
    assert [q.id for q in meeting.select(Question, shown=True)] == [second]
    give(meeting, SECRETARY, DismissQuestion, question=second, reason="Nhầm")
    assert not list(meeting.select(Question, shown=True))


def test_Q8_withdrawn_while_pending_only() -> None:
    meeting = open_meeting()
    kept, gone = ask(meeting), ask(meeting)
    give(meeting, D1, WithdrawQuestion, question=gone)
    give(meeting, SECRETARY, ApproveQuestion, question=kept)
    assert refusal(meeting, D1, WithdrawQuestion, question=kept) is Refusal.ALREADY_DECIDED
    assert refusal(meeting, SECRETARY, ApproveQuestion, question=gone) is Refusal.ALREADY_DECIDED


PAPER: dict[str, Any] = dict(title="Báo cáo", filename="bc.pdf", sha256="ab" * 32, size=9, pages=4, searchable=True)


def publish(meeting: Meeting, **fields: Any) -> str:
    return give(meeting, HOST, PublishDocument, **{**PAPER, **fields}).put[0].id


def test_D1_at_most_500_documents() -> None:
    meeting = open_meeting()
    for _ in range(500):
        publish(meeting)
    assert refusal(meeting, HOST, PublishDocument, **PAPER) is Refusal.BAD_VALUE


def test_D2_a_document_belongs_to_an_item_that_exists() -> None:
    meeting = open_meeting()
    assert refusal(meeting, HOST, PublishDocument, **{**PAPER, "item": "nothing-1"}) is Refusal.NOT_FOUND
    item = give(meeting, HOST, AddItem, title="A").put[0].id
    id = publish(meeting, item=item)
    give(meeting, HOST, EditDocument, document=id, title="Khác")
    edited = meeting.require(Document, id)
    assert (edited.title, edited.item) == ("Khác", None)


def test_D3_withdrawing_takes_the_readings_along() -> None:
    meeting = open_meeting()
    id = publish(meeting)
    give(meeting, D1, OpenDocument, document=id)
    give(meeting, HOST, WithdrawDocument, document=id)
    assert not [*meeting.select(Document), *meeting.select(Reading), *meeting.select(Readership)]
    assert refusal(meeting, D1, OpenDocument, document=id) is Refusal.NOT_FOUND


def test_D4_D5_the_first_opening_counts_and_the_numbers_agree() -> None:
    meeting = open_meeting()
    id = publish(meeting)
    for actor in (D1, D2, H1, D1, H1):
        give(meeting, actor, OpenDocument, document=id)
    assert meeting.require(Readership, id) == Readership(id=id, halls=(HallId("h1"),), delegates=2)
    assert sum(r.delegate is not None for r in meeting.select(Reading)) == 2
    assert not give(meeting, D1, OpenDocument, document=id)


def test_L1_L2_L3_gaps_add_up() -> None:
    meeting = open_meeting()
    hall = HallId("h1")
    assert not give(meeting, SERVER, LinkDown, hall=hall)
    for at, kind in (
        (0, LinkUp),
        (10, LinkDown),
        (14, LinkUp),
        (15, LinkUp),
        (20, LinkDown),
        (21, LinkDown),
        (26, LinkUp),
    ):
        give(meeting, SERVER, kind, NOON + at, hall=hall)
    assert meeting.require(Link, "h1") == Link(id="h1", up=True, since=NOON + 26, first_at=NOON, lost_s=10.0, drops=2)
    assert refusal(meeting, H1, LinkUp, hall=hall) is Refusal.NOT_ALLOWED
