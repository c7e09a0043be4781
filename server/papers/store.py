"""Papers on disk, each named by the SHA-256 of its bytes: `<folder>/ab/cd/<sha256>.pdf`.

Invariant: a file under its final name is whole and on the disk (written aside, fsync, renamed, folder fsync).
The same paper twice is one file.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import time
from pathlib import Path

import msgspec

from server.papers.problem import PaperError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = 1024 * 1024


class StoredPaper(msgspec.Struct, frozen=True):
    sha256: str
    size: int
    path: Path


class PaperStore:
    """`incoming` is a folder on the same disk for uploads under way."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Where the paper is (or would be). Raises `PaperError("not_found")` on anything but a hash."""
        if _SHA256.fullmatch(sha256) is None:
            raise PaperError("not_found")
        return self._folder / sha256[:2] / sha256[2:4] / f"{sha256}.pdf"

    def find(self, sha256: str) -> Path:
        """The stored paper's file. Raises `PaperError("not_found")`."""
        path = self.path(sha256)
        if not path.is_file():
            raise PaperError("not_found")
        return path

    def put(self, data: bytes) -> StoredPaper:
        handle, name = tempfile.mkstemp(dir=self.incoming, suffix=".pdf")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return self.adopt(Path(name))

    def adopt(self, upload: Path) -> StoredPaper:
        """Take over a file that was written into `incoming`; it is gone from there afterwards."""
        with upload.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(_PIECE):
                digest.update(piece)
            os.fsync(file.fileno())
            size = file.tell()
        path = self.path(digest.hexdigest())
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(upload, path)
        for folder in (path.parent, path.parent.parent, self._folder):
            _sync_folder(folder)
        return StoredPaper(digest.hexdigest(), size, path)

    def clear_incoming(self, older_s: float = 0.0) -> None:
        """Forget uploads that nobody has written to for so long: an earlier process did not finish them.

        Other processes may be receiving some meanwhile.
        """
        for upload in self.incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):  # taken over in between
                if upload.stat().st_mtime <= time.time() - older_s:
                    upload.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
