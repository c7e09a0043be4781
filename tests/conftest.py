"""What tests of several folders ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import sqlite_url
from tests.support.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    """The session's PostgreSQL, started when the first test asks for it."""
    with postgres() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    running: Postgres = request.getfixturevalue("cluster")
    return running.fresh()
