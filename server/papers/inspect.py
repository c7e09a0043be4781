"""Whether a file is a PDF that can be shown, and what it is.  Runs in a worker: it opens what came from outside.

pypdf reads the structure (encryption, pages, title), pdfium opens the file as it will be drawn; a file on whose pages
the two disagree is broken. Both repair files, so a truncated one is told by its missing end.

A PDF with restrictions but no password to open it (an empty user password, which is what "no printing, no copying"
makes) is taken: everybody can read it, every viewer opens it, and the secretary who uploads it means it to be read.
"""

import unicodedata
from io import BytesIO

from pypdf import PasswordType, PdfReader

from server.papers.document import Document
from server.papers.facts import LONGEST_TITLE, MOST_BYTES, MOST_PAGES, PaperFacts
from server.papers.problem import PaperError

_SAMPLED_PAGES = 12
_TEXT_OF_A_PAGE = 30
_ENDS_WITHIN = 1_024


def inspect_pdf(data: bytes, most_bytes: int = MOST_BYTES, most_pages: int = MOST_PAGES) -> PaperFacts:
    """Raises `PaperError`; on hostile files anything else, or it never returns, or the process ends."""
    _check_bytes(data, most_bytes)
    pages, title = _structure(data, most_pages)
    document = Document(data)
    if len(document) != pages:
        raise PaperError("pdf_broken")
    return PaperFacts(title=title, pages=pages, searchable=_searchable(document), size=len(data))


def _check_bytes(data: bytes, most_bytes: int) -> None:
    if not data:
        raise PaperError("pdf_empty")
    if len(data) > most_bytes:
        raise PaperError("too_large")
    if b"%PDF-" not in data[:_ENDS_WITHIN]:
        raise PaperError("not_a_pdf")
    if b"%%EOF" not in data[-_ENDS_WITHIN:]:
        raise PaperError("pdf_broken")


def _structure(data: bytes, most_pages: int) -> tuple[int, str]:
    """Number of pages and title."""
    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise PaperError("pdf_encrypted")
    pages = len(reader.pages)
    if pages == 0:
        raise PaperError("pdf_empty")
    if pages > most_pages:
        raise PaperError("too_large")
    title = str((reader.metadata.title if reader.metadata else "") or "")
    return pages, " ".join(unicodedata.normalize("NFC", title).split())[:LONGEST_TITLE]


def _searchable(document: Document) -> bool:
    sample = range(1, len(document) + 1, max(1, len(document) // _SAMPLED_PAGES))
    written = sum(sum(c.isalnum() for c in document.text(page)) >= _TEXT_OF_A_PAGE for page in sample)
    return 2 * written >= len(sample)
