"""Which pages may use the server: its own. Another site's page must get neither our cookie nor a socket."""

from urllib.parse import urlsplit


def is_own_page(origin: str, host: str, public_url: str) -> bool:
    """Whether a request with this Origin comes from a page of this server.

    `host` is the request's Host header. A proxy in front may have changed it; then `public_url` tells.
    """
    return urlsplit(origin).netloc == host or origin.rstrip("/") == public_url
