"""Which hall a cell means.

Certain are the full name and the name without "Điểm cầu" or "ĐC", letter for letter but for case, tone placement and
usual short forms of the place's rank ("TT" thị trấn). Accents always count there: Nậm Cha and Nậm Chà are two communes.
A name without its accents or its rank is a guess, and no guess at all if it fits more than one hall.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec

from rooms.names import name_key
from server.roster.clean import folded, plain

_BRIDGE = re.compile(r"^(?:điểm cầu|diem cau|đ[./]?\s?c|dc)(?:\s+số)?(?![^\W\d_])[\s.:/–-]*", re.IGNORECASE)
_CHAIR = re.compile(r"[\s(–-]*(?:điểm cầu chính|điểm cầu trung tâm|điểm cầu chủ trì)\)?$", re.IGNORECASE)
_RANKS = {
    "tt": ("thị trấn", "trung tâm"),
    "tp": ("thành phố",),
    "tx": ("thị xã",),
    "x": ("xã",),
    "p": ("phường",),
    "h": ("huyện",),
    "đbp": ("đồn biên phòng",),
    "đu": ("đảng ủy",),
}
_SHORT_RANK = re.compile(r"^(tt|tp|tx|x|p|h|đbp|đu)(?:\.\s*|\s+)(?=\w)", re.IGNORECASE)
_RANK = re.compile(
    r"^(?:xã|phường|thị trấn|thị xã|huyện|thành phố|hội trường|ubnd|đảng (?:ủy|uỷ)|"
    r"xa|phuong|thi tran|thi xa|huyen|thanh pho|hoi truong|dang uy) (?=\w)"
)
_MOST_GUESSES = 300


class Reading(msgspec.Struct, frozen=True):
    """The hall's full name, or None. `certain`: no other hall can be meant. `fits`: those that may be, if several."""

    hall: str | None = None
    certain: bool = False
    fits: tuple[str, ...] = ()


def is_chair(name: str) -> bool:
    """Whether the hall's own name says that the meeting is led from it."""
    return _CHAIR.search(folded(name)) is not None


def sounds_like_hall(text: str) -> bool:
    return _BRIDGE.match(folded(text)) is not None


def _bare_names(text: str) -> tuple[str, ...]:
    """The name without "Điểm cầu", in small letters; more than one if a short form has two meanings."""
    words = folded(text)
    words = _CHAIR.sub("", words) or words
    words = (_BRIDGE.sub("", words) or words).casefold()
    short = _SHORT_RANK.match(words)
    if short is None:
        return (words,)
    return (words, *(f"{rank} {words[short.end() :]}" for rank in _RANKS[short[1]]))


def _keys(text: str) -> tuple[tuple[str, ...], ...]:
    """Ways of comparing the name, the surest first: as written, without its rank, without accents, without both."""
    names = _bare_names(text)
    bare = [_RANK.sub("", name) for name in names]
    return (
        tuple(name_key(name) for name in names),
        tuple(name_key(name) for name in bare),
        tuple(plain(name) for name in names),
        tuple(plain(name) for name in bare),
    )


class HallNames:
    """The halls that a list may speak of, by every way of writing them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._full: dict[str, str] = {}
        self._indexes: tuple[defaultdict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(4))
        self._read: dict[str, Reading] = {}
        self._guesses = 0
        for name in names:
            if self._full.setdefault(name_key(name), name) == name:
                for index, keys in zip(self._indexes, _keys(name), strict=True):
                    index[keys[0]].append(name)
        chairs = [name for name in self._full.values() if is_chair(name)]
        self._chair = chairs[0] if len(chairs) == 1 else None

    def read(self, text: str) -> Reading:
        """The hall that the text means."""
        if text not in self._read:
            self._read[text] = self._reading(text)
        return self._read[text]

    def exact(self, text: str) -> str | None:
        """The hall, if there is no doubt."""
        reading = self.read(text)
        return reading.hall if reading.certain else None

    def _reading(self, text: str) -> Reading:
        full = self._full.get(name_key(folded(text)))
        if full is None and _CHAIR.fullmatch(folded(text)):
            full = self._chair
        if full is not None:
            return Reading(full, certain=True)
        for step, (index, keys) in enumerate(zip(self._indexes, _keys(text), strict=True)):
            fits = tuple(dict.fromkeys(name for key in keys for name in index.get(key, ())))
            if fits:
                return Reading(fits[0], certain=step == 0) if len(fits) == 1 else Reading(fits=fits)
        return Reading(fits=self._alike(text))

    def _alike(self, text: str) -> tuple[str, ...]:
        """The hall spelled most like it. Costly, so only for so many different texts."""
        self._guesses += 1
        if self._guesses > _MOST_GUESSES:
            return ()
        index = self._indexes[2]
        return tuple(index[key][0] for key in get_close_matches(plain(_bare_names(text)[0])[:200], index, 1, 0.7))
