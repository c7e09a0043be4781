"""Several processes as one: the bus, who is there, what they count together, who acts for all. Both ways of each."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rooms.ids import HallId, MeetingId
from server import wire
from server.cluster.bus import Bus, Exchange
from server.cluster.cluster import Cluster, cluster_of, deployment
from server.cluster.lease import OwnLeases
from server.cluster.messages import Beat, MeetingBody, Watching, hall_now, pack, presence_of, unpack, wrote
from server.cluster.neighbours import Neighbours
from server.cluster.redis_bus import RedisBus
from server.cluster.redis_lease import HELD_S, RedisLeases
from server.database.log import Draft, Head, first_broken
from server.elsewhere import Elsewhere, Told
from server.joining import Denial, check_protocol
from server.limits import Attempts
from tests.support.redis_server import RedisServer, SlowWay, redis_server

WAYS = ["own", pytest.param("redis", marks=pytest.mark.slow)]
M1 = MeetingId("m1")


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def buses(way: str, folder: Path, number: int) -> AsyncIterator[list[Bus]]:
    """Buses that meet, up."""
    async with redis_server(folder) if way == "redis" else nothing() as redis:
        exchange = Exchange()
        each: list[Bus] = [
            RedisBus(redis.url, "test", b"key") if isinstance(redis, RedisServer) else exchange.bus()
            for _ in range(number)
        ]
        async with carried(each):
            yield each


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield None


@asynccontextmanager
async def carried(each: list[Bus]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(bus.run()) for bus in each]
    try:
        await until(lambda: all(bus.up for bus in each))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("way", WAYS)
async def test_a_bus_carries_each_senders_messages_in_order(tmp_path: Path, way: str) -> None:
    async with buses(way, tmp_path, 3) as (one, two, three):
        heard: list[bytes] = []
        three.on_message = heard.append
        for n in range(500):
            (one if n % 2 else two).publish(b"%d" % n)
        await until(lambda: len(heard) == 500)
        numbers = [int(message) for message in heard]
        assert [n for n in numbers if n % 2] == list(range(1, 500, 2))
        assert [n for n in numbers if n % 2 == 0] == list(range(0, 500, 2))


@pytest.mark.slow
async def test_what_others_put_into_the_channel_is_not_believed(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        ours, theirs = (RedisBus(redis.url, "test", key) for key in (b"our key", b"another key"))
        heard: list[bytes] = []
        ours.on_message = heard.append
        async with carried([ours, theirs]):
            theirs.publish(b"forged")
            ours.publish(b"true")
            await until(lambda: heard)
            await asyncio.sleep(0.2)
            assert heard == [b"true"]


class Heard:
    """A process and what it has heard of the others."""

    def __init__(self, bus: Bus) -> None:
        self.neighbours = Neighbours(bus)
        self.bodies: list[tuple[str, object]] = []
        self.gone: list[str] = []
        self.asked = 0
        self.neighbours.on_body = lambda process, body: self.bodies.append((process, body))
        self.neighbours.on_gone = self.gone.append
        self.neighbours.on_asked = self._asked

    def _asked(self) -> None:
        self.asked += 1

    @property
    def name(self) -> str:
        return self.neighbours.process


@pytest.mark.parametrize("way", WAYS)
async def test_processes_find_each_other_and_notice_an_end(tmp_path: Path, way: str) -> None:
    async with buses(way, tmp_path, 3) as each:
        processes = [Heard(bus) for bus in each]
        tasks = [asyncio.create_task(process.neighbours.run()) for process in processes]
        await until(lambda: all(len(p.neighbours.known) == 2 for p in processes))
        tasks[0].cancel()
        await until(lambda: all(p.gone == [processes[0].name] for p in processes[1:]), 1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_missed_message_has_everything_told_again() -> None:
    exchange = Exchange()
    bus, raw = exchange.bus(), exchange.bus()
    one = Heard(bus)
    told: list[bytes] = []
    raw.on_message = told.append
    async with carried([bus, raw]):
        one.bodies.clear()
        for number in (1, 2, 4):
            raw.publish(pack("other", number, Watching(M1, (HallId(f"h{number}"),))))
        await until(lambda: len(one.bodies) == 3)
        asks = [unpack(message)[2] for message in told if unpack(message)[0] == one.name]
        assert [getattr(body, "process", None) for body in asks].count("other") == 2  # found, and missed one


async def test_who_is_silent_is_gone_but_nobody_while_the_bus_is_away() -> None:
    now = [0.0]
    bus = Exchange().bus()
    neighbours = Neighbours(bus, clock=lambda: now[0])
    gone: list[str] = []
    neighbours.on_gone = gone.append
    bus.up = True
    bus.on_up(True)
    bus.on_message(pack("other", 1, Beat()))
    bus.up = False
    bus.on_up(False)
    living = asyncio.create_task(neighbours.run())
    now[0] = 100.0
    await asyncio.sleep(1.1)
    assert not gone and neighbours.known == {"other"}
    bus.on_up(True)
    await asyncio.sleep(1.1)
    assert not gone, "it had no time to be heard since"
    now[0] = 105.0
    await until(lambda: gone == ["other"], 2.0)
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)


def test_a_message_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    import msgspec

    unknown = msgspec.msgpack.encode(("p", 7, {"type": "something-new", "x": 1}))
    assert unpack(unknown) == ("p", 7, None)
    more = msgspec.msgpack.encode(("p", 8, {"type": "watching", "meeting": "m1", "halls": ["h1"], "new": True}))
    assert unpack(more) == ("p", 8, Watching(M1, (HallId("h1"),)))
    told = hall_now(wire.HallPresence(hall=HallId("h1"), online=True), 5.0)
    told.presence["new"] = "field"
    assert presence_of(told).online


def test_a_wake_up_carries_small_entries_with_their_chain() -> None:
    head = Head(4, b"x" * 32)
    drafts = [
        Draft(at=1.0, actor="server:", command_id=f"c{n}", command_type="t", change="{}")  # type: ignore[arg-type]
        for n in range(3)
    ]
    told = wrote(M1, head, drafts)
    assert told.rev == 7 and len(told.entries) == 3 and first_broken(M1, head, told.entries) is None
    large = [Draft(at=1.0, actor="a", command_id="c", command_type="t", change="x" * 9_000)]  # type: ignore[arg-type]
    assert wrote(M1, head, large).entries == ()


def presence(hall: str = "h1", online: bool = True, **more: Any) -> wire.HallPresence:
    return wire.HallPresence(hall=HallId(hall), online=online, **more)


def test_a_hall_is_as_its_pages_process_tells_with_all_phones() -> None:
    elsewhere = Elsewhere()
    elsewhere.put("b", [Told(9.0, presence(viewing=True, media="connected", camera="sending", phones=3))], reset=False)
    elsewhere.put("c", [Told(None, presence(online=False, phones=4))], reset=False)
    here = presence(online=False, phones=5)
    assert elsewhere.merged(here) == presence(viewing=True, media="connected", camera="sending", phones=12)
    assert elsewhere.page(HallId("h1")) == (9.0, "b") and elsewhere.phones == 7
    assert elsewhere.drop("c") == [] and elsewhere.drop("b") == ["h1"]
    assert elsewhere.merged(here) == here and elsewhere.page(HallId("h1")) is None


def test_what_is_told_anew_replaces_all_of_before() -> None:
    elsewhere = Elsewhere()
    elsewhere.put("b", [Told(1.0, presence("h1")), Told(2.0, presence("h2"))], reset=True)
    assert set(elsewhere.put("b", [Told(3.0, presence("h2"))], reset=True)) == {"h1", "h2"}
    assert elsewhere.page(HallId("h1")) is None and elsewhere.page(HallId("h2")) == (3.0, "b")


def test_an_encoder_by_another_process_is_the_halls_picture() -> None:
    elsewhere = Elsewhere()
    elsewhere.put("b", [Told(None, presence(online=False, media="connected", camera="sending"))], reset=False)
    assert elsewhere.merged(presence(viewing=True)) == presence(viewing=True, media="connected", camera="sending")


@asynccontextmanager
async def clusters(redis: RedisServer, number: int) -> AsyncIterator[list[Cluster]]:
    made = [cluster_of(redis.url, b"secret", 0) for _ in range(number)]
    each = [await one.__aenter__() for one in made]
    try:
        await until(lambda: all(len(one.neighbours.known) == number - 1 for one in each))
        yield each
    finally:
        for one in made:
            await one.__aexit__(None, None, None)


@pytest.mark.slow
async def test_failed_attempts_count_for_all_processes_and_at_home_while_redis_is_away(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis, clusters(redis, 2) as (one, two):
        here, there = Attempts(3, 60), Attempts(3, 60)
        one.share(logins=here)
        two.share(logins=there)
        here.failed("10.0.0.1")
        there.failed("10.0.0.1")
        here.failed("10.0.0.1")
        await until(lambda: here.exhausted("10.0.0.1") and there.exhausted("10.0.0.1"))
        await redis.stop()
        await until(lambda: not one.neighbours.up)
        for _ in range(3):
            here.failed("10.0.0.2")
        assert here.exhausted("10.0.0.2")


class AllTold:
    """A part that counts."""

    def __init__(self, cluster: Cluster, watching: str) -> None:
        self.cluster = cluster
        self.heard: dict[str, tuple[HallId, ...]] = {}
        self.watching = watching

    def told(self, process: str, body: MeetingBody) -> None:
        assert isinstance(body, Watching)
        self.heard[process] = body.halls

    def everything(self) -> list[MeetingBody]:
        return [Watching(M1, (HallId(self.watching),))]

    def gone(self, process: str) -> None:
        self.heard.pop(process, None)


@pytest.mark.slow
async def test_redis_stopped_and_started_stuck_and_slow_costs_latency_only(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis, SlowWay(redis.port) as way:
        slow = RedisServer(tmp_path, way.port)
        async with clusters(slow, 3) as each:
            parts = [AllTold(cluster, f"h{n}") for n, cluster in enumerate(each)]
            for part in parts:
                part.cluster.join(M1, part)

            def all_know(mark: str) -> bool:
                wanted = {part.cluster.process: (HallId(part.watching),) for part in parts}
                return all(
                    part.heard == {p: h for p, h in wanted.items() if p != part.cluster.process} for part in parts
                )

            await until(lambda: all_know("first"))
            for fault in ("stopped", "stuck", "slow"):
                for part in parts:
                    part.watching += fault
                if fault == "stopped":
                    await redis.stop()
                    await until(lambda: not any(cluster.neighbours.up for cluster in each))
                    began = time.perf_counter()
                    for cluster in each:
                        for _ in range(10_000):
                            cluster.send(Watching(M1, ()))
                    assert time.perf_counter() - began < 3.0, "sending never waits"
                    assert all(len(cluster.neighbours.known) == 2 for cluster in each), "nobody is gone by that"
                    await redis.start()
                elif fault == "stuck":
                    way.stuck = True
                    await until(lambda: not any(cluster.neighbours.up for cluster in each), 20.0)
                    way.stuck = False
                else:
                    way.delay_s = 1.0
                    for part in parts:
                        part.cluster.send(Watching(M1, (HallId(part.watching),)))
                await until(lambda: all(cluster.neighbours.up for cluster in each), 20.0)
                await until(partial(all_know, fault), 20.0)
            way.delay_s = 0.0


async def test_who_is_alone_holds_every_lease_with_growing_tokens() -> None:
    leases = OwnLeases(100)
    told: list[int | None] = []
    one, two = leases.lease("media"), leases.lease("other")
    one.listen(told.append)
    assert one.token is not None and two.token is not None and one.token < two.token and told == [one.token]


@pytest.mark.slow
async def test_a_lease_has_one_holder_and_its_tokens_grow_even_when_redis_forgets(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        kept = [RedisLeases(redis.url, "test", f"p{n}") for n in range(3)]
        leases = [each.lease("media") for each in kept]
        tasks = [asyncio.create_task(lease.run()) for lease in leases]

        def holders() -> list[int]:
            return [n for n, lease in enumerate(leases) if lease.token is not None]

        await until(holders)
        await asyncio.sleep(1.0)
        (first,) = holders()
        token = leases[first].token
        assert token is not None
        tasks[first].cancel()  # given back at once
        await until(lambda: holders() and holders() != [first])
        (second,) = holders()
        assert (leases[second].token or 0) > token
        token = leases[second].token or 0
        await redis.stop()
        await asyncio.sleep(HELD_S + 1.0)
        assert leases[second].token == token, "nobody could have taken its place"
        await redis.start()  # and it knows of nothing
        await until(lambda: any((leases[n].token or 0) > token for n in holders()))
        await until(lambda: len(holders()) == 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in kept:
            await each.close()


def test_pages_of_this_version_and_the_one_before_are_served() -> None:
    answers: dict[int, str | None] = {}
    for said in (3, 4, 5, 6):
        try:
            check_protocol(said, newest=5, oldest=4)
            answers[said] = None
        except Denial as denial:
            answers[said] = denial.code
    assert answers == {3: "wrong_protocol", 4: None, 5: None, 6: "unavailable"}
    assert wire.PROTOCOL - wire.OLDEST_PROTOCOL <= 1


def test_deployments_on_one_redis_do_not_hear_each_other() -> None:
    assert deployment(b"one") != deployment(b"two")


@pytest.mark.parametrize("value", ["", "x"])
async def test_without_redis_a_process_is_alone(value: str) -> None:
    if value:
        with pytest.raises(ValueError):
            async with cluster_of(value, b"secret", 0):
                pass
        return
    async with cluster_of(value, b"secret", 0) as cluster:
        cluster.send(Watching(M1, ()))
        assert not cluster.shared and cluster.leases.lease("media").token == 0
