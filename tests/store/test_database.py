"""The file itself: its history, its neighbors in other processes, and its bad days."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from studio.errors import ConflictError, StoreError
from studio.store import Journal, Store, migrations
from studio.store.database import APPLICATION_ID, Database
from tests.patience import PATIENCE_SECONDS
from tests.store.conftest import ME, a_render

SCHEMA = Path(__file__).parent / "schema.sql"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)}


def schema(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
            " AND name NOT LIKE 'render_text_%' ORDER BY type, name"
        ).fetchall()
    finally:
        connection.close()
    return "\n".join(" ".join(sql.split()) + ";" for (sql,) in rows) + "\n"


def old_database(path: Path, stop_before: str | None) -> None:
    """Make a database as an older studio left it, with rows in every table it had."""
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(connection, stop_before=stop_before)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    samples = {
        "projects": "INSERT INTO projects (id, owner, name, created) VALUES ('p', 'local', 'Film', 't')",
        "media": "INSERT INTO media VALUES ('local', 'h', '.png', 3, 't')",
        "identities": "INSERT INTO identities (id, owner, name, created) VALUES ('i', 'local', 'Ada', 't')",
        "photos": "INSERT INTO photos (id, owner, sha256, width, height, created)"
        " VALUES ('f', 'local', 'h', 1, 1, 't')",
        "variants": "INSERT INTO variants (id, owner, photo_id, number, seed, recipe, traits, media_sha256,"
        " mask_sha256, engine, created) VALUES ('v', 'local', 'f', 0, 0, '{}', '{}', 'h', 'h', 'rig 1', 't')",
        "jobs": "INSERT INTO jobs (id, owner, kind, params, state, position, created)"
        " VALUES ('j', 'local', 'count', '{}', 'done', 1, 't')",
        "renders": "INSERT INTO renders (id, owner, kind, media_sha256, engine, engine_version, seconds, created)"
        " VALUES ('r', 'local', 'clip', 'h', 'rig', '1', 1, 't')",
        "bases": "INSERT INTO bases VALUES ('local', 'own', 'Own', 'sd15', 'p', 0, 512, 'epsilon', 's', 't')",
        "adapters": "INSERT INTO adapters (id, owner, name, method, origin, family, media_sha256, identity_id, created)"
        " VALUES ('a', 'local', 'Ada', 'lora', 'trained', 'sd15', 'h', 'i', 't')",
        "adapter_people": "INSERT INTO adapter_people VALUES ('local', 'a', 'i')",
        "adapter_exports": "INSERT INTO adapter_exports VALUES ('e', 'local', 'a', 'kohya', 'f', 's', 1, 't')",
        "presets": 'INSERT INTO presets (id, owner, kind, name, "values", created)'
        " VALUES ('s', 'local', 'expression', 'Sly', '{}', 't')",
        "runs": "INSERT INTO runs (id, owner, plan, base_sha256, photos, identity_id, created)"
        " VALUES ('n', 'local', '{}', 'b', '', 'i', 't')",
        "run_metrics": "INSERT INTO run_metrics VALUES ('n', 'local', 'loss', 1, 0.5)",
        "run_samples": "INSERT INTO run_samples (run_id, owner, step, kind, prompt, seed, media_sha256)"
        " VALUES ('n', 'local', 1, 'person', 'x', 1, 'h')",
        "checkpoints": "INSERT INTO checkpoints (id, owner, run_id, step, media_sha256, created)"
        " VALUES ('c', 'local', 'n', 1, 'h', 't')",
        "grid_cells": "INSERT INTO grid_cells"
        " (id, owner, run_id, checkpoint_id, strength, prompt, seed, media_sha256, created)"
        " VALUES ('g', 'local', 'n', 'c', 1.0, 'x', 1, 'h', 't')",
        "photo_analyses": "INSERT INTO photo_analyses (owner, sha256, version, width, height, created)"
        " VALUES ('local', 'h', '1', 1, 1, 't')",
        "photo_faces": "INSERT INTO photo_faces VALUES ('local', 'h', 0, '{}', x'00', NULL, NULL, '{}')",
        "photo_looks": "INSERT INTO photo_looks VALUES ('local', 'h', -1, x'00')",
        "intakes": "INSERT INTO intakes (id, owner, identity_id, created) VALUES ('k', 'local', 'i', 't')",
        "intake_photos": "INSERT INTO intake_photos (id, owner, intake_id, position, sha256)"
        " VALUES ('q', 'local', 'k', 0, 'h')",
        "intake_names": "INSERT INTO intake_names VALUES ('local', 'k', 'q:0', 'Ada', 'i')",
        "intake_links": "INSERT INTO intake_links VALUES ('local', 'k', 'q:0', 'q:1', 0)",
        "curated_photos": "INSERT INTO curated_photos VALUES ('f', 'local', 1, 'at the sea', NULL)",
        "caption_policies": "INSERT INTO caption_policies VALUES ('local', 'i', 'hair', 'describe')",
        "curation_steps": "INSERT INTO curation_steps (owner, intake_id, title, before, created)"
        " VALUES ('local', 'k', 'Keep 1', '{}', 't')",
        "performances": "INSERT INTO performances VALUES ('w', 'local', 'Hello', 'i', 0, 't', 't')",
        "performance_steps": "INSERT INTO performance_steps VALUES ('local', 'w', 0, 'Made', '{}', 't')",
        "performance_media": "INSERT INTO performance_media VALUES ('local', 'w', 'h')",
    }
    existing = {r[0] for r in connection.execute("SELECT name FROM sqlite_master")}
    for table, sql in samples.items():
        if table in existing:
            connection.execute(sql)
    fill_links(connection, [table for table in samples if table in existing])
    connection.close()


def fill_links(connection: sqlite3.Connection, tables: list[str]) -> None:
    """Let every column that refers to another row, and says nothing yet, name the sample there."""
    for table in tables:
        for _, _, parent, column, target, *_ in connection.execute(f"PRAGMA foreign_key_list({table})").fetchall():
            link = f"(SELECT {target or 'id'} FROM {parent} LIMIT 1)"
            connection.execute(f"UPDATE {table} SET {column} = {link} WHERE {column} IS NULL")


Rows = dict[str, list[dict[str, object]]]


def rows_of(path: Path) -> Rows:
    """Return what stands in every table."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        names = [
            r[0]
            for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not r[0].startswith(("_", "sqlite_", "render_text"))
        ]
        return {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}
    finally:
        connection.close()


def known_before(after: Rows, before: Rows) -> Rows:
    """Return the tables and columns of `after` that `before` has too."""
    return {
        table: [{k: v for k, v in row.items() if not rows or k in rows[0]} for row in after[table]]
        for table, rows in before.items()
    }


def test_the_schema_is_the_one_written_down(tmp_path: Path) -> None:
    """When this fails because of a new migration, write the new schema down in schema.sql."""
    Database(tmp_path / "studio.db").close()
    assert schema(tmp_path / "studio.db") == SCHEMA.read_text(encoding="utf-8")


@pytest.mark.parametrize("stop_before", [*migrations.NAMES[1:], None])
def test_every_older_schema_is_brought_up_with_its_rows(tmp_path: Path, stop_before: str | None) -> None:
    path = tmp_path / "studio.db"
    old_database(path, stop_before)
    before = rows_of(path)
    assert any(before.values())
    with Database(path) as database:
        assert database.check() == ()
        assert len(database.backups()) == (0 if stop_before is None else 1)
        for backup in database.backups():
            assert rows_of(backup) == before
    assert known_before(rows_of(path), before) == before, "no row and no link is lost"
    assert schema(path) == SCHEMA.read_text(encoding="utf-8")


def test_a_failed_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "studio.db"
    old_database(path, "m007_presets")
    before = schema(path)

    def m008_broken(db: object) -> None:
        db.execute("CREATE TABLE half_done (id TEXT)")  # type: ignore[attr-defined]
        db.execute("nonsense")  # type: ignore[attr-defined]

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, m008_broken))
    monkeypatch.setattr(migrations, "NAMES", (*migrations.NAMES, "m008_broken"))
    with pytest.raises(StoreError):
        Database(path)
    assert schema(path) == before


def test_only_the_newest_backups_stay(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    for name in migrations.NAMES[1:7]:
        path.unlink(missing_ok=True)
        old_database(path, name)
        Database(path).close()
    with Database(path) as database:
        assert [p.stem.split("-before-")[1] for p in database.backups()] == list(migrations.NAMES[4:7])


def test_a_database_of_a_newer_studio_is_left_untouched(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "studio.db")
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('studio', 'm999', 't')"
    )
    connection.commit()
    connection.execute("PRAGMA journal_mode = delete")
    connection.close()
    before = (tmp_path / "studio.db").read_bytes()
    with pytest.raises(StoreError, match="newer studio"):
        Store(tmp_path)
    assert (tmp_path / "studio.db").read_bytes() == before


def test_a_database_of_another_program_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE invoices (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("spoil", ["text", "middle"])
def test_a_damaged_database_is_said_to_be_damaged(tmp_path: Path, spoil: str) -> None:
    with Store(tmp_path) as store:
        for i in range(50):
            a_render(store, b"%d" % i, search_text="word " * 200)
    path = tmp_path / "studio.db"
    whole = path.read_bytes()
    middle = whole[:4096] + b"\xff" * (len(whole) - 4096)
    path.write_bytes(b"this is no database" * 100 if spoil == "text" else middle)
    with pytest.raises(StoreError, match="damaged") as caught, Store(tmp_path) as store:
        store.of(ME).renders.page()
    assert "backups" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said_to_be_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path)
    tmp_path.chmod(0o700)


def test_a_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreError):
        Store(tmp_path / "data")


def test_a_database_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """SQLite's own answer to a read-only disk, which root does not get from permissions."""
    with Store(tmp_path) as store:
        store.database.rows("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="cannot be written"):
            store.of(ME).projects.add("Film")


def fill(store: Store) -> None:
    for i in range(500):
        a_render(store, b"%d" % i, recipe={"long": "x" * 5000})


def add_two(store: Store) -> None:
    with store.database.transaction():
        store.of(ME).projects.add("Inner")
        store.of(ME).projects.add("Outer")


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    """The file may not grow any more, which SQLite reports as a full disk."""
    with Store(tmp_path) as store:
        kept = a_render(store, b"kept")
        store.database.rows(f"PRAGMA max_page_count = {store.database.value('PRAGMA page_count') + 2}")
        with pytest.raises(StoreError, match="disk is full"):
            fill(store)
        assert store.of(ME).renders.get(kept.id) == kept
        total = store.of(ME).renders.page().total
    with Store(tmp_path) as store:
        assert store.of(ME).renders.page().total == total
        assert store.database.check() == ()


def test_a_file_that_waits_to_be_deleted_is_no_damage(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.database.insert("media_doomed", {"owner": ME, "file_name": "0" * 64})
        assert store.database.check() == ()


def test_a_nested_block_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with store.database.transaction():
            store.of(ME).projects.add("Outer")
            with pytest.raises(ConflictError):
                add_two(store)
        assert [p.name for p in store.of(ME).projects.list()] == ["Outer"]


def test_every_thread_has_its_connection_and_ended_threads_leave_none(tmp_path: Path) -> None:
    with Store(tmp_path) as store:

        def work() -> None:
            for _ in range(5):
                a_render(store, threading.current_thread().name.encode())

        for _ in range(3):
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert store.of(ME).renders.page().total == 60
        last = threading.Thread(target=lambda: store.of(ME).projects.list())
        last.start()
        last.join()
        assert len(store.database._connections) <= 2


_WRITER = """
import sys
from pathlib import Path
from studio.store import Store, database
database.BUSY_SECONDS = float(sys.argv[4])
with Store(Path(sys.argv[1]), journal=sys.argv[3]) as store:
    for i in range(25):
        store.of("local").projects.add(f"{sys.argv[2]} {i}")
        store.of("local").media.put(b"the same bytes from everybody %d" % i, ".png")
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_processes_that_open_one_new_folder_at_once_all_succeed(tmp_path: Path, journal: Journal) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), name, journal, str(PATIENCE_SECONDS)], env=ENVIRONMENT
        )
        for name in ("first", "second", "third")
    ]
    assert [w.wait(PATIENCE_SECONDS) for w in writers] == [0, 0, 0]
    with Store(tmp_path, journal=journal) as store:
        assert store.database.value("PRAGMA journal_mode") == journal
        assert len(store.of(ME).projects.list()) == 75
        report = store.files.verify()
        assert (report.ok, report.checked) == (True, 25)


def test_the_journal_can_be_changed_when_the_folder_moves(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.of(ME).projects.add("Film")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with Store(tmp_path / "b", journal="delete") as store:
        assert store.database.value("PRAGMA journal_mode") == "delete"
        assert len(store.of(ME).projects.list()) == 1


def test_opening_an_up_to_date_store_imports_no_heavy_library(tmp_path: Path) -> None:
    Store(tmp_path).close()
    code = (
        "import sys; from pathlib import Path; from studio.store import Store; Store(Path(sys.argv[1])).close();"
        "print([m for m in ('sqlite_utils', 'pandas', 'cv2', 'torch') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert out.stdout.strip() == "[]"
