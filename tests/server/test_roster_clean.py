import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.names import name_key
from server.roster.clean import folded, is_ditto, is_total, person_name, phone, plain, role, total, whole_number

anything = st.text(max_size=60)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("  Má  Thu  Yến ", "Má Thu Yến"),
        ("CÀ VĂN CÔNG", "Cà Văn Công"),
        ("VÀNG A Ủ", "Vàng A Ủ"),
        ("H'NIÊ BYĂ", "H'Niê Byă"),
        ("Đ/c Chang Ngọc Sử", "Chang Ngọc Sử"),
        ("đ/c: LÒ A PÓ", "Lò A Pó"),
        ("Đồng chí Lò A Pó", "Lò A Pó"),
        ("Đ.c. Lò A Pó", "Lò A Pó"),
        ("Ông Thị Lan", "Ông Thị Lan"),
        ("A", "A"),
        ("Đ/c", "Đ/c"),
        ("Lò\u00a0Văn\u200b An\ufeff", "Lò Văn An"),
        ("Lò Văn\nAn", "Lò Văn An"),
        (unicodedata.normalize("NFD", "Nguyễn Thị Ngọc Ánh"), "Nguyễn Thị Ngọc Ánh"),
        ("", ""),
    ],
)
def test_names(written: str, name: str) -> None:
    assert person_name(written) == name


@given(anything)
def test_cleaned_text_is_composed_visible_and_clean_already(text: str) -> None:
    for cleaned in (folded(text), person_name(text)):
        assert unicodedata.is_normalized("NFC", cleaned)
        assert cleaned == " ".join(cleaned.split())
        assert cleaned.isprintable()
    assert folded(folded(text)) == folded(text)


@given(st.text(st.sampled_from("aăâeêioôơuưyđ ÁẶỘcmnt"), max_size=30), st.sampled_from(["NFC", "NFD"]))
def test_how_a_name_is_encoded_does_not_matter(text: str, form: str) -> None:
    encoded = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert person_name(encoded) == person_name(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Tỉnh ủy", "Tỉnh uỷ", True),
        ("Nguyễn Thị Thúy", "NGUYỄN THỊ THUÝ", True),
        ("Hòa", unicodedata.normalize("NFD", "Hoà"), True),
        ("Nậm Cha", "Nậm Chà", False),
        ("Lương", "Luông", False),
        ("Tà Mít", "Tà  mít", True),
        ("", " ", True),
    ],
)
def test_the_same_name(one: str, other: str, same: bool) -> None:
    assert (name_key(one) == name_key(other)) is same


@pytest.mark.parametrize(
    "written",
    [
        "0912345678",
        "912345678",
        "+84912345678",
        "+84 912 345 678",
        "84912345678",
        "0084912345678",
        "0912.345.678",
        "0912 345 678",
        "(+84) 0912-345-678",
        " 0912345678 ",
        "0912\u00a0345\u00a0678",
    ],
)
def test_one_notation_for_phones(written: str) -> None:
    assert phone(written).number == "0912345678"
    assert not phone(written).doubt


@pytest.mark.parametrize(
    ("written", "number", "doubt"),
    [
        ("", "", ""),
        ("-", "", ""),
        ("0213 3876 543", "02133876543", ""),
        ("2133876543", "02133876543", ""),
        ("0912345678/0987654321", "0912345678", "several"),
        ("0912345678 - 0987 654 321", "0912345678", "several"),
        ("không có", "", "unreadable"),
        ("091234567", "", "unreadable"),
        ("09123456789", "", "unreadable"),
        ("01681234567", "", "unreadable"),
        ("+856 20 1234 5678", "", "unreadable"),
        ("nt", "", "unreadable"),
    ],
)
def test_other_phones(written: str, number: str, doubt: str) -> None:
    assert (phone(written).number, phone(written).doubt) == (number, doubt)


@given(anything)
def test_a_phone_is_canonical_or_absent(text: str) -> None:
    assert re.fullmatch(r"|0[35789]\d{8}|02\d{8,9}", phone(text).number)
    assert phone(phone(text).number).number == phone(text).number


@pytest.mark.parametrize(
    "mark", ["nt", "-nt-", "- nt -", "NT", "n.t", "như trên", "Như  trên.", '"', "''", "”", "〃", '-"-', "//", '"nt"']
)
def test_ditto_marks(mark: str) -> None:
    assert is_ditto(mark)
    assert is_ditto(unicodedata.normalize("NFD", mark))


@pytest.mark.parametrize("text", ["", "-", "Nt Hà", "nội trú", "như trên kia thì không phải", "...", "/", "0", "()"])
def test_no_ditto_marks(text: str) -> None:
    assert not is_ditto(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Đại biểu chính thức", ("official", "")),
        ("ĐẠI BIỂU  CHÍNH THỨC", ("official", "")),
        ("Khách mời", ("guest", "")),
        ("Dự thay", ("substitute", "")),
        ("Dự thay đ/c Lò Văn An", ("substitute", "Dự thay đ/c Lò Văn An")),
        ("Quan sát viên", None),
        ("", None),
    ],
)
def test_roles(written: str, meant: tuple[str, str] | None) -> None:
    assert role(written) == meant


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("Tổng cộng: 9845 đại biểu", 9845),
        ("Tổng số: 9.845", 9845),
        ("Cộng 12", 12),
        ("TỔNG CỘNG", None),
        ("Tổng: 12 điểm cầu, 300 đại biểu", None),
    ],
)
def test_totals(cell: str, count: int | None) -> None:
    assert is_total(cell)
    assert total(cell) == count


@pytest.mark.parametrize("name", ["Tổng Thị Lan", "Tống Văn An", "Cộng Hòa", "Lò Văn Cộng", ""])
def test_a_name_is_no_total(name: str) -> None:
    assert not is_total(name)


@pytest.mark.parametrize(
    ("cell", "number"), [("12", 12), (" 12. ", 12), ("(3)", 3), ("1.240", 1240), ("12a", None), ("", None), ("²", None)]
)
def test_whole_numbers(cell: str, number: int | None) -> None:
    assert whole_number(cell) == number


@given(anything)
def test_nothing_breaks_the_readers(text: str) -> None:
    is_ditto(text), is_total(text), total(text), whole_number(text), role(text), plain(text)
