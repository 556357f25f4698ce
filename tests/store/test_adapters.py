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
    sha256 = store.of(owner).media.put(data, ".safetensors")
    about = {"family": "sd15", "media_sha256": sha256, "name": name} | values
    return store.of(owner).adapters.add(NewAdapter(**about))  # type: ignore[arg-type]


def test_an_adapter_comes_back_as_it_was_stored(store: Store) -> None:
    ada = store.of(ME).identities.add("Ada")
    shown, sheet = store.of(ME).media.put(b"shown", ".png"), store.of(ME).media.put(b"sheet", ".png")
    kept = an_adapter(
        store, " Ada 1 ", method="dreambooth", origin="imported", family="sdxl", trigger="sks woman", rank=None,
        base_name="xl", base_sha256="b" * 64, identity_id=ada.id, run_id="r", checkpoint_id="c",
        thumbnail_sha256=shown, sheet_sha256=sheet, measures={"likeness": 0.5, "leak": {"advice": "Grüße"}},
        notes="good",
    )  # fmt: skip
    assert kept.name == "Ada 1"
    assert store.of(ME).adapters.get(kept.id) == kept == store.of(ME).adapters.find("ADA 1")
    assert store.of(ME).adapters.people(kept.id) == (ada.id,)
    assert store.of(ME).adapters.list(identity_id=ada.id) == store.of(ME).adapters.list(run_id="r") == (kept,)
    assert store.of(ME).adapters.list(identity_id="nobody") == store.of(ME).adapters.list(run_id="none") == ()
    assert store.files.verify().unused == ()


def test_names_are_taken_once_and_pictures_replaced(store: Store) -> None:
    one = an_adapter(store, "One")
    with pytest.raises(ConflictError):
        an_adapter(store, "ONE", b"others")
    other = an_adapter(store, "Two", b"others")
    with pytest.raises(ConflictError):
        store.of(ME).adapters.change(other.id, name="one")
    old, new = store.of(ME).media.put(b"old", ".png"), store.of(ME).media.put(b"new", ".png")
    store.of(ME).adapters.change(one.id, sheet_sha256=old, measures={"a": 1})
    changed = store.of(ME).adapters.change(one.id, name="First", notes="n", sheet_sha256=new, measures={"b": 2})
    assert (changed.name, changed.notes, changed.measures, changed.sheet_sha256) == (
        "First",
        "n",
        {"a": 1, "b": 2},
        new,
    )
    assert not store.of(ME).media.has(old)
    assert store.of(ME).adapters.change(one.id) == changed
    with pytest.raises(ConflictError):
        store.of(ME).adapters.change(one.id, thumbnail_sha256="0" * 64)


def test_deleting_frees_what_nobody_else_needs(store: Store, tmp_path: Path) -> None:
    one, twin = an_adapter(store, "One", b"same"), an_adapter(store, "Twin", b"same")
    store.of(ME).adapters.add_export(one.id, "kohya", tmp_path / "out.safetensors", "e" * 64, 9)
    (export,) = store.of(ME).adapters.exports(one.id)
    assert (export.format, export.path, export.bytes) == ("kohya", str(tmp_path / "out.safetensors"), 9)
    assert store.of(ME).adapters.delete(one.id) == 0
    assert store.of(ME).media.has(twin.media_sha256)
    assert store.of(ME).adapters.delete(twin.id) == len(b"same")
    assert store.database.value("SELECT count(*) FROM adapter_exports") == 0
    with pytest.raises(NotFoundError):
        store.of(ME).adapters.add_export(one.id, "kohya", tmp_path, "e" * 64, 9)


def test_nothing_of_another_owner(store: Store) -> None:
    hers = an_adapter(store, "Hers", owner="ada")
    for call in (
        lambda: store.of(ME).adapters.get(hers.id),
        lambda: store.of(ME).adapters.change(hers.id, name="Mine"),
        lambda: store.of(ME).adapters.delete(hers.id),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert (store.of(ME).adapters.list(), store.of(ME).adapters.find("Hers")) == ((), None)
    assert store.of(ME).adapters.people(hers.id) == store.of(ME).adapters.exports(hers.id) == ()


def test_a_person_takes_along_every_adapter_render_and_job_with_their_likeness(store: Store) -> None:
    ada, bob = store.of(ME).identities.add("Ada"), store.of(ME).identities.add("Bob")
    hers, his = (
        an_adapter(store, "Ada", b"hers", identity_id=ada.id),
        an_adapter(store, "Bob", b"his", identity_id=bob.id),
    )
    both = an_adapter(store, "Both", b"both", parents={hers.id: 0.5, his.id: 0.5})
    again = an_adapter(store, "Again", b"again", parents={both.id: 1.0})
    store.of(ME).adapters.delete(hers.id)  # the mixes still hold her
    kept = an_adapter(store, "Ada 2", b"hers 2", identity_id=ada.id)
    drawn = a_render(store, b"drawn", inputs={"adapter:Both": both.media_sha256})
    others = a_render(store, b"others", inputs={"adapter:Bob": his.media_sha256})
    job = store.of(ME).jobs.add("leak_test", {"adapter_id": kept.id})
    store.of(ME).jobs.request_cancel(job.id)
    plan = store.of(ME).identities.plan_deletion(ada.id)
    assert (plan.adapters, plan.renders, plan.jobs) == (3, 1, 1)
    assert store.of(ME).identities.delete(ada.id) == plan
    assert [a.name for a in store.of(ME).adapters.list()] == ["Bob"]
    for gone in (lambda: store.of(ME).adapters.get(again.id), lambda: store.of(ME).renders.get(drawn.id)):
        with pytest.raises(NotFoundError):
            gone()
    assert store.of(ME).renders.page().renders == (others,)
    assert not store.of(ME).media.has(both.media_sha256)
    report = store.files.verify()
    assert (report.ok, report.unused) == (True, ())
    assert store.database.check() == ()


@settings(max_examples=25, deadline=None)
@given(made=st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 5), max_size=3)), min_size=1, max_size=6))
def test_people_are_those_of_all_ancestors(tmp_path_factory: pytest.TempPathFactory, made) -> None:  # type: ignore[no-untyped-def]
    with Store(tmp_path_factory.mktemp("store")) as store:
        persons = [store.of(ME).identities.add(f"P{i}").id for i in range(3)]
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
        assert [set(store.of(ME).adapters.people(a.id)) for a in kept] == expected
        store.of(ME).identities.delete(persons[0])
        left = {a.name for a in store.of(ME).adapters.list()}
        assert left == {a.name for a, people in zip(kept, expected, strict=True) if persons[0] not in people}


def test_own_bases(store: Store) -> None:
    mine = BaseLocation(
        name="mine", title="Mine", family="sdxl", path="somewhere", is_file=True, resolution=1024,
        prediction_type="v_prediction", sha256="a" * 64,
    )  # fmt: skip
    assert store.of(ME).bases.add(mine) == mine == store.of(ME).bases.get("MINE")
    with pytest.raises(ConflictError):
        store.of(ME).bases.add(mine)
    assert store.of(ME).bases.list() == (mine,)
    assert (store.of("ada").bases.list(), store.of("ada").bases.find("mine")) == ((), None)
    store.of(ME).bases.delete("mine")
    for call in (lambda: store.of(ME).bases.get("mine"), lambda: store.of(ME).bases.delete("mine")):
        with pytest.raises(NotFoundError):
            call()
