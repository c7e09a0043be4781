"""Fuzzing: seeds from real peers, mutated; what reaches new lines is kept and mutated further. Repeatable by its seed.

A target reads bytes and returns, or raises one of its documented exceptions. Anything else is a finding, and so is an
input that takes longer than `SLOW_S` of processor time.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
SLOW_S = 0.25
MOST_POOL = 4000
MOST_BYTES = 20_000
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 191, 192, 223, 224, 254, 255)
_WORDS = (b"", b"0", b"-1", b"65536", b"4294967296", b"99999999999999999999", b" ", b":", b"/", b";", b"=", b"\r\n")


@dataclass(frozen=True)
class Target:
    """`files` are names under `media/` whose lines count as news; `crafted` are seeds beside the captures."""

    name: str
    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    files: tuple[str, ...]
    text: bool = False
    crafted: tuple[bytes, ...] = ()


@dataclass
class Outcome:
    runs: int = 0
    accepted: int = 0
    kept: int = 0


class Found(AssertionError):
    """An input that the target answered with something undocumented; its hexadecimal goes into found/<target>.hex."""

    def __init__(self, target: Target, data: bytes, why: str) -> None:
        super().__init__(f"{target.name}: {why}\n{data.hex()}")


FOUND = Path(__file__).with_name("found")


def seeds(name: str) -> list[bytes]:
    """Of one target: a line of hexadecimal each; offers are files of their own."""
    folder = CORPUS / name
    if folder.is_dir():
        return [path.read_bytes() for path in sorted(folder.iterdir())]
    return hex_lines(CORPUS / f"{name}.hex")


def hex_lines(path: Path) -> list[bytes]:
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [bytes.fromhex(line) for line in lines if not line.startswith("#")]


def try_one(target: Target, data: bytes) -> bool:
    """Whether it was accepted. Raises Found.

    It is slow when it is so twice: a collection of this whole process's garbage may fall into the first time.
    """
    accepted, took_s = _tried(target, data)
    if took_s > SLOW_S and _tried(target, data)[1] > SLOW_S:
        raise Found(target, data, "slow")
    return accepted


def _tried(target: Target, data: bytes) -> tuple[bool, float]:
    """Whether it was accepted, and the CPU time that took. Raises Found."""
    began = time.thread_time()
    try:
        target.run(data)
        accepted = True
    except target.allowed:
        accepted = False
    except Exception as error:
        raise Found(target, data, repr(error)) from error
    return accepted, time.thread_time() - began


def fuzz(target: Target, seconds: float, seed: int) -> Outcome:
    """Half of the time with a look at the lines reached, half of it without, five times as fast. Raises Found."""
    dice = random.Random(seed)
    pool = [*seeds(target.name), *target.crafted]
    assert pool, target.name
    outcome, reached = Outcome(), Reached(target.files)
    for data in pool:
        reached.news(lambda data=data: try_one(target, data))  # type: ignore[misc]
    began = time.monotonic()
    while (elapsed_s := time.monotonic() - began) < seconds:
        data = mutated(dice, pool, target.text)
        outcome.runs += 1
        if elapsed_s >= seconds / 2:
            outcome.accepted += try_one(target, data)
        elif reached.news(lambda: try_one(target, data)) and len(pool) < MOST_POOL:  # noqa: B023  called at once
            pool.append(data)
            outcome.kept += 1
    return outcome


class Reached:
    """The lines, and the steps from line to line, that were ever reached in some files."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self._files = tuple(f"/media/{name}" for name in files)
        self._steps: set[tuple[str, int, int]] = set()
        self._is_new = False
        self._before = 0

    def news(self, run: Callable[[], object]) -> bool:
        """Whether this run took a step that none before it took."""
        self._is_new, self._before = False, 0
        earlier = sys.gettrace()
        sys.settrace(self._call)
        try:
            run()
        finally:
            sys.settrace(earlier)
        return self._is_new

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename.endswith(self._files) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        step = frame.f_code.co_filename, self._before, frame.f_lineno
        self._before = frame.f_lineno
        if step not in self._steps:
            self._steps.add(step)
            self._is_new = True
        return self._line


# -- mutation ----------------------------------------------------------------------------------------------------------


def mutated(dice: random.Random, pool: list[bytes], text: bool) -> bytes:
    data = bytearray(dice.choice(pool))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 8))):
        dice.choice(_TEXT if text and dice.random() < 0.7 else _BYTES)(dice, data, pool)
    return bytes(data[:MOST_BYTES])


def _place(dice: random.Random, data: bytearray) -> int:
    """Headers are at the front, and so are most of the changes."""
    return dice.randrange(min(len(data), dice.choice((4, 16, 64, 10_000))) or 1)


def _flip(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    if data:
        data[_place(dice, data) % len(data)] ^= 1 << dice.randrange(8)


def _set(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    if data:
        data[_place(dice, data) % len(data)] = dice.choice((*_NUMBERS, dice.randrange(256)))


def _nudge(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    """A 16-bit number, a length perhaps, a little more or less."""
    if len(data) >= 2:
        place = _place(dice, data) % (len(data) - 1)
        number = int.from_bytes(data[place : place + 2], "big") + dice.choice((-4, -2, -1, 1, 2, 4))
        data[place : place + 2] = (number & 0xFFFF).to_bytes(2, "big")


def _cut(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _drop(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    place = _place(dice, data)
    del data[place : place + dice.choice((1, 2, 4, 8, 20))]


def _insert(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    place = _place(dice, data)
    data[place:place] = dice.randbytes(dice.choice((1, 2, 4, 8, 20)))


def _repeat(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    place = _place(dice, data)
    data[place:place] = data[place : place + dice.choice((1, 4, 12, 64, 400))]


def _splice(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    other = dice.choice(pool)
    data[_place(dice, data) :] = other[dice.randrange(len(other) + 1) :]


def _lines(data: bytearray) -> list[bytes]:
    return bytes(data).split(b"\r\n")


def _drop_line(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    lines = _lines(data)
    del lines[dice.randrange(len(lines))]
    data[:] = b"\r\n".join(lines)


def _move_line(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    lines = _lines(data)
    lines.insert(dice.randrange(len(lines)), lines[dice.randrange(len(lines))])
    data[:] = b"\r\n".join(lines)


def _foreign_line(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    lines = _lines(data)
    lines.insert(dice.randrange(len(lines)), dice.choice(_lines(bytearray(dice.choice(pool)))))
    data[:] = b"\r\n".join(lines)


def _change_word(dice: random.Random, data: bytearray, pool: list[bytes]) -> None:
    """One word of a line becomes a number at a limit, a separator, or a word from elsewhere."""
    lines = _lines(data)
    at = dice.randrange(len(lines))
    words = lines[at].split(b" ")
    others = dice.choice(lines).replace(b":", b" ").split(b" ")
    words[dice.randrange(len(words))] = dice.choice((*_WORDS, *others))
    lines[at] = b" ".join(words)
    data[:] = b"\r\n".join(lines)


_BYTES = (_flip, _set, _nudge, _cut, _drop, _insert, _repeat, _splice)
_TEXT = (_drop_line, _move_line, _foreign_line, _change_word, _change_word)
