"""`python -m media.compile`: has mypyc make C extensions of the media plane's modules, once for each state of the
sources. Needs a C compiler and Python's headers; without them all runs as it is written.
"""

import contextlib
import io
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from media import compiled

_INTERPRETED = frozenset(("compile.py", "compiled.py", "control.py", "dtls.py", "node.py"))
"""msgspec reads the control messages' classes, pyOpenSSL's declared types are not those of what it returns, and the
node's process begins in a module of its own."""
_LACKING = """\
The media node is left uncompiled, and takes about a sixth more of the processor: there is no {}.
On Debian: sudo apt-get install gcc libc6-dev python3-dev; then the same command again."""


class CannotCompile(Exception):
    """What is missing, in words."""


def compile_modules() -> None:
    """Raises CannotCompile."""
    made = compiled.folder()
    _look_for_compiler()
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as temporary:
        sources, result = Path(temporary) / "sources", Path(temporary) / "result"
        package = sources / compiled.SOURCES.name
        shutil.copytree(compiled.SOURCES, package, ignore=shutil.ignore_patterns("__pycache__"))
        _build(sources, result)
        for subpackage in package.glob("*/__init__.py"):
            shutil.copy(subpackage, result / subpackage.relative_to(sources))
        for older in made.parent.glob("[0-9a-f]*"):
            shutil.rmtree(older, ignore_errors=True)
        result.rename(made)


def _look_for_compiler() -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotCompile(f"C compiler ({compiler})")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise CannotCompile("Python.h")


def _build(sources: Path, result: Path) -> None:
    from mypyc.build import mypycify  # tools that are only here while something is built
    from setuptools import setup

    with contextlib.chdir(sources):
        modules = [
            str(source.relative_to(sources))
            for source in sorted(sources.rglob("*.py"))
            if source.name != "__init__.py" and source.name not in _INTERPRETED
        ]
        # their types are checked strictly by `make check`; here what has none of its own is taken as it comes
        options = ["--config-file=", "--ignore-missing-imports", "--follow-untyped-imports"]
        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told):
                extensions = mypycify([*options, *modules], group_name="media", opt_level="2", debug_level="0")
        except SystemExit:
            print(told.getvalue(), file=sys.stderr)
            raise
        command = ["--quiet", "build_ext", "--build-lib", str(result)]
        setup(name="media", packages=[], ext_modules=extensions, script_args=command)


def main() -> None:
    if compiled.is_made():
        return
    print("Compiling the media node (a minute or two) …", flush=True)
    try:
        compile_modules()
    except CannotCompile as error:
        print(_LACKING.format(error), file=sys.stderr)


if __name__ == "__main__":
    main()
