"""The wire as JSON Schema, from which the pages' TypeScript types are generated.

Invariant: a type that the server ever sends has every property required, because the server always sends all fields;
in a type that only clients send, fields with defaults may be left out.
"""

from pathlib import Path
from typing import Any, get_args

import msgspec

from rooms.codec import AnyCommand, AnyRecord
from rooms.refusal import Refusal
from rooms.rules import UPLOADED
from server import wire

SCHEMA_PATH = Path(__file__).parent.parent / "clients" / "web" / "schema.json"

BODIES: tuple[type[wire.Wire], ...] = (
    wire.Hello,
    wire.MediaOffer,
    wire.Tiles,
    wire.Wall,
    wire.Report,
    wire.Login,
    wire.FirstRun,
    wire.NewAccount,
    wire.NewMeeting,
    wire.JoinCode,
    wire.HallJoin,
    wire.RowCorrection,
    wire.RosterImport,
)
"""What clients send beside commands."""

_SERVER_ONLY = {"link.up", "link.down"}


def _structs_of(union: object) -> list[type[msgspec.Struct]]:
    return list(get_args(union))


def _page_commands() -> list[type[msgspec.Struct]]:
    """The commands that a page may send over its socket."""
    uploaded: set[type] = set(UPLOADED)
    return [c for c in _structs_of(AnyCommand) if c not in uploaded and c.__struct_config__.tag not in _SERVER_ONLY]


def _messages() -> list[type[msgspec.Struct]]:
    """What the server sends."""
    return [t for t in vars(wire).values() if isinstance(t, type) and issubclass(t, wire.Wire) and _is_message(t)]


def _is_message(wire_type: type[wire.Wire]) -> bool:
    return wire_type is not wire.Wire and wire_type not in BODIES


def _components(types: list[type[msgspec.Struct]]) -> dict[str, Any]:
    return msgspec.json.schema_components(types, ref_template="#/$defs/{name}")[1]


def _complete(component: dict[str, Any]) -> dict[str, Any]:
    """The component with all its properties required and no defaults."""
    if "properties" not in component:
        return component
    properties = {name: _without_default(value) for name, value in component["properties"].items()}
    return {**component, "properties": properties, "required": list(properties)}


def _without_default(value: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key != "default"}


def _union(types: list[type[msgspec.Struct]]) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/$defs/{t.__name__}"} for t in types]}


def schema() -> dict[str, Any]:
    """All of PROTOCOL.md's types: the unions `AnyRecord` and `AnyCommand`, the codes, and each message and body."""
    records, commands, messages = _structs_of(AnyRecord), _page_commands(), _messages()
    sent = {name: _complete(part) for name, part in _components([*records, *messages]).items()}
    bodies = _components([*commands, *BODIES])
    definitions = {
        **bodies,
        **sent,
        "AnyRecord": _union(records),
        "AnyCommand": _union(commands),
        "RefusalCode": {"enum": [code.value for code in Refusal]},
        "ErrorCode": {"enum": list(get_args(wire.ErrorCode))},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Protocol",
        "description": f"Diemcau's wire, version {wire.PROTOCOL}.",
        "$defs": dict(sorted(definitions.items())),
        "type": "object",
        "properties": {"version": {"const": wire.PROTOCOL}},
        "required": ["version"],
        "additionalProperties": False,
    }


def schema_text() -> bytes:
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1) + b"\n"


def write_schema(path: Path = SCHEMA_PATH) -> bool:
    """Write the schema; whether the file changed."""
    new = schema_text()
    if path.exists() and path.read_bytes() == new:
        return False
    path.write_bytes(new)
    return True
