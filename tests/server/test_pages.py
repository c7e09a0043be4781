"""The built pages as they are served: the form the client takes, caching, and nothing but what was built."""

import gzip
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from server.http.pages import FOREVER, add_pages, read_pages

SCRIPT = b"export const greeting = 'xin chao'\n" * 50
PAGE = "<!doctype html><title>Điểm cầu</title>".encode()


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A build of one page and one script, as `vite build` leaves it."""
    (tmp_path / "assets").mkdir()
    for path, content in (("delegate.html", PAGE), ("assets/delegate-abc.js", SCRIPT)):
        (tmp_path / path).write_bytes(content)
        (tmp_path / f"{path}.gz").write_bytes(gzip.compress(content))
        (tmp_path / f"{path}.br").write_bytes(b"brotli of " + content[:20])
    (tmp_path / ".sources").write_text("secret")
    return tmp_path


def client(dist: Path) -> TestClient[web.Request, web.Application]:
    app = web.Application()
    add_pages(app, dist)
    return TestClient(TestServer(app), auto_decompress=False)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("br; q=0.000, gzip;q=0", None),
        ("identity", None),
        ("BR", "br"),
        ("brr", None),
    ],
)
async def test_a_client_gets_the_smallest_form_it_takes(dist: Path, accepted: str, encoding: str | None) -> None:
    async with (
        client(dist) as phone,
        phone.get("/assets/delegate-abc.js", headers={"Accept-Encoding": accepted}) as got,
    ):
        assert (got.status, got.headers.get("Content-Encoding")) == (200, encoding)
        assert (got.content_type, got.headers["Vary"]) == ("text/javascript", "Accept-Encoding")
        body = await got.read()
        assert body == {"br": b"brotli of " + SCRIPT[:20], "gzip": body, None: SCRIPT}[encoding]
        assert encoding != "gzip" or gzip.decompress(body) == SCRIPT


async def test_what_has_a_hash_stays_and_a_page_is_asked_for_again_but_not_sent_again(dist: Path) -> None:
    async with client(dist) as phone:
        async with phone.get("/assets/delegate-abc.js") as got:
            assert got.headers["Cache-Control"] == FOREVER
        async with phone.get("/d/some-token", headers={"Accept-Encoding": "br"}) as got:
            tag = got.headers["ETag"]
            assert (got.status, got.headers["Cache-Control"], got.content_type) == (200, "no-cache", "text/html")
        known = {"If-None-Match": f'"other", {tag}', "Accept-Encoding": "br"}
        async with phone.get("/d/another-token", headers=known) as got:
            assert (got.status, await got.read(), got.headers["ETag"]) == (304, b"", tag)
        async with phone.get("/d", headers={"If-None-Match": tag, "Accept-Encoding": "gzip"}) as got:
            assert got.status == 200, "the tag of another form"


async def test_nothing_but_the_build_is_served(dist: Path) -> None:
    assert set(read_pages(dist)) == {"delegate.html", "assets/delegate-abc.js"}
    async with client(dist) as phone:
        for path in ("/assets/none.js", "/assets/..%2f.sources", "/assets/delegate-abc.js.br", "/host"):
            async with phone.get(path) as got:
                assert got.status == 404, path
