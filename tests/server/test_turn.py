"""Relays and their credentials: who gets them, and that they are renewed. A real relay takes them in tests/peers."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from server.settings import Settings
from server.turn import LIFE_S, ice_servers, is_turn_url
from tests.support.live import client, live

URLS = ("turns:turn.example.vn:443?transport=tcp", "turn:turn.example.vn:3478")
RELAY = {"turn_urls": URLS, "turn_secret": "s3cret"}


def test_a_credential_is_the_rest_apis() -> None:
    settings = Settings(data_dir=Path("unused"), turn_urls=URLS, turn_secret="s3cret")
    (server,) = ice_servers(settings, "h1", 1_700_000_000.9)
    assert server.urls == URLS
    assert server.username == f"{1_700_000_000 + LIFE_S}:h1"
    mac = hmac.new(b"s3cret", server.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(server.credential, validate=True) == mac


def test_without_a_relay_there_are_none() -> None:
    assert ice_servers(Settings(data_dir=Path("unused")), "h1", 0.0) == ()


@pytest.mark.parametrize(
    ("url", "good"),
    [
        *((url, True) for url in URLS),
        ("turn:203.0.113.8?transport=udp", True),
        ("turn:[2001:db8::8]:3478", True),
        ("stun:turn.example.vn", False),
        ("turn://turn.example.vn:3478", False),
        ("turns:", False),
        ("turns:turn.example.vn:443?transport=tls", False),
        ("https://turn.example.vn", False),
    ],
)
def test_only_urls_that_browsers_take_are_taken(url: str, good: bool) -> None:
    assert is_turn_url(url) is good


async def test_who_has_media_gets_credentials_of_their_own_and_new_ones_later(tmp_path: Path) -> None:
    async with (
        live(tmp_path, **RELAY) as server,
        client(server, server.hall_token("h1")) as hall,
        client(server, await server.staff_token()) as console,
        client(server, server.delegate_token("d1")) as phone,
    ):
        assert phone.welcome["ice_servers"] == []
        for one in (hall, console):
            (relay,) = one.welcome["ice_servers"]
            expiry, _, endpoint = relay["username"].partition(":")
            assert endpoint == one.welcome["me"]["endpoint"]
            assert abs(int(expiry) - one.welcome["now"] - LIFE_S) < 2
            assert tuple(relay["urls"]) == URLS
        server.running.sockets.renew_relay_credentials()
        for one in (hall, console):
            told = await one.until(lambda c: [body for event, body in c.events if event == "ice_servers"])
            assert told[0]["servers"][0]["username"].endswith(f":{one.welcome['me']['endpoint']}")
        assert not [event for event, _ in phone.events if event == "ice_servers"]


async def test_without_a_relay_nobody_is_given_one(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.hall_token("h1")) as hall:
        assert hall.welcome["ice_servers"] == []
