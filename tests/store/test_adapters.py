"""Adapters and own bases: rows, the people in them, and what leaves with whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.adapter import Adapter, NewAdapter
from studio.domain.base_model import BaseLocation
from studio.errors import ConflictError, NotFoundError
from studio.store import Store
from tests.store.conftest import ME, a_render


def an_adapter(store: Store, name: str, data: bytes = b"weights", owner: str = ME, **values: object) -> Adapter:
    sha256 = store.media.put(owner, data, ".safetensors")
    about = {"family": "sd15", "media_sha256": sha256, "name": name} | values
    return store.adapters.add(owner, NewAdapter(**about))  # type: ignore[arg-type]


def test_an_adapter_comes_back_as_it_was_stored(store: Store) -> None:
    ada = store.identities.add(ME, "Ada")
    shown, sheet = store.media.put(ME, b"shown", ".png"), store.media.put(ME, b"sheet", ".png")
    kept = an_adapter(
        store, " Ada 1 ", method="dreambooth", origin="imported", family="sdxl", trigger="sks woman", rank=None,
        base_name="xl", base_sha256="b" * 64, identity_id=ada.id, run_id="r", checkpoint_id="c",
        thumbnail_sha256=shown, sheet_sha256=sheet, measures={"likeness": 0.5, "leak": {"advice": "Grüße"}},
        notes="good",
    )  # fmt: skip
    assert kept.name == "Ada 1"
    assert store.adapters.get(ME, kept.id) == kept == store.adapters.find(ME, "ADA 1")
    assert store.adapters.people(ME, kept.id) == (ada.id,)
    assert store.adapters.list(ME, identity_id=ada.id) == store.adapters.list(ME, run_id="r") == (kept,)
    assert store.adapters.list(ME, identity_id="nobody") == store.adapters.list(ME, run_id="none") == ()
    assert store.media.verify().unused == ()


def test_names_are_taken_once_and_pictures_replaced(store: Store) -> None:
    one = an_adapter(store, "One")
    with pytest.raises(ConflictError):
        an_adapter(store, "ONE", b"others")
    other = an_adapter(store, "Two", b"others")
    with pytest.raises(ConflictError):
        store.adapters.change(ME, other.id, name="one")
    old, new = store.media.put(ME, b"old", ".png"), store.media.put(ME, b"new", ".png")
    store.adapters.change(ME, one.id, sheet_sha256=old, measures={"a": 1})
    changed = store.adapters.change(ME, one.id, name="First", notes="n", sheet_sha256=new, measures={"b": 2})
    assert (changed.name, changed.notes, changed.measures, changed.sheet_sha256) == (
        "First",
        "n",
        {"a": 1, "b": 2},
        new,
    )
    assert not store.media.has(ME, old)
    assert store.adapters.change(ME, one.id) == changed
    with pytest.raises(ConflictError):
        store.adapters.change(ME, one.id, thumbnail_sha256="0" * 64)


def test_deleting_frees_what_nobody_else_needs(store: Store, tmp_path: Path) -> None:
    one, twin = an_adapter(store, "One", b"same"), an_adapter(store, "Twin", b"same")
    store.adapters.add_export(ME, one.id, "kohya", tmp_path / "out.safetensors", "e" * 64, 9)
    (export,) = store.adapters.exports(ME, one.id)
    assert (export.format, export.path, export.bytes) == ("kohya", str(tmp_path / "out.safetensors"), 9)
    assert store.adapters.delete(ME, one.id) == 0
    assert store.media.has(ME, twin.media_sha256)
    assert store.adapters.delete(ME, twin.id) == len(b"same")
    assert store.database.value("SELECT count(*) FROM adapter_exports") == 0
    with pytest.raises(NotFoundError):
        store.adapters.add_export(ME, one.id, "kohya", tmp_path, "e" * 64, 9)


def test_nothing_of_another_owner(store: Store) -> None:
    hers = an_adapter(store, "Hers", owner="ada")
    for call in (
        lambda: store.adapters.get(ME, hers.id),
        lambda: store.adapters.change(ME, hers.id, name="Mine"),
        lambda: store.adapters.delete(ME, hers.id),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert (store.adapters.list(ME), store.adapters.find(ME, "Hers")) == ((), None)
    assert store.adapters.people(ME, hers.id) == store.adapters.exports(ME, hers.id) == ()


def test_a_person_takes_along_every_adapter_render_and_job_with_their_likeness(store: Store) -> None:
    ada, bob = store.identities.add(ME, "Ada"), store.identities.add(ME, "Bob")
    hers, his = (
        an_adapter(store, "Ada", b"hers", identity_id=ada.id),
        an_adapter(store, "Bob", b"his", identity_id=bob.id),
    )
    both = an_adapter(store, "Both", b"both", parents={hers.id: 0.5, his.id: 0.5})
    again = an_adapter(store, "Again", b"again", parents={both.id: 1.0})
    store.adapters.delete(ME, hers.id)  # the mixes still hold her
    kept = an_adapter(store, "Ada 2", b"hers 2", identity_id=ada.id)
    drawn = a_render(store, b"drawn", inputs={"adapter:Both": both.media_sha256})
    others = a_render(store, b"others", inputs={"adapter:Bob": his.media_sha256})
    job = store.jobs.add(ME, "leak_test", {"adapter_id": kept.id})
    store.jobs.request_cancel(ME, job.id)
    plan = store.identities.plan_deletion(ME, ada.id)
    assert (plan.adapters, plan.renders, plan.jobs) == (3, 1, 1)
    assert store.identities.delete(ME, ada.id) == plan
    assert [a.name for a in store.adapters.list(ME)] == ["Bob"]
    for gone in (lambda: store.adapters.get(ME, again.id), lambda: store.renders.get(ME, drawn.id)):
        with pytest.raises(NotFoundError):
            gone()
    assert store.renders.page(ME).renders == (others,)
    assert not store.media.has(ME, both.media_sha256)
    report = store.media.verify()
    assert (report.ok, report.unused) == (True, ())
    assert store.database.check() == ()


@settings(max_examples=25, deadline=None)
@given(made=st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 5), max_size=3)), min_size=1, max_size=6))
def test_people_are_those_of_all_ancestors(tmp_path_factory: pytest.TempPathFactory, made) -> None:  # type: ignore[no-untyped-def]
    with Store(tmp_path_factory.mktemp("store")) as store:
        persons = [store.identities.add(ME, f"P{i}").id for i in range(3)]
        kept: list[Adapter] = []
        expected: list[set[str]] = []
        for number, (who, parents) in enumerate(made):
            known = [p for p in parents if p < len(kept)]
            identity = None if known else persons[who]
            people = {identity} if identity else set().union(*(expected[p] for p in known))
            kept.append(
                an_adapter(
                    store, f"A{number}", b"%d" % number, identity_id=identity, parents={kept[p].id: 1.0 for p in known}
                )
            )
            expected.append({p for p in people if p})
        assert [set(store.adapters.people(ME, a.id)) for a in kept] == expected
        store.identities.delete(ME, persons[0])
        left = {a.name for a in store.adapters.list(ME)}
        assert left == {a.name for a, people in zip(kept, expected, strict=True) if persons[0] not in people}


def test_own_bases(store: Store) -> None:
    mine = BaseLocation(
        name="mine", title="Mine", family="sdxl", path="somewhere", is_file=True, resolution=1024,
        prediction_type="v_prediction", sha256="a" * 64,
    )  # fmt: skip
    assert store.bases.add(ME, mine) == mine == store.bases.get(ME, "MINE")
    with pytest.raises(ConflictError):
        store.bases.add(ME, mine)
    assert store.bases.list(ME) == (mine,)
    assert (store.bases.list("ada"), store.bases.find("ada", "mine")) == ((), None)
    store.bases.delete(ME, "mine")
    for call in (lambda: store.bases.get(ME, "mine"), lambda: store.bases.delete(ME, "mine")):
        with pytest.raises(NotFoundError):
            call()
