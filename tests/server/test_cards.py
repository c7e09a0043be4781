import io
import re
import time
import xml.etree.ElementTree as ET
from itertools import pairwise

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from server.cards.qr import QUIET_ZONE, qr_matrix, qr_png, qr_svg
from server.cards.sheet import DelegateCard, HallSheet, hall_sheet_pdf

pytestmark = pytest.mark.slow

LINK = "https://hop.example.vn/d/eyJrIjoiZCIsIm0iOiJtMSIsImkiOiJkMTIzIiwiZSI6MH0.aJr1cZ0kq3s5d7f9"
links = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.", min_size=20, max_size=160).map(
    lambda token: f"https://hop.example.vn/d/{token}"
)


def framed(matrix: list[list[bool]]) -> list[list[bool]]:
    """With the quiet zone around it."""
    side = len(matrix) + 2 * QUIET_ZONE
    margin = [False] * QUIET_ZONE
    blank = [[False] * side for _ in range(QUIET_ZONE)]
    return [*blank, *([*margin, *row, *margin] for row in matrix), *blank]


def from_png(data: bytes) -> list[list[bool]]:
    picture = Image.open(io.BytesIO(data)).convert("L")
    pixels = picture.load()
    assert pixels is not None
    step = 10
    return [
        [pixels[x * step + 5, y * step + 5] == 0 for x in range(picture.width // step)]
        for y in range(picture.height // step)
    ]


def from_svg(data: bytes) -> list[list[bool]]:
    root = ET.fromstring(data)
    side = int(root.attrib["viewBox"].split()[2])
    found = [[False] * side for _ in range(side)]
    path = root[1].attrib["d"]
    for x, y, run in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path):
        for n in range(int(run)):
            found[int(y)][int(x) + n] = True
    assert path == "".join(f"M{x} {y}h{r}v1h-{r}z" for x, y, r in re.findall(r"M(\d+) (\d+)h(\d+)v", path))
    return found


@given(links)
@settings(max_examples=15, deadline=None)
def test_both_pictures_show_the_code_and_its_quiet_zone(link: str) -> None:
    expected = framed(qr_matrix(link))
    assert from_png(qr_png(link)) == expected
    assert from_svg(qr_svg(link)) == expected


def test_a_code_says_what_was_put_in() -> None:
    """Read by hand, as the standard tells: format, mask, zigzag, bytes; the first block needs no correction."""
    link = "https://hop.example.vn/d/abcdefgh"
    matrix = qr_matrix(link)
    assert len(matrix) == 29  # version 3, one block at level M
    assert _format_bits(matrix) >> 10 ^ 0b10101 == 0b00_011  # level M, mask 3
    bits = _data_bits(matrix)
    assert bits[:4] == "0100"  # bytes
    length = int(bits[4:12], 2)
    assert bytes(int(bits[12 + 8 * n : 20 + 8 * n], 2) for n in range(length)).decode() == link


def _format_bits(matrix: list[list[bool]]) -> int:
    cells = [(8, x) for x in (0, 1, 2, 3, 4, 5, 7, 8)] + [(y, 8) for y in (7, 5, 4, 3, 2, 1, 0)]
    return int("".join("1" if matrix[y][x] else "0" for y, x in cells), 2)


def _data_bits(matrix: list[list[bool]]) -> str:
    """The modules of a version 3 code in reading order, unmasked (mask 3)."""
    side = len(matrix)

    def is_function(y: int, x: int) -> bool:
        corner = (y < 9 and x < 9) or (y < 9 and x >= side - 8) or (y >= side - 8 and x < 9)
        alignment = 20 <= y <= 24 and 20 <= x <= 24
        return corner or alignment or y == 6 or x == 6

    bits = []
    for n, right in enumerate([x - (x <= 6) for x in range(side - 1, 0, -2)]):
        rows = range(side - 1, -1, -1) if n % 2 == 0 else range(side)
        for y in rows:
            for x in (right, right - 1):
                if not is_function(y, x):
                    bits.append("1" if matrix[y][x] != ((y + x) % 3 == 0) else "0")
    return "".join(bits)


def test_a_link_too_long_for_a_code() -> None:
    with pytest.raises(ValueError):
        qr_matrix("x" * 3_000)


def card(number: int, **fields: str) -> DelegateCard:
    given = {"name": f"Đại biểu {number}", "code": f"K{number:05}", "link": f"{LINK}{number}"} | fields
    return DelegateCard(number=number, **given)


def sheet(hall: str, *cards: DelegateCard) -> HallSheet:
    return HallSheet(
        meeting="Hội nghị trực tuyến toàn tỉnh",
        planned_at=1_780_275_600.0,
        place="Hội trường Tỉnh ủy",
        hall=hall,
        unit="Huyện Mường Tè",
        code="H4LLXY",
        link="https://hop.example.vn/hall/aaaabbbbcccc",
        delegates_link="https://hop.example.vn/j/ddddeeeeffff",
        cards=cards,
    )


def pages(pdf: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def test_the_first_page_is_for_the_hall() -> None:
    first, _ = pages(hall_sheet_pdf([sheet("Điểm cầu Xã Tà Tổng", card(1))]))
    for text in ("Điểm cầu Xã Tà Tổng", "Huyện Mường Tè", "Hội nghị trực tuyến toàn tỉnh", "08:00 ngày 01/06/2026"):
        assert text in first
    assert "H4LLXY" in first
    assert "1 đại biểu trong danh sách" in first
    bare = first.replace(" ", "").replace("\u200b", "")
    assert "https://hop.example.vn/hall/aaaabbbbcccc" in bare
    assert "https://hop.example.vn/j/ddddeeeeffff" in bare


def test_cards_are_ten_to_a_page_in_the_order_of_numbers() -> None:
    _, *with_cards = pages(hall_sheet_pdf([sheet("Điểm cầu Xã Tà Tổng", *(card(n) for n in range(25, 0, -1)))]))
    codes = [re.findall(r"K0\d{4}", text) for text in with_cards]
    assert [len(found) for found in codes] == [10, 10, 5]
    assert [code for found in codes for code in found] == [f"K{n:05}" for n in range(1, 26)]
    assert all("hop.example.vn/d" in text for text in with_cards)


def test_each_hall_begins_on_a_new_page_and_a_hall_without_delegates_has_one() -> None:
    halls = [sheet("Điểm cầu A", card(1)), sheet("Điểm cầu B"), sheet("Điểm cầu C", *(card(n) for n in range(11)))]
    found = pages(hall_sheet_pdf(halls))
    assert [next(h.hall for h in halls if h.hall in text) for text in found] == [
        *["Điểm cầu A"] * 2,
        "Điểm cầu B",
        *["Điểm cầu C"] * 3,
    ]


def test_many_halls_are_set_in_several_runs_and_come_out_in_order() -> None:
    halls = [sheet(f"Điểm cầu {n:03}", *(card(m) for m in range(65))) for n in range(3)]
    pdf = hall_sheet_pdf(halls)
    found = pages(pdf)
    assert len(found) == 3 * (1 + 7)
    assert [re.findall(r"Điểm cầu (\d{3})", text)[0] for text in found] == [
        f"{n:03}" for n in range(3) for _ in range(8)
    ]
    metadata = pypdf.PdfReader(io.BytesIO(pdf)).metadata
    assert metadata is not None
    assert metadata.title == "Hội nghị trực tuyến toàn tỉnh"


@pytest.mark.parametrize(
    "name",
    [
        "Giàng A Pó",
        "Lường Thị Ưởng Ẵm Ỗi Ỵ Ặ",
        "H'Niê Y Blơm",
        '#strong[x] $x^2$ \\ *đậm* _n_ @ref <b>&amp; "q" `c`',
        "#eval(read(sys.inputs.data))",
    ],
)
def test_a_name_is_printed_letter_for_letter(name: str) -> None:
    _, page = pages(hall_sheet_pdf([sheet("Điểm cầu Xã Tà Tổng", card(1, name=name, position=name, unit=name))]))
    assert "".join(page.split()).count("".join(name.split())) == 3


def test_the_fonts_are_in_the_file() -> None:
    reader = pypdf.PdfReader(io.BytesIO(hall_sheet_pdf([sheet("Điểm cầu Xã Tà Tổng", card(1))])))
    fonts = set().union(*(page["/Resources"]["/Font"].values() for page in reader.pages))  # type: ignore[index]
    names = {font.get_object()["/BaseFont"].partition("+")[2] for font in fonts}
    assert {name.partition("-")[0] for name in names} == {"LibertinusSerif", "DejaVuSansMono"}
    for font in fonts:
        (descendant,) = font.get_object()["/DescendantFonts"]
        assert {"/FontFile2", "/FontFile3"} & set(descendant.get_object()["/FontDescriptor"].get_object())


def test_a_long_name_stays_in_its_card() -> None:
    """A card is 53 mm high whatever is written in it: the next page begins after ten."""
    long = "Nguyễn " * 28
    found = pages(
        hall_sheet_pdf([sheet("A" * 200, *(card(n, name=long, position=long, unit=long) for n in range(11)))])
    )
    assert len(found) == 3


def test_nothing_to_print() -> None:
    with pytest.raises(ValueError):
        hall_sheet_pdf([])


@pytest.mark.slow
def test_the_cards_of_a_whole_hall_take_seconds() -> None:
    began = time.perf_counter()
    found = pages(hall_sheet_pdf([sheet("Điểm cầu Xã Tà Tổng", *(card(n) for n in range(1, 241)))]))
    assert len(found) == 25
    assert time.perf_counter() - began < 20
    numbers = [int(n) for text in found[1:] for n in re.findall(r"STT (\d+)", text)]
    assert all(a < b for a, b in pairwise(numbers))
