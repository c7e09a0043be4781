"""The built web pages. Files under /assets have a hash in their name and never change."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from server.http.problems import HEADERS, problem

PAGES = {
    "/": "index.html",
    "/host": "host.html",
    "/hall": "hall.html",
    "/hall/{token}": "hall.html",
    "/d": "delegate.html",
    "/d/{token}": "delegate.html",
    "/j/{token}": "delegate.html",
}
FOREVER = "public, max-age=31536000, immutable"


def page(dist: Path, name: str) -> web.Response:
    file = dist / name
    if not file.is_file():
        return problem("not_found")
    return web.Response(
        body=file.read_bytes(), content_type="text/html", charset="utf-8", headers={"Cache-Control": "no-cache"}
    )


def add_pages(app: web.Application, dist: Path) -> None:
    for path, name in PAGES.items():
        app.router.add_get(path, _page_handler(dist, name))
    if (dist / "assets").is_dir():
        app.router.add_static("/assets", dist / "assets", append_version=False)
    app.on_response_prepare.append(_cache_assets)


def _page_handler(dist: Path, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def show(request: web.Request) -> web.StreamResponse:
        return page(dist, name)

    return show


async def _cache_assets(request: web.Request, answer: web.StreamResponse) -> None:
    if request.path.startswith("/assets/") and answer.status == 200:
        answer.headers["Cache-Control"] = FOREVER
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
