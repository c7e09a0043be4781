"""The sockets benchmark: what ten thousand phones cost the server's process, in ours and in stock python-socketio.

The same phones do the same with each: they connect, get what the host changes, and give one command each. CPU is user
and system time of the whole server process.
"""

import asyncio
import contextlib
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from clients.bench.stock import running_stock
from clients.bench.subject import SubjectFailed
from clients.bench.talking import TalkingSubject, running_diemcau
from clients.rehearsal.desk import RehearsalFailed
from clients.rehearsal.phone import MARK, Seat
from clients.rehearsal.phones import MOST_PHONES, Phones, allow_open_files
from clients.rehearsal.process import cpu_s, rss_mb
from clients.rehearsal.report_values import percentile
from clients.rehearsal.wire import Refused

__all__ = ["MOST_PHONES", "SOCKET_PEERS", "SocketsPlan", "SubjectFailed", "bench_sockets", "describe_sockets"]

SOCKET_PEERS = ("socketio",)
_SETTLE_S = 2.0
_GRACE_S = 0.1
_DELIVERED_S = 180.0
_ANSWERED_S = 60.0
_RATE = 20.0


class SocketsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`changes` of the host one at a time, then as many at 20 a second; a command of each client in `seconds`."""

    clients: int = 10_000
    changes: int = 20
    seconds: float = 10.0
    at_once: int = 64

    @property
    def limit_s(self) -> float:
        """For each server; a stock one takes a second to tell ten thousand of one change."""
        return 120.0 + self.clients / 20


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """CPU for each message that arrived, what made it included; from the host's send to each client's receipt."""

    cpu_us_per_recipient: float
    p50_ms: float
    p99_ms: float


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """From a client's send to its answer, which our server gives when the command is durable; `lost` have none."""

    per_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    lost: int


class SocketsPeer(msgspec.Struct, frozen=True, kw_only=True):
    """`connect_cpu_us`: TCP to welcome; `rss_kb_per_client`: of the half that takes more; `loop_lag_max_ms`: the
    server's loop at its latest, in all this time.
    """

    clients: int
    connect_cpu_us: float
    rss_kb_per_client: float
    broadcast: Broadcast
    commands: Commands
    loop_lag_max_ms: float


class SocketsReport(SocketsPeer, frozen=True, kw_only=True):
    """`ratio`: how many times more a peer takes to tell one recipient. `failed`: the peers that did not get through,
    and why."""

    peers: dict[str, SocketsPeer] = {}
    ratio: dict[str, float] = {}
    failed: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


async def bench_sockets(plan: SocketsPlan, peers: tuple[str, ...], say: Callable[[str], None]) -> SocketsReport:
    """Raises SubjectFailed."""
    allow_open_files()
    try:
        async with asyncio.timeout(plan.limit_s * (1 + len(peers))), _failing_plainly():
            found: dict[str, SocketsPeer] = {}
            failed: dict[str, str] = {}
            with tempfile.TemporaryDirectory(prefix="diemcau-bench-") as folder:
                async with running_diemcau(Path(folder), plan.clients, say) as subject:
                    ours = await _Measurement(subject, plan, say).run()
                    example, seats = subject.example, subject.seats
                for name in peers:
                    try:
                        async with _failing_plainly(), running_stock(Path(folder), _strangers(seats), example) as peer:
                            found[name] = await _Measurement(peer, plan, say).run()
                    except SubjectFailed as why:  # ours has been measured all the same
                        failed[name] = str(why)
    except TimeoutError:
        raise SubjectFailed("the benchmark took too long") from None
    return SocketsReport(
        **{name: getattr(ours, name) for name in SocketsPeer.__struct_fields__},
        peers=found,
        ratio={
            name: round(peer.broadcast.cpu_us_per_recipient / ours.broadcast.cpu_us_per_recipient, 1)
            for name, peer in found.items()
        },
        failed=failed or msgspec.UNSET,
    )


@contextlib.asynccontextmanager
async def _failing_plainly() -> AsyncIterator[None]:
    """What can go wrong with a server is SubjectFailed, wherever it comes from."""
    try:
        yield
    except BaseExceptionGroup as group:
        expected, _ = group.split((SubjectFailed, RehearsalFailed, Refused, OSError))
        if expected is None:
            raise
        error = first_of(expected)
        raise SubjectFailed(f"{type(error).__name__} {error}".strip()) from None
    except (RehearsalFailed, Refused, OSError) as error:
        raise SubjectFailed(f"{type(error).__name__} {error}".strip()) from error


def first_of(error: BaseException) -> BaseException:
    return first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _strangers(seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    """The same phones without our tokens, in the same places."""
    return tuple(Seat("x" * len(seat.token), seat.hall) for seat in seats)


class _Measurement:
    def __init__(self, subject: TalkingSubject, plan: SocketsPlan, say: Callable[[str], None]) -> None:
        self._subject, self._plan = subject, plan
        self._phones = Phones(subject.url, subject.seats)
        self._tell = say

    def _say(self, text: str) -> None:
        self._tell(f"{self._subject.name}: {text}")

    async def run(self) -> SocketsPeer:
        subject, phones = self._subject, self._phones
        try:
            connect_us, rss_kb = await self._connect()
            lags = [await self._lag("connecting")]
            broadcast = await self._broadcast()
            lags.append(await self._lag("broadcasting"))
            commands = await self._commands()
            lags.append(await self._lag("commands"))
            await subject.check(phones)
            if phones.tally.faults or phones.tally.refused:
                raise SubjectFailed(f"{subject.name}: {dict(phones.tally.faults + phones.tally.refused)}")
            if phones.tally.setbacks:
                self._say(f"on the way: {dict(phones.tally.setbacks)}")
            return SocketsPeer(
                clients=len(phones.all),
                connect_cpu_us=round(connect_us, 1),
                rss_kb_per_client=round(rss_kb, 1),
                broadcast=broadcast,
                commands=commands,
                loop_lag_max_ms=max(lags),
            )
        finally:
            await phones.leave()

    async def _connect(self) -> tuple[float, float]:
        """µs of CPU and kB of memory for each: in two halves, so that memory free before is not all that they take."""
        subject, phones = self._subject, self._phones
        await subject.begin_lag()
        middle = (len(phones.all) + 1) // 2
        used_s, kb = 0.0, [1e3 * rss_mb(subject.pid)]
        for half in (phones.all[:middle], phones.all[middle:]):
            began, used = time.monotonic(), cpu_s(subject.pid)
            if half and not await phones.come(half, self._plan.at_once, self._plan.limit_s / 2):
                raise SubjectFailed(f"{subject.name}: not every phone got in: {dict(phones.tally.setbacks)}")
            used_s += cpu_s(subject.pid) - used
            self._say(f"{len(half)} phones in within {time.monotonic() - began:.1f} s")
            await asyncio.sleep(_SETTLE_S)
            kb.append(1e3 * rss_mb(subject.pid))
        phones.settle()
        each = (kb[2] - kb[0]) / len(phones.all), (kb[2] - kb[1]) / max(1, len(phones.all) - middle)
        connect_us = 1e6 * used_s / len(phones.all)
        self._say(f"{connect_us:.0f} µs CPU to connect, {each[0]:.1f} kB each, {each[1]:.1f} of the second half")
        return connect_us, max(each)

    async def _lag(self, phase: str) -> float:
        lag_ms = await self._subject.lag_max_ms()
        await self._subject.begin_lag()
        self._say(f"loop lag {lag_ms} ms at most while {phase}")
        return lag_ms

    async def _broadcast(self) -> Broadcast:
        """One at a time, then faster than the fan-out's tick."""
        phones, changes = self._phones, self._plan.changes
        patches, used, here = phones.tally.patches, cpu_s(self._subject.pid), time.process_time()
        for _ in range(changes):
            number = await self._change()
            await self._until_delivered(number)
            await asyncio.sleep(_GRACE_S)
        alone = len(phones.tally.deliveries_s)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(changes):
                tasks.create_task(self._change())
                await asyncio.sleep(1 / _RATE)
        await self._until_delivered(phones.waves.next() - 1)
        used = cpu_s(self._subject.pid) - used
        delivered = phones.tally.deliveries_s
        patches = max(1, phones.tally.patches - patches)
        cpu_us, here_us = 1e6 * used / patches, 1e6 * (time.process_time() - here) / patches
        self._say(
            f"{cpu_us:.1f} µs CPU a recipient, {here_us:.1f} on the phones' side; delivered alone"
            f" {_both(delivered[:alone])}, at {_RATE:.0f} a second {_both(delivered[alone:])} ms"
        )
        return Broadcast(
            cpu_us_per_recipient=round(cpu_us, 2),
            p50_ms=_ms(delivered, 0.5),
            p99_ms=_ms(delivered, 0.99),
        )

    async def _change(self) -> int:
        number = self._phones.waves.next()
        self._phones.waves.send(number)
        await self._subject.change(f"{MARK.decode()}{number}")
        return number

    async def _until_delivered(self, number: int) -> None:
        phones = self._phones
        if not await phones.until(lambda: not phones.missing(number), _DELIVERED_S):
            setbacks = dict(phones.tally.setbacks)
            raise SubjectFailed(f"{self._subject.name}: {phones.missing(number)} miss change {number}; {setbacks}")

    async def _commands(self) -> Commands:
        """Everybody checks in."""
        phones = self._phones
        began, answered = time.monotonic(), len(phones.tally.acks_s)
        used = cpu_s(self._subject.pid)
        await phones.burst(
            phones.all, self._plan.seconds, lambda phone: phone.give("attendance.check_in", mode="in_hall")
        )
        await phones.until(lambda: not phones.waiting, _ANSWERED_S)
        seconds = time.monotonic() - began
        acks = phones.tally.acks_s[answered:]
        if not acks:
            raise SubjectFailed(f"{self._subject.name}: no command was answered")
        self._say(
            f"{1e6 * (cpu_s(self._subject.pid) - used) / len(acks):.0f} µs CPU for each command, answers included"
        )
        return Commands(
            per_s=round(len(acks) / seconds),
            ack_p50_ms=_ms(acks, 0.5),
            ack_p99_ms=_ms(acks, 0.99),
            lost=len(phones.all) - len(acks),
        )


def _ms(values: "array[float]", share: float) -> float:
    return round(percentile([1e3 * value for value in values], share), 1)


def _both(values: "array[float]") -> str:
    return f"{_ms(values, 0.5)} / {_ms(values, 0.99)}"


def describe_sockets(report: SocketsReport) -> str:
    """For a person."""
    lines = [f"{report.clients} phones"]
    for name, each in (("diemcau", report), *report.peers.items()):
        lines += [
            f"  {name}",
            f"    connect    {each.connect_cpu_us:8.1f} µs CPU, {each.rss_kb_per_client} kB of memory for each",
            f"    broadcast  {each.broadcast.cpu_us_per_recipient:8.2f} µs CPU a recipient, delivered after"
            f" {each.broadcast.p50_ms} ms (median), {each.broadcast.p99_ms} ms (99 %)",
            f"    commands   {each.commands.per_s:8.0f} a second, answered after {each.commands.ack_p50_ms} ms"
            f" (median), {each.commands.ack_p99_ms} ms (99 %), {each.commands.lost} lost",
            f"    loop       {each.loop_lag_max_ms:8.1f} ms late at most",
        ]
    for name, ratio in report.ratio.items():
        connect = report.peers[name].connect_cpu_us / report.connect_cpu_us
        lines.append(f"  {name} takes {ratio} times ours to broadcast, {connect:.1f} times to connect")
    lines += [f"  {name} did not get through: {why}" for name, why in (report.failed or {}).items()]
    return "\n".join(lines)
