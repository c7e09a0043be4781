"""Why a paper cannot be taken or shown."""

from typing import Literal

PaperCode = Literal["not_a_pdf", "pdf_encrypted", "pdf_broken", "pdf_empty", "too_large", "not_found", "unavailable"]


class PaperError(Exception):
    """`code` is one of wire.ErrorCode.

    pdf_broken: the file cannot be opened, or needs more time or memory than a paper may; not_found: no such page or
    file; unavailable: too many pages are being drawn already.
    """

    def __init__(self, code: PaperCode) -> None:
        super().__init__(code)
        self.code: PaperCode = code
