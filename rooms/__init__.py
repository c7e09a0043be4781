"""The meeting: records, commands and rules. Pure: no clock, no randomness, no I/O. Rules are numbered in SPEC.md."""
