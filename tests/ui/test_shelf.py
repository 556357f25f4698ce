"""The shelf under many hands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from studio.ui.shelf import Shelf


def test_many_pages_lay_the_same_file_at_once(tmp_path) -> None:
    shelf = Shelf(tmp_path / "cache")
    for i in range(30):
        file = tmp_path / f"{i}.jpg"
        file.write_bytes(bytes([i]) * 2000)
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _, file=file: shelf.put(file), range(8)))
        assert len(found) == 1
        assert found.pop().read_bytes() == file.read_bytes()
