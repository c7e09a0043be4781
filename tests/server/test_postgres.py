"""What PostgreSQL adds: it restarts under us, several processes open it at once, and several machines share it."""

import asyncio
import signal
from pathlib import Path

import pytest

from rooms.actor import SERVER
from rooms.agenda import AddItem, EditMeeting, Item
from server.bench_writers import bench_writers
from server.database.accounts import FIRST_RUN, Accounts, FirstRunOver
from server.database.engine import open_database
from server.database.files import Files
from server.database.log import Log, LogUnavailable, first_broken, first_head
from server.database.secrets import Secrets
from server.http.accounts import new_stored_account
from server.papers.library import PaperLibrary
from server.papers.problem import PaperError
from server.papers.store import PaperStore
from tests.support.databases import LOG_ID, MEETING, database, running
from tests.support.live import form, live
from tests.support.meetings import HOST, make
from tests.support.pdf_files import text_pdf
from tests.support.postgres import Postgres


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_restart_costs_time_and_nothing_else(cluster: Postgres, how: signal.Signals) -> None:
    """Stopped in order or crashed: commands are refused as unavailable meanwhile, and retries are taken once."""
    async with database(cluster.fresh()) as engine, running(engine) as runner:
        await runner.submit(SERVER, make(EditMeeting, title="Hội nghị"))
        commands = [make(AddItem, title=f"Mục {n}") for n in range(60)]
        for command in commands[:20]:
            await runner.submit(HOST, command)
        under_way = [asyncio.create_task(runner.submit(HOST, command)) for command in commands[20:40]]
        await asyncio.to_thread(cluster.stop, how)
        try:
            answers = await asyncio.gather(*under_way, return_exceptions=True)
            assert all(isinstance(answer, int | LogUnavailable) for answer in answers)
            with pytest.raises(LogUnavailable):
                await runner.submit(HOST, commands[40])
        finally:
            await asyncio.to_thread(cluster.start)
        revs = [await runner.submit(HOST, command) for command in commands]
        assert all(
            before == after for before, after in zip(answers, revs[20:40], strict=True) if isinstance(before, int)
        )
        assert sorted(i.title for i in runner.meeting.select(Item)) == sorted(f"Mục {n}" for n in range(60))
        entries = await Log(engine).read(MEETING, 0)
        assert len(entries) == 61 and first_broken(MEETING, first_head(LOG_ID), entries) is None


async def test_idle_connections_that_a_restart_cut_are_not_handed_out(cluster: Postgres) -> None:
    async with database(cluster.fresh()) as engine:
        log = Log(engine)
        await asyncio.gather(*(log.read(MEETING, 0) for _ in range(4)))  # four connections in the pool
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start)
        for _ in range(6):
            assert await log.read(MEETING, 0) == []
            assert await Accounts(engine).count() == 0


async def test_a_start_waits_for_a_database_that_comes_late(cluster: Postgres) -> None:
    url = cluster.fresh()
    await asyncio.to_thread(cluster.stop)
    try:
        with pytest.raises(LogUnavailable):
            await open_database(url, wait_s=0.2)
        opening = asyncio.create_task(open_database(url))
        await asyncio.sleep(0.3)
        assert not opening.done()
    finally:
        await asyncio.to_thread(cluster.start)
    engine = await opening
    assert await Accounts(engine).count() == 0
    await engine.dispose()


@pytest.mark.slow
async def test_a_writer_that_stands_still_in_its_turn_is_put_out(cluster: Postgres) -> None:
    async with database(cluster.fresh()) as engine:
        log = Log(engine)
        held = log.turn(MEETING)
        await held.__aenter__()
        began = asyncio.get_running_loop().time()
        async with log.turn(MEETING) as mine:
            assert await mine.read(MEETING, 0) == []
        assert 1.0 < asyncio.get_running_loop().time() - began < 9.0
        with pytest.raises(LogUnavailable):
            await held.__aexit__(None, None, None)


async def test_many_writers_none_of_whom_is_overtaken_for_ever(database_url: str) -> None:
    """Five processes' runners, each with commands without end: when one has done its share the others nearly have."""
    async with database(database_url) as engine:
        share, done = 40, [0] * 5

        async def work(number: int) -> None:
            async with running(engine) as runner:
                for each in range(0, share, 4):
                    made = [make(AddItem, title=f"{number} {each + n}") for n in range(4)]
                    await asyncio.gather(*(runner.submit(HOST, command) for command in made))
                    done[number] += 4
                least.append(min(done))

        least: list[int] = []
        async with running(engine) as runner:
            await runner.submit(SERVER, make(EditMeeting, title="Hội nghị"))
        await asyncio.gather(*(work(number) for number in range(5)))
        entries = await Log(engine).read(MEETING, 0, 2_000)
        assert len(entries) == 5 * share + 1 and first_broken(MEETING, first_head(LOG_ID), entries) is None
        if database_url.startswith("postgresql"):  # SQLite's own lock knows no queue
            assert least[0] > share / 3, f"one had {least[0]} of {share} when the first was ready"


@pytest.mark.slow
@pytest.mark.parametrize("writers", [1, 3])
async def test_votes_by_several_processes_are_all_counted_once(database_url: str, writers: int) -> None:
    """The bench itself: it verifies the chain and counts the ballots."""
    report = await bench_writers(1_200, writers, 0.5, database_url)
    assert report.writers == writers
    assert report.entries == 1_205


async def test_who_shares_the_database_shares_the_secrets(cluster: Postgres) -> None:
    url = cluster.fresh()
    engines = await asyncio.gather(*(open_database(url) for _ in range(3)))
    made = await asyncio.gather(*(Secrets(e).shared("tokens", f"fresh {n}".encode()) for n, e in enumerate(engines)))
    assert len(set(made)) == 1 and made[0].startswith(b"fresh ")
    for engine in engines:
        await engine.dispose()


async def test_the_first_run_link_makes_one_account(database_url: str) -> None:
    """On whatever process it is opened, and however often at once."""
    async with database(database_url) as one, database(database_url) as other:
        secret = (await Secrets(one).shared(FIRST_RUN, b"fresh")).decode()
        assert await Secrets(other).shared(FIRST_RUN, b"another") == secret.encode()
        people = [await new_stored_account(f"host{n}", "Chủ trì", "host", "mật khẩu dài") for n in range(4)]
        tries = (Accounts((one, other)[n % 2]).add_first(who, secret, 0.0) for n, who in enumerate(people))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [FirstRunOver] * 3
        assert await Accounts(one).count() == 1
        await Secrets(one).shared(FIRST_RUN, secret.encode())  # as a server that is started later does
        with pytest.raises(FirstRunOver):
            await Accounts(one).add_first(people[0], secret, 0.0)


async def test_a_paper_that_one_machine_took_is_on_the_others(database_url: str, tmp_path: Path) -> None:
    async with database(database_url) as engine:
        here, there = (PaperLibrary(PaperStore(tmp_path / name), Files(engine)) for name in ("here", "there"))
        data = bytes(range(256)) * 10_000  # two and a half pieces
        stored = await here.put(data)
        assert (await here.put(data)).sha256 == stored.sha256
        found = await asyncio.gather(*(there.find(stored.sha256) for _ in range(20)))
        assert set(found) == {tmp_path / "there" / stored.sha256[:2] / stored.sha256[2:4] / f"{stored.sha256}.pdf"}
        assert found[0].read_bytes() == data
        found[0].unlink()  # the disk is a cache
        assert (await there.find(stored.sha256)).read_bytes() == data
        with pytest.raises(PaperError):
            await there.find("0" * 64)
        assert list(there.incoming.iterdir()) == []


@pytest.mark.slow
async def test_two_machines_are_one_product(cluster: Postgres, tmp_path: Path) -> None:
    """Two servers that have nothing in common but the database: links, logins, papers and lists are good on both."""
    url = cluster.fresh()
    async with live(tmp_path / "one", database_url=url) as one, live(tmp_path / "two", database_url=url) as two:
        await one.login()
        path = f"/api/meetings/{one.meeting}/documents"
        _, document = await one.post(path, data=form("a.pdf", text_pdf("One"), title="Báo cáo"))
        await asyncio.sleep(1.2)  # the other follows by looking once a second
        status, data = await two.get(f"{path}/{document['id']}/file", token=one.delegate_token())
        assert status == 200 and data.startswith(b"%PDF")
        two.http.cookie_jar.update_cookies(
            {cookie.key: cookie.value for cookie in one.http.cookie_jar}  # the browser has one name for both
        )
        status, _ = await two.get("/api/me")
        assert status == 200
