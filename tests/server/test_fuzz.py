"""Whatever comes from outside is a value or the documented exception, nothing else."""

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.codec import command_of, decode_actor, decode_change, decode_command
from rooms.ids import MeetingId
from rooms.meeting import Command
from rooms.refusal import Refused
from rooms.rules import decide
from rooms.visibility import Audience
from server.database.codes import read_code
from server.limits import Bucket
from server.sockets import allowed_slots
from server.tokens import BadToken, Grant, Tokens
from server.wire import Hello, MediaOffer, Report, Tiles
from tests.support.live import live
from tests.support.meetings import D1, H1, HOST, NOON, open_meeting

TOKENS = Tokens(b"a secret for this test")
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_types = st.sampled_from(
    ["question.ask", "attendance.check_in", "floor.give", "agenda.add", "document.open", "roster.import", "no.such"]
)
_fields = st.dictionaries(
    st.sampled_from(["id", "text", "hall", "item", "title", "duration_s", "document", "delegate", "halls", "x"]),
    _json,
    max_size=5,
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_as_command_change_or_actor(data: bytes) -> None:
    for decode in (decode_command, decode_change, decode_actor):
        try:
            decode(data)
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass


@given(_json, _types, _fields)
def test_any_json_as_a_command_is_decided_or_refused(value: object, kind: str, fields: dict[str, object]) -> None:
    for wanted in (value, {"type": kind, "id": "command-fuzz", **fields}):
        try:
            command: Command = command_of(wanted)
        except msgspec.ValidationError:
            continue
        for actor in (HOST, H1, D1):
            try:
                decide(open_meeting(), actor, command, NOON)
            except Refused:
                pass


@given(_json)
def test_any_json_as_a_wire_body(value: object) -> None:
    for body in (Hello, MediaOffer, Tiles, Report):
        try:
            msgspec.convert(value, body)
        except msgspec.ValidationError:
            pass


@given(st.text(max_size=300))
def test_any_text_as_a_token(text: str) -> None:
    for read in (TOKENS.read_join, TOKENS.read_session):
        with pytest.raises(BadToken):
            read(text)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_token_is_none(at: int, flip: int) -> None:
    token = TOKENS.join(Grant("delegate", MeetingId("m1"), "d1"))
    assert TOKENS.read_join(token) == Grant("delegate", MeetingId("m1"), "d1")
    n = at % len(token)
    changed = token[:n] + chr((ord(token[n]) + flip) % 128) + token[n + 1 :]
    try:
        assert TOKENS.read_join(changed) == Grant("delegate", MeetingId("m1"), "d1")  # unused bits of the last sextet
    except BadToken:
        pass
    with pytest.raises(BadToken):
        Tokens(b"another secret").read_join(token)
    with pytest.raises(BadToken):
        TOKENS.read_session(token)


@given(st.text(max_size=50))
def test_codes_are_read_as_written(text: str) -> None:
    read = read_code(text)
    assert read == read_code(read) and not any(c.isspace() for c in read)


@given(st.dictionaries(st.text(max_size=4), st.sampled_from(["camera", "microphone", "stage.0", "tile.3", "x"])))
def test_only_halls_send(slots: dict[str, str]) -> None:
    assert "camera" not in allowed_slots(Audience("staff"), slots).values()
    assert "tile.3" not in allowed_slots(Audience("hall", "h1"), slots).values()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_a_bucket_never_gives_more_than_its_rate(gaps: list[float]) -> None:
    now = 0.0
    bucket, given_out = Bucket(20.0, 60.0, 40.0, now), 0
    for gap in gaps:
        now += gap / 100
        given_out += bucket.take(now)
    assert given_out <= 60 + 20 * now + 1


@pytest.mark.slow
async def test_any_frames_on_the_socket(tmp_path: Path) -> None:
    """A thousand random frames, a few a connection; the server is ready and holds no ghost at the end."""
    chance = random.Random(20261123)
    async with live(tmp_path) as server:
        address = f"{server.url}/socket.io/?EIO=4&transport=websocket"
        starts = ["", "4", "40", "42", '42["hello",', '42["command",', "43", "45", "451-", "2", "3", "5", "6"]
        for _ in range(250):
            async with server.http.ws_connect(address) as ws:
                for _ in range(4):
                    tail = "".join(
                        chr(chance.choice([*range(32, 127), 0x1EA1, 0])) for _ in range(chance.randrange(40))
                    )
                    try:
                        await ws.send_str(chance.choice(starts) + tail)
                    except ConnectionError:
                        break
        for _ in range(150):
            if not server.running.sockets.connected:
                break
            await asyncio.sleep(0.1)
        assert not server.running.sockets.connected
        assert (await server.get("/readyz"))[0] == 200
