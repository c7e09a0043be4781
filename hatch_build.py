"""Builds the web pages whenever the package is built or installed, so that `pip install .` is all it takes."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PagesHook(BuildHookInterface[Any]):
    """Runs for wheels and editable installs; a source distribution carries the sources only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        pages = _load(Path(self.root) / "clients" / "web" / "build.py")
        self.app.display_info("Building the web pages" if not pages.is_current() else "The web pages are up to date")
        pages.build()
        build_data["artifacts"].append("clients/web/dist/**")


def _load(path: Path) -> ModuleType:
    """The build module by its file: while building, the project itself is not importable."""
    spec = importlib.util.spec_from_file_location("pages_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
