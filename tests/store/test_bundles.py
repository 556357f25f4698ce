"""What of a project leaves for another studio: every table says whether it is carried."""

from __future__ import annotations

import pytest

from studio.store import Store
from studio.store.bundle_tables import CARRIED, KEYS, STAYS
from studio.store.merging import UnfitRows


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "data") as opened:
        yield opened


def test_every_table_is_carried_or_stays(store) -> None:
    names = {str(row[0]) for row in store.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = {name for name in names if "sqlite" not in name and not name.startswith("render_text")}
    assert tables == {*CARRIED, *STAYS}
    assert not set(CARRIED) & set(STAYS)


def test_a_row_is_written_after_those_it_refers_to(store) -> None:
    for key in store.files.references.keys:
        if key.table in CARRIED and key.to_table in CARRIED and key.table != key.to_table:
            assert CARRIED.index(key.to_table) < CARRIED.index(key.table), (key.table, key.to_table)


@pytest.mark.parametrize("table", CARRIED)
def test_what_makes_a_row_the_same_is_unique(store, table) -> None:
    unique = [
        {str(column[0]) for column in store.database.rows("SELECT name FROM pragma_index_info(?)", [index["name"]])}
        for index in store.database.rows("SELECT * FROM pragma_index_list(?)", [table])
        if index["unique"]
    ]
    assert set(KEYS[table]) in [found - {"owner"} for found in unique] or set(KEYS[table]) in unique


@pytest.mark.parametrize(
    "rows",
    [
        {"identities": [{"id": "a", "name": 5, "notes": "", "created": "2026-01-01T00:00:00.000000Z"}]},
        {"identities": [{"id": "a", "name": "A", "notes": "", "created": "yesterday"}]},
        {"identities": [{"id": "a", "name": "A", "notes": "", "created": None}]},
        {"identities": [{"id": "a", "name": "A", "notes": "", "owner": "somebody", "created": "x"}]},
        {"identities": [{"name": "A", "notes": "", "created": "2026-01-01T00:00:00.000000Z"}]},
        {"consents": [{"id": "c", "identity_id": "nobody", "agreed_by": "A", "scopes": "edit", "granted_at": "x"}]},
        {"photos": [{"id": "p", "sha256": "0" * 64, "width": True, "height": 2, "created": "x"}]},
        {"embeddings": [{"photo_id": "p", "embedder": "e", "vector": {"base64": "???"}, "created": "x"}]},
    ],
)
def test_rows_that_are_none_of_ours_are_refused_and_nothing_stays(store, rows) -> None:
    from studio.errors import ConflictError

    with pytest.raises((UnfitRows, ConflictError)):
        store.of("local").bundles.merge(rows)
    assert store.of("local").identities.list() == ()
