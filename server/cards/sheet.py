"""The sheets that are printed for a hall: a first page with its own code, then a card to cut out for each delegate.

typst sets them from one template (`sheet.typ`). The data goes in as JSON, never as markup, so a name may hold whatever
it likes; the fonts are the ones inside typst, so every machine prints the same. Many halls are set in several runs and
put together by pypdf: typst holds a whole document in memory, 1.7 GB for 187 halls in one run.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import typst
from pypdf import PdfWriter

from server.cards.qr import qr_outline

_TEMPLATE = Path(__file__).with_name("sheet.typ").read_bytes()
_CARDS_PER_RUN = 120
_VIETNAM = timezone(timedelta(hours=7))


class DelegateCard(msgspec.Struct, frozen=True, kw_only=True):
    """`number` is the running number of the list, 0 for none; `code` the six characters that join without a camera."""

    name: str
    code: str
    link: str
    position: str = ""
    unit: str = ""
    number: int = 0


class HallSheet(msgspec.Struct, frozen=True, kw_only=True):
    """`link` and `code` are for the hall's computer, `delegates_link` for the phones of all who sit in it."""

    meeting: str
    hall: str
    code: str
    link: str
    delegates_link: str
    cards: tuple[DelegateCard, ...]
    planned_at: float | None = None
    place: str = ""
    unit: str = ""


def hall_sheet_pdf(sheets: Sequence[HallSheet]) -> bytes:
    """One PDF, each hall from a new page on, its cards in the order of their numbers. `ValueError` without any hall."""
    if not sheets:
        raise ValueError("no halls to print")
    compiler = typst.Compiler(ignore_system_fonts=True)
    parts = [_set(compiler, run) for run in _runs(sheets)]
    if len(parts) == 1:
        return parts[0]
    whole = PdfWriter()
    for part in parts:
        whole.append(io.BytesIO(part), import_outline=False)
    whole.add_metadata({"/Title": sheets[0].meeting})
    out = io.BytesIO()
    whole.write(out)
    return out.getvalue()


def _set(compiler: typst.Compiler, sheets: Sequence[HallSheet]) -> bytes:
    data = {"title": sheets[0].meeting, "halls": [_hall(sheet) for sheet in sheets]}
    pdf = compiler.compile(
        _TEMPLATE, format="pdf", sys_inputs={"data": msgspec.json.encode(data).decode()}, pdf_tags=False
    )
    assert isinstance(pdf, bytes)
    return pdf


def _runs(sheets: Sequence[HallSheet]) -> Iterator[Sequence[HallSheet]]:
    """The halls in groups of about `_CARDS_PER_RUN` cards."""
    begin = cards = 0
    for n, sheet in enumerate(sheets):
        if cards and cards + len(sheet.cards) > _CARDS_PER_RUN:
            yield sheets[begin:n]
            begin, cards = n, 0
        cards += len(sheet.cards)
    yield sheets[begin:]


def _hall(sheet: HallSheet) -> dict[str, Any]:
    short = sheet.meeting if len(sheet.meeting) <= 90 else f"{sheet.meeting[:89]}…"
    return {
        "meeting": sheet.meeting,
        "meeting_short": short,
        "when": " · ".join(text for text in (_when(sheet.planned_at), sheet.place) if text),
        "hall": sheet.hall,
        "unit": sheet.unit,
        "code": sheet.code,
        "link": sheet.link,
        "site": _site(sheet.link),
        "hall_qr": _qr(sheet.link),
        "delegates_link": sheet.delegates_link,
        "delegates_qr": _qr(sheet.delegates_link),
        "cards": [_card(card) for card in sorted(sheet.cards, key=lambda card: (card.number, card.name))],
    }


def _card(card: DelegateCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "position": card.position,
        "unit": card.unit,
        "number": card.number,
        "code": card.code,
        "site": _site(card.link),
        "qr": _qr(card.link),
    }


def _qr(link: str) -> str:
    side, path = qr_outline(link)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}"><path d="{path}"/></svg>'


def _site(link: str) -> str:
    """Where a code can be typed in: the link without its token."""
    return link.rpartition("/")[0].partition("://")[2]


def _when(at: float | None) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).astimezone(_VIETNAM).strftime("%H:%M ngày %d/%m/%Y")
