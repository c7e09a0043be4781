"""Records, changes and commands as JSON: the same bytes in the log and on the wire."""

from typing import Any, Union

import msgspec

from rooms import agenda, attendance, documents, floor, links, questions, roster, stage, voting
from rooms.actor import Actor
from rooms.ids import Key
from rooms.meeting import Change, Command, Record
from rooms.rules import RULES

AnyRecord = (
    agenda.MeetingFacts
    | agenda.Item
    | roster.Hall
    | roster.Delegate
    | attendance.Attendance
    | attendance.HallCount
    | floor.Speaker
    | stage.Stage
    | questions.Question
    | documents.Document
    | documents.Readership
    | documents.Reading
    | links.Link
    | voting.Poll
    | voting.PollRoll
    | voting.PollCount
    | voting.Ballot
)

AnyCommand: Any = Union[tuple(RULES)]  # noqa: UP007 - the union of all that the table of rules knows
"""Any command, told apart by `type`."""


class _StoredChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    put: tuple[AnyRecord, ...] = ()
    drop: tuple[Key, ...] = ()


_encoder = msgspec.json.Encoder()
_change = msgspec.json.Decoder(_StoredChange)
_command = msgspec.json.Decoder(AnyCommand)
_actor = msgspec.json.Decoder(Actor)


def encode_change(change: Change) -> bytes:
    return _encoder.encode(change)


def decode_change(data: bytes | str) -> Change:
    """Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    stored = _change.decode(data)
    return Change(put=stored.put, drop=stored.drop)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def encode_command(command: Command) -> bytes:
    return _encoder.encode(command)


def decode_command(data: bytes | str) -> Command:
    """Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    command: Command = _command.decode(data)
    return command


def command_of(value: object) -> Command:
    """The command in an already parsed JSON value. Raises `msgspec.ValidationError`."""
    command: Command = msgspec.convert(value, AnyCommand)
    return command


def encode_actor(actor: Actor) -> bytes:
    return _encoder.encode(actor)


def decode_actor(data: bytes | str) -> Actor:
    actor: Actor = _actor.decode(data)
    return actor
