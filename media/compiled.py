"""Which of the package's modules run compiled: those that mypyc made of these very sources (media/compile.py).

They lie in the environment, in a folder named after what they were made of. Of sources that were changed since nothing
is compiled: the modules then run as they are written.
"""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent
NOT_WANTED = "DIEMCAU_INTERPRETED"
"""Of the environment: not empty, and all runs as it is written."""


@cache
def folder() -> Path:
    """Where what is made of the sources as they are now belongs. It appears there when it is whole."""
    made_of = hashlib.sha256(f"{sys.implementation.cache_tag} {os.uname().machine}".encode())
    for source in sorted(SOURCES.rglob("*.py")):
        made_of.update(f"\0{source.relative_to(SOURCES)}\0".encode() + source.read_bytes())
    return Path(sys.prefix) / "lib" / "diemcau" / made_of.hexdigest()[:24]


def is_made() -> bool:
    """Also where it is not wanted."""
    return folder().exists()


def in_use() -> bool:
    """Of this process, and of those that it starts."""
    return not os.environ.get(NOT_WANTED) and is_made()


def use(path: list[str]) -> None:
    """Have the package, whose `__path__` is given, take compiled modules first."""
    if in_use():
        path.insert(0, str(folder() / SOURCES.name))
        sys.path.append(str(folder()))  # where the modules find what they share
