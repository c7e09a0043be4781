"""What the media node counts and holds, for staff and operators."""

import asyncio

from aiohttp import web

from media import control
from server import wire
from server.http.caller import meeting, staff
from server.http.health import require_operator
from server.http.problems import json_answer
from server.http.service import Service
from server.media_node import MediaDown


async def stats(request: web.Request, service: Service) -> web.StreamResponse:
    """Of all the meeting's endpoints, or of one hall."""
    await staff(request, service)
    runner = await meeting(request, service)
    hall = request.query.get("hall")
    reading = await service.media_stats.latest()
    told = reading.nodes.values()
    peers = tuple(
        peer for node in told for peer in node.peers if peer.group == runner.id and hall in (None, peer.endpoint)
    )
    age_s = asyncio.get_running_loop().time() - reading.at
    return json_answer(
        wire.MediaStats(
            age_s=age_s,
            cpu_s=sum(node.cpu_s for node in told),
            rss_bytes=sum(node.rss_bytes for node in told),
            dropped=sum(node.dropped for node in told),
            peers=peers,
        )
    )


async def dump(request: web.Request, service: Service) -> web.StreamResponse:
    """The nodes' graph as text: from this machine, or with the token of `--metrics-token`."""
    require_operator(request, service)
    replies = await service.nodes.ask_all(control.Dump())
    texts = [
        f"node {node.name} {node.epoch}, UDP port {node.port}\n{reply.text}"
        for node in service.nodes.each
        if isinstance(reply := replies.get(node.name), control.Text)
    ]
    if not texts:
        raise MediaDown
    return web.Response(text="\n".join(texts))
