"""The stage: what all halls see and hear.  Rules S1–S6 in SPEC.md.

The stage is never set directly: it follows from the floor, the chair's hall and the host's choice.
"""

from typing import Literal

from msgspec.structs import replace

from rooms.actor import Actor
from rooms.agenda import MeetingFacts
from rooms.floor import speaking
from rooms.ids import FeedId, HallId
from rooms.meeting import Change, Command, Meeting, Record, put
from rooms.roster import Hall

Source = Literal["camera", "microphone", "content"]
STAGE = "stage"
VIDEO_SLOTS = 2
AUDIO_SLOTS = 3


class Stage(Record, frozen=True, kw_only=True, tag="stage"):
    """Which feed is in which slot. Its id is "stage".

    video: the large picture and the small one beside it; audio: who is heard; None is an empty slot.
    shown: the hall that the host put on the stage; chair_heard: whether the chair's microphone is open.
    """

    video: tuple[FeedId | None, ...] = (None,) * VIDEO_SLOTS
    audio: tuple[FeedId | None, ...] = (None,) * AUDIO_SLOTS
    shown: HallId | None = None
    chair_heard: bool = True


class ShowHall(Command, frozen=True, kw_only=True, tag="stage.show"):
    """Put a hall's picture on the stage without giving it the floor; None takes it off."""

    hall: HallId | None


class HearChair(Command, frozen=True, kw_only=True, tag="stage.hear_chair"):
    """Open or close the chair's microphone."""

    heard: bool


def feed(hall: HallId | str, source: Source) -> FeedId:
    return FeedId(f"{hall}/{source}")


def current(meeting: Meeting) -> Stage:
    return meeting.get(Stage, STAGE) or Stage(id=STAGE)


def show_hall(meeting: Meeting, actor: Actor, command: ShowHall, now: float) -> Change:
    hall = HallId(meeting.require(Hall, command.hall).id) if command.hall is not None else None
    return put(replace(current(meeting), shown=hall))


def hear_chair(meeting: Meeting, actor: Actor, command: HearChair, now: float) -> Change:
    return put(replace(current(meeting), chair_heard=command.heard))


def arrange(after: Meeting) -> Change:
    """The stage that follows from the state, if it differs from the one recorded."""
    stage = current(after)
    facts = after.get(MeetingFacts, "meeting")
    turn = speaking(after)
    chair = next((hall.id for hall in after.select(Hall, chair=True)), None)
    floor = turn.hall if turn else None
    large = floor or stage.shown or chair  # S1
    small = next((hall for hall in (stage.shown, chair) if hall and hall != large), None)  # S2
    heard = [hall for hall in dict.fromkeys((floor, chair if stage.chair_heard else None)) if hall]  # S3
    if facts is None or facts.state == "closed":
        large, small, heard = None, None, []  # S4
    video = tuple(feed(hall, "camera") if hall else None for hall in (large, small))
    audio = tuple(feed(hall, "microphone") for hall in heard) + (None,) * (AUDIO_SLOTS - len(heard))
    arranged = replace(stage, video=video, audio=audio)
    return put(arranged) if arranged != after.get(Stage, STAGE) else Change()
