"""Pages drawn once and kept, with a count of how often a worker was asked."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.demo import PAPER
from server.papers.library import PaperLibrary
from server.papers.pages import PaperPages
from server.papers.problem import PaperError
from server.papers.store import PaperStore
from server.papers.workers import PaperWorkers


class CountingWorkers(PaperWorkers):
    """Real workers that count the pages drawn."""

    drawn = 0

    async def render(self, path: Path, page: int, width: int) -> bytes:
        self.drawn += 1
        return await super().render(path, page, width)


@pytest_asyncio.fixture
async def workers() -> AsyncIterator[CountingWorkers]:
    started = CountingWorkers(size=1)
    async with started:
        yield started


def stored(folder: Path) -> tuple[PaperLibrary, str]:
    store = PaperStore(folder / "papers")
    return PaperLibrary(store, None), store.put(PAPER.read_bytes()).sha256


async def test_a_page_is_drawn_once_for_all_who_ask(workers: CountingWorkers, tmp_path: Path) -> None:
    papers, paper = stored(tmp_path)
    pages = PaperPages(papers, workers, tmp_path / "pages")
    pictures = await asyncio.gather(*(pages.image(paper, 1, 480) for _ in range(50)))
    assert len(set(pictures)) == 1
    assert await pages.image(paper, 1, 480) == pictures[0]
    assert workers.drawn == 1
    await pages.image(paper, 1, 800)
    await pages.image(paper, 2, 480)
    assert workers.drawn == 3


async def test_pages_are_kept_over_a_restart(workers: CountingWorkers, tmp_path: Path) -> None:
    papers, paper = stored(tmp_path)
    first = await PaperPages(papers, workers, tmp_path / "pages").image(paper, 1, 480)
    assert await PaperPages(papers, workers, tmp_path / "pages").image(paper, 1, 480) == first
    assert workers.drawn == 1


async def test_what_was_not_asked_for_longest_goes_first(workers: CountingWorkers, tmp_path: Path) -> None:
    papers, paper = stored(tmp_path)
    sizes = [len(await workers.render(PAPER, page, 480)) for page in (1, 2, 3)]
    workers.drawn = 0
    pages = PaperPages(papers, workers, tmp_path / "pages", most_bytes=sum(sizes) - 1)
    for page in (1, 2, 1, 3):  # 3 does not fit beside both: 2 goes
        await pages.image(paper, page, 480)
    kept = {path.name for path in (tmp_path / "pages").iterdir()}
    assert kept == {f"{paper}-1-480.webp", f"{paper}-3-480.webp"}
    assert workers.drawn == 3


async def test_text(workers: CountingWorkers, tmp_path: Path) -> None:
    papers, paper = stored(tmp_path)
    pages = PaperPages(papers, workers, tmp_path / "pages")
    assert "187 điểm cầu với gần 10.000 đại biểu" in " ".join((await pages.text(paper, 1)).split())
    assert await pages.text(paper, 1) == await pages.text(paper, 1)


@pytest.mark.parametrize(("page", "width"), [(0, 480), (5, 480), (1, 481), (1, 0)])
async def test_no_such_page_or_width(workers: CountingWorkers, tmp_path: Path, page: int, width: int) -> None:
    papers, paper = stored(tmp_path)
    pages = PaperPages(papers, workers, tmp_path / "pages")
    with pytest.raises(PaperError) as caught:
        await pages.image(paper, page, width)
    assert caught.value.code == "not_found"
    assert list((tmp_path / "pages").iterdir()) == []


async def test_one_reader_leaving_does_not_take_the_page_from_the_others(
    workers: CountingWorkers, tmp_path: Path
) -> None:
    papers, paper = stored(tmp_path)
    pages = PaperPages(papers, workers, tmp_path / "pages")
    first, second = (asyncio.create_task(pages.image(paper, 1, 480)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second
    assert workers.drawn == 1


async def test_closing_lets_go_of_drawings_under_way(workers: CountingWorkers, tmp_path: Path) -> None:
    papers, paper = stored(tmp_path)
    pages = PaperPages(papers, workers, tmp_path / "pages")
    reader = asyncio.create_task(pages.image(paper, 1, 1600))
    await asyncio.sleep(0.05)
    await pages.close()
    with pytest.raises(asyncio.CancelledError):
        await reader
