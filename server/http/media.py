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
    told = reading.stats
    peers = tuple(peer for peer in told.peers if peer.group == runner.id and hall in (None, peer.endpoint))
    age_s = asyncio.get_running_loop().time() - reading.at
    return json_answer(
        wire.MediaStats(age_s=age_s, cpu_s=told.cpu_s, rss_bytes=told.rss_bytes, dropped=told.dropped, peers=peers)
    )


async def dump(request: web.Request, service: Service) -> web.StreamResponse:
    """The node's graph as text: from this machine, or with the token of `--metrics-token`."""
    require_operator(request, service)
    reply = await service.node.request(control.Dump())
    if not isinstance(reply, control.Text):
        raise MediaDown
    return web.Response(text=f"node {service.node.epoch}, UDP port {service.node.port}\n{reply.text}")
