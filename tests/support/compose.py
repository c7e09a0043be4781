"""Compose files as an engine would read them: YAML, with variables filled in."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

DOCKER = Path(__file__).parents[2] / "docker"
_YAML = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>(?:[^{}]|\{[^{}]*\})*))?\})")


class MissingVariable(Exception):
    """A variable without a value and without a default; the file's own words."""


def read_yaml(path: Path) -> Any:
    """Debian's python3-yaml reads it: the project itself needs none."""
    done = subprocess.run(["/usr/bin/python3", "-c", _YAML], input=path.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)


def variables(text: str) -> set[str]:
    """The names of all variables in a compose file."""
    found: set[str] = set()
    for match in _VARIABLE.finditer(text):
        if match["name"]:
            found |= {match["name"]} | variables(match["rest"] or "")
    return found


def fill_in(value: Any, environment: Mapping[str, str]) -> Any:
    """`${NAME}`, `${NAME:-default}`, `${NAME:?words}` and `$$` in every string. Raises `MissingVariable`."""
    if isinstance(value, dict):
        return {key: fill_in(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, environment) for each in value]
    return _fill_text(value, environment) if isinstance(value, str) else value


def _fill_text(text: str, environment: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if given := environment.get(match["name"]):
            return given
        if match["kind"] == "?":
            raise MissingVariable(match["rest"])
        return _fill_text(match["rest"] or "", environment)

    return _VARIABLE.sub(one, text)


def read_environment(path: Path) -> dict[str, str]:
    """An .env file's variables."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
