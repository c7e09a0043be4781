"""The worker processes: bounded, replaced, and gone at the end."""

import asyncio
import io
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from server.demo import PAPER
from server.papers.facts import WIDTHS
from server.papers.problem import PaperError
from server.papers.workers import PaperWorkers
from tests.support import pdf_files

pytestmark = pytest.mark.slow


def children() -> set[int]:
    """The worker processes of this process that live."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = status.read_text().rpartition(")")
            command = (status.parent / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state != "Z" and b"server.papers.worker" in command:
            found.add(int(status.parent.name))
    return found


def about(process: int, what: str) -> bytes:
    return Path(f"/proc/{process}/{what}").read_bytes()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        for _ in itertools.repeat(None):
            if reached():
                break
            await asyncio.sleep(0.01)


async def test_pages_as_pictures_and_text() -> None:
    async with PaperWorkers(size=1) as workers:
        for width in WIDTHS:
            picture = Image.open(io.BytesIO(await workers.render(PAPER, 2, width)))
            assert (picture.format, picture.width) == ("WEBP", width)
            assert abs(picture.height / picture.width - 297 / 210) < 0.01
        assert set(picture.convert("L").tobytes()) >= {0, 255}  # ink and paper
        assert "Điểm cầu Triệu tập Có mặt" in await workers.text(PAPER, 2)
        for page in (0, 5, -1):
            with pytest.raises(PaperError) as caught:
                await workers.render(PAPER, page, 480)
            assert caught.value.code == "not_found"


async def test_odd_sizes_of_pages_make_bounded_pictures(tmp_path: Path) -> None:
    async with PaperWorkers(size=1) as workers:
        for size in ((100, 14_000), (14_000, 100), (1_000_000, 1_000_000)):
            (tmp_path / "odd.pdf").write_bytes(pdf_files.sized_page(*size))
            picture = Image.open(io.BytesIO(await workers.render(tmp_path / "odd.pdf", 1, 800)))
            assert picture.width <= 801
            assert picture.height <= 4_001


async def test_a_huge_picture_in_a_page(tmp_path: Path) -> None:
    path = tmp_path / "huge.pdf"
    path.write_bytes(pdf_files.huge_image())
    async with PaperWorkers(size=1) as workers:
        assert Image.open(io.BytesIO(await workers.render(path, 1, 480))).width == 480


async def test_no_more_processes_than_said_and_none_left() -> None:
    before = children()
    async with PaperWorkers(size=2) as workers:
        await asyncio.gather(*(workers.text(PAPER, 1 + n % 4) for n in range(12)))
        assert len(children() - before) == 2
    assert children() == before


async def test_too_many_jobs_waiting_are_refused() -> None:
    async with PaperWorkers(size=1, most_waiting=3) as workers:
        outcomes = await asyncio.gather(*(workers.text(PAPER, 1) for _ in range(5)), return_exceptions=True)
        refused = [o.code for o in outcomes if isinstance(o, PaperError)]
        assert refused == ["unavailable"] * 2
        assert await workers.text(PAPER, 1)


async def test_a_job_that_takes_too_long_is_ended_with_its_process(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pdf"
    bomb.write_bytes(pdf_files.stream_bomb())
    before = children()
    async with PaperWorkers(size=1, timeout_s=0.3) as workers:
        began = time.perf_counter()
        with pytest.raises(PaperError) as caught:
            await workers.inspect(bomb)
        assert caught.value.code == "pdf_broken"
        assert time.perf_counter() - began < 5
        assert children() == before


async def test_a_caller_who_leaves_costs_no_place(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pdf"
    bomb.write_bytes(pdf_files.stream_bomb())
    before = children()
    async with PaperWorkers(size=1) as workers:
        job = asyncio.create_task(workers.inspect(bomb))
        await until(lambda: bool(children() - before))
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert children() == before
        assert (await workers.inspect(PAPER)).pages == 4


async def test_a_killed_process_is_replaced() -> None:
    before = children()
    async with PaperWorkers(size=1) as workers:
        await workers.text(PAPER, 1)
        (process,) = children() - before
        os.kill(process, signal.SIGKILL)
        await until(lambda: process not in children())
        assert await workers.text(PAPER, 1)
        assert process not in children()


async def test_a_worker_knows_nothing_of_the_servers_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIEMCAU_SECRET", "do not tell")
    before = children()
    async with PaperWorkers(size=1) as workers:
        await workers.text(PAPER, 1)
        (process,) = children() - before
        assert b"do not tell" not in about(process, "environ")
        limits = about(process, "limits").decode()
        assert "Max address space         1610612736" in limits
        assert "Max file size             0 " in limits
