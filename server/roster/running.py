"""Running numbers (STT) of a list: which number each row has, and which rows stand where they were not written.

A row pasted to another place keeps its ditto marks, but the row above it is no longer the one they repeat.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from server.roster.clean import whole_number
from server.roster.lists import ListedDelegate


class Running(msgspec.Struct, frozen=True):
    """`order` is the row's number; `moved`: the row is not where it was written."""

    order: int
    source: Literal["written", "restored", "counted", "assumed"]
    moved: bool = False


def running(rows: Sequence[ListedDelegate], *, numbered: bool) -> list[Running]:
    """The numbers of one list's rows. A list without the column is counted through.

    A number follows if it is above all before it in its run, or one more than the row above has. A run begins anew with
    1 followed by 2, as in lists that count per hall. A missing number is restored if its neighbours leave exactly it.
    """
    if not numbered:
        return [Running(n, "counted") for n in range(1, len(rows) + 1)]
    numbers = [whole_number(row.number) for row in rows]
    found: list[Running] = []
    highest = above = 0
    for n, number in enumerate(numbers):
        if number is None:
            above += 1
            found.append(Running(above, "restored" if _gap(numbers, n) else "assumed"))
            highest = max(highest, above)
            continue
        anew = number == 1 and _number_after(numbers, n) == 2
        moved = number <= highest and number != above + 1 and not anew
        found.append(Running(number, "written", moved))
        if not moved:
            highest = number if anew else max(highest, number)
        above = number
    return found


def _number_after(numbers: Sequence[int | None], n: int) -> int | None:
    return numbers[n + 1] if n + 1 < len(numbers) else None


def _gap(numbers: Sequence[int | None], n: int) -> bool:
    """Whether the written numbers around place `n` leave just the missing ones between them."""
    first, last = n, n
    while first > 0 and numbers[first - 1] is None and n - first < 50:
        first -= 1
    while last + 1 < len(numbers) and numbers[last + 1] is None and last - n < 50:
        last += 1
    before = numbers[first - 1] if first > 0 else 0
    after = _number_after(numbers, last)
    return before is not None and after is not None and after - before == last - first + 2
