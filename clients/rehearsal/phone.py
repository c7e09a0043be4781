"""A synthetic delegate's phone: says hello, keeps what it is told, gives commands, loses its line and comes back.

Nothing is lost and nothing done twice is the page's contract (PROTOCOL.md §2): a command without an answer is sent
again under the same id when the line is back, and `since` brings what was missed.
"""

import asyncio
import random
import secrets
import socket
import time
from array import array
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import msgspec

from clients.rehearsal.line import Line, text_frame
from clients.rehearsal.wire import PROTOCOL

MARK = b"Diemcau wave "
"""In the title of what the host changes, before the number of the change."""
_PATCH = b'42["patch",'
_REV = b'42["patch",{"rev":'
_GOODBYE = b'42["goodbye",'
_JOIN_S = 20.0
_SHORTEST_S, _SPREAD_S, _LONGEST_S, _RESTART_S = 0.5, 1.0, 10.0, 8.0
"""As the page waits (shared/backoff.ts)."""
_AGAIN_S = 0.5
_WAVES = 64
_NOT_WELCOMED = "not welcomed"
_RETRIED = frozenset({"unavailable", "too_many"})
_IP_BIND_ADDRESS_NO_PORT = 24
LOOPBACK_SOURCES = IPv4Network("127.16.0.0/12")

Records = dict[str, Any]


class _Seen(msgspec.Struct):
    """What every phone reads of a welcome; the records are read by those that keep a replica."""

    ok: bool
    code: str = ""
    log_id: str = ""
    rev: int = 0
    reset: bool = False


class _Answer(msgspec.Struct):
    ok: bool
    code: str = ""
    rev: int = 0


_read_seen = msgspec.json.Decoder(tuple[_Seen]).decode
_read_answer = msgspec.json.Decoder(tuple[_Answer]).decode


@dataclass(frozen=True, slots=True)
class Seat:
    """Whose phone it is: the token of the delegate's link, and where its hall is on the list, from 0."""

    token: str
    hall: int


@dataclass(slots=True)
class Tally:
    """What all phones together have seen. Times in seconds; `refused` and `faults` by their codes.

    `joins_s`: from asking for a connection to the welcome; `acks_s`: from the sending of a command to its answer, on a
    line that held; `late_acks_s`: where it had to be sent again; `deliveries_s`: from the host's sending of a marked
    change to its arrival, for each phone and change.
    """

    joins_s: "array[float]" = field(default_factory=lambda: array("d"))
    acks_s: "array[float]" = field(default_factory=lambda: array("d"))
    late_acks_s: "array[float]" = field(default_factory=lambda: array("d"))
    deliveries_s: "array[float]" = field(default_factory=lambda: array("d"))
    patches: int = 0
    resets: int = 0
    resumes: int = 0
    resent: int = 0
    repeated: int = 0
    given: int = 0
    setbacks: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class Waves:
    """The host's marked changes: when each was sent, and which patches tell of which."""

    def __init__(self) -> None:
        self.sent_at: dict[int, float] = {}
        self._read: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()

    def next(self) -> int:
        return len(self.sent_at) + 1

    def send(self, number: int) -> None:
        self.sent_at[number] = time.monotonic()

    def read(self, payload: bytes) -> tuple[int, Any]:
        """The number of the last change that this patch tells of, and the patch; the same for every phone."""
        known = self._read.get(payload)
        if known is None:
            at = payload.index(MARK) + len(MARK)
            number = int(payload[at : payload.index(b'"', at)])
            known = self._read[payload] = (number, msgspec.json.decode(payload[len(_PATCH) : -1]))
            if len(self._read) > _WAVES:
                self._read.popitem(last=False)
        return known


@dataclass(slots=True)
class _Given:
    frame: bytes
    began: float
    rev: int | None = None
    answers: int = 1
    again: bool = False


class Phone:
    """`replica` is kept if `keeps`. `gone` is why it will not come back, if so."""

    __slots__ = (
        "_acks",
        "_coming",
        "_given",
        "_ids",
        "_line",
        "_restarting",
        "_welcomed",
        "gone",
        "log_id",
        "place",
        "replica",
        "rev",
        "seat",
        "wave",
    )

    def __init__(self, place: "Place", seat: Seat, keeps: bool) -> None:
        self.place, self.seat = place, seat
        self.replica: Records | None = {} if keeps else None
        self.rev, self.wave = 0, 0
        self.log_id = ""
        self.gone = ""
        self._ids = 0
        self._line: Line | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._given: dict[str, _Given] = {}
        self._acks: dict[int, str] = {}
        self._coming: asyncio.Task[None] | None = None
        self._restarting = False

    @property
    def online(self) -> bool:
        return self._line is not None and self._welcomed is None

    @property
    def waits(self) -> int:
        """Commands without an answer."""
        return len(self._given)

    # -- coming and going ----------------------------------------------------------------------------------------------

    async def come(self) -> None:
        """Until welcomed, again and again with growing, jittered pauses, as a page does; or not any more (`gone`)."""
        spread_s = _SPREAD_S
        while not self.gone:
            began = time.monotonic()
            try:
                await self._join()
            except (OSError, TimeoutError) as error:
                self.place.tally.setbacks[str(error) or type(error).__name__] += 1
                await self._pause(spread_s)
                spread_s = min(_LONGEST_S - _SHORTEST_S, 2 * spread_s)
            else:
                self.place.tally.joins_s.append(time.monotonic() - began)
                return

    async def _join(self) -> None:
        """Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        welcomed = self._welcomed = loop.create_future()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if self.place.sources is not None:
                sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((hall_address(self.seat.hall, self.place.sources), 0))
            async with asyncio.timeout(_JOIN_S):
                await loop.sock_connect(sock, self.place.pick())
                _, line = await loop.create_connection(lambda: Line(self, self.place.head), sock=sock)
                if line.reason:
                    raise OSError(line.reason)
                self._line = line
                await welcomed
        except BaseException:
            if self._line is not None:
                line, self._line = self._line, None
                line.abort(_NOT_WELCOMED)
            else:
                sock.close()
            raise
        finally:
            self._welcomed = None

    def connected(self) -> None:
        hello: dict[str, Any] = {"protocol": PROTOCOL, "token": self.seat.token}
        if self.log_id:
            hello |= {"log_id": self.log_id, "since": self.rev}
        self._ids += 1
        self._acks[self._ids] = ""
        self._write(self._ids, b'"hello",' + msgspec.json.encode(hello))

    def _write(self, ack: int, event: bytes) -> None:
        if self._line is not None:
            self._line.write(text_frame(b"42%d[%b]" % (ack, event)))

    def lose(self) -> None:
        """The line is cut; the phone comes back when it notices."""
        if self._line is not None:
            self._line.abort("cut")

    def sleep(self) -> None:
        if self._line is not None:
            self._line.sleep()

    def wake(self) -> None:
        if self._line is not None:
            self._line.wake()

    def leave(self) -> None:
        """For good."""
        self.gone = self.gone or "left"
        if self._coming is not None:
            self._coming.cancel()
        if self._line is not None:
            self._line.close()

    def lost(self, line: Line, reason: str) -> None:
        if reason == _NOT_WELCOMED:
            return
        if self._welcomed is not None and not self._welcomed.done():
            self._welcomed.set_exception(OSError(self.gone or reason))
        if line is not self._line:
            return
        self._line = None
        self._acks.clear()
        if self._welcomed is None and not self.gone:
            self.place.tally.setbacks[reason] += 1
            self._coming = asyncio.get_running_loop().create_task(self._come_back(), name="phone")

    async def _pause(self, spread_s: float) -> None:
        await asyncio.sleep(_SHORTEST_S + spread_s * self.place.dice.random())

    async def _come_back(self) -> None:
        spread_s, self._restarting = _RESTART_S if self._restarting else _SPREAD_S, False
        await self._pause(spread_s)
        await self.come()
        if self._coming is asyncio.current_task():
            self._coming = None

    # -- what the server says ------------------------------------------------------------------------------------------

    def heard(self, payload: bytes) -> None:
        if payload.startswith(_PATCH):
            self._patched(payload)
        elif payload.startswith(_GOODBYE):
            said = msgspec.json.decode(payload[len(_GOODBYE) : -1])
            self._restarting = said["code"] == "restart"
            if not said["retry"]:
                self._end(said["code"])

    def _end(self, code: str) -> None:
        self.gone = code
        self.place.tally.faults[f"goodbye {code}"] += 1

    def _patched(self, payload: bytes) -> None:
        tally = self.place.tally
        tally.patches += 1
        if MARK in payload:
            number, patch = self.place.waves.read(payload)
            rev = patch["rev"]
            self._mark(number)
        elif self.replica is None:
            patch = None
            rev = int(payload[len(_REV) : payload.index(b",", len(_REV))])
        else:
            patch = msgspec.json.decode(payload[len(_PATCH) : -1])
            rev = patch["rev"]
        if rev <= self.rev:
            tally.faults["patch out of order"] += 1
        self.rev = rev
        if self.replica is not None:
            apply(self.replica, patch)

    def _mark(self, number: int) -> None:
        now = time.monotonic()
        for each in range(self.wave + 1, number + 1):
            self.place.tally.deliveries_s.append(now - self.place.waves.sent_at[each])
        self.wave = max(self.wave, number)

    def answered(self, payload: bytes) -> None:
        start = payload.index(b"[")
        id = self._acks.pop(int(payload[2:start]), None)
        if id == "":
            self._take_welcome(payload[start:])
        elif id is not None:
            (answer,) = _read_answer(payload[start:])
            self._take_answer(id, answer)

    def _take_welcome(self, body: bytes) -> None:
        (seen,) = _read_seen(body)
        if not seen.ok:
            if seen.code not in _RETRIED:
                self._end(seen.code)
            if self._line is not None:
                self._line.abort(seen.code)
            return
        if seen.reset:
            self.place.tally.resets += 1
        else:
            self.place.tally.resumes += 1
        if self.replica is not None:
            (patch,) = msgspec.json.decode(body)
            if seen.reset:
                self.replica.clear()
            apply(self.replica, patch)
        if MARK in body:  # told by the welcome, not by a patch
            at = body.index(MARK) + len(MARK)
            self.wave = max(self.wave, int(body[at : body.index(b'"', at)]))
        self.log_id, self.rev = seen.log_id, seen.rev
        if self._welcomed is not None and not self._welcomed.done():
            self._welcomed.set_result(None)
        for id, given in self._given.items():
            given.answers, given.again = 1, True
            self.place.tally.resent += 1
            self._send(id)

    # -- commands ------------------------------------------------------------------------------------------------------

    def give(self, kind: str, twice: bool = False, **fields: Any) -> None:
        """A command; sent now, or when the line is back. `twice`: again behind it, as a hasty finger does."""
        id = secrets.token_hex(10)
        event = b'"command",' + msgspec.json.encode({"type": kind, "id": id, **fields})
        self._given[id] = _Given(event, time.monotonic(), answers=2 if twice else 1)
        self.place.tally.given += 1
        if self.online:
            self._send(id)
            if twice:
                self.place.tally.repeated += 1
                self._send(id)

    def _send(self, id: str) -> None:
        given = self._given.get(id)
        if given is None or self._line is None:
            return
        self._ids += 1
        self._acks[self._ids] = id
        self._write(self._ids, given.frame)

    def _send_again(self, id: str) -> None:
        if self.online:  # otherwise the next welcome does it
            self._send(id)

    def _take_answer(self, id: str, answer: _Answer) -> None:
        given = self._given.get(id)
        if given is None:
            return
        tally = self.place.tally
        if not answer.ok:
            if answer.code in _RETRIED:
                tally.setbacks[answer.code] += 1
                given.again = True
                asyncio.get_running_loop().call_later(_AGAIN_S, self._send_again, id)
                return
            tally.refused[answer.code] += 1
            del self._given[id]
            return
        if given.rev is None:
            given.rev = answer.rev
            (tally.late_acks_s if given.again else tally.acks_s).append(time.monotonic() - given.began)
        elif given.rev != answer.rev:
            tally.faults["a repeated command was done twice"] += 1
        given.answers -= 1
        if given.answers <= 0:
            del self._given[id]


def apply(replica: Records, patch: dict[str, Any]) -> None:
    """As PROTOCOL.md says."""
    for record in patch["put"]:
        replica[f"{record['kind']}/{record['id']}"] = record
    for key in patch["drop"]:
        replica.pop(key, None)


def hall_address(hall: int, sources: IPv4Network = LOOPBACK_SOURCES) -> str:
    """The address from which a hall's phones come: one each, as behind a hall's router."""
    return str(sources[hall + 1])


@dataclass(frozen=True, slots=True)
class Place:
    """What all phones share. `head` asks the server for a socket. Servers of one cluster: any of the `addresses`.

    `sources`: each hall's phones come from an address of their own in it; None: from wherever the machine sends."""

    addresses: tuple[tuple[str, int], ...]
    head: bytes
    sources: IPv4Network | None
    dice: random.Random
    tally: Tally
    waves: Waves

    def pick(self) -> tuple[str, int]:
        return self.addresses[0] if len(self.addresses) == 1 else self.dice.choice(self.addresses)
