"""Backup and restore: one tar file with the rows of the database, the papers and the signing secret.

Made while servers run: the rows are of one moment (server.database.snapshot), and papers are named by their content and
never change, so those that the rows speak of are there afterwards. The file comes under its name when it is whole and
on the disk. It holds the secret and everybody's ballots: mode 600, and to be guarded like the data folder.

The same file goes into SQLite and PostgreSQL, so it is also the way from one to the other: papers and secret are
members of their own, wherever they were kept. The last member is the manifest: every other member's SHA-256, and where
each meeting's log ended.
"""

import asyncio
import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from rooms.ids import MeetingId
from server.app import token_secret
from server.database.engine import open_database
from server.database.files import Files
from server.database.log import Log
from server.database.secrets import Secrets
from server.database.snapshot import NotEmpty, NotOurs, fill, snapshot
from server.inspection import BrokenChain, chain_end
from server.papers.library import PAPERS, PaperLibrary
from server.papers.store import PaperStore
from server.settings import Settings

FORMAT = 1
_MANIFEST, _SECRET = "manifest.json", "secret"
_TABLE = re.compile(r"tables/([a-z_]{1,60})\.jsonl\.gz")
_PAPER = re.compile(r"documents/([0-9a-f]{64})\.pdf")
_APART = {"files", "file_pieces", "secrets"}
"""Tables of what goes its own way; uploads that wait for their import are left out."""
_MOST_MANIFEST = 64 * 1024 * 1024
_PIECE = 1024 * 1024

Say = Callable[[str], None]


class BackupFailed(Exception):
    """Why there is no backup, or nothing was restored; in words."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`heads`: meeting to the last entry's number and hash (hex). `members`: name to SHA-256 (hex)."""

    format: int
    made_at: float
    revision: str
    heads: dict[MeetingId, tuple[int, str]]
    rows: dict[str, int]
    members: dict[str, str]


# -- backup ------------------------------------------------------------------------------------------------------------


async def back_up(settings: Settings, target: Path, say: Say) -> None:
    """Write the backup to `target`. Raises `BackupFailed`, OSError."""
    _may_begin(settings, target)
    engine = await open_database(settings.url)
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as name:
            folder = Path(name)
            begun = await _write_tables(engine, folder)
            papers_in = settings.documents_dir
            if settings.shares_database:
                papers_in = folder / "documents"
                await _write_papers(Files(engine), papers_in)
            secret = await token_secret(settings, Secrets(engine))
            done = await asyncio.to_thread(_pack, papers_in, secret, folder, begun, target)
    finally:
        await engine.dispose()
    papers = sum(1 for member in done.members if _PAPER.fullmatch(member))
    for meeting, (rev, hash) in done.heads.items():
        say(f"meeting {meeting}: {rev} entries, the last has hash {hash}")
    say(f"{sum(done.rows.values())} rows, {papers} papers: {target}")


def _may_begin(settings: Settings, target: Path) -> None:
    if not settings.database_url and not (settings.data_dir / "diemcau.sqlite3").is_file():
        raise BackupFailed(f"there is no database in {settings.data_dir}")
    if target.exists():
        raise BackupFailed(f"{target} is there already")


async def _write_tables(engine: AsyncEngine, folder: Path) -> Manifest:
    """What is known of the manifest before papers are added."""
    made_at, rows = time.time(), dict[str, int]()
    async with snapshot(engine) as seen:
        for table in seen.tables:
            if table in _APART:
                continue
            with gzip.open(folder / f"{table}.jsonl.gz", "wb", compresslevel=5) as file:
                rows[table] = 0
                async for line in seen.rows(table):
                    file.write(line)
                    rows[table] += 1
        heads = {meeting: (head.rev, head.hash.hex()) for meeting, head in (await seen.heads()).items()}
        revision = seen.revision
    return Manifest(format=FORMAT, made_at=made_at, revision=revision, heads=heads, rows=rows, members={})


async def _write_papers(files: Files, folder: Path) -> None:
    """Those that are kept in the database, each piece by piece."""
    store = PaperStore(folder)
    for sha256 in await files.names(PAPERS):
        handle, name = tempfile.mkstemp(dir=store.incoming, suffix=".pdf")
        with os.fdopen(handle, "wb") as file:
            async for piece in files.pieces(f"{PAPERS}{sha256}"):
                file.write(piece)
        if (await asyncio.to_thread(store.adopt, Path(name))).sha256 != sha256:
            raise BackupFailed(f"the paper {sha256} in the database is not what its name says")


def _pack(papers_in: Path, secret: bytes, folder: Path, begun: Manifest, target: Path) -> Manifest:
    members: dict[str, str] = {}
    part = folder / "backup.tar"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for table in begun.rows:
                _add(tar, members, f"tables/{table}.jsonl.gz", folder / f"{table}.jsonl.gz")
            for paper in _papers(papers_in):
                _add(tar, members, f"documents/{paper.name}", paper)
            kept = folder / _SECRET
            kept.write_bytes(secret)
            _add(tar, members, _SECRET, kept)
            manifest = msgspec.structs.replace(begun, members=members)
            last = folder / _MANIFEST
            last.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            _add(tar, {}, _MANIFEST, last)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return manifest


def _papers(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("??/??/*.pdf")):
        if _PAPER.fullmatch(f"documents/{path.name}"):
            yield path


def _add(tar: tarfile.TarFile, members: dict[str, str], name: str, path: Path) -> None:
    with path.open("rb") as file:
        members[name] = _digest(file)
        file.seek(0)
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = os.fstat(file.fileno()).st_size, 0o600, int(path.stat().st_mtime)
        tar.addfile(info, file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


# -- restore -----------------------------------------------------------------------------------------------------------


async def restore(settings: Settings, source: Path, say: Say) -> None:
    """Bring the backup into an empty database and data folder, and verify every log. Raises `BackupFailed`, OSError.

    The backup is checked before anything is written; the rows come in one transaction.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        manifest = await asyncio.to_thread(_check, source)
    except (tarfile.TarError, EOFError, msgspec.MsgspecError) as error:
        raise BackupFailed(f"{source} is no backup, or not a whole one [{type(error).__name__}]") from error
    engine = await open_database(settings.url)
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as name:
            folder = Path(name)
            await asyncio.to_thread(_unpack, source, folder)
            await asyncio.to_thread(_may_have_secret, settings, folder)
            try:
                await fill(engine, [(table, _lines(folder / f"{table}.jsonl.gz")) for table in manifest.rows])
            except NotEmpty as full:
                raise BackupFailed(f"the database is not empty: there are {full}. Restore into a new one") from full
            except NotOurs as strange:
                raise BackupFailed(f"this is a newer version's backup: {strange}") from strange
            await _keep_files(settings, engine, folder)
        await _verify(Log(engine), manifest, say)
    finally:
        await engine.dispose()
    say(f"{sum(manifest.rows.values())} rows restored")


def _check(source: Path) -> Manifest:
    """The manifest of a backup whose members are all there, are ours, and are what they were."""
    found: dict[str, str] = {}
    manifest = None
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is None or manifest is not None:
                raise BackupFailed(f"{member.name} does not belong into a backup")
            if member.name == _MANIFEST:
                manifest = msgspec.json.decode(file.read(_MOST_MANIFEST), type=Manifest)
            elif _TABLE.fullmatch(member.name) or _PAPER.fullmatch(member.name) or member.name == _SECRET:
                found[member.name] = _digest(file)
            else:
                raise BackupFailed(f"{member.name} does not belong into a backup")
    if manifest is None:
        raise BackupFailed(f"{source} has no end: it was not made whole")
    if manifest.format != FORMAT:
        raise BackupFailed(f"this is a newer version's backup (format {manifest.format})")
    if found != manifest.members:
        changed = sorted(name for name in found.keys() | manifest.members.keys() if _differs(name, found, manifest))
        raise BackupFailed(f"the backup is damaged: {', '.join(changed[:5])}")
    return manifest


def _differs(name: str, found: dict[str, str], manifest: Manifest) -> bool:
    return found.get(name) != manifest.members.get(name)


def _unpack(source: Path, folder: Path) -> None:
    """Tables and secret into the folder, papers into `documents` in it."""
    papers = PaperStore(folder / "documents")
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                continue
            if (table := _TABLE.fullmatch(member.name)) is not None:
                with (folder / f"{table[1]}.jsonl.gz").open("xb") as target:
                    shutil.copyfileobj(file, target, _PIECE)
            elif _PAPER.fullmatch(member.name):
                with (papers.incoming / Path(member.name).name).open("xb") as target:
                    shutil.copyfileobj(file, target, _PIECE)
            elif member.name == _SECRET:
                with os.fdopen(os.open(folder / _SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                    shutil.copyfileobj(file, target)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        yield from file


def _may_have_secret(settings: Settings, folder: Path) -> None:
    """Links that were printed must not be voided by a restore into a place that has signed others."""
    kept, ours = folder / _SECRET, settings.data_dir / _SECRET
    if ours.exists() and kept.exists() and ours.read_bytes() != kept.read_bytes():
        raise BackupFailed(f"{ours} is another secret. Restore into an empty folder")


async def _keep_files(settings: Settings, engine: AsyncEngine, folder: Path) -> None:
    """The papers and the secret to where servers will look for them."""
    library = PaperLibrary(PaperStore(settings.documents_dir), Files(engine) if settings.shares_database else None)
    for paper in sorted((folder / "documents" / "incoming").iterdir()):
        if (await library.adopt(paper)).sha256 != paper.stem:
            raise BackupFailed(f"the paper {paper.stem} is not what its name says")
    kept, ours = folder / _SECRET, settings.data_dir / _SECRET
    if kept.exists():
        if not ours.exists():
            with kept.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(kept, ours)
        if await token_secret(settings, Secrets(engine)) != ours.read_bytes():
            raise BackupFailed("the database has another secret")


async def _verify(log: Log, manifest: Manifest, say: Say) -> None:
    """Every meeting's log fits together and ends where it ended."""
    for meeting, (rev, hash) in manifest.heads.items():
        log_id = await log.log_id(meeting)
        if log_id is None:
            raise BackupFailed(f"meeting {meeting} is missing")
        try:
            head = await chain_end(log, meeting, log_id)
        except BrokenChain as broken:
            raise BackupFailed(f"meeting {meeting}: entry {broken} does not fit") from broken
        if (head.rev, head.hash.hex()) != (rev, hash):
            raise BackupFailed(f"meeting {meeting} ends at entry {head.rev}, and not as it did")
        say(f"meeting {meeting}: {rev} entries, all fit; the last has hash {hash}")
