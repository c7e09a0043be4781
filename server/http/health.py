"""Whether the server lives, is ready, and what it counts."""

import contextlib
import hmac
import ipaddress

from aiohttp import web

from server import wire
from server.database.log import LogUnavailable
from server.http.caller import address, bearer
from server.http.problems import json_answer
from server.http.service import Service
from server.joining import Denial
from server.media_node import MediaDown
from server.metrics import CONTENT_TYPE


async def alive(request: web.Request, service: Service) -> web.StreamResponse:
    """The process answers: 200 as long as it does."""
    return json_answer(await _health(service))


async def ready(request: web.Request, service: Service) -> web.StreamResponse:
    """200 when commands can be written and pictures forwarded and the server is not about to end, else 503."""
    health = await _health(service)
    return json_answer(health, 200 if health.ok and not service.stopping.is_set() else 503)


async def _health(service: Service) -> wire.Health:
    try:
        await service.listed.all()
        database = True
    except LogUnavailable:
        database = False
    media = any(node.up for node in service.nodes.each)
    return wire.Health(ok=database and media, database=database, media=media)


async def metrics(request: web.Request, service: Service) -> web.StreamResponse:
    """For Prometheus: from this machine, or with the token of `--metrics-token`."""
    require_operator(request, service)
    with contextlib.suppress(MediaDown):  # what the server counts is worth telling without a node
        await service.media_stats.latest()
    return web.Response(body=service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def require_operator(request: web.Request, service: Service) -> None:
    """Only whoever is on this machine or has the metrics token. Raises `Denial`."""
    wanted = service.settings.metrics_token
    token = bearer(request) or ""
    if wanted and hmac.compare_digest(token.encode(), wanted.encode()):
        return
    passed_on = "X-Forwarded-For" in request.headers and not service.settings.trusted_proxy
    if passed_on or not _is_local(address(request, service)):  # behind a proxy everybody comes from this machine
        raise Denial("not_allowed")


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
