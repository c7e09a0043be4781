"""What a file is, told by worker processes as the server uses them."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.demo import PAPER
from server.papers.facts import PaperFacts
from server.papers.problem import PaperError
from server.papers.workers import PaperWorkers
from tests.support import pdf_files

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def workers() -> AsyncIterator[PaperWorkers]:
    async with PaperWorkers(size=1) as started:
        yield started


async def inspected(workers: PaperWorkers, folder: Path, data: bytes) -> PaperFacts | str:
    """The facts, or the code of the refusal."""
    path = folder / "paper.pdf"
    path.write_bytes(data)
    try:
        return await workers.inspect(path)
    except PaperError as problem:
        return problem.code


async def test_the_sample_paper(workers: PaperWorkers) -> None:
    facts = await workers.inspect(PAPER)
    assert facts.title == "Báo cáo kết quả công tác tuyên giáo và dân vận quý II"
    assert (facts.pages, facts.searchable, facts.size) == (4, True, PAPER.stat().st_size)


async def test_searchable_is_told_by_most_pages(workers: PaperWorkers, tmp_path: Path) -> None:
    stamp = "Signed by the provincial committee on 1 June 2026"
    for texts, searchable in (([stamp] * 3, True), ([stamp, "", ""], False), ([stamp, ""], True), (["no"], False)):
        facts = await inspected(workers, tmp_path, pdf_files.text_pdf(*texts))
        assert isinstance(facts, PaperFacts)
        assert facts.searchable is searchable
    scan = await inspected(workers, tmp_path, pdf_files.scanned_pdf(40))
    assert isinstance(scan, PaperFacts)
    assert (scan.pages, scan.searchable, scan.title) == (40, False, "")


async def test_what_is_no_readable_pdf(workers: PaperWorkers, tmp_path: Path) -> None:
    sound = pdf_files.text_pdf("Hello")
    cases = {
        b"": "pdf_empty",
        b"PK\x03\x04 a workbook": "not_a_pdf",
        b"<html>%PD</html>": "not_a_pdf",
        b"%PDF-1.7\n": "pdf_broken",
        b"%PDF-1.7\nnothing in here\n%%EOF\n": "pdf_broken",
        b" " * 1_025 + sound: "not_a_pdf",
        sound + b" " * 1_025: "pdf_broken",
        pdf_files.text_pdf(): "pdf_empty",
        pdf_files.encrypted_pdf("secret"): "pdf_encrypted",
    }
    for data, code in cases.items():
        assert await inspected(workers, tmp_path, data) == code, data[:40]


async def test_restrictions_without_a_password_are_no_obstacle(workers: PaperWorkers, tmp_path: Path) -> None:
    facts = await inspected(workers, tmp_path, pdf_files.encrypted_pdf(""))
    assert isinstance(facts, PaperFacts)
    assert facts.searchable
    assert "have the password" in await workers.text(tmp_path / "paper.pdf", 1)


async def test_a_file_cut_off_anywhere_is_broken(workers: PaperWorkers, tmp_path: Path) -> None:
    data = PAPER.read_bytes()
    for length in (200, 1_000, 5_000, len(data) // 2, len(data) - 2_000, len(data) - 100, len(data) - 7):
        assert await inspected(workers, tmp_path, data[:length]) == "pdf_broken"


async def test_limits(workers: PaperWorkers, tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(pdf_files.scanned_pdf(4))
    for limits in ({"most_pages": 3}, {"most_bytes": path.stat().st_size - 1}):
        with pytest.raises(PaperError) as caught:
            await workers.inspect(path, **limits)
        assert caught.value.code == "too_large"
    assert (await workers.inspect(path, most_pages=4, most_bytes=path.stat().st_size)).pages == 4


async def refusals(workers: PaperWorkers, path: Path) -> set[str]:
    """The codes with which page 1 of the file is refused."""
    codes: set[str] = set()
    for ask in (lambda: workers.render(path, 1, 480), lambda: workers.text(path, 1)):
        with pytest.raises(PaperError) as caught:
            await ask()
        codes.add(caught.value.code)
    return codes


async def test_a_file_that_is_not_there(workers: PaperWorkers, tmp_path: Path) -> None:
    with pytest.raises(PaperError) as caught:
        await workers.inspect(tmp_path / "absent")
    assert caught.value.code == "not_found"
    assert await refusals(workers, tmp_path / "absent") == {"not_found"}


HOSTILE = {
    "a tree of a billion pages": pdf_files.page_bomb(),
    "a tree of pages that contains itself": pdf_files.page_loop(),
    "a tree five thousand deep": pdf_files.deep_tree(5_000),
    "brackets a hundred thousand deep": pdf_files.nested_arrays(100_000),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_files_are_broken_files(workers: PaperWorkers, tmp_path: Path, case: str) -> None:
    """Quickly, and the next file is read as if nothing had been."""
    began = time.perf_counter()
    assert await inspected(workers, tmp_path, HOSTILE[case]) == "pdf_broken"
    assert await refusals(workers, tmp_path / "paper.pdf") <= {"pdf_broken", "not_found"}
    assert time.perf_counter() - began < 60
    assert (await workers.inspect(PAPER)).pages == 4


@pytest.mark.slow
async def test_a_stream_of_gigabytes(workers: PaperWorkers, tmp_path: Path) -> None:
    data = pdf_files.stream_bomb(gigabytes=2)
    assert len(data) < 50_000
    began = time.perf_counter()
    assert await inspected(workers, tmp_path, data) == "pdf_broken"
    assert time.perf_counter() - began < 30
    assert (await workers.inspect(PAPER)).pages == 4


@given(at=st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(0, 255)), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_changed_bytes_are_read_or_refused(
    workers: PaperWorkers, tmp_path: Path, at: list[tuple[int, int]]
) -> None:
    data = bytearray(PAPER.read_bytes())
    for place, value in at:
        data[place % len(data)] = value
    found = await inspected(workers, tmp_path, bytes(data))
    assert isinstance(found, PaperFacts) or found in ("pdf_broken", "not_a_pdf", "pdf_empty", "pdf_encrypted")
