"""What needs media and what hangs on a person is read from the schema: no table can be forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.store import Store
from studio.store.references import UNDECLARED
from studio.store.rows import new_id
from tests.store.conftest import ME

NO_MEDIA = {
    ("media", "sha256"): "is the medium",
    ("bases", "sha256"): "of a base model, which lies where the person keeps it",
    ("adapters", "base_sha256"): "of a base model",
    ("runs", "base_sha256"): "of a base model",
    ("adapter_exports", "sha256"): "of a file outside the data folder",
}
"""Columns named like a hash that name no medium, and why."""

STAYS = {
    ("renders", "photo_id"): "a render outlives its photo; with the person it goes by Identities._renders",
    ("renders", "job_id"): "a render outlives its job",
    ("renders", "parent_id"): "a render outlives the one it was made from",
    ("jobs", "parent_id"): "an attempt outlives the one before",
    ("runs", "job_id"): "a run outlives its job",
    ("intakes", "job_id"): "an intake outlives its job",
    ("intake_names", "identity_id"): "goes with its intake, by Curation.touching",
    ("adapters", "run_id"): "an adapter outlives its run; with the person it goes by its identity",
    ("adapters", "checkpoint_id"): "an adapter outlives its run; with the person it goes by its identity",
}
"""Columns that name something of a person whose rows are not deleted along, and what does it instead."""

OF_A_PERSON = {
    "identity_id", "photo_id", "run_id", "checkpoint_id", "adapter_id", "render_id", "intake_id", "job_id", "parent_id",
}  # fmt: skip


def columns(store: Store) -> Iterator[tuple[str, str]]:
    sql = "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'"
    yield from ((table, column) for table, column in store.database.rows(sql))


def test_every_hash_is_a_reference_or_says_why_not(store: Store) -> None:
    keys = {(k.table, c) for k in store.files.references.keys for c in k.columns}
    named = {(table, column) for table, column in columns(store) if column.endswith("sha256")}
    unknown = named - keys - set(UNDECLARED) - set(NO_MEDIA)
    assert not unknown, "declare FOREIGN KEY (owner, ...) REFERENCES media (owner, sha256), or say here why not"
    assert {*UNDECLARED, *NO_MEDIA} <= named, "what is excused must exist"
    assert not (keys | set(UNDECLARED)) & set(NO_MEDIA)


def test_every_row_about_a_person_goes_with_the_person_or_says_why_not(store: Store) -> None:
    falls = {(k.table, c) for k in store.files.references.keys if k.cascades for c in k.columns}
    named = {(table, column) for table, column in columns(store) if column in OF_A_PERSON}
    unknown = named - falls - set(STAYS)
    assert not unknown, "declare REFERENCES ... ON DELETE CASCADE, or say here what deletes the rows"
    assert set(STAYS) <= named - falls, "what is excused must exist"


def test_every_key_to_media_can_be_looked_up(store: Store) -> None:
    """A key without an index turns each deletion into a scan of its table."""
    for table, column in store.files.references.keeping:
        sql = (
            "SELECT i.name, c.name FROM pragma_index_list(?) i JOIN pragma_index_info(i.name) c"
            " WHERE c.seqno < 2 ORDER BY i.name, c.seqno"
        )
        indexes: dict[str, list[str]] = {}
        for index, found in store.database.rows(sql, [table]):
            indexes.setdefault(index, []).append(found)
        starts = [[column], ["owner", column]]
        assert any(found[: len(start)] == start for found in indexes.values() for start in starts), (table, column)


def test_the_tables_of_today_are_all_found(store: Store) -> None:
    assert set(store.files.references.keeping) >= {
        ("photos", "sha256"),
        ("renders", "media_sha256"),
        ("renders", "thumbnail_sha256"),
        ("render_inputs", "sha256"),
        ("presets", "thumbnail_sha256"),
        ("adapters", "media_sha256"),
        ("adapters", "thumbnail_sha256"),
        ("adapters", "sheet_sha256"),
        ("checkpoints", "media_sha256"),
        ("run_samples", "media_sha256"),
        ("grid_cells", "media_sha256"),
        ("intake_photos", "sha256"),
        ("photo_analyses", "mask_sha256"),
    }


@pytest.fixture
def grown(store: Store) -> Iterator[Store]:
    """A store whose schema got two tables that no code knows: moods of photos, and pictures of moods."""
    store.database.execute("""
        CREATE TABLE moods (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, photo_id TEXT NOT NULL REFERENCES photos ON DELETE CASCADE,
            media_sha256 TEXT, FOREIGN KEY (owner, media_sha256) REFERENCES media)""")
    store.database.execute("""
        CREATE TABLE mood_pictures (
            mood_id TEXT NOT NULL REFERENCES moods (id) ON DELETE CASCADE, owner TEXT NOT NULL,
            media_sha256 TEXT NOT NULL, FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256))""")
    with Store(store.data_dir) as again:
        yield again


def test_a_table_that_only_its_migration_knows_keeps_its_media_and_goes_with_the_person(grown: Store) -> None:
    me = grown.of(ME)
    ada = me.identities.add("Ada")
    photo = me.photos.add(me.media.put(b"Ada"), file_name="a.jpg", width=1, height=1, identity_id=ada.id)
    mood, picture, loose = (me.media.put(data) for data in (b"a mood", b"a picture of it", b"nobody's"))
    id = new_id()
    grown.database.insert("moods", {"id": id, "owner": ME, "photo_id": photo.id, "media_sha256": mood})
    grown.database.insert("mood_pictures", {"mood_id": id, "owner": ME, "media_sha256": picture})
    assert grown.files.verify().unused == (loose,)
    assert grown.sweep(grace_seconds=-1).trashed == 1
    plan = me.identities.plan_deletion(ada.id)
    assert (plan.files, plan.file_bytes) == (3, len(b"Ada") + len(b"a mood") + len(b"a picture of it"))
    assert me.identities.delete(ada.id) == plan
    assert grown.database.value("SELECT count(*) FROM moods") == 0
    assert not any(me.media.has(sha256) for sha256 in (mood, picture))
    report = grown.files.verify()
    assert (report.ok, report.unused) == (True, ())
