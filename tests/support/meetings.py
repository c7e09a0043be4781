"""Meetings built by real commands, for tests."""

import itertools
from typing import Any

from rooms.actor import SERVER, Actor, DelegateActor, HallActor, Staff
from rooms.agenda import EditMeeting, OpenMeeting
from rooms.enrolment import DelegateLine, HallLine, ImportRoster
from rooms.ids import AccountId, CommandId, DelegateId, HallId
from rooms.meeting import Change, Command, Meeting
from rooms.rules import decide

HOST = Staff(AccountId("a-host"), "Chủ trì", "host")
SECRETARY = Staff(AccountId("a-secretary"), "Thư ký", "secretary")
TECHNICIAN = Staff(AccountId("a-technician"), "Kỹ thuật", "technician")
H1, H2, H3 = (HallActor(HallId(f"h{n}")) for n in (1, 2, 3))
D1, D2, D3, D4 = (DelegateActor(DelegateId(f"d{n}")) for n in (1, 2, 3, 4))
NOON = 1_800_000_000.0
_ids = itertools.count(1)


def command_id() -> CommandId:
    return CommandId(f"command-{next(_ids):06d}")


def make(kind: type[Command], **fields: Any) -> Command:
    """A command with a fresh id unless one is given."""
    return kind(**{"id": command_id(), **fields})


def give(meeting: Meeting, actor: Actor, kind: type[Command], now: float = NOON, **fields: Any) -> Change:
    """Decide and apply a command, as the log would; raises `Refused`."""
    change = decide(meeting, actor, make(kind, **fields), now)
    if change:
        meeting.apply(change, meeting.rev + 1)
    return change


def planned_meeting() -> Meeting:
    meeting = Meeting()
    give(meeting, SERVER, EditMeeting, title="Hội nghị trực tuyến", place="Hội trường Tỉnh ủy")
    return meeting


def roster_meeting(*, chair: bool = False) -> Meeting:
    """Three halls h1–h3; delegates d1, d2 in h1, d3 in h2, d4 in h3. With `chair`, h3 is the chair's."""
    meeting = planned_meeting()
    halls = tuple(
        HallLine(
            name=f"Điểm cầu {n}", unit=f"Huyện {n}", technician="Vàng A Páo", phone="0912345678", chair=chair and n == 3
        )
        for n in (1, 2, 3)
    )
    people = (("Lò Thị Ánh", 1), ("Tẩn A Sử", 1), ("Hoàng Văn Đức", 2), ("Nguyễn Thị Yến", 3))
    lines = tuple(
        DelegateLine(hall=f"Điểm cầu {hall}", name=name, phone=f"09000000{order:02d}", order=order)
        for order, (name, hall) in enumerate(people, 1)
    )
    give(meeting, SERVER, ImportRoster, halls=halls, delegates=lines)
    return meeting


def open_meeting(*, chair: bool = False) -> Meeting:
    meeting = roster_meeting(chair=chair)
    give(meeting, HOST, OpenMeeting)
    return meeting
