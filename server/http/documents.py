"""Papers: publishing one, and reading it as a file, as page images or as text."""

import asyncio

from aiohttp import web

from rooms.documents import Document, PublishDocument
from rooms.ids import ItemId
from server.http.caller import DESK, meeting, reader, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.http.uploads import Upload, receive
from server.joining import Denial
from server.meetings import new_command_id
from server.papers.facts import MOST_BYTES, WIDTHS

PRIVATE = "private, max-age=86400, immutable"


async def publish(request: web.Request, service: Service) -> web.StreamResponse:
    caller = await staff(request, service, DESK)
    runner = await meeting(request, service)
    upload = await receive(request, service.papers.incoming, MOST_BYTES)
    try:
        command = await _checked(service, upload)
    finally:
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
    await runner.submit(caller, command)
    return json_answer(runner.meeting.require(Document, command.id))


async def _checked(service: Service, upload: Upload) -> PublishDocument:
    """The command that publishes the file, which is stored. Raises `PaperError` for a file that is no sound PDF."""
    facts = await service.workers.inspect(upload.path)
    stored = await service.papers.adopt(upload.path)
    title = upload.fields.get("title", "").strip() or facts.title or upload.filename.rpartition(".")[0]
    return PublishDocument(
        id=new_command_id(),
        title=title or "PDF",
        filename=upload.filename[:300] or "document.pdf",
        item=ItemId(upload.fields["item"]) if upload.fields.get("item") else None,
        sha256=stored.sha256,
        size=stored.size,
        pages=facts.pages,
        searchable=facts.searchable,
    )


async def _document(request: web.Request, service: Service) -> Document:
    """The paper of the path, for anyone who takes part in its meeting."""
    runner = await reader(request, service)
    return runner.meeting.require(Document, request.match_info["d"])


def _page(request: web.Request, document: Document) -> int:
    text = request.match_info["n"]
    if not text.isdecimal() or not 1 <= int(text[:6]) <= document.pages:
        raise Denial("not_found", "page")
    return int(text[:6])


async def file(request: web.Request, service: Service) -> web.StreamResponse:
    document = await _document(request, service)
    answer = web.FileResponse(await service.papers.find(document.sha256))
    answer.content_type = "application/pdf"
    answer.headers["Cache-Control"] = PRIVATE
    answer.headers["Content-Disposition"] = "inline"
    return answer


async def page_image(request: web.Request, service: Service) -> web.StreamResponse:
    document = await _document(request, service)
    width = request.query.get("width", "800")
    if width not in map(str, WIDTHS):
        raise Denial("bad_request", "width")
    data = await service.pages.image(document.sha256, _page(request, document), int(width))
    return web.Response(body=data, content_type="image/webp", headers={"Cache-Control": PRIVATE})


async def page_text(request: web.Request, service: Service) -> web.StreamResponse:
    document = await _document(request, service)
    text = await service.pages.text(document.sha256, _page(request, document))
    return web.Response(text=text, content_type="text/plain", headers={"Cache-Control": PRIVATE})
