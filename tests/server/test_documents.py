"""Papers over HTTP: who may publish, who may read, and what bad files get."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from rooms.documents import OpenDocument, WithdrawDocument
from rooms.ids import DocumentId
from server.demo import PAPER
from tests.support.live import Live, client, form, live
from tests.support.meetings import D1, H1, HOST, make
from tests.support.pdf_files import encrypted_pdf

pytestmark = pytest.mark.slow


async def publish(server: Live, data: bytes = b"", **fields: str) -> tuple[int, Any]:
    path = f"/api/meetings/{server.meeting}/documents"
    return await server.post(path, data=form("Báo cáo.pdf", data or PAPER.read_bytes(), **fields))


async def test_a_paper_reaches_halls_and_phones_at_once_and_is_read_page_by_page(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login("secretary")
        async with client(server, server.hall_token()) as hall, client(server, server.delegate_token()) as phone:
            status, document = await publish(server, title="Dự thảo")
            assert (status, document["title"], document["filename"]) == (200, "Dự thảo", "Báo cáo.pdf")
            assert document["pages"] == len(PdfReader(PAPER).pages) and document["searchable"]
            for one in (hall, phone):
                await one.until(lambda c: c.records("document"))
        path = f"/api/meetings/{server.meeting}/documents/{document['id']}"
        await server.post("/api/logout")
        for token in (server.hall_token(), server.delegate_token()):
            assert (await server.get(path + "/file", token)) == (200, PAPER.read_bytes())
            image = (await server.get(path + "/pages/1.webp", token, width="480"))[1]
            assert image[:4] == b"RIFF" and image[8:12] == b"WEBP"
            assert len((await server.get(path + "/pages/1.txt", token))[1].decode()) > 50
        token = server.hall_token()
        for bad in ("/pages/0.webp", "/pages/99.webp", "/pages/x.webp", "/pages/1.webp?width=5"):
            assert (await server.get(path + bad, token))[0] in (400, 404), bad


async def test_an_address_without_the_right_token_gets_nothing(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        _, document = await publish(server)
        _, other = await server.post("/api/meetings", {"title": "Cuộc khác"})
        await server.post("/api/logout")
        path = f"/api/meetings/{server.meeting}/documents/{document['id']}"
        for part in ("/file", "/pages/1.webp", "/pages/1.txt"):
            for token in (None, "nonsense", server.seat_token()):
                assert (await server.get(path + part, token))[0] == 401, part
            elsewhere = f"/api/meetings/{other['id']}/documents/{document['id']}"
            assert (await server.get(elsewhere + part, server.delegate_token()))[0] == 403
        assert (await server.get(path + "/readers", server.delegate_token()))[0] == 401
        await server.runner.submit(HOST, make(WithdrawDocument, document=DocumentId(document["id"])))
        assert (await server.get(path + "/file", server.delegate_token()))[0] == 404


async def test_the_host_sees_who_has_opened_it(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        _, document = await publish(server)
        for actor in (D1, H1, D1):
            await server.runner.submit(actor, make(OpenDocument, document=DocumentId(document["id"])))
        path = f"/api/meetings/{server.meeting}/documents/{document['id']}/readers"
        _, page = await server.get(path)
        assert [(r["name"], r["hall"]) for r in page["rows"]] == [
            ("Lò Thị Ánh", "Điểm cầu 1"),
            ("Điểm cầu 1", "Điểm cầu 1"),
        ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "pdf_empty"),
        (b"this is no PDF", "not_a_pdf"),
        (PAPER.read_bytes()[:4000], "pdf_broken"),
        (b"%PDF-1.7\n%%EOF", "pdf_broken"),
        (encrypted_pdf("mật khẩu"), "pdf_encrypted"),
    ],
)
async def test_bad_files_get_a_clear_answer_and_leave_nothing_behind(tmp_path: Path, data: bytes, code: str) -> None:
    async with live(tmp_path) as server:
        await server.login()
        path = f"/api/meetings/{server.meeting}/documents"
        status, problem = await server.post(path, data=form("x.pdf", data))
        assert (status, problem) == (422, {"code": code, "field": "file"})
        assert not list((tmp_path / "documents").rglob("*.pdf"))
        await server.login("technician")
        assert (await server.post(path, data=form("x.pdf", PAPER.read_bytes())))[0] == 403


async def test_many_readers_of_one_page_are_served(tmp_path: Path) -> None:
    async with live(tmp_path) as server:
        await server.login()
        _, document = await publish(server)
        path = f"/api/meetings/{server.meeting}/documents/{document['id']}/pages/2.webp"
        answers = await asyncio.gather(*(server.get(path, server.delegate_token()) for _ in range(80)))
        assert {status for status, _ in answers} == {200} and len({body for _, body in answers}) == 1
