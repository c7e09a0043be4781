"""Makes the sample paper anew: `python -m server.demo.paper`."""

from datetime import UTC, datetime

import typst

from server.demo import PAPER


def make_paper() -> bytes:
    """The PDF of `bao-cao.typ`, always the same bytes."""
    source = PAPER.with_suffix(".typ").read_bytes()
    pdf = typst.compile(source, format="pdf", ignore_system_fonts=True, timestamp=datetime(2026, 6, 1, tzinfo=UTC))
    assert isinstance(pdf, bytes)
    return pdf


if __name__ == "__main__":
    PAPER.write_bytes(make_paper())
