"""A small rehearsal through the real server and its node."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from clients.rehearsal.report import RehearsalReport
from tests.support.live import PASSWORD, live

pytestmark = pytest.mark.slow


async def rehearse(*options: str) -> tuple[int, str, str]:
    """Exit code, output, what was said meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "rehearse", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_six_halls_join_see_the_stage_and_each_other_speak() -> None:
    """On a busy machine delays are what they are; what is sent arrives, unchanged and in order."""
    code, out, errors = await rehearse("--halls", "6", "--seconds", "9", "--json")
    assert code in (0, 1) and "Traceback" not in errors, errors
    report = msgspec.json.decode(out, type=RehearsalReport)
    assert (report.halls, report.joined, report.see_the_stage, report.errors) == (6, 6, 6, ())
    assert report.verified > 100 and report.faults == 0 and report.dropped_here == 0
    assert report.switches >= 1 and report.switch_late == 0 and report.switch_ms is not None
    assert report.picture_s is not None and report.picture_s.most < 10
    assert report.srtp_profiles == ("SRTP_AEAD_AES_128_GCM",)
    assert report.node_join_cpu_ms is not None and report.node_cpu_share and report.cpu_us_per_packet
    assert set(report.verdicts) == {"joined", "picture", "join_cpu", "node_cpu", "loss", "latency", "switch"}
    assert code == ("bad" in report.verdicts.values())


async def test_a_running_server_is_rehearsed_by_its_host_and_left_as_it_was(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        options = ["--url", server.url, "--login", "host", "--password", PASSWORD, "--data", str(tmp_path)]
        code, out, errors = await rehearse("--halls", "3", "--seconds", "3", *options)
        assert code in (0, 1) and "Traceback" not in errors, errors
        assert "DIỄN TẬP 3 ĐIỂM CẦU" in out and "Vào họp: 3/3, thấy hình sân khấu: 3" in out
        assert "µs mỗi gói" in out, "the node was found by the data folder and measured"
        await server.login()
        _, meetings = await server.get("/api/meetings")
        rehearsed = next(each for each in meetings if each["title"] == "Diễn tập (rehearsal)")
        assert (rehearsed["state"], rehearsed["halls"]) == ("closed", 3)


async def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        code, _, errors = await rehearse("--halls", "2", "--url", server.url, "--login", "host", "--password", "wrong")
    assert code == 1 and "login_failed" in errors and "Traceback" not in errors


async def test_halls_on_two_media_processes_see_and_hear_each_other() -> None:
    """Six halls on two processes: every switch is seen on both, over one copy of the speaker between them."""
    code, out, errors = await rehearse("--halls", "6", "--seconds", "9", "--json", "--media-workers", "2")
    assert code in (0, 1) and "Traceback" not in errors, errors
    report = msgspec.json.decode(out, type=RehearsalReport)
    assert (report.joined, report.see_the_stage, report.errors) == (6, 6, ())
    assert report.verified > 100 and report.faults == 0
    assert report.switches >= 1 and report.switch_late == 0
