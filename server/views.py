"""What each audience sees of a whole meeting, kept up to date and encoded once: ten thousand phones must join cheaply.

Invariant: `replica(audience)` equals the state filtered by `rooms.visibility.view`.

Of each key that an audience sees it is known at which rev that changed last, so whoever comes back is told what it
missed without a look at what others did meanwhile: in a vote a thousand ballots a second are none of its business.
"""

from collections import defaultdict

import msgspec

from rooms.ids import Key
from rooms.meeting import Record
from rooms.visibility import AUDIENCE_KINDS, Audience, AudienceKind, Patch, Patches, Touched, concerned, of_kind, view
from server.runner import Runner

MOST_PLACES = 64
"""How many revs that clients come back from are remembered, with what is missed since."""

_encoder = msgspec.json.Encoder()


class Told(msgspec.Struct, frozen=True):
    """What a joining client is told, as JSON arrays. Without `reset` it is what it missed."""

    reset: bool
    put: bytes
    drop: bytes

    @property
    def nothing(self) -> bool:
        return not self.reset and self.put == self.drop == b"[]"


class _Missed:
    """What those missed who stand at one rev."""

    def __init__(self, touched: Touched) -> None:
        self._patches = Patches(touched)
        self._concerned = frozenset(self._patches.concerned)
        self._told: dict[AudienceKind, Told] = {}

    def told(self, audience: Audience) -> Told:
        if audience in self._concerned:
            return _told(self._patches.of(audience))
        if audience.kind not in self._told:
            self._told[audience.kind] = _told(self._patches.shared(audience.kind))
        return self._told[audience.kind]


class Views:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._public: dict[AudienceKind, dict[Key, Record]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._personal: defaultdict[Audience, set[Key]] = defaultdict(set)
        self._encoded: dict[AudienceKind, dict[Key, bytes]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._joined: dict[AudienceKind, bytes | None] = dict.fromkeys(AUDIENCE_KINDS)
        self._known_from = runner.meeting.rev
        self._changed: dict[AudienceKind, dict[Key, int]] = {kind: {} for kind in AUDIENCE_KINDS}  # the newest last
        self._own_changed: defaultdict[Audience, dict[Key, int]] = defaultdict(dict)
        self._missed: dict[int, _Missed | None] = {}
        self._missed_at = 0
        for record in runner.meeting.records():
            self._see(record.key, None, record)
        runner.listen(self._note)

    def _note(self, rev: int, touched: Touched) -> None:
        for key, (before, after) in touched.items():
            kinds = self._see(key, before, after)
            for kind in kinds:
                self._changed[kind].pop(key, None)
                self._changed[kind][key] = rev
            records = [record for record in (before, after) if record is not None]
            for audience in {audience for record in records for audience in concerned(record)}:
                if audience.kind in kinds or any(view(record, audience) is not None for record in records):
                    self._own_changed[audience][key] = rev

    def _see(self, key: Key, before: Record | None, after: Record | None) -> list[AudienceKind]:
        """The kinds of audience who see or saw it."""
        kinds: list[AudienceKind] = []
        for kind, public in self._public.items():
            seen = view(after, of_kind(kind)) if after is not None else None
            if seen is not None:
                public[key] = seen
            elif public.pop(key, None) is None:
                continue
            kinds.append(kind)
            self._encoded[kind].pop(key, None)
            self._joined[kind] = None
        for audience in concerned(before) if before is not None else ():
            self._personal[audience].discard(key)
        for audience in concerned(after) if after is not None else ():
            self._personal[audience].add(key)
        return kinds

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
            missed = self._since(since)
            return None if missed is None else missed.told(audience)
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

    def _since(self, since: int) -> _Missed | None:
        """What was missed since a rev from before this process; None when that is not known any more. Many come back
        from the same places at once."""
        if self._missed_at != self._runner.meeting.rev or len(self._missed) >= MOST_PLACES:
            self._missed.clear()
            self._missed_at = self._runner.meeting.rev
        if since not in self._missed:
            touched = self._runner.changes_since(since)
            self._missed[since] = None if touched is None else _Missed(touched)
        return self._missed[since]


def _told(patch: Patch) -> Told:
    return Told(False, _encoder.encode(patch.put), _encoder.encode(patch.drop))
