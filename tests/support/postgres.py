"""A PostgreSQL of the tests' own: a cluster in a folder that is thrown away, on a free port of this machine.

PostgreSQL does not run as root; where the tests do, it runs as Debian's user `postgres`.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port

BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=Path())
USER = "postgres"
START_S = 30.0


class Postgres:
    """A cluster. `durable`: it writes through to the disk, which tests of logic need not wait for.

    `at`: the address of this machine that its neighbours, all of 10.0.0.0/8, reach it at.
    """

    def __init__(self, folder: Path, *, durable: bool = False, at: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._at = at
        self._folder = folder
        self._data = folder / "data"
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        self._user = USER if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, USER, USER)
        words = [*("-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")]
        self._run("initdb", *words)
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.0.0.0/8 trust\n")

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [BIN / program, *words], capture_output=True, text=True, user=self._user, group=self._user, cwd=self._folder
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self) -> None:
        """Returns when it takes connections."""
        quick = () if self._durable else ("-c", "fsync=off", "-c", "full_page_writes=off")
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(BIN / "postgres", "-D", str(self._data), "-p", str(self.port), "-k", str(self._folder)),
                    *("-c", f"listen_addresses={self._at}", "-c", "shared_buffers=32MB", "-c", "max_connections=60"),
                    *quick,
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                start_new_session=True,  # Ctrl-C is for the tests, which stop it in order
                cwd=self._folder,
            )
        until = time.monotonic() + START_S
        while not self._answers():
            assert self._server.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        words = [str(BIN / "pg_isready"), "-q", "-h", self._at, "-p", str(self.port)]
        return subprocess.run(words).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once, connections are cut, in order. SIGQUIT: as in a crash, the log is replayed at the start."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self._server.send_signal(how)
            self._server.wait(timeout=START_S)
            self._server = None

    def sql(self, statement: str, database: str = USER) -> str:
        """Done by psql; its plain output."""
        words = ("-h", self._at, "-p", str(self.port), "-U", USER, "-d", database, "-v", "ON_ERROR_STOP=1", "-Atqc")
        return self._run("psql", *words, statement).strip()

    def fresh(self) -> str:
        """The address of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@{self._at}:{self.port}/{name}"


@contextmanager
def postgres(*, durable: bool = False, at: str = "127.0.0.1") -> Iterator[Postgres]:
    """A cluster that runs until the block is left."""
    with tempfile.TemporaryDirectory(prefix="diemcau-postgres-", ignore_cleanup_errors=True) as folder:
        cluster = Postgres(Path(folder), durable=durable, at=at)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
