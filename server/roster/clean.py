"""What a cell means: names, telephone numbers, ditto marks, parts that people play.  Pure functions of text.

Each gives a certain reading or says that it has none; nothing is guessed here.
"""

import re
import unicodedata
from typing import Literal

import msgspec

from rooms.names import name_key
from rooms.roster import DelegateRole

_COMRADE = re.compile(r"^(?:đ\s*[/.]\s*c|đồng chí)(?![^\W\d_])[\s.:]*", re.IGNORECASE)
"""Not "Ông" and "Bà": both are family names too."""

_DITTO_WORDS = frozenset({"nt", "nhưtrên", "nhutren"})
_DITTO_MARKS = frozenset("\"'“”„‟″〃’‘`´")
_DITTO_PADDING = frozenset(" -–—.,()")

_ROLES: tuple[tuple[str, DelegateRole], ...] = (
    ("dai bieu chinh thuc", "official"),
    ("chinh thuc", "official"),
    ("dbct", "official"),
    ("khach moi", "guest"),
    ("dai bieu khach moi", "guest"),
    ("dai bieu moi", "guest"),
    ("du thay", "substitute"),
    ("dai bieu du thay", "substitute"),
    ("di thay", "substitute"),
)

_BETWEEN_PHONES = re.compile(r"[/;,\n]|\s+-\s+|\bhoặc\b")
_TOTAL = re.compile(r"tổng\s+(?:cộng|số)(?!\w)|(?:tổng|cộng)\s*(?=[:\d(]|$)", re.IGNORECASE)
_COUNT = re.compile(r"\d{1,3}(?:[.,\s]\d{3})+(?!\d)|\d+")


def folded(text: str) -> str:
    """The text composed (NFC), without invisible characters, with single spaces."""
    if text.isprintable():
        return " ".join(unicodedata.normalize("NFC", text).split())
    seen = (" " if unicodedata.category(c) == "Cc" else c for c in text if unicodedata.category(c) not in _INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", "".join(seen)).split())


_INVISIBLE = frozenset({"Cf", "Cs", "Co", "Cn"})


def plain(text: str) -> str:
    """Lower case letters and digits without accents, in words: for comparing headings and guessing."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare.replace("đ", "d")).split())


def person_name(text: str) -> str:
    """The name alone, without "Đ/c"; a name all in capitals gets small letters again."""
    name = folded(text)
    name = _COMRADE.sub("", name) or name
    if name.isupper() and any(sum(c.isalpha() for c in word) > 1 for word in name.split()):
        name = re.sub(r"[^\W\d_]+", lambda letters: letters[0][0] + letters[0][1:].lower(), name)
    return folded(name)


def is_ditto(text: str) -> bool:
    """Whether the cell says "as above": nt, -nt-, như trên, a pair of quotes."""
    if len(text) > 20:
        return False
    marks = "".join(c for c in folded(text).casefold() if c not in _DITTO_PADDING)
    if not marks or len(marks) > 10:
        return False
    return marks.strip("".join(_DITTO_MARKS)) in _DITTO_WORDS or all(c in _DITTO_MARKS for c in marks) or marks == "//"


class Phone(msgspec.Struct, frozen=True):
    """`number` is canonical: a leading 0 and nine or ten more digits; empty if there is none that can be read."""

    number: str = ""
    doubt: Literal["", "unreadable", "several"] = ""


def phone(text: str) -> Phone:
    """The telephone number in the cell. Of several the first is taken."""
    whole = _one_phone(text)
    if whole is not None:
        return Phone(whole)
    numbers = [number for part in _BETWEEN_PHONES.split(text) if (number := _one_phone(part))]
    if not numbers:
        return Phone(doubt="unreadable")
    return Phone(numbers[0], "several")


def _one_phone(text: str) -> str | None:
    """Canonical, "" for an empty cell, None if it is no number of this country."""
    text = folded(text)
    if not text or text.strip("-–—.") == "":
        return ""
    if re.fullmatch(r"[-+0-9 .()]+", text) is None:
        return None
    digits = re.sub(r"\D", "", text)
    digits = re.sub(r"^(?:00)?84(?=0?[2-9]\d{8,9}$)", "0", digits)
    digits = re.sub(r"^00(?=[2-9])", "0", digits)
    if not digits.startswith("0"):
        digits = f"0{digits}"
    return digits if re.fullmatch(r"0[35789]\d{8}|02\d{9}|02\d{8}", digits) else None


def role(text: str) -> tuple[DelegateRole, str] | None:
    """The part a delegate plays, and what the cell says beyond it ("Dự thay đ/c Lò Văn An" → for whom)."""
    words = folded(text)
    key = plain(words)
    found = [(alias, role) for alias, role in _ROLES if key == alias or key.startswith(f"{alias} ")]
    if not found:
        return None
    alias, meant = max(found, key=lambda pair: len(pair[0]))
    return meant, "" if key == alias else words


def whole_number(text: str) -> int | None:
    """The number in a cell that holds nothing else ("12", "12.", "(12)", "1.240"), else None."""
    digits = folded(text).strip(" .()")
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", digits):
        digits = re.sub(r"\D", "", digits)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 9 else None


def is_total(text: str) -> bool:
    """Whether the cell begins a row of totals."""
    return _TOTAL.match(folded(text)) is not None


def total(text: str) -> int | None:
    """The count in "Tổng cộng: 9.845 đại biểu", if exactly one is there."""
    counts = _COUNT.findall(folded(text))
    return int(re.sub(r"\D", "", counts[0])) if len(counts) == 1 and len(counts[0]) < 12 else None


def same_text(one: str, other: str) -> bool:
    return name_key(one) == name_key(other)
