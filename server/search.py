"""Finding names as people type them: "nguyen" finds Nguyễn, "nguyễn" does not find Nguyên."""

from rooms.names import name_key
from server.roster.clean import plain


def found_in(wanted: str, text: str) -> bool:
    """Whether the text contains what was typed; letters typed without marks stand for those with marks too."""
    key = name_key(wanted)
    if plain(key) == key:
        return key in plain(text)
    return key in name_key(text)
