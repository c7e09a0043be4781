"""A small rehearsal through the real server and its node."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from clients.rehearsal.product import nodes_of
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


async def reported(*options: str) -> tuple[int, RehearsalReport]:
    """Exit code, the report."""
    code, out, errors = await rehearse(*options, "--json")
    assert code in (0, 1) and out and "Traceback" not in errors, errors
    return code, msgspec.json.decode(out, type=RehearsalReport)


async def test_six_halls_join_see_the_stage_and_each_other_speak() -> None:
    """On a busy machine delays are what they are; what is sent arrives, unchanged and in order."""
    code, report = await reported("--halls", "6", "--seconds", "9")
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


async def test_a_media_node_that_is_killed_in_the_middle_is_reported(tmp_path: Path) -> None:
    """The halls come back, as pages do; what the nodes cost cannot be told."""
    async with live(tmp_path) as server:
        options = ["--url", server.url, "--login", "host", "--password", PASSWORD, "--data", str(tmp_path)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "rehearse", "--halls", "3", "--seconds", "9", "--english", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        async with asyncio.timeout(60):
            while b"joined" not in (line := await process.stderr.readline()):
                assert line
            await asyncio.sleep(3)
            (node,) = nodes_of(tmp_path)
            os.kill(node, signal.SIGKILL)
            out, errors = await asyncio.gather(process.stdout.read(), process.stderr.read())
            assert await process.wait() == 1 and not errors
    assert "a media node ended in the middle" in out.decode() and "Result: BAD" in out.decode()
    assert "Media node meanwhile: not measured  [BAD]" in out.decode()


async def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        code, _, errors = await rehearse("--halls", "2", "--url", server.url, "--login", "host", "--password", "wrong")
    assert code == 1 and "login_failed" in errors and "Traceback" not in errors


async def test_halls_on_two_media_processes_see_and_hear_each_other() -> None:
    """Six halls on two processes: every switch is seen on both, over one copy of the speaker between them."""
    _, report = await reported("--halls", "6", "--seconds", "9", "--media-workers", "2")
    assert (report.joined, report.see_the_stage, report.errors) == (6, 6, ())
    assert report.verified > 100 and report.faults == 0
    assert report.switches >= 1 and report.switch_late == 0


PHONES = {"joined", "answers", "told", "back", "loss", "replicas", "loop"}


def check_phones(report: RehearsalReport, delegates: int) -> None:
    """Whatever the machine's load: nobody is left out, nothing is lost or done twice, all hold the same."""
    phones = report.phones
    assert phones is not None and phones.joined == phones.delegates == delegates
    assert (phones.lost, phones.check_in.given, phones.votes.given) == (0, delegates, delegates)
    assert phones.faults == {} and set(phones.setbacks) == {"cut"}
    assert phones.counted.right and phones.counted.present == phones.counted.votes == delegates
    assert phones.counted.questions == phones.questions.given > 0 and phones.counted.second_votes > 0
    away = phones.interrupted
    assert away.cut > 0 and away.slept > 0 and away.back == away.cut + away.slept
    assert away.resumed >= away.cut and away.reset == 0, "who comes back is told what it missed, no more"
    assert phones.compared > 0 and phones.differing == 0
    for answered in (phones.check_in, phones.questions, phones.votes):
        assert 0 < answered.p50_ms <= answered.p99_ms and answered.cpu_us
    assert 0 < phones.told.p50_ms <= phones.told.p99_ms
    assert phones.connect_cpu_us and phones.loop_lag_max_ms and phones.join_s is not None


async def test_two_hundred_delegates_check_in_ask_vote_and_come_back_when_their_line_is_cut() -> None:
    code, report = await reported("--delegates", "200", "--burst", "2")
    check_phones(report, 200)
    assert (report.halls, report.packets, report.vote) == (0, 0, None)
    assert set(report.verdicts) == {f"phones_{name}" for name in PHONES}
    assert code == ("bad" in report.verdicts.values())


async def test_halls_see_the_stage_while_their_delegates_vote() -> None:
    _, report = await reported("--halls", "4", "--delegates", "50", "--burst", "2", "--seconds", "5")
    check_phones(report, 50)
    assert (report.joined, report.see_the_stage, report.errors) == (4, 4, ())
    vote = report.vote
    assert vote is not None and vote.packets > 100 and vote.faults == 0
    assert vote.latency_p50_ms is not None and vote.latency_p99_ms is not None and vote.node_cpu_share
    assert {"joined", "vote_media", *(f"phones_{name}" for name in PHONES)} <= set(report.verdicts)


async def test_the_phones_of_a_running_server_are_rehearsed_by_its_host(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        options = ["--url", server.url, "--login", "host", "--password", PASSWORD]
        code, out, errors = await rehearse("--delegates", "20", "--burst", "1", *options)
        assert code in (0, 1) and "Traceback" not in errors, errors
        assert "DIỄN TẬP 20 ĐẠI BIỂU" in out and "Điện thoại vào họp: 20/20" in out
        assert "Bản sao trên điện thoại khác máy chủ: 0 trong 20" in out
        await server.login()
        _, meetings = await server.get("/api/meetings")
        rehearsed = next(each for each in meetings if each["title"] == "Diễn tập (rehearsal)")
        assert (rehearsed["state"], rehearsed["delegates"]) == ("closed", 20)
