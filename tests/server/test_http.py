"""The HTTP API against a real server: who may, what comes back, and what bad input gets."""

import asyncio
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rooms.attendance import Attendance, CheckIn, CheckOut, Excuse
from rooms.codec import decode_change
from rooms.meeting import Meeting
from rooms.questions import AskQuestion
from rooms.roster import Delegate, Hall, RenewLink
from server.database.log import Log
from server.demo import ROSTER
from server.http.pages import PAGES
from server.http.routes import ROUTES
from tests.support.live import PASSWORD, Live, form, live
from tests.support.meetings import D1, D2, HOST, make
from tests.support.workbooks import open_book

pytestmark = pytest.mark.slow


async def test_the_first_host_comes_in_by_the_printed_secret_once(tmp_path: Path) -> None:
    from server.app import serving
    from tests.support.live import _session, settings

    async with serving(settings(tmp_path)) as running, _session() as http:
        server = Live(running, None, http)  # type: ignore[arg-type]
        account = {"login": "Chu.Tri ", "name": "Chủ trì", "password": PASSWORD}
        assert (await server.post("/api/first-run", {**account, "secret": "wrong"}))[0] == 401
        secret = running.service.first_run_secret
        weak = await server.post("/api/first-run", {**account, "secret": secret, "password": "short"})
        assert weak == (422, {"code": "weak_password", "field": "password"})
        status, made = await server.post("/api/first-run", {**account, "secret": secret})
        assert (status, made["login"], made["role"]) == (200, "chu.tri", "host")
        assert (await server.get("/api/me"))[1] == made
        assert (await server.post("/api/first-run", {**account, "secret": secret}))[0] == 401
        await server.post("/api/logout")
        assert (await server.get("/api/me"))[0] == 401


async def test_wrong_passwords_are_limited_and_unknown_logins_look_the_same(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        for login in ("host", "nobody"):
            wrong = await server.post("/api/login", {"login": login, "password": "wrong wrong"})
            assert wrong == (401, {"code": "login_failed", "field": None})
        for _ in range(8):
            await server.post("/api/login", {"login": "host", "password": "wrong wrong"})
        assert (await server.post("/api/login", {"login": "host", "password": PASSWORD}))[0] == 429


async def test_another_sites_page_cannot_use_our_cookie(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        headers = {"Origin": "https://evil.example"}
        async with server.http.post(f"{server.url}/api/meetings", json={"title": "X"}, headers=headers) as answer:
            assert answer.status == 403
        async with server.http.post(f"{server.url}/api/meetings", data={"title": "X"}) as answer:
            assert answer.status == 400
        cookie = next(c for c in server.http.cookie_jar if c.key == "diemcau_session")
        assert cookie["httponly"] and cookie["samesite"] == "Strict"


def _filled(path: str, meeting: str) -> str:
    for name, value in (("m", meeting), ("h", "h1"), ("d", "d1"), ("n", "1"), ("s", "h1~in~1")):
        path = path.replace("{" + name + "}", value)
    return path.replace("{format:svg|png}", "svg")


async def test_no_staff_request_answers_a_stranger(tmp_path: Path) -> None:
    """Every route of the table, without a cookie: 401 (or 4xx for the ones open to all), never data."""
    async with live(tmp_path) as server:
        opened = {"/healthz", "/readyz", "/metrics", "/api/media/dump", "/api/logout"}
        async with asyncio.timeout(10):
            while not (await server.get("/readyz"))[1]["media"]:
                await asyncio.sleep(0.05)
        for route in ROUTES:
            path = _filled(route.path, server.meeting)
            async with server.http.request(route.method, server.url + path, json={}) as answer:
                assert answer.status in ((200,) if path in opened else (400, 401)), (route.path, answer.status)


async def test_roles_are_kept_apart(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login("technician")
        m = f"/api/meetings/{server.meeting}"
        assert (await server.post("/api/meetings", {"title": "X"}))[0] == 403
        assert (await server.get("/api/accounts"))[0] == 403
        assert (await server.post(m + "/roster/preview", data=form("a.xlsx", b"x")))[0] == 403
        assert (await server.get(m + "/delegates"))[0] == 200
        await server.login("host")
        new = {"login": "moi", "name": "Thư ký mới", "role": "secretary", "password": PASSWORD}
        assert (await server.post("/api/accounts", new))[0] == 200
        assert (await server.post("/api/accounts", new)) == (409, {"code": "taken", "field": "login"})
        assert (await server.post("/api/accounts", {**new, "role": "king"}))[0] == 400


async def test_meetings_are_made_and_listed(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        status, made = await server.post("/api/meetings", {"title": "  Họp  giao ban ", "place": "Phòng 1"})
        assert (status, made["title"], made["state"]) == (200, "Họp giao ban", "planned")
        _, rows = await server.get("/api/meetings")
        assert [(r["title"], r["halls"], r["delegates"]) for r in rows] == [("Họp giao ban", 0, 0), ("Hội nghị", 3, 4)]
        assert (await server.post("/api/meetings", {"title": " "}))[0] == 422
        assert (await server.post("/api/meetings/nowhere/token"))[0] == 404


async def test_the_delegate_list_is_paged_and_searched(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        await server.runner.submit(D1, make(CheckIn))
        path = f"/api/meetings/{server.meeting}/delegates"
        _, page = await server.get(path)
        assert page["total"] == 4 and [r["id"] for r in page["rows"]] == ["d1", "d2", "d3", "d4"]
        assert len({r["code"] for r in page["rows"]}) == 4
        for query, ids in (
            ({"search": "hoàng văn"}, ["d3"]),
            ({"search": "HOÀNG"}, ["d3"]),
            ({"hall": "h1"}, ["d1", "d2"]),
            ({"state": "present"}, ["d1"]),
            ({"state": "absent", "hall": "h1"}, ["d2"]),
            ({"page": "2"}, []),
        ):
            assert [r["id"] for r in (await server.get(path, **query))[1]["rows"]] == ids, query
        for query in ({"page": "0"}, {"page": "x"}, {"page": "9" * 50}, {"state": "asleep"}):
            assert (await server.get(path, **query))[0] == 400, query


async def test_joining_by_code(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        rows = (await server.get(f"/api/meetings/{server.meeting}/delegates"))[1]["rows"]
        code = rows[0]["code"]
        for written in (code, code.lower(), f" {code[:3]}-{code[3:]} "):
            status, joined = await server.post("/api/join", {"code": written})
            assert (status, joined["kind"]) == (200, "delegate")
            assert joined["page"] == f"/d/{joined['token']}"
        _, card = await server.get(f"/api/meetings/{server.meeting}/halls/h1/card")
        assert (await server.post("/api/join", {"code": card["code"]}))[1]["kind"] == "hall"
        for _ in range(60):
            assert (await server.post("/api/join", {"code": "ZZZZZZ"}))[0] == 404
        assert (await server.post("/api/join", {"code": code}))[0] == 429


async def test_joining_by_the_halls_qr_needs_a_proof(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        seat = server.seat_token("h1")
        status, seats = await server.get("/api/hall-join/seats", seat)
        assert status == 200 and seats["hall"] == "Điểm cầu 1"
        assert [(s["id"], s["proof"]) for s in seats["seats"]] == [("d1", True), ("d2", False)]
        assert "phone" not in json.dumps(seats)
        assert [s["id"] for s in (await server.get("/api/hall-join/seats", seat, search="tẩn"))[1]["seats"]] == ["d2"]

        async def join(delegate: str, proof: str, token: str = seat) -> tuple[int, Any]:
            return await server.post("/api/hall-join", {"token": token, "delegate": delegate, "proof": proof})

        assert (await join("d1", "101"))[1]["kind"] == "delegate"
        assert (await join("d2", ""))[1]["code"] == "wrong_proof"
        assert (await join("d3", "103"))[0] == 404
        assert (await join("d1", "101", server.hall_token("h1")))[0] == 401
        assert (await server.get("/api/hall-join/seats", server.hall_token("h1")))[0] == 401
        for _ in range(5):
            assert (await join("d1", "000"))[1]["code"] == "wrong_proof"
        assert (await join("d1", "101"))[0] == 429
        await server.runner.submit(HOST, make(RenewLink, hall="h1"))
        assert (await server.get("/api/hall-join/seats", seat))[0] == 401


async def test_qr_codes_and_sheets(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        m = f"/api/meetings/{server.meeting}"
        for path in ("/halls/h1/qr.svg", "/halls/h1/qr.svg?for=delegates", "/delegates/d1/qr.svg"):
            assert b"<svg" in (await server.get(m + path))[1]
        assert (await server.get(m + "/delegates/d1/qr.png"))[1].startswith(b"\x89PNG")
        assert (await server.get(m + "/halls/h1/sheet.pdf"))[1].startswith(b"%PDF")
        assert (await server.get(m + "/sheets.pdf"))[1].startswith(b"%PDF")
        assert (await server.get(m + "/halls/h9/qr.svg"))[0] == 404
        assert b"<svg" in (await server.get("/api/hall/qr.svg", server.hall_token()))[1]
        assert (await server.get("/api/hall/qr.svg", server.delegate_token()))[0] == 403


async def test_import_of_the_roster_by_upload_twice(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login("host")
        _, made = await server.post("/api/meetings", {"title": "Toàn tỉnh"})
        await server.login("secretary")
        m = f"/api/meetings/{made['id']}"
        data = ROSTER.read_bytes()
        status, preview = await server.post(m + "/roster/preview", data=form("roster.xlsx", data))
        assert (status, len(preview["halls"]), preview["new_halls"]) == (200, 187, 187)
        left_out = [row for row in preview["doubtful"] if not row["taken"] and row["name"]]
        corrections = [{"sheet": row["sheet"], "row": row["row"], "skip": True} for row in left_out[:2]]
        body = {"upload": preview["upload"], "corrections": corrections}
        status, done = await server.post(m + "/roster/import", body)
        assert (status, done["new_delegates"]) == (200, preview["new_delegates"])
        _, again = await server.post(m + "/roster/preview", data=form("roster.xlsx", data))
        assert (again["new_halls"], again["new_delegates"], again["changed"]) == (0, 0, 0)
        status, repeated = await server.post(m + "/roster/import", {"upload": again["upload"]})
        assert (status, repeated["rev"]) == (200, done["rev"])
        runner = await server.service.meetings.get(made["id"])
        assert runner.meeting.count(Hall) == 187 and runner.meeting.count(Delegate) == done["delegates"]


@pytest.mark.parametrize("data", [b"", b"not a workbook", b"PK\x03\x04" + b"\0" * 200, b"<html></html>"])
async def test_files_that_are_no_workbook(tmp_path: Path, data: bytes) -> None:
    async with live(tmp_path) as server:
        await server.login()
        m = f"/api/meetings/{server.meeting}"
        status, problem = await server.post(m + "/roster/preview", data=form("x.xlsx", data))
        assert (status, problem["code"]) == (422, "not_a_workbook")
        assert (await server.post(m + "/roster/import", {"upload": "0" * 64}))[1]["code"] == "expired"
        assert (await server.post(m + "/roster/import", {"upload": "../../secret"}))[0] == 400
        assert not [p for p in (tmp_path / "uploads").iterdir() if p.name.startswith("incoming")]


async def test_malformed_bodies_get_a_problem(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        url = f"{server.url}/api/meetings"
        for body in (b"", b"{", b"[]", b"null", b'{"title":5}', b'{"title":"A","x":1}', b"\xff\xfe", b"[" * 100_000):
            async with server.http.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (400, "bad_request"), body[:20]
        big = io.BytesIO(b'{"title":"' + b"x" * 2_000_000 + b'"}')
        async with server.http.post(url, data=big, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 413
        for content in ("multipart/form-data", "multipart/form-data; boundary=x", "text/plain"):
            path = f"{url}/{server.meeting}/roster/preview"
            async with server.http.post(path, data=b"--x\r\n\r\n", headers={"Content-Type": content}) as answer:
                assert answer.status == 400, content
        assert (await server.get("/readyz"))[0] == 200


async def test_pages_and_docs_are_served_with_a_strict_policy(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        for path in (*PAGES, "/api/docs"):
            async with server.http.get(server.url + path.replace("{token}", "abc")) as answer:
                kind = "text/javascript" if path.endswith(".js") else "text/html"
                assert (answer.status, answer.content_type) == (200, kind), path
                policy = answer.headers["Content-Security-Policy"]
                assert "script-src 'self';" in policy and "unsafe-eval" not in policy
                assert answer.headers["Referrer-Policy"] == "no-referrer"
        _, document = await server.get("/api/openapi.json")
        assert document["openapi"] == "3.1.0"
        assert "/api/meetings/{m}/roster/preview" in document["paths"]
        references = set(_references(document))
        assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []


async def test_metrics_are_for_this_machine(tmp_path: Path) -> None:
    async with live(tmp_path, trusted_proxy=True, metrics_token="the-do") as server:
        assert b"diemcau_loop_lag_seconds" in (await server.get("/metrics"))[1]
        headers = {"X-Forwarded-For": "203.0.113.9"}
        async with server.http.get(f"{server.url}/metrics", headers=headers) as answer:
            assert answer.status == 403
        headers["Authorization"] = "Bearer the-do"
        async with server.http.get(f"{server.url}/metrics", headers=headers) as answer:
            assert answer.status == 200


async def test_logs_hold_no_names_tokens_or_addresses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with live(tmp_path) as server:
        token = server.delegate_token()
        await server.login()
        await server.get(f"/d/{token}")
        await server.get(f"/d/{token}/nothing")
        await server.post("/api/join", {"code": "ZZZZZZ"})
        await server.get("/api/hall-join/seats", server.seat_token(), search="Lò Thị Ánh")
        await server.runner.submit(D1, make(CheckIn))
        await asyncio.sleep(0.1)
    out, err = capfd.readouterr()
    for secret in (token, "Lò Thị", "Ánh", "127.0.0.1", PASSWORD, "ZZZZZZ", "0900000101"):
        assert secret not in out + err, secret
    assert "request_refused" in out + err


async def test_the_exported_workbook_says_what_the_log_says(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        for actor, kind in ((D1, CheckIn), (D2, CheckIn), (D2, CheckOut)):
            await server.runner.submit(actor, make(kind))
        await server.runner.submit(HOST, make(Excuse, delegate="d3", reason="đi công tác"))
        await server.runner.submit(D1, make(AskQuestion, text="Bao giờ có đường?"))
        _, data = await server.get(f"/api/meetings/{server.meeting}/export/attendance.xlsx")
        state = Meeting()
        for entry in await Log(server.engine).read(server.meeting, 0):
            state.apply(decode_change(entry.change), entry.rev)
    book = open_book(io.BytesIO(data))
    rows = table(book["Đại biểu"])
    halls = {hall.id: hall.name for hall in state.select(Hall)}
    assert [(r["Họ và tên"], r["Điểm cầu"]) for r in rows] == [(d.name, halls[d.hall]) for d in state.select(Delegate)]
    assert [r["Trạng thái"] for r in rows][::2] == ["Có mặt trực tiếp", "Vắng có lý do"]
    intervals = [(a.id, i) for a in state.select(Attendance) for i in a.intervals]
    assert len(table(book["Lượt vào ra"])) == len(intervals) == 2
    first = table(book["Lượt vào ra"])[0]
    written = next(str(value) for value in first.values() if "+07:00" in str(value))
    assert datetime.fromisoformat(written).timestamp() == pytest.approx(intervals[0][1].in_at, abs=1)
    assert [r["Câu hỏi"] for r in table(book["Câu hỏi"])] == ["Bao giờ có đường?"]


def table(sheet: Any) -> list[dict[str, Any]]:
    """The sheet's rows by the names of its columns, found by the row that begins with STT."""
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    head = next(n for n, row in enumerate(rows) if row[0] == "STT")
    return [dict(zip(rows[head], row, strict=True)) for row in rows[head + 1 :] if row[0] is not None]
