"""Backup while commands are written, and restore: the same record, papers that open, links that are good."""

import asyncio
import contextlib
import io
import stat
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from rooms.agenda import EditMeeting
from server.backup import Manifest
from server.database.log import Entry, Log
from server.demo import PAPER
from tests.server.test_cli import diemcau
from tests.server.test_documents import publish
from tests.support.live import Live, client, live
from tests.support.meetings import HOST, make
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def writing_all_the_time(server: Live) -> AsyncIterator[Callable[[], int]]:
    """Commands one after the other; the function tells how many were acknowledged."""
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await server.runner.submit(HOST, make(EditMeeting, title=f"Hội nghị {written}"))
            written += 1

    task = asyncio.create_task(write())
    try:
        yield lambda: written
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def entries(server: Live) -> list[Entry]:
    log, found = Log(server.engine), list[Entry]()
    while more := await log.read(server.meeting, found[-1].rev if found else 0):
        found += more
    return found


def manifest_of(backup: Path) -> Manifest:
    with tarfile.open(backup) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        return msgspec.json.decode(file.read(), type=Manifest)


def altered(backup: Path, target: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """A copy with one member changed, or left out (None)."""
    with tarfile.open(backup) as tar, tarfile.open(target, "w") as copy:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            data: bytes | None = file.read()
            if member.name == name:
                data = change(data or b"")
            if data is not None:
                info = tarfile.TarInfo(member.name)
                info.size = len(data)
                copy.addfile(info, io.BytesIO(data))
    return target


async def test_a_backup_made_in_the_middle_of_work_brings_everything_back(tmp_path: Path) -> None:
    old, new, backup = tmp_path / "old", tmp_path / "new", tmp_path / "backup.tar"
    async with live(old) as server:
        await server.login("secretary")
        _, document = await publish(server, title="Dự thảo")
        async with writing_all_the_time(server) as written:
            while written() < 20:
                await asyncio.sleep(0.01)
            before = written()
            code, shown = await diemcau(old, "backup", str(backup))
            after = written()
        assert code == 0, shown
        assert after > before, "the server went on meanwhile"
        whole, hall, phone = await entries(server), server.hall_token(), server.delegate_token()
        meeting = server.meeting
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "old"], "nothing is left beside it"
    rev, hash = manifest_of(backup).heads[meeting]
    assert before <= rev <= len(whole) and whole[rev - 1].hash.hex() == hash
    assert f"{rev} entries, the last has hash {hash}" in shown and " 1 papers: " in shown

    code, shown = await diemcau(new, "restore", str(backup))
    assert code == 0 and f"{rev} entries, all fit; the last has hash {hash}" in shown, shown
    code, shown = await diemcau(new, "verify")
    assert (code, shown.strip()) == (0, f"meeting {meeting}: {rev} entries, all fit; the last has hash {hash}")
    async with live(new) as server:
        assert await entries(server) == whole[:rev], "the same entries, and no more"
        await server.login("secretary")  # accounts are there too
        async with client(server, hall) as one:
            assert len(one.records("document")) == 1, "links that were printed are good"
        path = f"/api/meetings/{meeting}/documents/{document['id']}/file"
        assert await server.get(path, phone) == (200, PAPER.read_bytes())
        await server.runner.submit(HOST, make(EditMeeting, title="Và tiếp tục"))
    code, shown = await diemcau(new, "verify")
    assert code == 0 and " entries, all fit" in shown and hash not in shown


async def test_a_backup_goes_from_sqlite_to_postgresql_and_back(tmp_path: Path, cluster: Postgres) -> None:
    """Papers and secret are files here and rows there."""
    first, second, third = (tmp_path / f"{name}.tar" for name in ("first", "second", "third"))
    async with live(tmp_path / "old") as server:
        await server.login("secretary")
        _, document = await publish(server)
        hall, meeting, whole = server.hall_token(), server.meeting, await entries(server)
    assert (await diemcau(tmp_path / "old", "backup", str(first)))[0] == 0

    url = cluster.fresh()
    code, shown = await diemcau(tmp_path / "machine", "restore", str(first), "--database", url)
    assert code == 0 and f"{len(whole)} entries, all fit" in shown, shown
    # another machine with nothing of its own; commands and a backup at the same time
    async with live(tmp_path / "other", database_url=url) as server:
        assert (await entries(server))[: len(whole)] == whole
        async with client(server, hall) as one:
            assert one.records("document"), "links that were printed are good"
        path = f"/api/meetings/{meeting}/documents/{document['id']}/file"
        assert await server.get(path, server.delegate_token()) == (200, PAPER.read_bytes())
        async with writing_all_the_time(server) as written:
            while written() < 20:
                await asyncio.sleep(0.01)
            code, shown = await diemcau(tmp_path / "third machine", "backup", str(second), "--database", url)
        assert code == 0, shown
        whole = await entries(server)
    rev, hash = manifest_of(second).heads[meeting]
    assert whole[rev - 1].hash.hex() == hash
    code, shown = await diemcau(tmp_path / "x", "restore", str(second), "--database", url)
    assert code == 1 and "not empty" in shown

    code, shown = await diemcau(tmp_path / "new", "restore", str(second))
    assert code == 0 and f"{rev} entries, all fit; the last has hash {hash}" in shown, shown
    assert (await diemcau(tmp_path / "new", "backup", str(third)))[0] == 0
    assert manifest_of(third).heads == manifest_of(second).heads
    papers = [name for name in manifest_of(third).members if name.startswith("documents/")]
    assert len(papers) == 1 and papers == [n for n in manifest_of(first).members if n.startswith("documents/")]
    async with live(tmp_path / "new") as server, client(server, hall) as one:
        assert (await entries(server))[:rev] == whole[:rev] and one.records("document")


async def test_a_damaged_or_strange_backup_changes_nothing(tmp_path: Path) -> None:
    backup, new = tmp_path / "backup.tar", tmp_path / "new"
    async with live(tmp_path / "old") as server:
        await server.login("secretary")
        await publish(server)
    assert (await diemcau(tmp_path / "old", "backup", str(backup)))[0] == 0
    paper = next(name for name in manifest_of(backup).members if name.startswith("documents/"))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(backup.read_bytes()[:-20_000])
    for number, (bad, why) in enumerate(
        (
            (altered(backup, tmp_path / "1.tar", "tables/entries.jsonl.gz", lambda data: data + b"x"), "damaged"),
            (altered(backup, tmp_path / "2.tar", paper, lambda _: b"%PDF-other"), "damaged"),
            (altered(backup, tmp_path / "3.tar", paper, lambda _: None), "damaged"),
            (altered(backup, tmp_path / "4.tar", "manifest.json", lambda _: None), "no end"),
            (cut, "no"),
        )
    ):
        code, shown = await diemcau(new, "restore", str(bad))
        assert code == 1 and why in shown and "Traceback" not in shown, (number, shown)
    assert not (new / "secret").exists() and not (new / "documents").exists()
    assert (await diemcau(new, "restore", str(backup)))[0] == 0, "after all that it is still an empty place"


async def test_a_backup_never_goes_over_a_record_that_is_there(tmp_path: Path) -> None:
    backup = tmp_path / "backup.tar"
    async with live(tmp_path / "data"):
        pass
    assert (await diemcau(tmp_path / "data", "backup", str(backup)))[0] == 0
    code, shown = await diemcau(tmp_path / "data", "restore", str(backup))
    assert code == 1 and "not empty" in shown
    code, shown = await diemcau(tmp_path / "data", "backup", str(backup))
    assert code == 1 and "there already" in shown
    code, shown = await diemcau(tmp_path / "nowhere", "backup", str(tmp_path / "other.tar"))
    assert code == 1 and "no database" in shown
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret").write_bytes(b"another secret")
    code, shown = await diemcau(other, "restore", str(backup))
    assert code == 1 and "another secret" in shown and (other / "secret").read_bytes() == b"another secret"
