"""The state of one meeting: immutable typed records, and the change that is the only way to alter it.

Invariant: the state is exactly the changes of the log applied in order; `apply` is the only mutation.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import msgspec

from rooms.ids import CommandId, Key
from rooms.refusal import Refusal, Refused


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One fact of the meeting. Its class is its kind; (kind, id) is unique.

    `found_by`: the fields that rules look such records up by, where there may be thousands of them.
    """

    found_by: ClassVar[tuple[str, ...]] = ()

    id: str

    @property
    def key(self) -> Key:
        return Key(f"{self.__struct_config__.tag}/{self.id}")


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """A request to change the meeting, in the imperative.

    `id` is made by the client (8 to 40 of A-Z a-z 0-9 _ -). The same actor's same id again is a retry.
    """

    id: CommandId


R = TypeVar("R", bound=Record)


def kind_of(record_type: type[Record]) -> str:
    """The kind's name on the wire and in keys."""
    tag = record_type.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


class Change(msgspec.Struct, frozen=True):
    """Whole records put and keys dropped. A key is in at most one of the two, at most once."""

    put: tuple[Record, ...] = ()
    drop: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.drop)


def put(*records: Record) -> Change:
    return Change(put=records)


def merge(changes: Iterable[Change]) -> Change:
    """One change with the effect of all, applied in order."""
    last: dict[Key, Record | None] = {}
    for change in changes:
        for record in change.put:
            last[record.key] = record
        for key in change.drop:
            last[key] = None
    return Change(
        put=tuple(record for record in last.values() if record is not None),
        drop=tuple(key for key, record in last.items() if record is None),
    )


class Meeting:
    """A replica of one meeting. `rev` is the number of the last entry applied, 0 before the first."""

    def __init__(self) -> None:
        self.rev = 0
        self._kinds: dict[str, dict[str, Record]] = {}
        self._found: dict[str, dict[tuple[object, ...], tuple[str, ...]]] = {}  # ids by `found_by`, in their order

    def get(self, record_type: type[R], id: str) -> R | None:
        found = self._kinds.get(kind_of(record_type), {}).get(id)
        return found if isinstance(found, record_type) else None

    def require(self, record_type: type[R], id: str) -> R:
        """The record, or `Refused(NOT_FOUND)` naming its kind."""
        found = self.get(record_type, id)
        if found is None:
            raise Refused(Refusal.NOT_FOUND, kind_of(record_type))
        return found

    def select(self, record_type: type[R], **fields: Any) -> Iterator[R]:
        """The kind's records whose fields equal the given ones, in the order they were first put."""
        for record in self._candidates(record_type, fields):
            if isinstance(record, record_type) and all(getattr(record, k) == v for k, v in fields.items()):
                yield record

    def _candidates(self, record_type: type[Record], fields: dict[str, Any]) -> Iterable[Record]:
        """Those that may have these fields: no more than need be."""
        kind = kind_of(record_type)
        records = self._kinds.get(kind, {})
        if not record_type.found_by or not fields.keys() >= set(record_type.found_by):
            return records.values()
        ids = self._found.get(kind, {}).get(tuple(fields[name] for name in record_type.found_by), ())
        return [records[id] for id in ids]

    def count(self, record_type: type[Record]) -> int:
        return len(self._kinds.get(kind_of(record_type), {}))

    def at(self, key: Key) -> Record | None:
        kind, _, id = key.partition("/")
        return self._kinds.get(kind, {}).get(id)

    def records(self) -> Iterator[Record]:
        for records in self._kinds.values():
            yield from records.values()

    def apply(self, change: Change, rev: int | None = None) -> None:
        """Put and drop. With `rev`, the change becomes that entry and must follow the last one."""
        if rev is not None:
            if rev != self.rev + 1:
                raise ValueError(f"entry {rev} does not follow {self.rev}")
            self.rev = rev
        for record in change.put:
            kind = kind_of(type(record))
            records = self._kinds.setdefault(kind, {})
            if record.found_by:
                self._index(kind, records.get(record.id), record)
            records[record.id] = record
        for key in change.drop:
            kind, _, id = key.partition("/")
            old = self._kinds.get(kind, {}).pop(id, None)
            if old is not None and old.found_by:
                self._index(kind, old, None)

    def _index(self, kind: str, old: Record | None, new: Record | None) -> None:
        found = self._found.setdefault(kind, {})
        before, after = (_place(record) if record is not None else None for record in (old, new))
        if before == after:
            return
        if old is not None and before is not None:
            left = tuple(id for id in found[before] if id != old.id)
            if left:
                found[before] = left
            else:
                del found[before]
        if new is not None and after is not None:
            found[after] = (*found.get(after, ()), new.id)

    def after(self, change: Change) -> "Meeting":
        """The state as it will be with the change applied; this one stays as it is."""
        twin = Meeting()
        twin.rev = self.rev
        twin._kinds, twin._found = dict(self._kinds), dict(self._found)
        for kind in {kind_of(type(r)) for r in change.put} | {k.partition("/")[0] for k in change.drop}:
            twin._kinds[kind] = dict(self._kinds.get(kind, {}))
            twin._found[kind] = dict(self._found.get(kind, {}))
        twin.apply(change)
        return twin

    def copy(self) -> "Meeting":
        """A replica that shares the (immutable) records."""
        twin = Meeting()
        twin.rev = self.rev
        twin._kinds = {kind: dict(records) for kind, records in self._kinds.items()}
        twin._found = {kind: dict(found) for kind, found in self._found.items()}
        return twin


def _place(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in record.found_by)


def new_id(meeting: Meeting, record_type: type[Record], command: Command) -> str:
    """The id of the record that the command makes; one in use is refused (C4)."""
    if meeting.get(record_type, command.id) is not None:
        raise Refused(Refusal.BAD_VALUE, "id")
    return command.id


def text(value: str, field: str, longest: int, *, empty: bool = False) -> str:
    """A text from outside: inner and outer white space folded; `Refused(BAD_VALUE, field)` if empty or too long."""
    folded = " ".join(value.split())
    if (not folded and not empty) or len(folded) > longest:
        raise Refused(Refusal.BAD_VALUE, field)
    return folded


def long_text(value: str, field: str, longest: int, *, empty: bool = False) -> str:
    """Like `text`, but line breaks stay."""
    folded = "\n".join(" ".join(line.split()) for line in value.strip().splitlines())
    if (not folded and not empty) or len(folded) > longest:
        raise Refused(Refusal.BAD_VALUE, field)
    return folded
