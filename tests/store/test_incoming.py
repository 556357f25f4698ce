"""What a killed process was putting is gone at the next start; what a living one is putting stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from studio.errors import StoreError
from studio.store import Store
from studio.store.incoming import notes
from tests.patience import PATIENCE_SECONDS
from tests.store.conftest import ME, a_render
from tests.store.test_database import ENVIRONMENT

_BEGUN = """
import os, signal, sys
from pathlib import Path
from studio.store import Store, media
folder, where = Path(sys.argv[1]), sys.argv[2]
store = Store(folder)
mine = store.of("local").media

def stop(*given, **named):
    print("there", flush=True)
    sys.stdin.readline()

def after(call):
    return lambda *given, **named: (call(*given, **named), stop())[0]

if where == "while it is written":
    media.os.fsync = stop
elif where == "before it takes its place":
    media.os.replace = lambda part, path, real=media.os.replace: (stop(), real(part, path))
elif where == "before the commit":
    media._sync_folder = stop
with mine.keeping():
    if where == "in the middle of several":
        mine.put(b"a first one")
        stop()
    sha256 = mine.put(b"the bytes")
    if where == "before anything refers to it":
        stop()
    store.of("local").jobs.add("count", {"sha256": sha256})
print(sha256, flush=True)
"""
PLACES = [
    "while it is written",
    "before it takes its place",
    "before the commit",
    "in the middle of several",
    "before anything refers to it",
]
LOCKED = {"before it takes its place", "before the commit"}


def files(folder: Path) -> list[Path]:
    return [p for p in (folder / "media").rglob("*") if p.is_file()]


@contextmanager
def begun(folder: Path, where: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that stands still in the middle of putting media."""
    order = [sys.executable, "-c", _BEGUN, str(folder), where]
    with subprocess.Popen(order, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "there\n"
            yield child
        finally:
            child.kill()


def finished(child: subprocess.Popen[str]) -> str:
    """Let a process go on to its end; return the sha256 that it put."""
    said, _ = child.communicate("\n", timeout=PATIENCE_SECONDS)
    assert child.returncode == 0
    return said.split()[-1]


@pytest.mark.parametrize("where", PLACES)
def test_a_kill_leaves_nothing_at_the_next_start(tmp_path: Path, where: str) -> None:
    with Store(tmp_path) as store:
        kept = a_render(store, b"kept")
    with begun(tmp_path, where):
        assert len(files(tmp_path)) > 1
    with Store(tmp_path) as store:
        assert [p.read_bytes() for p in files(tmp_path)] == [b"kept"]
        report = store.files.verify()
        assert (report.ok, report.checked, report.unused) == (True, 1, ())
        assert store.of(ME).media.get(kept.media_sha256).is_file()


@pytest.mark.parametrize("where", PLACES)
def test_what_a_living_process_puts_stays(tmp_path: Path, where: str) -> None:
    Store(tmp_path).close()
    with begun(tmp_path, where) as child:
        before = {p: p.stat().st_size for p in files(tmp_path)}
        with Store(tmp_path) as store:  # opens beside it, and does not wait where it holds the lock
            assert {p: p.stat().st_size for p in files(tmp_path)} == before
            if where not in LOCKED:
                assert store.sweep(grace_seconds=-1).trashed == 0
                assert store.files.verify().orphans == ()
        sha256 = finished(child)
    with Store(tmp_path) as store:
        assert store.of(ME).media.get(sha256).read_bytes() == b"the bytes"
        assert notes(store.files.incoming) == []


def test_bytes_that_a_living_process_puts_too_are_spared(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with begun(tmp_path, PLACES[-1]) as dead, begun(tmp_path, PLACES[-1]) as alive:
        dead.kill()
        dead.wait(PATIENCE_SECONDS)
        Store(tmp_path).close()
        sha256 = finished(alive)
    with Store(tmp_path) as store:
        assert store.of(ME).media.get(sha256).read_bytes() == b"the bytes"


def test_of_several_that_fail_none_stays_and_what_was_there_before_does(store: Store) -> None:
    mine = store.of(ME).media
    before = mine.put(b"before")

    def put_and_fail() -> None:
        with mine.keeping():
            for data in (b"before", b"one", b"two"):
                mine.put(data)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()
    assert [p.name for p in files(store.data_dir)] == [before]
    assert store.files.verify().checked == 1


def test_a_commit_that_fails_leaves_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise StoreError("The disk is full, so nothing was written.")

    monkeypatch.setattr(store.database, "insert", full)
    with pytest.raises(StoreError, match="full"):
        store.of(ME).media.put(b"no room")
    assert files(store.data_dir) == []


def test_half_files_of_an_earlier_studio_go_when_they_are_old(store: Store) -> None:
    left = store.files.incoming / "half.part"
    left.write_bytes(b"half")
    assert store.files.verify().orphans == ("media/incoming/half.part",)
    assert store.sweep().trashed == 0
    assert store.sweep(grace_seconds=-1).trashed == 1


@pytest.mark.parametrize("name", ["studio.db", "media", "runs", "backups", "trash"])
def test_a_link_that_leads_nowhere_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).symlink_to(tmp_path / "a disk that is not connected")
    with pytest.raises(StoreError, match=r"is a link to .*not connected, and nothing is there"):
        Store(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == [tmp_path / "data" / name]
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is a link to"):
        Store(tmp_path / "link")
    (tmp_path / "a disk that is not connected").mkdir()
    if name != "studio.db":
        Store(tmp_path / "data").close()
