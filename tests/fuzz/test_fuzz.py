"""Every parser of outside bytes under mutated captures for `FUZZ_S` seconds each (`make fuzz FUZZ_S=60`), and what was
found earlier for good.
"""

import os

import pytest

from tests.fuzz.engine import FOUND, Target, fuzz, hex_lines, seeds, try_one
from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("FUZZ_S", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutated_captures_are_values_or_the_documented_exception(target: Target) -> None:
    outcome = fuzz(target, SECONDS, SEED)
    print(f"{target.name}: {outcome.runs} runs, {outcome.accepted} accepted, {outcome.kept} kept")
    assert outcome.runs > 20 * SECONDS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_captures_and_what_was_found_before(target: Target) -> None:
    captured = seeds(target.name)
    accepted = [try_one(target, data) for data in captured]
    assert any(accepted) or target.name in ("srtp",)
    for data in hex_lines(FOUND / f"{target.name}.hex"):
        try_one(target, data)
