"""The sample meeting's files: the roster of 187 halls (`roster-187.xlsx`) and a conference paper (`bao-cao.pdf`)."""

from pathlib import Path

ROSTER = Path(__file__).with_name("roster-187.xlsx")
PAPER = Path(__file__).with_name("bao-cao.pdf")
