"""What each audience sees of a whole meeting, kept up to date and encoded once: ten thousand phones must join cheaply.

Invariant: `replica(audience)` equals the state filtered by `rooms.visibility.view`.

Of each key that an audience sees it is known at which rev that changed last, so whoever comes back is told what it
missed without a look at what others did meanwhile: in a vote a thousand ballots a second are none of its business.
It knows that from where it began to listen on, which is before the log is all replayed (`Runner.load`).
"""

from collections import defaultdict

import msgspec

from rooms.ids import Key
from rooms.meeting import Record
from rooms.visibility import AUDIENCE_KINDS, Audience, AudienceKind, Patch, Touched, concerned, of_kind, view
from server.runner import Runner

_encoder = msgspec.json.Encoder()


class Told(msgspec.Struct, frozen=True):
    """What a joining client is told, as JSON arrays. Without `reset` it is what it missed."""

    reset: bool
    put: bytes
    drop: bytes

    @property
    def nothing(self) -> bool:
        return not self.reset and self.put == self.drop == b"[]"


class Views:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._public: dict[AudienceKind, dict[Key, Record]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._personal: defaultdict[Audience, set[Key]] = defaultdict(set)
        self._encoded: dict[AudienceKind, dict[Key, bytes]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._joined: dict[AudienceKind, bytes | None] = dict.fromkeys(AUDIENCE_KINDS)
        self._known_from = self._indexed_to = runner.meeting.rev
        self._changed: dict[AudienceKind, dict[Key, int]] = {kind: {} for kind in AUDIENCE_KINDS}  # the newest last
        self._own_changed: defaultdict[Audience, dict[Key, int]] = defaultdict(dict)
        for record in runner.meeting.records():
            self._see(record.key, None, record)
        runner.listen(self._note)

    def _note(self, rev: int, touched: Touched) -> None:
        for key, (before, after) in touched.items():
            self._see(key, before, after)
        self._index()

    def _see(self, key: Key, before: Record | None, after: Record | None) -> None:
        for kind, public in self._public.items():
            seen = view(after, of_kind(kind)) if after is not None else None
            if seen is not None:
                public[key] = seen
            elif public.pop(key, None) is None:
                continue
            self._encoded[kind].pop(key, None)
            self._joined[kind] = None
        for audience in concerned(before) if before is not None else ():
            self._personal[audience].discard(key)
        for audience in concerned(after) if after is not None else ():
            self._personal[audience].add(key)

    def _index(self) -> None:
        """Notes who saw each step since the last time. Each by itself: somebody may come from another process, whose
        looks at the log ended between two of ours, and have seen what was gone again by the time of this one."""
        after: dict[Key, Record | None] = {}
        changes: list[tuple[int, Key, Record | None, Record | None]] = []
        for step in self._runner.steps_since(self._indexed_to):
            for key, before in step.before:
                changes.append((step.rev, key, before, after[key] if key in after else self._runner.meeting.at(key)))
                after[key] = before
        for rev, key, before, now in reversed(changes):
            self._mark(rev, key, [record for record in (before, now) if record is not None])
        if self._indexed_to < self._runner.known_from:  # more at once than the runner remembers
            self._known_from = self._runner.known_from
        self._indexed_to = self._runner.meeting.rev

    def _mark(self, rev: int, key: Key, records: list[Record]) -> None:
        """A key changed so for all who see it in one of both states."""
        kinds = [kind for kind in AUDIENCE_KINDS if any(view(record, of_kind(kind)) is not None for record in records)]
        for kind in kinds:
            self._changed[kind].pop(key, None)
            self._changed[kind][key] = rev
        for audience in {audience for record in records for audience in concerned(record)}:
            if audience.kind in kinds or any(view(record, audience) is not None for record in records):
                self._own_changed[audience][key] = rev

    def replica(self, audience: Audience) -> Patch:
        """Everything that the audience sees now."""
        own = self._personal.get(audience, set())
        public = self._public[audience.kind]
        return Patch(put=(*(record for key, record in public.items() if key not in own), *self._own(audience)))

    def _own(self, audience: Audience) -> list[Record]:
        """What the audience sees differently from others of its kind."""
        seen = (
            view(record, audience)
            for key in sorted(self._personal.get(audience, ()))
            if (record := self._runner.meeting.at(key)) is not None
        )
        return [record for record in seen if record is not None]

    def _everything(self, audience: Audience) -> bytes:
        """The replica as a JSON array. What all of a kind see is encoded once."""
        own = self._personal.get(audience, set())
        if own and not own.isdisjoint(self._public[audience.kind]):
            shared = self._join(audience.kind, but=own)
        else:
            shared = self._joined[audience.kind] or self._join(audience.kind, but=frozenset())
            self._joined[audience.kind] = shared
        parts = [shared] if shared else []
        parts += [_encoder.encode(record) for record in self._own(audience)]
        return b"[" + b",".join(parts) + b"]"

    def _join(self, kind: AudienceKind, but: "set[Key] | frozenset[Key]") -> bytes:
        return b",".join([self._encode(kind, key) for key in self._public[kind] if key not in but])

    def _encode(self, kind: AudienceKind, key: Key) -> bytes:
        encoded = self._encoded[kind]
        if key not in encoded:
            encoded[key] = _encoder.encode(self._public[kind][key])
        return encoded[key]

    # -- what somebody missed ------------------------------------------------------------------------------------------

    def joining(self, audience: Audience, log_id: str | None, since: int | None) -> Told:
        """What a joining client must be told, from where it says it stands."""
        if log_id == self._runner.log_id and since is not None:
            told = self.told_since(audience, since)
            if told is not None:
                return told
        return Told(True, self._everything(audience), b"[]")

    def told_since(self, audience: Audience, since: int) -> Told | None:
        """From what the audience saw at `since` to what it sees now; None when that is not known any more."""
        if not self._known_from <= since <= self._runner.meeting.rev:
            return None
        shared, own = self._keys_since(audience, since)
        seen, gone = self._own_since(audience, own)
        public = self._public[audience.kind]
        put = [self._encode(audience.kind, key) for key in shared if key in public]
        put += [_encoder.encode(record) for record in seen]
        drop = (*(key for key in shared if key not in public), *gone)
        return Told(False, b"[" + b",".join(put) + b"]", _encoder.encode(drop))

    def _keys_since(self, audience: Audience, since: int) -> tuple[list[Key], list[Key]]:
        """What changed: as all of the audience's kind see it, and what it alone sees so."""
        own = [key for key, rev in self._own_changed.get(audience, {}).items() if rev > since]
        shared: list[Key] = []
        for key, rev in reversed(self._changed[audience.kind].items()):
            if rev <= since:
                break
            shared.append(key)
        return [key for key in shared if key not in own] if own else shared, own

    def _own_since(self, audience: Audience, keys: list[Key]) -> tuple[list[Record], list[Key]]:
        seen: list[Record] = []
        gone: list[Key] = []
        for key in keys:
            record = self._runner.meeting.at(key)
            sees = view(record, audience) if record is not None else None
            if sees is None:
                gone.append(key)
            else:
                seen.append(sees)
        return seen, gone
