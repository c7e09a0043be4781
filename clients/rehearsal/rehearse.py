"""The rehearsal of a whole meeting: so many halls join at once, see the stage, and the floor goes round; phones vote.

Everything goes the way of the real halls: links, sockets, offers, ICE, DTLS, SRTP. The first hall is the chair's, with
a smaller camera; the others take turns at the floor with three simulcast layers of up to 720p. The delegates' phones
are a process of their own; what they do is in conduct.py.
"""

import asyncio
import base64
import contextlib
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from clients.rehearsal.apart import STEPS, Beginning, PhonesApart, phones_apart
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.delegates import SEATS
from clients.rehearsal.desk import Invited, RehearsalFailed, invite
from clients.rehearsal.endpoint import Endpoint, Setting
from clients.rehearsal.hall import JOIN_ERRORS, Console, Hall
from clients.rehearsal.phones import MOST_PHONES, allow_open_files
from clients.rehearsal.process import cpu_s, rss_mb
from clients.rehearsal.product import Product
from clients.rehearsal.receiving import Incoming, Picture
from clients.rehearsal.recording import STAGE_LAYERS, Studio
from clients.rehearsal.report import MediaDuringVote, RehearsalReport, verdicts
from clients.rehearsal.report_values import Delays, percentile
from media.memory import keep_collections_short

__all__ = ["MOST_HALLS", "MOST_PHONES", "RehearsalFailed", "RehearsalPlan", "rehearse"]

MOST_HALLS = 500
TITLE = "Diễn tập (rehearsal)"
_SPEAKERS = 8
_JOIN_S = 30.0
_SETTLE_S = 2.0
_SWITCH_S = 2.5
_GRACE_S = 1.2
_OVERHEAD_S = 180.0


class RehearsalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`all_low`: every hall sends its low layer whether or not it is asked for. `sampling`: one packet in so many.

    `burst_s`: within this time all delegates check in, and vote.
    """

    halls: int = 187
    delegates: int = 0
    burst_s: float = 10.0
    seconds: float = 30.0
    switch_every_s: float = 4.0
    all_low: bool = True
    sampling: int = 128


@dataclass(slots=True)
class _Joined:
    """`pictures_s`: from the start to the first whole picture of the stage, hall by hall."""

    halls: list[Hall]
    pictures_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    packets: int = 0


@dataclass(slots=True)
class _Held:
    """What the meeting itself gave: `switches_ms` of every hall at every switch, `late` that saw none in time."""

    seconds: float
    cpu_s: float
    packets: int
    switches: int
    switches_ms: list[float]
    late: int


async def rehearse(
    plan: RehearsalPlan, product: AbstractAsyncContextManager[Product], say: Callable[[str], None]
) -> RehearsalReport:
    """Raises RehearsalFailed."""
    try:
        limit_s = plan.seconds + _OVERHEAD_S + plan.delegates / 20
        async with asyncio.timeout(limit_s), contextlib.AsyncExitStack() as stack:
            allow_open_files()
            running = await stack.enter_async_context(product)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="diemcau-phones-")))
            phones = await stack.enter_async_context(phones_apart(folder)) if plan.delegates else None
            if phones is not None and not plan.halls:
                return await _without_halls(plan, running, phones, say)
            return await _Rehearsal(plan, running, phones, say).run()
    except TimeoutError:
        raise RehearsalFailed("the rehearsal took too long") from None
    except BaseExceptionGroup as group:
        expected, _ = group.split((RehearsalFailed, *JOIN_ERRORS))
        if expected is None:
            raise
        error = _leaf(expected)
        raise RehearsalFailed(f"{type(error).__name__} {error}".strip()) from None


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _begin(plan: RehearsalPlan, product: Product, phones: PhonesApart, meeting: str, token: str) -> None:
    site = product.site
    await phones.begin(
        Beginning(
            url=site.url,
            cookies=site.cookies,
            token=token,
            meeting=meeting,
            delegates=plan.delegates,
            halls=plan.halls or -(-plan.delegates // SEATS),
            server=product.server,
            burst_s=plan.burst_s,
        )
    )


async def _without_halls(
    plan: RehearsalPlan, product: Product, phones: PhonesApart, say: Callable[[str], None]
) -> RehearsalReport:
    """Phones alone."""
    site = product.site
    meeting = await site.new_meeting(TITLE)
    token = await site.staff_token(meeting)
    await _begin(plan, product, phones, meeting, token)
    say(f"{plan.delegates} delegates on the list")
    for step in (*STEPS, "vote"):
        say(await phones.step(step))
    report = RehearsalReport(
        halls=0,
        phones=await phones.finish(),
        server_rss_mb=round(rss_mb(product.server), 1) if product.server is not None else None,
    )
    await phones.step("end")
    return msgspec.structs.replace(report, verdicts=verdicts(report))


class _Rehearsal:
    def __init__(
        self, plan: RehearsalPlan, product: Product, phones: PhonesApart | None, say: Callable[[str], None]
    ) -> None:
        self._plan, self._product, self._phones, self._say = plan, product, phones, say
        self._site = product.site
        self._studio = Studio()
        self._setting = Setting(self._studio, sampling=plan.sampling)
        self._crowd = Crowd()
        self._console = Console(self._crowd, self._setting)
        self._node_ended = False

    @property
    def _measured(self) -> bool:
        return bool(self._product.nodes) and not self._node_ended

    def _cpu_s(self) -> float:
        """Of all media nodes so far; from the moment one has ended nothing of them is measured."""
        return self._of_nodes(cpu_s)

    def _of_nodes(self, read: Callable[[int], float]) -> float:
        try:
            return sum(read(node) for node in self._product.nodes)
        except OSError:
            self._node_ended = True
            return 0.0

    async def run(self) -> RehearsalReport:
        layers = await asyncio.to_thread(lambda: tuple(self._studio.record(each) for each in STAGE_LAYERS))
        tone = await asyncio.to_thread(self._studio.record_tone)
        still = base64.b64encode(await asyncio.to_thread(self._studio.take_still)).decode()
        beside: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as tasks, self._crowd:
            beside.append(tasks.create_task(keep_collections_short(lambda: self._plan.halls), name="memory"))
            meeting = await self._site.new_meeting(TITLE)
            token = await self._site.staff_token(meeting)
            invited = await invite(self._site, meeting, token, self._plan.halls, tasks)
            self._say(f"{len(invited)} halls invited")
            if self._phones is not None:
                await _begin(self._plan, self._product, self._phones, meeting, token)
                self._say(f"{self._plan.delegates} delegates on the list")
            halls = [
                Hall(
                    self._crowd,
                    self._setting,
                    number,
                    each,
                    layers[:2] if each.chair and len(invited) > 1 else layers,
                    tone,
                    self._plan.all_low,
                )
                for number, each in enumerate(invited, 1)
            ]
            await self._console.join(self._site.http, self._site.url, token, tasks)
            try:
                joined = await self._join(halls, tasks)
                self._say(f"{len(joined.halls)} joined, {len(joined.pictures_s)} see the stage")
                await self._console.show([each.id for each in invited])
                for hall in joined.halls:
                    beside.append(tasks.create_task(hall.report(still), name="report"))
                if self._phones is not None:
                    for step in STEPS:
                        self._say(await self._phones.step(step))
                held = await self._hold(joined.halls, invited)
                report = self._report(joined, held)
                if self._phones is not None:
                    vote = await self._vote(self._phones)
                    report = msgspec.structs.replace(report, phones=await self._phones.finish(), vote=vote)
                return msgspec.structs.replace(report, verdicts=verdicts(report))
            finally:
                for task in beside:
                    task.cancel()
                await self._console.end_meeting()
                await asyncio.gather(*(hall.socket.close() for hall in halls), self._console.socket.close())

    # -- joining -------------------------------------------------------------------------------------------------------

    async def _join(self, halls: list[Hall], tasks: asyncio.TaskGroup) -> _Joined:
        """All at once."""
        used, began_ns = self._cpu_s(), time.time_ns()
        joined = _Joined([])

        async def join(hall: Hall) -> None:
            try:
                await hall.join(self._site.http, self._site.url, tasks)
                joined.halls.append(hall)
            except JOIN_ERRORS as error:
                joined.errors.append(f"{type(error).__name__} {error}".strip())

        await asyncio.gather(*(join(hall) for hall in halls))
        await self._crowd.until(lambda: all(_picture(hall.endpoint) for hall in joined.halls), _JOIN_S)
        joined.cpu_s = self._cpu_s() - used
        joined.packets = sum(track.packets for track in self._tracks())
        for hall in joined.halls:
            if (picture := _picture(hall.endpoint)) is not None:
                joined.pictures_s.append((picture.whole_ns - began_ns) / 1e9)
        return joined

    def _tracks(self) -> list[Incoming]:
        return [track for endpoint in self._crowd.endpoints for track in endpoint.tracks.values()]

    # -- the meeting ---------------------------------------------------------------------------------------------------

    async def _hold(self, halls: list[Hall], invited: list[Invited]) -> _Held:
        """The floor goes round for the planned time."""
        speakers = [hall for hall in halls if hall.id != invited[0].id][:_SPEAKERS] or halls[:1]
        held = _Held(0.0, 0.0, 0, 0, [], 0)
        if not speakers:
            return held
        await self._console.give_floor(speakers[0].id)
        await asyncio.sleep(_SETTLE_S)
        for track in self._tracks():
            track.begin_count()
        self._setting.findings.clear()
        used, began = self._cpu_s(), time.monotonic()
        turn = 0
        while (left := began + self._plan.seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._plan.switch_every_s))
            if left > self._plan.switch_every_s and len(speakers) > 1:
                turn = (turn + 1) % len(speakers)
                await self._switch(speakers[turn], halls, held)
        held.seconds = time.monotonic() - began
        held.cpu_s = self._cpu_s() - used
        held.packets = sum(track.packets for track in self._tracks())
        await asyncio.sleep(_GRACE_S)
        return held

    async def _switch(self, speaker: Hall, halls: list[Hall], held: _Held) -> None:
        """Gives the floor, and waits until every hall has a new picture, or it is too late."""
        tracks = [track for hall in halls if (track := hall.endpoint.track_of("stage.0")) is not None]
        for track in tracks:
            track.await_picture(speaker.number)
        held.switches += 1
        sent_ns = time.time_ns()
        await self._console.give_floor(speaker.id)
        await self._crowd.until(lambda: all(track.picture for track in tracks), _SWITCH_S)
        held.switches_ms += [(track.picture.first_ns - sent_ns) / 1e6 for track in tracks if track.picture]
        held.late += sum(track.picture is None for track in tracks)

    async def _vote(self, phones: PhonesApart) -> MediaDuringVote:
        """What the halls have of it when all phones vote."""
        for track in self._tracks():
            track.begin_count()
        findings = self._setting.findings
        findings.clear()
        used, began = self._cpu_s(), time.monotonic()
        self._say(await phones.step("vote"))
        seconds, used = time.monotonic() - began, self._cpu_s() - used
        packets, latencies = sum(track.packets for track in self._tracks()), findings.latencies_ms
        await asyncio.sleep(_GRACE_S)
        return MediaDuringVote(
            seconds=round(seconds, 1),
            packets=packets,
            lost=sum(len(track.missing) for track in self._tracks()),
            faults=findings.faults,
            node_cpu_share=round(used / seconds, 3) if self._measured else None,
            latency_p50_ms=percentile(latencies, 0.5) if latencies else None,
            latency_p99_ms=percentile(latencies, 0.99) if latencies else None,
        )

    # -- the report ----------------------------------------------------------------------------------------------------

    def _report(self, joined: _Joined, held: _Held) -> RehearsalReport:
        findings, tracks = self._setting.findings, self._tracks()
        rss = self._of_nodes(rss_mb)
        measured = self._measured
        per_packet = held.cpu_s / held.packets if held.packets else 0.0
        join_s = max(0.0, joined.cpu_s - joined.packets * per_packet) / max(1, self._plan.halls)
        latencies = findings.latencies_ms
        return RehearsalReport(
            halls=self._plan.halls,
            joined=len(joined.halls),
            see_the_stage=len(joined.pictures_s),
            errors=(
                *sorted({*joined.errors, *self._crowd.failed})[:10],
                *((str(findings),) if findings.faults else ()),
            ),
            node_ended=self._node_ended,
            picture_s=Delays.of(joined.pictures_s),
            node_join_cpu_ms=round(join_s * 1e3, 2) if measured else None,
            seconds=round(held.seconds, 1),
            packets=held.packets,
            node_cpu_share=round(held.cpu_s / held.seconds, 3) if measured and held.seconds else None,
            cpu_us_per_packet=round(per_packet * 1e6, 2) if measured else None,
            lost=sum(len(track.missing) for track in tracks),
            repaired=sum(track.repaired for track in tracks),
            dropped_here=sum(endpoint.dropped for endpoint in self._crowd.endpoints),
            verified=findings.verified,
            faults=findings.faults,
            latency_p50_ms=percentile(latencies, 0.5) if latencies else None,
            latency_p99_ms=percentile(latencies, 0.99) if latencies else None,
            switches=held.switches,
            switch_ms=Delays.of(held.switches_ms),
            switch_late=held.late,
            node_rss_mb=round(rss, 1) if measured else None,
            server_rss_mb=round(rss_mb(self._product.server), 1) if self._product.server is not None else None,
            srtp_profiles=tuple(sorted({hall.endpoint.transport.profile for hall in joined.halls})),
        )


def _picture(endpoint: Endpoint) -> Picture | None:
    track = endpoint.track_of("stage.0")
    return track.picture if track is not None else None
