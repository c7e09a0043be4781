"""Where the servers of these tests keep what they know: each alone, and with the parts that several would share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import Backing
from tests.support.postgres import Postgres
from tests.support.redis_server import redis_server


@pytest.fixture(params=["alone", "postgresql+redis"])
async def backing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backing]:
    if request.param == "alone":
        yield Backing()
        return
    running: Postgres = request.getfixturevalue("cluster")
    folder: Path = tmp_path_factory.mktemp("redis")
    async with redis_server(folder) as redis:
        yield Backing(running.fresh(), redis.url)
