"""SPEC.md and the tests agree: every rule has a test, and no test cites a rule that is not written."""

import re
from pathlib import Path

import rooms

ROOT = Path(rooms.__file__).parent.parent
_RULE = re.compile(r"^- \*\*([A-Z]\d+)\*\*", re.MULTILINE)
_TEST = re.compile(r"def test((?:_[A-Z]\d+)+)_")
ELSEWHERE = ROOT / "tests"


def test_every_rule_has_a_test_and_every_test_a_rule() -> None:
    written = _RULE.findall((ROOT / "rooms" / "SPEC.md").read_text())
    assert len(written) == len(set(written))
    cited: set[str] = set()
    for file in ELSEWHERE.rglob("test_*.py"):
        for names in _TEST.findall(file.read_text()):
            cited.update(names.strip("_").split("_"))
    assert set(written) - cited == set(), "rules without a test"
    assert cited - set(written) == set(), "tests of no written rule"
