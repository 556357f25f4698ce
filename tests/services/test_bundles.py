"""A project or a person leaves as one file and comes into another studio: whole, once, and over nothing."""

from __future__ import annotations

import json
import random
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import studio.studio as composition
from studio.domain.adapter import NewAdapter
from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.domain.training import RunSample, TrainingPlan
from studio.engines.media.archive import pack
from studio.engines.media.pictures import png_bytes
from studio.errors import (
    ConflictError,
    ConsentMissingError,
    NotFoundError,
    UnreadableMediaError,
    UserInputError,
)
from studio.services.bundles import FORMAT, ROWS, VERSION
from studio.services.sources import MediaSource
from studio.store.migrations import NAMES
from tests.services.fakes import FakeEngines, picture

PLAN = TrainingPlan(base="preview", trigger="sks", class_word="person", steps=10)


def agreed(name: str) -> Consent:
    scopes = ("edit", "animate", "train", "generate", "publish")
    return Consent(agreed_by=name, scopes=scopes, granted_at=datetime.now(UTC))


@pytest.fixture
def studios(tmp_path, monkeypatch):
    """Two studios, each with one owner."""
    monkeypatch.setattr(composition, "Engines", lambda assets: FakeEngines())
    with composition.Studio(tmp_path / "here") as here, composition.Studio(tmp_path / "there") as there:
        yield SimpleNamespace(here=here.for_owner(), there=there.for_owner(), there_whole=there, here_whole=here)


@pytest.fixture
def ann(studios, tmp_path):
    """All that a person can have."""
    mine = studios.here
    project = mine.projects.add("Film")
    person = mine.identities.add("Ann", [picture(tmp_path / "ann.png")], consent=agreed("Ann"), project_id=project.id)
    photo = mine.identities.photos(person.id)[0]
    opened = mine.expressions.open(MediaSource.photo(photo.id))
    render = mine.expressions.save(opened, ExpressionEdit({"smile": 0.5}))
    again = mine.library.rerun(render.id).render
    mine.training_sets.set_caption(person.id, photo.id, "sks smiles")
    weights = mine.store.media.put(b"weights", ".safetensors")
    run = mine.store.runs.add(person.id, PLAN, name="Ann 1", base_sha256="b", photos=(photo.sha256,))
    point = mine.store.runs.put_checkpoint(run.id, 10, weights, loss=0.1, has_state=True)
    shown = mine.store.media.put(png_bytes(np.full((64, 64, 3), 90, np.uint8)), ".png")
    mine.store.runs.add_sample(RunSample(run_id=run.id, step=10, kind="sample", prompt="p", seed=1, media_sha256=shown))
    mine.store.runs.add_metrics(run.id, [("loss", 1, 0.5)])
    mine.store.runs.put_cell(run.id, point.id, 1.0, "p", 1, shown, None)
    adapter = mine.store.adapters.add(
        NewAdapter(name="ann-v1", media_sha256=weights, family="sd15", identity_id=person.id, run_id=run.id,
                   checkpoint_id=point.id)
    )  # fmt: skip
    mine.variants.multiply(person.id, 1)
    take = mine.performances.create("Hello", seconds=1.0)
    mine.performances.set_layer(take.id, "idle", {"amount": 0.5})
    return SimpleNamespace(project=project, person=person, photo=photo, render=render, again=again, run=run,
                           adapter=adapter, take=take)  # fmt: skip


def rows(services) -> dict[str, int]:
    with closing(sqlite3.connect(services.store.database.path)) as other:
        tables = [r[0] for r in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {t: other.execute(f'SELECT count(*) FROM "{t}"').fetchone()[0] for t in tables if "_text" not in t}


def test_a_project_arrives_whole(studios, ann, tmp_path) -> None:
    report = studios.here.bundles.export(tmp_path / "film.zip", project="Film")
    assert "1 person, 1 photo, 1 adapter, 1 training, 1 performance and 2 pictures and clips" in report.sentence
    assert report.stayed == report.missing == ()
    found = studios.there.bundles.bring_in(tmp_path / "film.zip")
    assert found.people == ("Ann",)
    there = studios.there
    person = there.identities.get("Ann")
    assert person == studios.here.identities.get("Ann"), "with consents, under the same id and project"
    assert there.projects.get(person.project_id).name == "Film"
    (photo,) = there.identities.photos(person.id)
    assert there.identities.photo_path(photo.id).read_bytes() == (tmp_path / "ann.png").read_bytes()
    assert there.training_sets.captions(person.id, "sks", "person") == studios.here.training_sets.captions(
        person.id, "sks", "person"
    )
    shown = there.library.page().renders
    assert [r.id for r in shown] == [r.id for r in studios.here.library.page().renders], "in the same order"
    assert there.store.renders.get(ann.render.id).recipe == ann.render.recipe
    word = f"{ann.render.title} {ann.render.search_text}".split()[0]
    assert there.library.page(text=word).total == studios.here.library.page(text=word).total > 0
    again = there.library.rerun(ann.render.id)
    assert again.marked_elsewhere, "and can be made again, with the mark of the studio that does so"
    first, second = (np.asarray(Image.open(there.library.path(r)), int) for r in (ann.render, again.render))
    assert 0 < np.abs(first - second).max() < 24
    assert np.abs(first - second).mean() < 4
    assert studios.here.library.rerun(ann.render.id).same_frames
    assert not studios.here.library.rerun(ann.render.id).marked_elsewhere
    run = there.runs.get(ann.run.id)
    assert run.plan == PLAN
    assert not there.runs.checkpoints(run.id)[0].has_state, "what it needs for going on stayed"
    assert there.runs.metrics(run.id) == studios.here.runs.metrics(run.id)
    assert there.adapters.path(there.adapters.get("ann-v1")).read_bytes() == b"weights"
    assert len(there.variants.list(person.id)) == len(studios.here.variants.list(person.id)) > 0
    assert there.performances.get("Hello") == studios.here.performances.get("Hello")
    assert there.performances.undo("Hello").document != studios.here.performances.get("Hello").document
    assert studios.there_whole.upkeep.verify().ok


def test_it_comes_in_once_and_coming_home_changes_nothing(studios, ann, tmp_path) -> None:
    studios.here.bundles.export(tmp_path / "film.zip")
    studios.there.bundles.bring_in(tmp_path / "film.zip")
    for services in (studios.there, studios.here):
        before = rows(services)
        found = services.bundles.bring_in(tmp_path / "film.zip")
        assert "nothing was changed" in found.sentence
        assert rows(services) == before
    assert [p for p in (tmp_path / "here" / "scratch").iterdir() if p.name.startswith("bundle-")] == []


def test_people_leave_without_the_others(studios, ann, tmp_path) -> None:
    here = studios.here
    ben = here.identities.add("Ben", [picture(tmp_path / "ben.png", shade=90)])
    both = here.store.media.put(b"both", ".safetensors")
    parents = {ann.adapter.id: 0.5}
    here.store.adapters.add(
        NewAdapter(name="both", media_sha256=both, family="sd15", identity_id=ben.id, parents=parents)
    )
    report = here.bundles.export(tmp_path / "ann.zip", people=[ann.person.id])
    assert report.stayed == ("The adapter both holds somebody else's likeness too and stayed.",)
    studios.there.bundles.bring_in(tmp_path / "ann.zip")
    assert [p.name for p in studios.there.identities.list()] == ["Ann"]
    assert [a.name for a in studios.there.adapters.list()] == ["ann-v1"]
    assert studios.there.performances.list() == (), "a performance of nobody belongs to the project"


def test_another_person_of_the_same_name_stays_another(studios, ann, tmp_path) -> None:
    studios.there.identities.add("ANN", [picture(tmp_path / "other.png", shade=60)])
    studios.here.bundles.export(tmp_path / "film.zip")
    found = studios.there.bundles.bring_in(tmp_path / "film.zip", project=studios.there.projects.default().id)
    assert found.people == ("Ann 2",)
    assert found.renamed == ("Ann is called Ann 2 here, since there is one of that name.",)
    assert {p.name for p in studios.there.identities.list()} == {"ANN", "Ann 2"}
    assert studios.there.identities.get(ann.person.id).project_id == studios.there.projects.default().id
    assert [p.name for p in studios.there.projects.list()] == ["My project"]


def test_another_owner_of_the_same_studio_gets_everything_under_ids_of_their_own(studios, ann, tmp_path) -> None:
    studios.here.bundles.export(tmp_path / "film.zip")
    bob = studios.here_whole.for_owner("bob")
    bob.bundles.bring_in(tmp_path / "film.zip")
    person = bob.identities.get("Ann")
    assert person.id != ann.person.id
    assert person.consents[0].agreed_by == "Ann"
    (photo,) = bob.identities.photos(person.id)
    assert photo.sha256 == ann.photo.sha256
    one, two = bob.library.page().renders
    assert {one.identity_id, two.identity_id} == {person.id}
    assert two.photo_id == photo.id
    assert bob.runs.checkpoints(bob.runs.list()[0].id)[0].step == 10
    assert bob.adapters.get("ann-v1").run_id == bob.runs.list()[0].id
    before = rows(bob)
    bob.identities.delete(person.id)
    assert studios.here.identities.get("Ann").id == ann.person.id
    assert rows(bob)["identities"] == before["identities"] - 1


def test_who_took_the_consent_back_stays(studios, ann, tmp_path) -> None:
    studios.here.identities.add("Ben", [picture(tmp_path / "ben.png", shade=90)], project_id=ann.project.id)
    studios.here.withdrawals.take_back(ann.person.id)
    with pytest.raises(ConsentMissingError, match="Ann took the consent back"):
        studios.here.bundles.export(tmp_path / "ann.zip", people=[ann.person.id])
    report = studios.here.bundles.export(tmp_path / "film.zip", project="Film")
    assert report.stayed == ("Ann took the consent back and stayed.",)
    studios.there.bundles.bring_in(tmp_path / "film.zip")
    assert [p.name for p in studios.there.identities.list()] == ["Ben"]
    assert studios.there.library.page().total == 0
    with zipfile.ZipFile(tmp_path / "film.zip") as box:
        assert not any(ann.photo.sha256 in name or ann.render.media_sha256 in name for name in box.namelist())


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_consent_that_was_taken_back_on_either_side_stays_taken_back(studios, ann, tmp_path, where) -> None:
    studios.here.bundles.export(tmp_path / "before.zip")
    studios.there.bundles.bring_in(tmp_path / "before.zip")
    side, other = (getattr(studios, name) for name in ((where, "there") if where == "here" else (where, "here")))
    side.withdrawals.take_back(ann.person.id)
    side.identities.set_consent(ann.person.id, agreed("Ann again"))
    side.bundles.export(tmp_path / "after.zip", people=[ann.person.id])
    other.bundles.bring_in(tmp_path / "after.zip")
    old, new = sorted(other.identities.get("Ann").consents, key=lambda c: c.agreed_by)
    assert old.revoked_at is not None
    assert new.revoked_at is None
    side.bundles.bring_in(tmp_path / "before.zip")
    assert side.identities.get("Ann").consents[0].revoked_at is not None, "an older bundle gives nothing back"


def test_what_is_no_bundle_is_refused_and_nothing_changes(studios, ann, tmp_path) -> None:
    before = rows(studios.there)
    (tmp_path / "text.zip").write_text("no zip")
    about = {"format": FORMAT, "version": VERSION, "schema": NAMES[-1]}
    empty, text = tmp_path / ROWS, tmp_path / "text.txt"
    empty.write_text("{}")
    text.write_text("x")
    pack(tmp_path / "newer.zip", [(ROWS, empty)], {**about, "schema": "m999_later"})
    pack(tmp_path / "strange.zip", [(ROWS, empty), ("media/x.sh", text)], about)
    pack(tmp_path / "misnamed.zip", [(ROWS, empty), (f"media/{'0' * 64}.png", text)], about)
    for name, content in (("tables", '{"jobs": []}'), ("list", "[]"), ("rows", '{"photos": [5]}'), ("json", "{")):
        other = tmp_path / f"{name}.json"
        other.write_text(content)
        pack(tmp_path / f"{name}.zip", [(ROWS, other)], about)
    for name in ("text", "newer", "strange", "misnamed", "tables", "list", "rows", "json"):
        with pytest.raises(UnreadableMediaError):
            studios.there.bundles.bring_in(tmp_path / f"{name}.zip")
    with pytest.raises(NotFoundError):
        studios.there.bundles.bring_in(tmp_path / "none.zip")
    with pytest.raises(NotFoundError):
        studios.there.bundles.bring_in(tmp_path / "strange.zip", project="nowhere")
    with pytest.raises(UserInputError, match="not both"):
        studios.here.bundles.export(tmp_path / "x.zip", project="Film", people=[ann.person.id])
    studios.here.bundles.export(tmp_path / "film.zip")
    with pytest.raises(ConflictError):
        studios.here.bundles.export(tmp_path / "film.zip")
    with pytest.raises(NotFoundError):
        studios.there.bundles.export(tmp_path / "x.zip", project="Film")
    assert rows(studios.there) == before


def test_rows_that_somebody_changed_come_in_whole_or_not_at_all(studios, ann, tmp_path) -> None:
    studios.here.bundles.export(tmp_path / "film.zip")
    with zipfile.ZipFile(tmp_path / "film.zip") as box:
        names = [n for n in box.namelist() if n.startswith("media/")]
        box.extractall(tmp_path / "out")
        original = json.loads(box.read(ROWS))
    about = {"format": FORMAT, "version": VERSION, "schema": NAMES[-1]}
    chance, refused = random.Random(5), 0
    before = rows(studios.there)
    for number in range(60):
        told = json.loads(json.dumps(original))
        table = chance.choice([t for t, found in told.items() if found])
        row = chance.choice(told[table])
        column = chance.choice(list(row))
        if chance.random() < 0.2:
            del row[column]
        else:
            row[column] = chance.choice([None, 7, -1.5, "", "x", "{}", "[1]", True, {"base64": "AAAA"}, [1], {"a": 1}])
        (tmp_path / ROWS).write_text(json.dumps(told))
        archive = tmp_path / f"{number}.zip"
        pack(archive, [(ROWS, tmp_path / ROWS), *((n, tmp_path / "out" / n) for n in names)], about)
        try:
            studios.there.bundles.bring_in(archive)
        except UnreadableMediaError:
            refused += 1
            assert rows(studios.there) == before, (table, column, row.get(column, "gone"))
            continue
        there = studios.there
        for person in there.identities.list():  # every list of the window can be read
            there.identities.photos(person.id)
            there.variants.list(person.id)
        there.library.page()
        there.performances.list()
        for run in there.runs.list():
            there.runs.checkpoints(run.id)
        for name in [p.id for p in there.identities.list()]:
            there.identities.delete(name)
        for render in there.library.page().renders:
            there.store.renders.delete(render.id)
        for take in there.performances.list():
            there.performances.delete(take.id)
        before = rows(there)
    assert refused > 20, "most of these are refused"


def test_a_file_that_is_gone_is_said(studios, ann, tmp_path) -> None:
    studios.here.store.media.get(ann.again.media_sha256).unlink()
    report = studios.here.bundles.export(tmp_path / "film.zip")
    assert report.missing
    with pytest.raises(UnreadableMediaError):
        studios.there.bundles.bring_in(tmp_path / "film.zip")
