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
        build = Path(temporary) / "build"
        shutil.copytree(compiled.SOURCES, build / compiled.SOURCES.name, ignore=shutil.ignore_patterns("__pycache__"))
        _build(build)
        _keep_only_what_is_run(build)
        for older in made.parent.glob("[0-9a-f]*"):
            shutil.rmtree(older, ignore_errors=True)
        build.rename(made)


def _look_for_compiler() -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotCompile(f"C compiler ({compiler})")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise CannotCompile("Python.h")


def _build(folder: Path) -> None:
    from mypyc.build import mypycify  # tools that are only here while something is built
    from setuptools import setup

    with contextlib.chdir(folder):
        modules = [str(module) for module in compiled.modules()]
        # their types are checked strictly by `make check`; here what has none of its own is taken as it comes
        options = ["--config-file=", "--ignore-missing-imports", "--follow-untyped-imports"]
        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told):
                extensions = mypycify([*options, *modules], group_name="media", opt_level="2", debug_level="0")
        except SystemExit:
            print(told.getvalue(), file=sys.stderr)
            raise
        setup(name="media", packages=[], ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])


def _keep_only_what_is_run(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif path.suffix != ".so" and path.name != "__init__.py":
            path.unlink()
    (folder / compiled.SOURCES.name / "__init__.py").unlink()


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
