"""What the phones of a rehearsal do, step by step, and the host for them.

They come in a storm, check in, ask, sleep and lose their lines while the host goes on, and vote; some send a command
twice, some lose the line behind it, some try to vote a second time. At the end the server's counts must be what was
acknowledged, and replicas what a fresh welcome says.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from clients.rehearsal.delegates import enrol, seats_of
from clients.rehearsal.desk import RehearsalFailed, Site, command
from clients.rehearsal.lag import LoopLag
from clients.rehearsal.phone import MARK, Phone, Records, apply
from clients.rehearsal.phones import Phones
from clients.rehearsal.phones_report import Answered, Counted, Interrupted, PhonesReport, Told
from clients.rehearsal.process import cpu_s
from clients.rehearsal.report_values import Delays, percentile
from clients.rehearsal.wire import Socket

_ASK, _CUT, _SLEEP = 0.05, 0.2, 0.1
_TWICE, _CUT_BEHIND, _VOTE_AGAIN = 0.02, 0.02, 0.01
_CHANGES = 10
_PACE_S = 0.3
_IN_S, _ANSWERED_S, _BACK_S = 120.0, 60.0, 60.0
_CUT_S = 1.0
"""Within this time: lines that are lost do not end in one moment, as when a proxy is started again."""
_TOLD_S = 5.0
_CHOICES, _WEIGHTS = ("yes", "no", "abstain"), (70, 20, 10)


class Conduct:
    """`server`: the process that is measured, None if it runs elsewhere. `burst_s`: of check-in and vote of all."""

    def __init__(self, site: Site, meeting: str, server: int | None, burst_s: float) -> None:
        self._site, self._meeting, self._server, self._burst_s = site, meeting, server, burst_s
        self._host = Socket(self._heard)
        self._records: Records = {}
        self._lag = LoopLag(site) if server is not None else None
        self._item = ""
        self._phones: Phones = Phones(site.url, ())
        self._steps: dict[str, Any] = {}
        self._sums: Counter[str] = Counter()
        self._poll = ""
        self._second_votes = 0

    # -- the host ------------------------------------------------------------------------------------------------------

    def _heard(self, event: str, body: str) -> None:
        if event == "patch":
            apply(self._records, msgspec.json.decode(body))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self._records.values() if record["kind"] == kind]

    async def _give(self, kind: str, **fields: Any) -> str:
        """The command's id. Raises Refused."""
        wanted = command(kind, **fields)
        await self._host.call("command", wanted)
        return str(wanted["id"])

    async def prepare(self, token: str, delegates: int, halls: int, tasks: asyncio.TaskGroup) -> None:
        """The host is at the desk, the delegates are on the list, the phones have their tokens."""
        await enrol(self._site, self._meeting, delegates, halls)
        await self._host.open(self._site.http, self._site.url)
        tasks.create_task(self._host.read(), name="host of the phones")
        apply(self._records, await self._host.hello(token))
        await self._give("meeting.open")
        self._item = await self._give("agenda.add", title=f"{MARK.decode()}0")
        ids = [hall["id"] for hall in sorted(self._of("hall"), key=lambda hall: int(hall["order"]))]
        seats = await seats_of(self._site, self._meeting, ids)
        if len(seats) != delegates:
            raise RehearsalFailed(f"{len(seats)} of {delegates} delegates got in by their codes")
        self._phones = Phones(self._site.url, seats)

    async def close(self) -> None:
        await self._phones.leave()
        await self._host.close()

    def _cpu_s(self) -> float:
        return cpu_s(self._server) if self._server is not None else 0.0

    def _cpu_since(self, used: float) -> float | None:
        return self._cpu_s() - used if self._server is not None else None

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def storm(self) -> str:
        """Everybody comes."""
        if self._lag is not None:
            await self._lag.begin()
        phones, used = self._phones, self._cpu_s()
        storm_s = max(2.0, len(phones.all) / 500)
        await phones.storm(storm_s, storm_s + _IN_S)
        cpu = self._cpu_since(used)
        phones.settle()
        joined = sum(phone.online for phone in phones.all)
        self._steps |= {
            "joined": joined,
            "storm_s": storm_s,
            "join_s": Delays.of(phones.tally.joins_s),
            "connect_cpu_us": round(1e6 * cpu / len(phones.all), 1) if cpu is not None else None,
        }
        return f"{joined} phones in"

    async def check_in(self) -> str:
        """Everybody checks in, some with two taps."""
        self._steps["check_in"] = answered = await self._burst(self._phones.all, self._burst_s, self._check_in)
        return f"checked in, answers after {answered.p50_ms} / {answered.p99_ms} ms"

    def _check_in(self, phone: Phone) -> None:
        phone.give("attendance.check_in", twice=self._chance(_TWICE), mode="in_hall")

    def _chance(self, share: float) -> bool:
        return self._phones.dice.random() < share

    def _some(self, share: float) -> list[Phone]:
        phones = self._phones.all
        return self._phones.dice.sample(phones, max(1, int(share * len(phones))))

    async def _burst(self, phones: list[Phone], seconds: float, act: Callable[[Phone], None]) -> Answered:
        count = self._counting()
        await self._phones.burst(phones, seconds, act)
        await self._phones.until(lambda: not self._phones.waiting, _ANSWERED_S)
        return count()

    def _counting(self) -> Callable[[], Answered]:
        """What was given and answered from now on until the returned function is called."""
        tally, began, used = self._phones.tally, time.monotonic(), self._cpu_s()
        given, answered, again = tally.given, len(tally.acks_s), len(tally.late_acks_s)
        return lambda: Answered.of(
            tally.given - given,
            tally.acks_s[answered:],
            len(tally.late_acks_s) - again,
            time.monotonic() - began,
            self._cpu_since(used),
        )

    async def ask(self) -> str:
        """Some ask a question."""
        answered = await self._burst(self._some(_ASK), self._burst_s / 4, self._ask)
        self._steps["questions"] = answered
        return f"{answered.given} questions, answers after {answered.p50_ms} / {answered.p99_ms} ms"

    @staticmethod
    def _ask(phone: Phone) -> None:
        phone.give("question.ask", text=f"Câu hỏi diễn tập {phone.seat.hall}")

    async def tell(self) -> str:
        """The host changes what all see, everybody being there."""
        delivered = await self._changes()
        return f"told, after {_ms(delivered, 0.5)} / {_ms(delivered, 0.99)} ms"

    async def _changes(self) -> "array[float]":
        tally, waves = self._phones.tally, self._phones.waves
        before = len(tally.deliveries_s)
        for _ in range(_CHANGES):
            number = waves.next()
            waves.send(number)
            await self._give("agenda.edit", item=self._item, title=f"{MARK.decode()}{number}")
            await asyncio.sleep(_PACE_S)
        await self._phones.until(lambda: not self._phones.missing(number), _BACK_S)
        delivered = tally.deliveries_s[before:]
        self._steps["told"] = Told(
            changes=_CHANGES,
            missed=_CHANGES * len(self._phones.all) - len(delivered),
            p50_ms=_ms(delivered, 0.5),
            p99_ms=_ms(delivered, 0.99),
        )
        return delivered

    async def interrupt(self) -> str:
        """Some sleep, some lose their line, half of them behind a question, while the host goes on."""
        phones, tally = self._phones, self._phones.tally
        joins, resumes, resets = len(tally.joins_s), tally.resumes, tally.resets
        count = self._counting()
        away = self._some(_CUT + _SLEEP)
        at = round(len(away) * _CUT / (_CUT + _SLEEP))
        cut, sleepers = away[:at], away[at:]
        for phone in sleepers:
            phone.sleep()
        asking = set(cut[::2])

        def lose(phone: Phone) -> None:
            if phone in asking:
                self._ask(phone)
            phone.lose()

        await phones.burst(cut, _CUT_S, lose)
        told = self._steps["told"]
        await self._changes_unmeasured()
        for phone in sleepers:
            phone.wake()
        last = phones.waves.next() - 1
        await phones.until(lambda: not phones.missing(last) and not phones.waiting, _BACK_S)
        missing = phones.missing(last)
        before = self._steps["questions"]
        more = count()
        self._steps |= {
            "questions": msgspec.structs.replace(
                before, **{name: getattr(before, name) + getattr(more, name) for name in ("given", "lost", "again")}
            ),
            "told": msgspec.structs.replace(told, missed=told.missed + missing),
            "interrupted": Interrupted(
                cut=len(cut),
                slept=len(sleepers),
                back=sum(phone.online for phone in away),
                back_s=Delays.of(tally.joins_s[joins:]),
                resumed=tally.resumes - resumes,
                reset=tally.resets - resets,
            ),
        }
        return f"{len(cut)} lines cut, {len(sleepers)} slept, {missing} behind"

    async def _changes_unmeasured(self) -> None:
        waves = self._phones.waves
        for _ in range(_CHANGES):
            number = waves.next()
            waves.send(number)
            await self._give("agenda.edit", item=self._item, title=f"{MARK.decode()}{number}")
            await asyncio.sleep(_PACE_S)

    async def vote(self) -> str:
        """Everybody votes; some twice, some with the line cut behind it."""
        self._poll = await self._give("vote.make", title="Biểu quyết diễn tập")
        await self._give("vote.open", poll=self._poll)
        self._steps["votes"] = answered = await self._burst(self._phones.all, self._burst_s, self._vote)
        for phone in self._some(_VOTE_AGAIN):
            self._second_votes += 1
            phone.give("vote.cast", poll=self._poll, choice="no")
        await self._phones.until(lambda: not self._phones.waiting, _ANSWERED_S)
        await self._give("vote.close", poll=self._poll)
        await self._give("vote.publish", poll=self._poll)
        return f"{answered.given} votes, answers after {answered.p50_ms} / {answered.p99_ms} ms"

    def _vote(self, phone: Phone) -> None:
        (choice,) = self._phones.dice.choices(_CHOICES, _WEIGHTS)
        self._sums[choice] += 1
        phone.give("vote.cast", twice=self._chance(_TWICE), poll=self._poll, choice=choice)
        if self._chance(_CUT_BEHIND):
            phone.lose()

    async def end(self) -> str:
        """The host closes the meeting."""
        await self._give("meeting.close")
        return "closed"

    # -- the end -------------------------------------------------------------------------------------------------------

    async def finish(self) -> PhonesReport:
        phones, tally = self._phones, self._phones.tally
        await phones.until(lambda: all(phone.online for phone in phones.all), _BACK_S)
        lag_ms = await self._lag.max_ms() if self._lag is not None else None
        counted = await self._count()
        compared, differing = await phones.differing()
        refused = tally.refused - Counter({"already_voted": self._second_votes})
        return PhonesReport(
            delegates=len(phones.all),
            counted=counted,
            compared=compared,
            differing=differing,
            setbacks=dict(tally.setbacks),
            faults=dict(tally.faults + refused),
            loop_lag_max_ms=lag_ms,
            **self._steps,
        )

    async def _count(self) -> Counted:
        listed = await self._site.request("GET", f"/api/meetings/{self._meeting}/delegates?state=present")
        key = f"poll/{self._poll}"
        await self._phones.until(lambda: self._records[key].get("result") is not None, _TOLD_S)
        result = self._records[key].get("result") or {"cast": 0, "sums": {}}
        check_in, questions, votes = (self._steps[step] for step in ("check_in", "questions", "votes"))
        return Counted(
            present=listed["total"],
            present_acknowledged=check_in.given - check_in.lost,
            questions=len(self._of("question")),
            questions_acknowledged=questions.given - questions.lost,
            votes=result["cast"],
            votes_acknowledged=votes.given - votes.lost,
            sums_right={**dict.fromkeys(_CHOICES, 0), **result["sums"]} == {**dict.fromkeys(_CHOICES, 0), **self._sums},
            twice=self._phones.tally.repeated + self._phones.tally.resent,
            second_votes=self._second_votes,
            second_votes_refused=self._phones.tally.refused["already_voted"],
        )


def _ms(values: "array[float]", share: float) -> float:
    return round(percentile([1e3 * value for value in values] or [0.0], share), 1)
