"""Bytes on disk: kept once, found changed, never taken away from who needs them."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.errors import NotFoundError, StoreError
from studio.store import Store
from studio.store import media as media_module
from tests.store.conftest import ME, a_render


def files(store: Store) -> list[Path]:
    return [p for p in store.files.folder.rglob("*") if p.is_file()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.text(max_size=40))
def test_bytes_come_back_under_their_hash_whatever_the_name(store: Store, data: bytes, name: str) -> None:
    sha256 = store.of(ME).media.put(data, name)
    path = store.of(ME).media.get(sha256)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert path.read_bytes() == data
    assert path.is_relative_to(store.files.folder)
    assert path.relative_to(store.files.folder).parts[:2] == (sha256[:2], sha256[2:4])
    assert path.stem == sha256


def test_a_file_is_copied_in_pieces_and_the_original_stays(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "My Holiday.PNG"
    source.write_bytes(os.urandom(media_module.CHUNK_BYTES * 2 + 7))
    path = store.of(ME).media.get(store.of(ME).media.put(source))
    assert path.suffix == ".png"
    assert path.read_bytes() == source.read_bytes()
    with pytest.raises(NotFoundError):
        store.of(ME).media.put(tmp_path / "not there")


def test_the_same_bytes_are_kept_once_and_mended_when_put_again(store: Store) -> None:
    first = store.of(ME).media.put(b"abc", ".png")
    assert store.of(ME).media.put(b"abc", ".jpg") == first
    store.of("ada").media.put(b"abc", ".png")
    assert len(files(store)) == 1
    store.of(ME).media.get(first).write_bytes(b"abd")
    assert store.files.verify().changed == (first,)
    store.of(ME).media.put(b"abc")
    assert store.files.verify().ok


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "%2e%2e"])
def test_no_hash_is_no_path(store: Store, name: str) -> None:
    with pytest.raises(NotFoundError):
        store.of(ME).media.get(name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_nothing_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(media_module.os, call, refuse)
    with pytest.raises(StoreError) as caught:
        store.of(ME).media.put(b"will not fit")
    if code == errno.ENOSPC:
        assert "disk is full" in caught.value.message
    monkeypatch.undo()
    assert files(store) == []
    assert store.files.verify().checked == 0


def test_verify_finds_what_is_missing_changed_left_over_and_unused(store: Store) -> None:
    good, missing, changed = (a_render(store, name) for name in (b"good", b"missing", b"changed"))
    unused = store.of(ME).media.put(b"unused")
    store.of(ME).media.get(missing.media_sha256).unlink()
    store.of(ME).media.get(changed.media_sha256).write_bytes(b"CHANGED")
    orphan = store.files.folder / "ab" / "cd" / ("ab" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"orphan")
    report = store.files.verify()
    assert report.missing == (missing.media_sha256,)
    assert report.changed == (changed.media_sha256,)
    assert report.orphans == (f"media/ab/cd/{'ab' * 32}",)
    assert report.unused == (unused,)
    assert report.checked == 4
    assert not report.ok
    assert store.files.verify(read_bytes=False).changed == ()
    assert store.of(ME).media.get(good.media_sha256).is_file()
    with pytest.raises(NotFoundError, match="missing"):
        store.of(ME).media.get(missing.media_sha256)


def test_a_sweep_spares_what_is_young_or_needed(store: Store) -> None:
    kept = a_render(store, b"kept")
    sound = store.of(ME).media.put(b"sound of a waiting job")
    store.of(ME).jobs.add("animate", {"sound": {"sha256": sound}})
    unused = store.of(ME).media.put(b"unused")
    orphan = store.files.folder / "incoming" / "half.part"
    orphan.write_bytes(b"half")
    assert store.sweep().trashed == 0
    assert store.sweep(grace_seconds=-1).trashed == 2
    assert store.of(ME).media.has(sound)
    assert store.of(ME).media.get(kept.media_sha256).is_file()
    assert not store.of(ME).media.has(unused)
    assert store.files.verify().ok
    trash = store.data_dir / "trash"
    assert sorted(p.read_bytes() for p in trash.iterdir()) == [b"half", b"unused"]
    old = time.time() - media_module.TRASH_SECONDS - 1
    for path in trash.iterdir():
        os.utime(path, (old, old))
    assert store.sweep().freed_bytes == len(b"half") + len(b"unused")
    assert list(trash.iterdir()) == []


def test_a_sweep_takes_the_work_of_finished_jobs_only(store: Store) -> None:
    job = store.of(ME).jobs.add("count", {})
    for name in (job.id, "of a job long gone"):
        store.claims.work_folder(name).mkdir(parents=True)
    store.sweep()
    assert [p.name for p in (store.data_dir / "work").iterdir()] == [job.id]


def test_putting_and_deleting_the_same_bytes_at_once_never_leaves_a_row_without_its_file(store: Store) -> None:
    trouble: list[BaseException] = []

    def add_and_delete() -> None:
        try:
            for _ in range(60):
                render = a_render(store, b"contested")
                assert store.of(ME).media.get(render.media_sha256).read_bytes() == b"contested"
                store.of(ME).renders.delete(render.id)
        except BaseException as exc:
            trouble.append(exc)

    threads = [threading.Thread(target=add_and_delete) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Between put and add another thread may delete the bytes: that is told, never silently lost.
    assert all("FOREIGN KEY" in str(exc) for exc in trouble)
    report = store.files.verify()
    assert (report.missing, report.changed) == ((), ())
