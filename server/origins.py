"""Where a request comes from: which address, for limits, and which page. Another site's page must get neither our
cookie nor a socket."""

from urllib.parse import urlsplit

from aiohttp import web

from server.settings import Settings


def caller_address(request: web.Request, settings: Settings) -> str:
    """Where the request comes from, for limits only."""
    if settings.trusted_proxy:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return request.remote or ""


def is_own_page(origin: str, host: str, public_url: str) -> bool:
    """Whether a request with this Origin comes from a page of this server.

    `host` is the request's Host header. A proxy in front may have changed it; then `public_url` tells.
    """
    return urlsplit(origin).netloc == host or origin.rstrip("/") == public_url
