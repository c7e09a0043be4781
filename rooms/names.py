"""When two written names are the same name."""

import unicodedata
from functools import lru_cache

_TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")


def name_key(name: str) -> str:
    """The name as compared: composed (NFC), lower case, white space folded, each word's tone mark at its end.

    Vietnamese keyboards put the tone on either vowel of a pair: "Tỉnh ủy" and "Tỉnh uỷ", "Thúy" and "Thuý".
    """
    return " ".join(_word_key(word) for word in name.casefold().split())


@lru_cache(maxsize=16_384)
def _word_key(word: str) -> str:
    if word.isascii():
        return word
    marked = unicodedata.normalize("NFD", word)
    tones = "".join(mark for mark in marked if mark in _TONES)
    letters = "".join(letter for letter in marked if letter not in _TONES)
    return unicodedata.normalize("NFC", letters) + tones
