"""`diemcau-health`: whether the process in this container works; exits with 1 if not. What a HEALTHCHECK runs.

Its own small program, because it runs every ten seconds: the standard library only, 60 ms. `DIEMCAU_HEALTH` names
what is asked: a server's `http(s)://…/healthz`, or `tls://host:port`, the control port of a media node. There only
half a handshake is made: the node answers it from its loop, to anybody.
"""

import os
import socket
import ssl
import sys
import urllib.request
from urllib.parse import urlsplit

DEFAULT = "http://127.0.0.1:8080/healthz"
PATIENCE_S = 4.0


def check(target: str) -> None:
    """Raises OSError or ValueError if what is at `target` does not answer as it should within `PATIENCE_S`."""
    parts = urlsplit(target)
    if parts.scheme == "tls":
        _shake(parts.hostname or "", parts.port or 0)
    elif parts.scheme in ("http", "https"):
        with urllib.request.urlopen(target, timeout=PATIENCE_S, context=_any_certificate()) as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
    else:
        raise ValueError("DIEMCAU_HEALTH is http://…, https://… or tls://host:port")


def _shake(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=PATIENCE_S) as plain:
        with _any_certificate().wrap_socket(plain) as shaken:
            if shaken.version() is None:
                raise ValueError("no handshake")


def _any_certificate() -> ssl.SSLContext:
    """It is asked whether somebody is there, not who: nothing is told to them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    try:
        check(os.environ.get("DIEMCAU_HEALTH", DEFAULT))
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__} {error}")


if __name__ == "__main__":
    main()
