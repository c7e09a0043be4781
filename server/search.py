"""Finding names as people type them: "nguyen" finds Nguyễn, "nguyễn" does not find Nguyên."""

from functools import lru_cache

from rooms.names import name_key
from server.roster.clean import plain

_plain = lru_cache(maxsize=65_536)(plain)
_key = lru_cache(maxsize=65_536)(name_key)


def found_in(wanted: str, text: str) -> bool:
    """Whether the text contains what was typed; letters typed without marks stand for those with marks too."""
    key = _key(wanted)
    if _plain(key) == key:
        return key in _plain(text)
    return key in _key(text)
