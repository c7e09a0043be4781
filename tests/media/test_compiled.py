"""Compiled modules run where they were made of the sources as they are, and nowhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from media import compiled
from tests.support.media_control import running_node

WHERE = "import media.line, media.rtp.vp8; print(media.line.__file__, media.rtp.vp8.__file__)"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The folder of a copy of the package."""
    shutil.copytree(compiled.SOURCES, tmp_path / "media", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def changed(copy: Path) -> Path:
    """The folder of a copy that nothing was ever compiled of."""
    with (copy / "media" / "lane.py").open("a") as source:
        source.write("# changed\n")
    return copy


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What Python says there."""
    kept = {name: value for name, value in os.environ.items() if name != compiled.NOT_WANTED}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_changed_sources_run_as_they_are_written(changed: Path) -> None:
    assert python(changed, "-c", WHERE).stdout.split() == [f"{changed}/media/line.py", f"{changed}/media/rtp/vp8.py"]


def test_without_a_compiler_it_is_told_and_all_runs_as_it_is_written(changed: Path) -> None:
    done = python(changed, "-m", "media.compile", PATH="")
    assert "is left uncompiled" in done.stderr and "apt-get install" in done.stderr
    assert python(changed, "-c", WHERE).stdout.split()[0] == f"{changed}/media/line.py"


@pytest.mark.slow
def test_what_was_made_of_the_same_sources_runs_compiled_wherever_they_lie(copy: Path) -> None:
    line, vp8 = python(copy, "-c", WHERE).stdout.split()
    assert line.startswith(f"{compiled.folder()}/media/line."), "make compiled"
    assert vp8.startswith(f"{compiled.folder()}/media/rtp/vp8.")
    interpreted = python(copy, "-c", WHERE, **{compiled.NOT_WANTED: "1"})
    assert interpreted.stdout.split() == [f"{copy}/media/line.py", f"{copy}/media/rtp/vp8.py"]


@pytest.mark.slow
async def test_a_node_runs_compiled(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        mapped = Path(f"/proc/{node.process.pid}/maps").read_text()
    assert f"{compiled.folder()}/" in mapped, "make compiled"
