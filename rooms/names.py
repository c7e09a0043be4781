"""When two written names are the same name."""

import unicodedata


def name_key(name: str) -> str:
    """The name as compared: composed (NFC), lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
