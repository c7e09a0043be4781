import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo import ROSTER
from server.roster.halls import HallNames, is_chair
from server.roster.lists import find_lists
from server.roster.workbook import read_workbook

NAMES = [hall.name for hall in find_lists(read_workbook(ROSTER.read_bytes())).halls]
HALLS = HallNames(NAMES)


@pytest.mark.parametrize(
    ("written", "hall"),
    [
        ("Điểm cầu Xã Bản Bo", "Điểm cầu Xã Bản Bo"),
        ("ĐC Xã Bản Bo", "Điểm cầu Xã Bản Bo"),
        ("đc: xã  bản bo", "Điểm cầu Xã Bản Bo"),
        ("Xã Bản Bo", "Điểm cầu Xã Bản Bo"),
        ("ĐIỂM CẦU XÃ BẢN BO", "Điểm cầu Xã Bản Bo"),
        (unicodedata.normalize("NFD", "ĐC Xã Bản Bo"), "Điểm cầu Xã Bản Bo"),
        ("TT Tam Đường", "Điểm cầu Thị trấn Tam Đường"),
        ("ĐC TP. Lai Châu", "Điểm cầu Thành phố Lai Châu"),
        ("TT Kiểm soát bệnh tật", "Điểm cầu Trung tâm Kiểm soát bệnh tật"),
        ("ĐBP Pa Ủ", "Điểm cầu Đồn Biên phòng Pa Ủ"),
        ("Hội trường Tỉnh uỷ", "Hội trường Tỉnh ủy (điểm cầu chính)"),
        ("Điểm cầu chính", "Hội trường Tỉnh ủy (điểm cầu chính)"),
        ("Sở Văn hoá, Thể thao và Du lịch", "Điểm cầu Sở Văn hóa, Thể thao và Du lịch"),
        ("xã Nậm Cha", "Điểm cầu Xã Nậm Cha"),
        ("xã Nậm Chà", "Điểm cầu Xã Nậm Chà"),
    ],
)
def test_certain_ways_of_writing_a_hall(written: str, hall: str) -> None:
    assert HALLS.exact(written) == hall


@pytest.mark.parametrize(
    ("written", "hall"),
    [
        ("Bản Bo", "Điểm cầu Xã Bản Bo"),
        ("diem cau xa ban bo", "Điểm cầu Xã Bản Bo"),
        ("ĐC Pa Tần", "Điểm cầu Xã Pa Tần"),
        ("Nậm Chà", "Điểm cầu Xã Nậm Chà"),
    ],
)
def test_a_guess_that_fits_one_hall(written: str, hall: str) -> None:
    reading = HALLS.read(written)
    assert (reading.hall, reading.certain) == (hall, False)
    assert HALLS.exact(written) is None


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        ("ĐC Tam Đường", {"Điểm cầu Huyện Tam Đường", "Điểm cầu Thị trấn Tam Đường"}),
        ("xa nam cha", {"Điểm cầu Xã Nậm Cha", "Điểm cầu Xã Nậm Chà"}),
        ("Xã Bản Bó Xanh", {"Điểm cầu Xã Bản Bo"}),
        ("Rạp chiếu bóng", set()),
        ("", set()),
    ],
)
def test_no_guess_where_it_would_be_one(written: str, fits: set[str]) -> None:
    reading = HALLS.read(written)
    assert reading.hall is None
    assert set(reading.fits) >= fits
    assert bool(reading.fits) == bool(fits)


@pytest.mark.parametrize("name", NAMES)
def test_every_hall_is_found_by_its_name_and_its_short_form(name: str) -> None:
    assert HALLS.exact(name) == name
    assert HALLS.exact(name.replace("Điểm cầu ", "ĐC ")) == name
    assert HALLS.exact(name.upper()) == name


def test_only_the_main_hall_is_the_chair() -> None:
    assert [name for name in NAMES if is_chair(name)] == ["Hội trường Tỉnh ủy (điểm cầu chính)"]


@given(st.text(max_size=80))
def test_any_text_is_some_reading(text: str) -> None:
    reading = HALLS.read(text)
    assert reading.hall is None or reading.hall in NAMES
    assert set(reading.fits) <= set(NAMES)
