"""What the server and its workers say to each other: msgpack, each message after its length in four bytes."""

import msgspec

from server.papers.facts import MOST_BYTES, MOST_PAGES, PaperFacts
from server.papers.problem import PaperCode

LONGEST_MESSAGE = 64 * 1024 * 1024


class Inspect(msgspec.Struct, frozen=True, tag="inspect"):
    path: str
    most_bytes: int = MOST_BYTES
    most_pages: int = MOST_PAGES


class Draw(msgspec.Struct, frozen=True, tag="draw"):
    path: str
    page: int
    width: int


class Read(msgspec.Struct, frozen=True, tag="read"):
    path: str
    page: int


Job = Inspect | Draw | Read


class Facts(msgspec.Struct, frozen=True, tag="facts"):
    facts: PaperFacts


class Picture(msgspec.Struct, frozen=True, tag="picture"):
    webp: bytes


class Words(msgspec.Struct, frozen=True, tag="words"):
    text: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """`worn`: the worker should not be used again."""

    code: PaperCode
    worn: bool = False


Outcome = Facts | Picture | Words | Failed

encode = msgspec.msgpack.encode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


def framed(message: Job | Outcome) -> bytes:
    body = encode(message)
    return len(body).to_bytes(4, "big") + body
