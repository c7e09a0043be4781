"""Clients that mean harm or cannot help it: the others' answers stay quick, and the server's memory bounded."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from rooms.agenda import AddItem, EditItem
from rooms.ids import ItemId
from rooms.visibility import Audience
from server import limits
from server.fanout import BACKLOG_MOST
from server.limits import Admission, Callers, TooMany
from tests.support.live import Live, WireClient, client, live
from tests.support.meetings import HOST, command_id, make
from tests.support.raw_phone import RawPhone, masked

pytestmark = pytest.mark.slow
ITEMS = 40


def rss_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@asynccontextmanager
async def unharmed(server: Live, grows_mb: int = 40) -> AsyncIterator[WireClient]:
    """While the block runs a calm delegate's commands are answered quickly, and the process does not grow."""
    async with client(server, server.delegate_token("d2")) as calm:
        acks: list[float] = []

        async def act() -> None:
            while True:
                began = time.perf_counter()
                assert (await calm.give("question.ask" if not acks else "attendance.check_in", **_first(acks)))["ok"]
                acks.append(time.perf_counter() - began)
                await asyncio.sleep(0.1)

        before = rss_kb()
        acting = asyncio.create_task(act())
        try:
            yield calm
            await asyncio.sleep(0.5)
        finally:
            acting.cancel()
            results = await asyncio.gather(acting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results[0]
        assert len(acks) >= 3 and statistics.median(acks) < 0.1 and max(acks) < 1.0, sorted(acks)
        assert rss_kb() - before < grows_mb * 1024


def _first(acks: list[float]) -> dict[str, str]:
    return {} if acks else {"text": "Tôi còn ở đây"}


async def cut(phone: RawPhone) -> bool:
    """Whether the server ends the connection within five seconds, whatever it says before."""
    try:
        async with asyncio.timeout(5):
            while await phone.reader.read(65536):
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


async def gone(server: Live, but: int, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while len(server.running.sockets.connected) > but:
            await asyncio.sleep(0.1)


async def test_half_open_handshakes(tmp_path: Path) -> None:
    async with live(tmp_path) as server, unharmed(server):
        silent = [await RawPhone.dial(server.url) for _ in range(100)]
        halves = [await RawPhone.dial(server.url) for _ in range(100)]
        for phone in halves:
            phone.writer.write(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\nX: ")
        mute = [await RawPhone.open(server.url) for _ in range(100)]
        nameless = [await RawPhone.open(server.url) for _ in range(50)]
        for phone in nameless:
            phone.say("40")
        await gone(server, but=1, within_s=15)
        for phone in silent + halves + mute + nameless:
            phone.close()


async def test_giant_messages(tmp_path: Path) -> None:
    async with live(tmp_path) as server, unharmed(server):
        announced = bytes((0x81, 0xFF)) + (2**40).to_bytes(8, "big") + b"mask"
        pieces = masked(b"4" + b"x" * 30_000, 0x01) + masked(b"x" * 30_000, 0x00) * 20
        whole = masked(b"4" + b"x" * 200_000)
        for bytes_sent in (announced + b"x" * 500_000, pieces, whole):
            phones = [await RawPhone.open(server.url) for _ in range(10)]
            for phone in phones:
                phone.writer.write(bytes_sent)
            assert all(await asyncio.gather(*(cut(phone) for phone in phones)))
            for phone in phones:
                phone.close()
        await gone(server, but=1, within_s=5)


async def test_floods_are_cut(tmp_path: Path) -> None:
    """Events, pings, and frames of one byte, as fast as they go."""
    kinds = (masked(b'42["command",{}]'), masked(b"", 0x89), masked(b"40"), masked(b"3"), masked(b'421["hello",{}]'))
    async with live(tmp_path) as server, unharmed(server):
        for flood in kinds:
            phones = [await RawPhone.open(server.url) for _ in range(5)]
            for phone in phones:
                phone.writer.write(flood * 20_000)
            assert all(await asyncio.gather(*(cut(phone) for phone in phones))), flood[:20]
            for phone in phones:
                phone.close()
        await gone(server, but=1, within_s=5)


async def test_noise_instead_of_frames(tmp_path: Path) -> None:
    async with live(tmp_path) as server, unharmed(server):
        for _ in range(60):
            phone = await RawPhone.open(server.url)
            phone.writer.write(os.urandom(2_000))
            await asyncio.sleep(0.01)
            phone.close()
        await gone(server, but=1, within_s=5)


async def test_who_does_not_read_gets_no_more_and_is_brought_up_when_it_reads(tmp_path: Path) -> None:
    async with live(tmp_path) as server, unharmed(server):
        stuck = [await RawPhone.open(server.url) for _ in range(30)]
        for phone in stuck:
            await phone.hello(server.delegate_token("d1"))
        items = [command_id() for _ in range(ITEMS)]
        await asyncio.gather(*(server.runner.submit(HOST, AddItem(id=i, title="Mục")) for i in items))
        for turn in range(25):
            title = f"{turn} " + "ê" * 180
            edits = (make(EditItem, item=ItemId(item), title=title, presenter="") for item in items)
            await asyncio.gather(*(server.runner.submit(HOST, edit) for edit in edits))
            await asyncio.sleep(0.06)
        fanout = server.service.room_of(server.runner).fanout
        backlogs = [one.backlog for one in fanout.of(Audience("delegate", "d1"))]
        assert len(backlogs) == 30 and max(backlogs) < BACKLOG_MOST + 64 * 1024
        assert "diemcau_lagging_total 0.0" not in server.service.metrics.text().decode()
        await stuck[0].read_until(server.runner.meeting.rev)
        truth = server.service.room_of(server.runner).views.replica(Audience("delegate", "d1")).put
        assert stuck[0].replica == {r.key: msgspec.json.decode(msgspec.json.encode(r)) for r in truth}
        for phone in stuck:
            phone.close()
        await gone(server, but=1, within_s=5)


async def test_a_flooding_address_is_cut_and_a_hall_behind_one_address_is_not(tmp_path: Path) -> None:
    async with live(tmp_path, trusted_proxy=True) as server, unharmed(server):
        hall = "X-Forwarded-For: 198.51.100.7\r\n"
        phones = [await RawPhone.open(server.url, hall) for _ in range(60)]
        for phone in phones:
            await phone.hello(server.delegate_token("d1"))
        for phone in phones:  # everybody votes at once, three times
            for turn in range(1, 4):
                command = {"type": "attendance.check_in", "id": command_id()}
                phone.say(f"42{turn}" + msgspec.json.encode(["command", command]).decode())
        async with asyncio.timeout(10):
            for phone in phones:
                while len(phone.answers) < 3:
                    await phone.read_some()
        assert all(answer["ok"] for phone in phones for answer in phone.answers.values())
        for phone in phones:
            phone.close()

        flood = "X-Forwarded-For: 203.0.113.9\r\n"
        opened, refused = [], 0
        for _ in range(int(limits.COMING_BURST) + 250):
            try:
                opened.append(await RawPhone.open(server.url, flood))
            except ConnectionRefusedError as error:
                assert "429" in str(error)
                refused += 1
        assert refused > 0
        neighbour = await RawPhone.open(server.url, hall)
        await neighbour.hello(server.delegate_token("d3"))
        for phone in [*opened, neighbour]:
            phone.close()


def test_an_address_has_its_share_and_this_machine_no_limit() -> None:
    callers = Callers()
    assert callers.admit("127.0.0.1", 0.0) is None and callers.admit("::1", 0.0) is None
    admitted = 0
    with pytest.raises(TooMany):
        for _ in range(10_000):
            callers.admit("192.0.2.1", 0.0)
            admitted += 1
    assert admitted == limits.COMING_BURST
    assert callers.admit("192.0.2.2", 0.0) is not None
    assert callers.admit("192.0.2.1", 1.0) is not None


async def test_admission_lets_through_at_a_bounded_rate_and_says_no_to_a_long_queue() -> None:
    admission = Admission()
    most = round(limits.MOST_WAIT_S / limits.PAUSE_S * limits.AT_ONCE)
    began = time.perf_counter()
    entering = [asyncio.create_task(admission.enter()) for _ in range(most + limits.AT_ONCE + 50)]
    await asyncio.sleep(0)
    for task in entering[120:most]:
        task.cancel()
    answers = await asyncio.gather(*entering, return_exceptions=True)
    assert answers[-50:] == [False] * 50
    assert answers[:120] == [True] * 120
    assert time.perf_counter() - began >= (120 / limits.AT_ONCE - 2) * limits.PAUSE_S
