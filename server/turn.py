"""TURN for halls whose network blocks UDP: where the relay is, and credentials that pass by themselves.

The relay (coturn with `use-auth-secret`) and this server share a secret; nothing is kept for a credential. The scheme
is the TURN REST API (draft-uberti-behave-turn-rest-00): the username is `<expiry>:<id>`, the password the base64 of
HMAC-SHA1 over it. `stun:` has no place here: the media node is ICE-lite with its addresses in the answer.
"""

import base64
import hmac
import re

from server import wire
from server.settings import Settings

LIFE_S = 2 * 3600
"""How long a credential lets a page make a new allocation. The relay goes on serving allocations made by then."""
RENEW_S = LIFE_S / 2
"""How often connected pages get new ones, so that the one they hold is always good for at least as long again."""

_TURN_URL = re.compile(r"turns?:([a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(\?transport=(udp|tcp))?")


def is_turn_url(url: str) -> bool:
    """Whether it names a relay (RFC 7065). Of another one browsers would make no connection at all."""
    return _TURN_URL.fullmatch(url) is not None


def ice_servers(settings: Settings, id: str, now: float) -> tuple[wire.IceServer, ...]:
    """What goes into RTCPeerConnection's `iceServers` for the endpoint `id` at the time `now`; empty without a relay.

    The id is seen in the relay's log: let it be an endpoint's name, never a person's.
    """
    if not settings.turn_urls:
        return ()
    username = f"{int(now + LIFE_S)}:{id}"
    digest = hmac.digest(settings.turn_secret.encode(), username.encode(), "sha1")
    return (wire.IceServer(urls=settings.turn_urls, username=username, credential=base64.b64encode(digest).decode()),)
