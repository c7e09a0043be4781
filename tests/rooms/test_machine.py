"""Random commands by random actors: what holds after each of them (C6, F5, F10, S3, Q7, B4, B9, B13, V1–V8)."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import asdict

from rooms import agenda, attendance, documents, enrolment, floor, questions, roster, stage, voting
from rooms.actor import SERVER, Actor
from rooms.codec import decode_change, encode_change
from rooms.ids import DelegateId, HallId, Key
from rooms.meeting import Change, Command, Record, merge
from rooms.refusal import Refused
from rooms.rules import RULES, decide
from rooms.visibility import AUDIENCE_KINDS, Audience, Patches, Touched, concerned, of_kind, patch_for, view
from tests.support.meetings import D1, D2, D3, H1, H2, HOST, NOON, SECRETARY, TECHNICIAN, make, roster_meeting

ACTORS: tuple[Actor, ...] = (HOST, SECRETARY, TECHNICIAN, H1, H2, D1, D2, D3, SERVER)
AUDIENCES = [
    Audience("staff"),
    *(Audience("hall", h) for h in ("h1", "h2", "h3")),
    *(Audience("delegate", d) for d in ("d1", "d2", "d3", "d4")),
    *(of_kind(kind) for kind in AUDIENCE_KINDS),
]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.meeting = roster_meeting(chair=True)
        self.replicas: dict[Audience, dict[Key, Record]] = {a: self.filtered(a) for a in AUDIENCES}
        self.changes: list[Change] = []
        self.start = self.meeting.copy()
        self.now = NOON

    def filtered(self, audience: Audience) -> dict[Key, Record]:
        seen = ((r.key, view(r, audience)) for r in self.meeting.records())
        return {key: record for key, record in seen if record is not None}

    def ids(self, kind: type[Record]) -> list[str]:
        return [record.id for record in self.meeting.select(kind)]

    @rule(data=st.data(), actor=st.sampled_from(ACTORS), kind=st.sampled_from(sorted(RULES, key=str)))
    def command(self, data: st.DataObject, actor: Actor, kind: type[Command]) -> None:
        if kind is enrolment.ImportRoster:
            return
        self.now += data.draw(st.sampled_from([0.0, 1.0, 90.0, -5.0]))
        command = make(kind, **self.fields(data, kind))
        try:
            change = decide(self.meeting, actor, command, self.now)
        except Refused:
            return
        if not change:
            return
        stored = decode_change(encode_change(change))
        keys = {record.key for record in stored.put} | set(stored.drop)
        before = {key: self.meeting.at(key) for key in keys}
        self.meeting.apply(stored, self.meeting.rev + 1)
        self.changes.append(stored)
        touched = {key: (before[key], self.meeting.at(key)) for key in keys}
        patches = Patches(touched)
        for audience, replica in self.replicas.items():
            patch = patch_for(touched, audience)
            quick = patches.of(audience)
            assert {r.key: r for r in quick.put} == {r.key: r for r in patch.put} and set(quick.drop) == set(patch.drop)
            replica.update({record.key: record for record in patch.put})
            for key in patch.drop:
                del replica[key]
        self.changed(touched)

    def changed(self, touched: Touched) -> None:
        """For what else follows a meeting."""

    def fields(self, data: st.DataObject, kind: type[Command]) -> dict[str, Any]:
        pools: dict[str, Any] = {
            "item": [*self.ids(agenda.Item), None, "nothing-there"],
            "question": self.ids(questions.Question),
            "document": self.ids(documents.Document),
            "speaker": self.ids(floor.Speaker),
            "hall": [*self.ids(roster.Hall), None],
            "delegate": [*self.ids(roster.Delegate), None],
            "title": ["Mục", " "],
            "presenter": ["", "Ông A"],
            "topic": ["", "Đường giao thông"],
            "text": ["Hỏi?", ""],
            "answer": ["Đáp", ""],
            "reason": ["ốm", ""],
            "shown": [True, False],
            "poll": self.ids(voting.Poll),
            "choice": list(voting.CHOICES),
            "present_only": [True, False],
            "heard": [True, False],
            "mode": ["in_hall", "online"],
            "place": [0, 1, 7] if kind is agenda.MoveItem else ["", "Hội trường"],
            "duration_s": [None, 60, -1],
            "add_s": [60, -60, 10**6],
            "planned_at": [None, NOON],
        }
        wanted: dict[str, Any] = {}
        for field in kind.__struct_fields__:
            if field in pools:
                wanted[field] = data.draw(
                    st.sampled_from([*pools[field], "nothing-there"][: max(1, len(pools[field]))])
                )
        if kind is documents.PublishDocument:
            wanted |= dict(filename="a.pdf", sha256="00" * 32, size=1, pages=1, searchable=False)
        if kind is enrolment.PutHall:
            wanted["line"] = enrolment.HallLine(name=data.draw(st.sampled_from(["Điểm cầu 1", "Mới"])), chair=True)
        if kind is enrolment.PutDelegate:
            wanted["line"] = enrolment.DelegateLine(hall=data.draw(st.sampled_from(["Điểm cầu 1", "Đâu"])), name="Ai")
        return wanted

    @invariant()
    def test_V1_V2_V3_V4_V5_V6_V7_replicas_equal_the_filtered_state(self) -> None:
        for audience, replica in self.replicas.items():
            assert replica == self.filtered(audience), audience

    @invariant()
    def test_V8_the_unconcerned_see_what_their_kind_sees(self) -> None:
        for record in self.meeting.records():
            special = concerned(record)
            for audience in AUDIENCES:
                if audience not in special:
                    assert view(record, audience) == view(record, of_kind(audience.kind)), (audience, record)

    @invariant()
    def records_are_found_as_by_looking_at_all(self) -> None:
        for hall, delegate in (("h1", None), ("h1", "d1"), ("h1", "d2"), ("h2", None)):
            for kind in (questions.Question, floor.Speaker):
                found: list[Record] = list(self.meeting.select(kind, hall=hall, delegate=delegate))
                wanted = {"hall": hall, "delegate": delegate}.items()
                assert found == [each for each in self.meeting.select(kind) if wanted <= asdict(each).items()]

    @invariant()
    def test_F5_F10_S3_one_speaks_and_only_it_and_the_chair_are_heard(self) -> None:
        speaking = [s for s in self.meeting.select(floor.Speaker) if s.speaking]
        assert len(speaking) <= 1
        turns = [s.turn for s in self.meeting.select(floor.Speaker)]
        assert len(turns) == len(set(turns))
        may = {stage.feed(s.hall, "microphone") for s in speaking}
        may |= {stage.feed(h.id, "microphone") for h in self.meeting.select(roster.Hall, chair=True)}
        assert set(stage.current(self.meeting).audio) - {None} <= may
        assert len(list(self.meeting.select(roster.Hall, chair=True))) <= 1

    @invariant()
    def test_A6_D5_Q7_counts_agree(self) -> None:
        for hall in self.meeting.select(roster.Hall):
            count = self.meeting.require(attendance.HallCount, hall.id)
            inside = list(self.meeting.select(attendance.Attendance, hall=hall.id))
            convened = len(list(self.meeting.select(roster.Delegate, hall=hall.id)))
            assert count == attendance.hall_count(HallId(hall.id), convened, inside)
        for readership in self.meeting.select(documents.Readership):
            readings = list(self.meeting.select(documents.Reading, document=readership.id))
            assert readership.delegates == sum(r.delegate is not None for r in readings)
            assert sorted(readership.halls) == sorted(str(r.hall) for r in readings if r.hall is not None)
        assert len(list(self.meeting.select(questions.Question, shown=True))) <= 1

    @invariant()
    def test_B4_B9_B13_votes_are_counted_once_each(self) -> None:
        for poll in self.meeting.select(voting.Poll):
            ballots = list(self.meeting.select(voting.Ballot, poll=poll.id))
            assert len({ballot.delegate for ballot in ballots}) == len(ballots)
            if poll.state == "created":
                assert not ballots
                continue
            total = self.meeting.require(voting.PollCount, poll.id)
            halls = [c for c in self.meeting.select(voting.PollCount, poll=poll.id) if c.hall is not None]
            assert total.sums == voting.Sums(**{c: sum(b.choice == c for b in ballots) for c in voting.CHOICES})
            assert (total.cast, total.late) == (len(ballots), sum(b.late for b in ballots))
            for field in ("convened", "present", "cast", "late"):
                assert getattr(total, field) == sum(getattr(hall, field) for hall in halls)
            for hall in halls:
                assert hall.cast == sum(ballot.hall == hall.hall for ballot in ballots)
            assert (total.convened, total.present) == (poll.convened, poll.present)
            if poll.present_only:
                assert total.cast - total.late <= total.present
            if poll.result is not None:
                assert poll.result == voting.PollResult(cast=total.cast, late=total.late, sums=total.sums)
        polls = list(self.meeting.select(voting.Poll))
        assert sum(poll.state == "open" for poll in polls) <= 1
        assert sum(poll.shown for poll in polls) <= 1
        assert all(poll.shown for poll in polls if poll.state == "open")

    def teardown(self) -> None:
        """C6: merging all changes has the effect of applying them one by one."""
        merged = self.start.copy()
        merged.apply(merge(self.changes))
        as_set = {record.key: record for record in merged.records()}
        assert as_set == {record.key: record for record in self.meeting.records()}


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


def test_V1_V2_V3_V4_V5_V6_who_sees_what() -> None:
    """The machine compares replicas with `view`; here `view` itself is pinned down, record by record."""
    meeting = roster_meeting()
    staff, own, other = Audience("staff"), Audience("hall", "h1"), Audience("hall", "h2")
    me, neighbour = Audience("delegate", "d1"), Audience("delegate", "d2")
    hall = meeting.require(roster.Hall, "h1")
    for audience, phone in ((staff, "0912345678"), (own, "0912345678"), (other, ""), (me, "")):
        seen = view(hall, audience)
        assert isinstance(seen, roster.Hall)
        assert (seen.phone, seen.technician != "") == (phone, phone != "")
    person = meeting.require(roster.Delegate, "d1")
    assert [view(person, a) is not None for a in (staff, own, me, neighbour)] == [False, False, True, False]
    cases: tuple[tuple[questions.QuestionState, tuple[bool, ...]], ...] = (
        ("pending", (True, False, True, False)),
        ("approved", (True, True, True, True)),
        ("answered", (True, True, True, True)),
        ("dismissed", (True, False, True, False)),
        ("withdrawn", (True, False, True, False)),
    )
    for state, seen_by in cases:
        q = questions.Question(
            id="q", hall=HallId("h1"), delegate=DelegateId("d1"), name="A", text="?", asked_at=NOON, state=state
        )
        assert tuple(view(q, a) is not None for a in (staff, own, me, neighbour)) == seen_by, state
    count = meeting.require(attendance.HallCount, "h1")
    assert [view(count, a) is not None for a in (staff, own, other, me)] == [True, True, False, False]
    reading = documents.Reading(id="x:d1", document="x", delegate=DelegateId("d1"), opened_at=NOON)  # type: ignore[arg-type]
    assert [view(reading, a) is not None for a in (staff, own, me, neighbour)] == [False, False, True, False]
    facts = meeting.require(agenda.MeetingFacts, "meeting")
    assert all(view(facts, a) == facts for a in (staff, own, me))
