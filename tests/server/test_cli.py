"""The commands that an operator types, each as a process of its own."""

import asyncio
import os
import re
import socket
import sqlite3
import sys
from pathlib import Path

import aiohttp
import pytest

from clients.rehearsal.product import host_http, product_in
from server.demo import ROSTER
from tests.support.postgres import Postgres
from tests.support.processes import free_port, kill_media_node, server_process

pytestmark = pytest.mark.slow


async def diemcau(data: Path, *words: str, typed: str = "") -> tuple[int, str]:
    """Exit code and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *words, "--data", str(data)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_a_clerk_imports_the_roster_twice_and_the_log_proves_itself(tmp_path: Path) -> None:
    code, shown = await diemcau(tmp_path, "import", str(ROSTER), "--new", "Hội nghị toàn tỉnh")
    assert code == 0, shown
    assert "halls 187 (187 new), delegates 9845 (9845 new), changed 0, unchanged 0, left out 16" in shown
    assert "- Đại biểu!9890: duplicate (row 331): Vũ Ngọc Sa" in shown
    found = re.search(r"meeting (\w+) is at entry 2$", shown.strip())
    assert found, shown[-200:]
    code, shown = await diemcau(tmp_path, "import", str(ROSTER))
    assert code == 0 and "halls 187 (0 new), delegates 9845 (0 new), changed 0, unchanged" in shown
    assert shown.strip().endswith("is at entry 2"), "importing twice changes nothing"
    code, shown = await diemcau(tmp_path, "verify", found[1])
    assert code == 0 and shown.startswith("2 entries, all fit")
    code, shown = await diemcau(tmp_path, "replay", found[1])
    assert code == 0 and "hall: 187" in shown and "delegate: 9845" in shown
    with sqlite3.connect(tmp_path / "diemcau.sqlite3") as database:
        database.execute("UPDATE entries SET change = replace(change, 'Vũ Ngọc Sa', 'Vũ Ngọc Xa') WHERE rev = 2")
    database.close()
    code, shown = await diemcau(tmp_path, "verify", found[1])
    assert (code, shown.strip()) == (1, "entry 2 does not fit: the log was altered there")


async def test_the_same_on_postgresql_by_the_environment(
    tmp_path: Path, cluster: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is needed of the data folder, and the rehearsal's and the bench's meetings stay out of it."""
    monkeypatch.setenv("DATABASE_URL", cluster.fresh())
    code, shown = await diemcau(tmp_path / "one", "import", str(ROSTER), "--new", "Hội nghị toàn tỉnh")
    assert code == 0, shown
    found = re.search(r"meeting (\w+) is at entry 2$", shown.strip())
    assert found, shown[-200:]
    twice = "mật khẩu dài\nmật khẩu dài\n"
    assert (await diemcau(tmp_path / "two", "account", "add", "thuky", "Thư ký", typed=twice))[0] == 0
    code, shown = await diemcau(tmp_path / "two", "verify", found[1])
    assert code == 0 and shown.startswith("2 entries, all fit")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "bench", "log", "--commands", "20"), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    async with host_http() as http, product_in(tmp_path, http):
        pass
    database = os.environ["DATABASE_URL"].rpartition("/")[2]
    assert cluster.sql("SELECT count(*) FROM meetings", database) == "1"
    assert cluster.sql("SELECT count(*) FROM accounts", database) == "1"


async def test_unusable_files_and_meetings_are_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK no workbook")
    code, shown = await diemcau(tmp_path, "import", str(broken), "--new", "X")
    assert code == 1 and "not_a_workbook" in shown and "Traceback" not in shown
    code, shown = await diemcau(tmp_path, "import", str(ROSTER), "--meeting", "nowhere")
    assert code == 1 and "NoSuchMeeting" in shown
    code, shown = await diemcau(tmp_path, "verify", "nowhere")
    assert (code, shown.strip()) == (1, "no meeting nowhere")


async def test_accounts_are_made_by_hand(tmp_path: Path) -> None:
    twice = "mật khẩu dài\nmật khẩu dài\n"
    assert (await diemcau(tmp_path, "account", "add", "thuky", "Thư ký", "--role", "secretary", typed=twice))[0] == 0
    code, shown = await diemcau(tmp_path, "account", "add", "thuky", "Thư ký", typed=twice)
    assert code == 1 and "taken" in shown
    assert (await diemcau(tmp_path, "account", "password", "thuky", typed=twice))[0] == 0
    assert (await diemcau(tmp_path, "account", "password", "ai-do", typed=twice))[0] == 1
    assert (await diemcau(tmp_path, "account", "add", "a", "A", "--role", "king", typed=twice))[0] == 2


async def test_the_schema_and_the_benchmark_run(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "bench", "log", "--commands", "300", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0 and b'"commands": 300' in out


async def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ("run", "--no-sample", "--host", "127.0.0.1", "--port", port, "--media-port", str(free_port()))
        code, shown = await diemcau(tmp_path, *words)
    kill_media_node(tmp_path)
    assert code == 1 and f"cannot serve on port {port}" in shown and "Traceback" not in shown


async def test_the_demo_is_ready_to_log_in(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "demo", "--port", str(free_port()), "--media-port", str(free_port())),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    printed: dict[str, str] = {}
    async with asyncio.timeout(60):
        while "delegate" not in printed:
            line = (await process.stdout.readline()).decode()
            for label in ("log in", "/ host", "one hall", "one delegate"):
                if label in line:
                    printed[label.split()[-1]] = line.split()[-1]
    async with aiohttp.ClientSession() as http:
        url = printed["host"].rpartition("/host")[0]
        async with http.post(f"{url}/api/login", json={"login": "demo", "password": printed["in"]}) as answer:
            assert answer.status == 200
        for page in (printed["hall"], printed["delegate"]):
            async with http.get(page) as answer:
                assert answer.status == 200
    process.terminate()
    async with asyncio.timeout(20):
        await process.communicate()
    assert not list(tmp_path.glob("diemcau-demo-*")), "nothing is left"


async def test_an_operator_prints_the_nodes_graph(tmp_path: Path) -> None:
    async def dump(*options: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "dump", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    port = free_port()
    async with server_process(tmp_path / "data", port, free_port()):
        code, shown = await dump("--url", f"http://127.0.0.1:{port}/")
        assert code == 0 and shown.startswith("node ") and "Traceback" not in shown, shown
    code, shown = await dump("--url", f"http://127.0.0.1:{port}")
    assert code == 1 and f"no server at http://127.0.0.1:{port}" in shown and "Traceback" not in shown


async def test_a_relay_needs_its_secret_and_a_name_that_browsers_take(tmp_path: Path) -> None:
    for words, said in (
        (("--turn", "turns:turn.example.vn"), "DIEMCAU_TURN_SECRET"),
        (("--turn", "https://turn.example.vn", "--turn-secret", "x"), "turns:host:443"),
    ):
        code, shown = await diemcau(tmp_path, "run", *words)
        assert code == 2 and said in " ".join(shown.replace("│", " ").split()), shown
