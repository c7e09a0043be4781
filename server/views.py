"""What each audience sees of a whole meeting, kept up to date so that ten thousand joining phones cost little.

Invariant: `replica(audience)` equals the state filtered by `rooms.visibility.view`.
"""

from collections import defaultdict

from rooms.ids import Key
from rooms.meeting import Record
from rooms.visibility import AUDIENCE_KINDS, Audience, AudienceKind, Patch, Touched, concerned, of_kind, patch_for, view
from server.runner import Runner


class Views:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._public: dict[AudienceKind, dict[Key, Record]] = {kind: {} for kind in AUDIENCE_KINDS}
        self._personal: defaultdict[Audience, set[Key]] = defaultdict(set)
        for record in runner.meeting.records():
            self._see(record.key, None, record)
        runner.listen(self._note)

    def _note(self, rev: int, touched: Touched) -> None:
        for key, (before, after) in touched.items():
            self._see(key, before, after)

    def _see(self, key: Key, before: Record | None, after: Record | None) -> None:
        for kind, public in self._public.items():
            seen = view(after, of_kind(kind)) if after is not None else None
            if seen is not None:
                public[key] = seen
            else:
                public.pop(key, None)
        for audience in concerned(before) if before is not None else ():
            self._personal[audience].discard(key)
        for audience in concerned(after) if after is not None else ():
            self._personal[audience].add(key)

    def replica(self, audience: Audience) -> Patch:
        """Everything that the audience sees now."""
        own = self._personal.get(audience, set())
        seen = [record for key, record in self._public[audience.kind].items() if key not in own]
        for key in sorted(own):
            record = self._runner.meeting.at(key)
            sees = view(record, audience) if record is not None else None
            if sees is not None:
                seen.append(sees)
        return Patch(put=tuple(seen))

    def joining(self, audience: Audience, log_id: str | None, since: int | None) -> tuple[bool, Patch]:
        """What a joining client must be told: (reset, patch). Without reset the patch is what it missed since."""
        if log_id == self._runner.log_id and since is not None:
            missed = self._runner.changes_since(since)
            if missed is not None:
                return False, patch_for(missed, audience)
        return True, self.replica(audience)
