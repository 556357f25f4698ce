"""The database beside its media: lost, emptied, copied, and put back."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from studio.errors import StoreError
from studio.store import Store
from studio.store.database import DAY_SECONDS, KEPT_BACKUPS
from tests.store.conftest import ME, a_render


def with_media(folder: Path, *, backup: bool) -> str:
    with Store(folder) as store:
        render = a_render(store, b"kept")
        if backup:
            store.database.back_up("daily")
    for path in folder.glob("studio.db*"):
        path.unlink()
    return render.id


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_media_without_their_database_are_no_new_studio(tmp_path: Path, state: str) -> None:
    with_media(tmp_path, backup=False)
    if state == "empty":
        (tmp_path / "studio.db").touch()
    with pytest.raises(StoreError, match=state) as caught:
        Store(tmp_path)
    assert "1 media" in caught.value.message
    assert not (tmp_path / "studio.db").exists() or (tmp_path / "studio.db").stat().st_size == 0


def test_the_newest_copy_is_offered_and_brings_everything_back(tmp_path: Path) -> None:
    render = with_media(tmp_path, backup=True)
    with pytest.raises(StoreError, match="missing") as caught:
        Store(tmp_path)
    copy = next((tmp_path / "backups").glob("studio-*.db"))
    assert caught.value.hint == f"Put the newest copy back: copy {copy} to {tmp_path / 'studio.db'}."
    shutil.copyfile(copy, tmp_path / "studio.db")
    with Store(tmp_path) as store:
        assert store.of(ME).media.get(store.of(ME).renders.get(render).media_sha256).read_bytes() == b"kept"
        assert store.database.check() == ()
        assert store.files.verify().ok


def test_copies_are_made_daily_and_before_a_sweep_and_few_of_each_stay(store: Store) -> None:
    first = store.database.back_up_daily()
    assert first is not None
    assert store.database.back_up_daily() is None
    for _ in range(KEPT_BACKUPS + 2):
        for copy in store.database.backups():
            old = time.time() - DAY_SECONDS - 1
            os.utime(copy, (old, old))
        assert store.database.back_up_daily() is not None
        store.sweep()
    kinds = [copy.stem.split("-", 2)[2] for copy in store.database.backups()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"daily": KEPT_BACKUPS, "before-sweep": KEPT_BACKUPS}


def test_a_copy_that_fails_leaves_no_half(store: Store) -> None:
    store.database.rows("SELECT 1")
    (store.data_dir / "backups").write_text("a file stands where the folder would be")
    with pytest.raises(StoreError, match="cannot be written"):
        store.database.back_up("daily")
    assert list(store.data_dir.glob("**/*.part")) == []
