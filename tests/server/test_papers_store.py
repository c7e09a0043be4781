import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.papers.problem import PaperError
from server.papers.store import PaperStore


def test_a_paper_is_found_by_its_hash(tmp_path: Path) -> None:
    store = PaperStore(tmp_path)
    stored = store.put(b"%PDF-1.7 a paper")
    assert stored.sha256 == hashlib.sha256(b"%PDF-1.7 a paper").hexdigest()
    assert stored.size == 16
    assert stored.path == tmp_path / stored.sha256[:2] / stored.sha256[2:4] / f"{stored.sha256}.pdf"
    assert store.find(stored.sha256).read_bytes() == b"%PDF-1.7 a paper"


def test_the_same_paper_twice_is_one_file(tmp_path: Path) -> None:
    store = PaperStore(tmp_path)
    assert store.put(b"a") == store.put(b"a")
    assert list(tmp_path.rglob("*.pdf")) == [store.put(b"a").path]


def test_an_upload_is_taken_over(tmp_path: Path) -> None:
    store = PaperStore(tmp_path)
    upload = store.incoming / "upload"
    upload.write_bytes(b"x" * 3_000_000)
    stored = store.adopt(upload)
    assert not upload.exists()
    assert stored.size == 3_000_000
    assert store.find(stored.sha256).stat().st_size == 3_000_000


def test_unfinished_uploads_are_forgotten(tmp_path: Path) -> None:
    store = PaperStore(tmp_path)
    (store.incoming / "half").write_bytes(b"x")
    kept = store.put(b"y")
    store.clear_incoming()
    assert list(store.incoming.iterdir()) == []
    assert store.find(kept.sha256)


def test_a_store_opened_again_has_its_papers(tmp_path: Path) -> None:
    stored = PaperStore(tmp_path).put(b"a")
    assert PaperStore(tmp_path).find(stored.sha256) == stored.path


@given(st.one_of(st.text(max_size=80), st.sampled_from(["../" * 21 + "x", "a" * 63, "A" * 64, "g" * 64, "٣" * 64])))
def test_only_a_hash_names_a_file(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    store = PaperStore(tmp_path_factory.getbasetemp() / "papers")
    with pytest.raises(PaperError) as caught:
        store.path(name)
    assert caught.value.code == "not_found"


def test_a_paper_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PaperError):
        PaperStore(tmp_path).find("0" * 64)
