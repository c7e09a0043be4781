"""The phones of a cluster's rehearsal in a process of their own (this module run as a program).

Thousands of phones in the event loop of the synthetic halls would hold up what the halls send and are seen to get.
A line of JSON in, one out: `Beginning`, then a poll's id for a vote of all, at last an empty one to compare replicas.
"""

import os
from collections import Counter
from ipaddress import IPv4Network

import msgspec
import uvloop

from clients.rehearsal.aside import Aside, asked, say
from clients.rehearsal.phone import Phone, Seat
from clients.rehearsal.phones import Phones, allow_open_files

VOTE_S, ANSWERED_S = 12.0, 60.0
CHOICES = ("yes", "no", "abstain")
_JOINS_PER_S = 300
_YIELDS = 5


class Beginning(msgspec.Struct, frozen=True):
    """`others`: the other servers. `seats`: token and hall of each. `sources`: the network of their addresses."""

    url: str
    others: tuple[tuple[str, int], ...]
    seats: tuple[tuple[str, int], ...]
    sources: str


class Voted(msgspec.Struct, frozen=True, kw_only=True):
    """What the phones know of one poll: `again` were acknowledged after they had been sent again."""

    given: int
    acknowledged: int
    again: int
    p99_ms: float
    sums: dict[str, int]
    faults: dict[str, int]


class Compared(msgspec.Struct, frozen=True):
    """Replicas against fresh welcomes."""

    compared: int
    differing: int


class Voters:
    """The parent's side."""

    def __init__(self, there: Aside) -> None:
        self._there = there

    async def begin(self, beginning: Beginning) -> None:
        """Returns when all are in and have checked in."""
        await self._there.ask(msgspec.json.encode(beginning))

    async def vote(self, poll: str) -> Voted:
        """All vote within `VOTE_S`; returns when all are answered and online."""
        return msgspec.json.decode(await self._there.ask(poll.encode()), type=Voted)

    async def compare(self) -> Compared:
        return msgspec.json.decode(await self._there.ask(b""), type=Compared)


async def _come(beginning: Beginning) -> Phones:
    seats = [Seat(token, hall) for token, hall in beginning.seats]
    phones = Phones(beginning.url, seats, others=beginning.others, sources=IPv4Network(beginning.sources))
    assert await phones.storm(max(2.0, len(seats) / _JOINS_PER_S), 120), "not all phones came"
    await phones.burst(phones.all, 5, lambda phone: phone.give("attendance.check_in", mode="in_hall"))
    assert await phones.until(lambda: not phones.waiting, ANSWERED_S), "not all have checked in"
    phones.settle()
    return phones


async def _vote(phones: Phones, poll: str) -> Voted:
    tally, sums = phones.tally, Counter(dict.fromkeys(CHOICES, 0))
    given, acks, late = tally.given, len(tally.acks_s), len(tally.late_acks_s)
    wrong = tally.faults + tally.refused

    def vote(phone: Phone) -> None:
        choice = phones.dice.choice(CHOICES)
        sums[choice] += 1
        phone.give("vote.cast", poll=poll, choice=choice)

    await phones.burst(phones.all, VOTE_S, vote)
    await phones.until(lambda: not phones.waiting and all(phone.online for phone in phones.all), ANSWERED_S)
    answered, again = sorted(tally.acks_s[acks:]), len(tally.late_acks_s) - late
    return Voted(
        given=tally.given - given,
        acknowledged=len(answered) + again,
        again=again,
        p99_ms=round(1e3 * answered[int(0.99 * (len(answered) - 1))], 1) if answered else 0.0,
        sums=dict(sums),
        faults=dict(tally.faults + tally.refused - wrong),
    )


async def _serve() -> None:
    allow_open_files()
    reader = await asked()
    phones = await _come(msgspec.json.decode(await reader.readline(), type=Beginning))
    say(None)
    while line := await reader.readline():
        poll = line.decode().strip()
        say(await _vote(phones, poll) if poll else Compared(*await phones.differing()))
    await phones.leave()


if __name__ == "__main__":
    os.nice(_YIELDS)
    uvloop.run(_serve())
