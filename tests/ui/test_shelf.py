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


def test_what_is_written_once_is_not_written_again_and_what_lies_beside_it_stays(tmp_path) -> None:
    shelf, written = Shelf(tmp_path / "cache"), []

    def write(out) -> None:
        written.append(out)
        out.write_bytes(b"clip")
        out.with_name(out.name + ".c2pa").write_bytes(b"credentials")

    first, second = (shelf.once("ab12", "My clip!.webm", write) for _ in range(2))
    assert first == second == written[0]
    assert len(written) == 1
    assert first.name == "My-clip.webm"
    assert first.with_name("My-clip.webm.c2pa").exists()
    assert shelf.holds(str(first))
