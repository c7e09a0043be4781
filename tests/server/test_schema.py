"""The committed schema is what the types say now, and it keeps its promises to the generator."""

from typing import Any

from server.roster.doubt import Doubt
from server.schema import SCHEMA_PATH, schema, schema_text, write_schema

DEFINITIONS: dict[str, Any] = schema()["$defs"]


def test_committed_schema_is_current() -> None:
    assert SCHEMA_PATH.read_bytes() == schema_text(), "run `diemcau schema`, then `npm run types` in clients/web"


def test_writing_an_unchanged_schema_says_so(tmp_path: Any) -> None:
    path = tmp_path / "schema.json"
    assert write_schema(path)
    assert not write_schema(path)


def test_everything_sent_is_required() -> None:
    for name in ("Speaker", "Welcome", "HallPresence", "DelegateRow", "Interval"):
        assert DEFINITIONS[name]["required"] == list(DEFINITIONS[name]["properties"]), name


def test_a_command_may_leave_out_its_defaults() -> None:
    assert DEFINITIONS["GiveFloor"]["required"] == ["type", "id"]


def test_pages_do_not_see_commands_they_may_not_send() -> None:
    commands = {part["$ref"].rpartition("/")[2] for part in DEFINITIONS["AnyCommand"]["anyOf"]}
    assert commands.isdisjoint({"ImportRoster", "PublishDocument", "LinkUp", "LinkDown"})
    assert {"GiveFloor", "CheckIn"} <= commands


def test_every_reference_is_defined() -> None:
    text = schema_text().decode()
    missing = [name for name in _references(text) if name not in DEFINITIONS]
    assert missing == []


def _references(text: str) -> set[str]:
    return {part.split('"')[0] for part in text.split("#/$defs/")[1:]}


def test_every_doubt_of_an_imported_row_has_a_text_in_both_languages() -> None:
    texts = SCHEMA_PATH.parent / "src" / "shared" / "texts"
    for language in ("vi", "en"):
        catalogue = (texts / language / "host.ts").read_text("utf-8")
        assert [doubt for doubt in Doubt if f"\n  {doubt.value}: " not in catalogue] == [], language
