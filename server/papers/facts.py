"""What is known of a paper, and what papers may be at most."""

import msgspec

MOST_BYTES = 100 * 1024 * 1024
MOST_PAGES = 2_000
LONGEST_TITLE = 300
WIDTHS = (480, 800, 1200, 1600)
"""Of page pictures, in pixels."""


class PaperFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`title` is the file's own, often empty.

    `searchable`: at least half of the pages looked at have text; a scan with a signature stamped on its first page has
    not.
    """

    title: str
    pages: int
    searchable: bool
    size: int
