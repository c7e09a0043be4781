"""A PDF opened by pdfium: pages as pictures and as text.  The one file that knows pypdfium2; runs in a worker."""

import unicodedata
from io import BytesIO
from typing import Any

import pypdfium2 as pdfium

from server.papers.problem import PaperError

_TALLEST = 5
"""A page is drawn at most so many times as high as wide; a longer one gets narrower."""
_QUALITY = 82
_open: Any = pdfium.PdfDocument


class Document:
    """Pages count from 1. Raises whatever pdfium raises when the file is broken."""

    def __init__(self, source: bytes | str) -> None:
        self._pdf = _open(source)

    def __len__(self) -> int:
        return len(self._pdf)

    def close(self) -> None:
        self._pdf.close()

    def image(self, page: int, width: int) -> bytes:
        """The page as WebP, `width` pixels wide."""
        sheet = self._page(page)
        wide, high = sheet.get_size()
        if not (wide >= 1 and high >= 1):
            raise PaperError("pdf_broken")
        bitmap = sheet.render(scale=min(width / wide, _TALLEST * width / high))
        out = BytesIO()
        bitmap.to_pil().convert("RGB").save(out, "WEBP", quality=_QUALITY, method=4)
        return out.getvalue()

    def text(self, page: int) -> str:
        """The page's text, composed (NFC), with plain line ends."""
        text: str = self._page(page).get_textpage().get_text_bounded()
        return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\x00", "")).strip()

    def _page(self, page: int) -> Any:
        if not 1 <= page <= len(self._pdf):
            raise PaperError("not_found")
        return self._pdf[page - 1]
