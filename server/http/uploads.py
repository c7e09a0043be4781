"""Files that come in: streamed to the disk, bounded, hashed."""

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

import msgspec
from aiohttp import BodyPartReader, web

from server.joining import Denial

CHUNK = 256 * 1024
MOST_FIELDS = 8
MOST_FIELD = 4_000


class Upload(msgspec.Struct, frozen=True):
    """A received file (in the uploads folder; whoever received it removes or moves it) and the form's other fields."""

    path: Path
    filename: str
    sha256: str
    size: int
    fields: dict[str, str]


async def receive(request: web.Request, folder: Path, most: int) -> Upload:
    """The multipart form's part `file`, stored in the existing folder, and its text fields. Raises `Denial`."""
    if not request.content_type.startswith("multipart/"):
        raise Denial("bad_request")
    path = folder / f"incoming-{secrets.token_hex(8)}"
    fields: dict[str, str] = {}
    stored: tuple[str, str, int] | None = None
    try:
        try:
            form = await request.multipart()
            while (part := await form.next()) is not None:
                if not isinstance(part, BodyPartReader) or len(fields) > MOST_FIELDS:
                    raise Denial("bad_request")
                if part.name == "file" and stored is None:
                    stored = (part.filename or "", *await _store(part, path, most))
                else:
                    fields[part.name or ""] = await _field(part)
        except (ValueError, AssertionError, RuntimeError) as error:
            raise Denial("bad_request") from error
        if stored is None:
            raise Denial("bad_request", "file")
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    return Upload(path, stored[0], stored[1], stored[2], fields)


async def _field(part: BodyPartReader) -> str:
    data = await part.read_chunk(MOST_FIELD + 1)
    if len(data) > MOST_FIELD:
        raise Denial("too_large", part.name)
    return bytes(data).decode("utf-8")


async def _store(part: BodyPartReader, path: Path, most: int) -> tuple[str, int]:
    """Write the part; its SHA-256 and size."""
    digest = hashlib.sha256()
    size = 0
    with await asyncio.to_thread(path.open, "xb") as file:
        while chunk := await part.read_chunk(CHUNK):
            size += len(chunk)
            if size > most:
                raise Denial("too_large", "file")
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest(), size
