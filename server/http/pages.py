"""The built web pages, held in memory with the compressed forms that the build made: no disk and no compressing when
ten thousand phones come at once. Files under /assets have a hash in their name and never change; all others are asked
for again each time and mostly answered by 304.
"""

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
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
    "/worker.js": "worker.js",
}
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
"""What we have, best first, and the end of its file's name."""
_OWN_TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml"}
_TEXT = ("text/", "image/svg")


class Form(msgspec.Struct, frozen=True):
    """A file as one kind of client gets it."""

    body: bytes
    headers: dict[str, str]
    tag: str


class File(msgspec.Struct, frozen=True):
    """A file in all its forms, by encoding; "" is the file as it is."""

    forms: dict[str, Form]

    def form_for(self, accepted: str) -> Form:
        """By the request's Accept-Encoding (RFC 9110, 12.5.3)."""
        wanted = _accepted(accepted)
        return next(
            (self.forms[name] for name, _ in ENCODINGS if name in self.forms and name in wanted), self.forms[""]
        )


def _accepted(header: str) -> set[str]:
    """The encodings of an Accept-Encoding that are not refused by a weight of 0."""
    parts = (part.strip().lower().partition(";") for part in header.split(","))
    return {name.strip() for name, _, weight in parts if weight.replace(" ", "").rstrip("0.") != "q="}


def read_pages(dist: Path) -> dict[str, File]:
    """The built files by their path below `dist`."""
    return {path.relative_to(dist).as_posix(): _read(path, dist) for path in _originals(dist)}


def _originals(dist: Path) -> Iterator[Path]:
    ends = tuple(end for _, end in ENCODINGS)
    for path in dist.rglob("*"):
        if path.is_file() and not path.name.endswith(ends) and not path.name.startswith("."):
            yield path


def _read(path: Path, dist: Path) -> File:
    cached = FOREVER if path.parent == dist / "assets" else ASK_AGAIN
    kind = _OWN_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    common = {
        **HEADERS,
        "Content-Type": f"{kind}; charset=utf-8" if kind.startswith(_TEXT) else kind,
        "Cache-Control": cached,
        "Vary": "Accept-Encoding",
    }
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:20]
    forms = {"": _form(content, common, f'"{digest}"')}
    for name, end in ENCODINGS:
        compressed = path.with_name(path.name + end)
        if compressed.is_file():
            headers = {**common, "Content-Encoding": name}
            forms[name] = _form(compressed.read_bytes(), headers, f'"{digest}-{name}"')
    return File(forms)


def _form(body: bytes, headers: dict[str, str], tag: str) -> Form:
    return Form(body, {**headers, "ETag": tag}, tag)


def add_pages(app: web.Application, dist: Path) -> None:
    """Serve what is in `dist` now: a server that is to show another build is started again."""
    files = read_pages(dist)
    for path, name in PAGES.items():
        app.router.add_get(path, _page_handler(files.get(name)))

    async def asset(request: web.Request) -> web.StreamResponse:
        return _answer(request, files.get("assets/" + request.match_info["name"]))

    app.router.add_get("/assets/{name}", asset)
    app.on_response_prepare.append(_secure)


def _page_handler(file: File | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def show(request: web.Request) -> web.StreamResponse:
        return _answer(request, file)

    return show


def _answer(request: web.Request, file: File | None) -> web.Response:
    if file is None:
        return problem("not_found")
    form = file.form_for(request.headers.get("Accept-Encoding", ""))
    known = request.headers.get("If-None-Match")
    if known is not None and form.tag in known:  # a weak comparison of a list is what is meant (RFC 9110, 13.1.2)
        return web.Response(status=304, headers=form.headers)
    return web.Response(body=form.body, headers=form.headers)


async def _secure(request: web.Request, answer: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
