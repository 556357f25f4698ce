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
    return [p for p in store.media.folder.rglob("*") if p.is_file()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.text(max_size=40))
def test_bytes_come_back_under_their_hash_whatever_the_name(store: Store, data: bytes, name: str) -> None:
    sha256 = store.media.put(ME, data, name)
    path = store.media.get(ME, sha256)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert path.read_bytes() == data
    assert path.is_relative_to(store.media.folder)
    assert path.relative_to(store.media.folder).parts[:2] == (sha256[:2], sha256[2:4])
    assert path.stem == sha256


def test_a_file_is_copied_in_pieces_and_the_original_stays(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "My Holiday.PNG"
    source.write_bytes(os.urandom(media_module.CHUNK_BYTES * 2 + 7))
    path = store.media.get(ME, store.media.put(ME, source))
    assert path.suffix == ".png"
    assert path.read_bytes() == source.read_bytes()
    with pytest.raises(NotFoundError):
        store.media.put(ME, tmp_path / "not there")


def test_the_same_bytes_are_kept_once_and_mended_when_put_again(store: Store) -> None:
    first = store.media.put(ME, b"abc", ".png")
    assert store.media.put(ME, b"abc", ".jpg") == first
    store.media.put("ada", b"abc", ".png")
    assert len(files(store)) == 1
    store.media.get(ME, first).write_bytes(b"abd")
    assert store.media.verify().changed == (first,)
    store.media.put(ME, b"abc")
    assert store.media.verify().ok


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "%2e%2e"])
def test_no_hash_is_no_path(store: Store, name: str) -> None:
    with pytest.raises(NotFoundError):
        store.media.get(ME, name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_nothing_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(media_module.os, call, refuse)
    with pytest.raises(StoreError) as caught:
        store.media.put(ME, b"will not fit")
    if code == errno.ENOSPC:
        assert "disk is full" in caught.value.message
    monkeypatch.undo()
    assert files(store) == []
    assert store.media.verify().checked == 0


def test_verify_finds_what_is_missing_changed_left_over_and_unused(store: Store) -> None:
    good, missing, changed = (a_render(store, name) for name in (b"good", b"missing", b"changed"))
    unused = store.media.put(ME, b"unused")
    store.media.get(ME, missing.media_sha256).unlink()
    store.media.get(ME, changed.media_sha256).write_bytes(b"CHANGED")
    orphan = store.media.folder / "ab" / "cd" / ("ab" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"orphan")
    report = store.media.verify()
    assert report.missing == (missing.media_sha256,)
    assert report.changed == (changed.media_sha256,)
    assert report.orphans == (f"media/ab/cd/{'ab' * 32}",)
    assert report.unused == (unused,)
    assert report.checked == 4
    assert not report.ok
    assert store.media.verify(read_bytes=False).changed == ()
    assert store.media.get(ME, good.media_sha256).is_file()
    with pytest.raises(NotFoundError, match="missing"):
        store.media.get(ME, missing.media_sha256)


def test_a_sweep_spares_what_is_young_or_needed(store: Store) -> None:
    kept = a_render(store, b"kept")
    sound = store.media.put(ME, b"sound of a waiting job")
    store.jobs.add(ME, "animate", {"sound": {"sha256": sound}})
    unused = store.media.put(ME, b"unused")
    orphan = store.media.folder / "incoming" / "half.part"
    orphan.write_bytes(b"half")
    assert store.sweep().trashed == 0
    assert store.sweep(grace_seconds=-1).trashed == 2
    assert store.media.has(ME, sound)
    assert store.media.get(ME, kept.media_sha256).is_file()
    assert not store.media.has(ME, unused)
    assert store.media.verify().ok
    trash = store.data_dir / "trash"
    assert sorted(p.read_bytes() for p in trash.iterdir()) == [b"half", b"unused"]
    old = time.time() - media_module.TRASH_SECONDS - 1
    for path in trash.iterdir():
        os.utime(path, (old, old))
    assert store.sweep().freed_bytes == len(b"half") + len(b"unused")
    assert list(trash.iterdir()) == []


def test_a_sweep_takes_the_work_of_finished_jobs_only(store: Store) -> None:
    job = store.jobs.add(ME, "count", {})
    for name in (job.id, "of a job long gone"):
        store.jobs.work_folder(name).mkdir(parents=True)
    store.sweep()
    assert [p.name for p in (store.data_dir / "work").iterdir()] == [job.id]


def test_putting_and_deleting_the_same_bytes_at_once_never_leaves_a_row_without_its_file(store: Store) -> None:
    trouble: list[BaseException] = []

    def add_and_delete() -> None:
        try:
            for _ in range(60):
                render = a_render(store, b"contested")
                assert store.media.get(ME, render.media_sha256).read_bytes() == b"contested"
                store.renders.delete(ME, render.id)
        except BaseException as exc:
            trouble.append(exc)

    threads = [threading.Thread(target=add_and_delete) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Between put and add another thread may delete the bytes: that is told, never silently lost.
    assert all("FOREIGN KEY" in str(exc) for exc in trouble)
    report = store.media.verify()
    assert (report.missing, report.changed) == ((), ())
