"""Own presets beside built-in ones, projects, the sample, sources, the doctor."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image
from pydantic import ValidationError

import studio.services.sample as sample
import studio.studio as composition
from studio.domain.expression import ExpressionEdit
from studio.errors import ConflictError, EngineUnavailableError, NotFoundError, UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.health import checkup
from studio.services.sources import MediaSource
from tests.services.fakes import picture


def test_own_presets_are_kept_beside_the_built_in_ones(studio) -> None:
    builtin = len(studio.presets.list())
    saved = studio.presets.save("My grin", ExpressionEdit({"grin": 0.5, "smile": 0.0}, True))
    assert (saved.builtin, dict(saved.edit.values), saved.edit.neutralise) == (False, {"grin": 0.5}, True)
    assert len(studio.presets.list()) == builtin + 1
    studio.presets.save("My grin", ExpressionEdit({"grin": 0.7}))
    assert studio.presets.get("my grin").edit.values == {"grin": 0.7}
    studio.presets.delete("My grin")
    with pytest.raises(NotFoundError, match="joy"):
        studio.presets.get("My grin")


def test_built_in_presets_cannot_be_touched(studio) -> None:
    for name in ("joy", "Joy", "eyes-closed"):
        assert studio.presets.get(name).builtin
        with pytest.raises(ConflictError):
            studio.presets.save(name, ExpressionEdit({"smile": 1}))
        with pytest.raises(ConflictError):
            studio.presets.delete(name)


@pytest.mark.parametrize("title", ["", " ", "x" * 61])
def test_names_and_edits_that_are_none(studio, title) -> None:
    with pytest.raises(UserInputError):
        studio.presets.save(title, ExpressionEdit({"smile": 1}))
    with pytest.raises(UserInputError, match="Nothing"):
        studio.presets.save("Still", ExpressionEdit())


def test_a_path_is_no_preset(studio) -> None:
    with pytest.raises(NotFoundError):
        studio.presets.get("../../pyproject")


def test_thumbnails_are_drawn_once(studio, engines, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(studio.presets, "_sample", lambda: picture(tmp_path / "sample.png", size=(600, 500)))
    path = studio.presets.thumbnail("surprise")
    with Image.open(path) as image:
        assert image.size == (160, 160)
    drawn = engines.mover.portraits[0].drawn
    assert studio.presets.thumbnail("surprise") == path
    assert engines.mover.portraits[0].drawn == drawn
    assert studio.presets.thumbnail("joy") != path


def test_a_preset_is_drawn_on_the_face_that_is_open(studio, portrait, engines) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    drawn = engines.mover.portraits[0].drawn
    stamp = studio.expressions.stamp(handle, studio.presets.get("surprise").edit)
    with Image.open(io.BytesIO(stamp), formats=["JPEG"]) as image:
        assert image.size == (160, 160)
    assert (engines.mover.portraits[0].drawn, len(engines.mover.portraits)) == (drawn + 1, 1)


def test_projects(studio) -> None:
    first = studio.projects.default()
    assert studio.projects.default() == first
    second = studio.projects.add("Film")
    assert studio.projects.list() == (first, second)
    assert studio.projects.get(second.id) == second
    with pytest.raises(ConflictError):
        studio.projects.add("film")


def test_the_sample_is_made_once_by_ordinary_jobs(studio, portrait, speech, monkeypatch) -> None:
    monkeypatch.setattr(sample, "sample_portrait", lambda: portrait)
    monkeypatch.setattr(sample, "sample_speech", lambda assets: sample.SampleSpeech(speech, "Hello"))
    studio.whole.start(worker=False)
    assert [j.kind for j in studio.jobs.list()] == ["sample"]
    work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=lambda owner: studio))
    assert {(j.kind, j.state) for j in studio.jobs.list()} == {("sample", "done"), ("animate", "done")}
    page = studio.library.page()
    assert (page.total, page.renders[0].kind, page.renders[0].title) == (1, "clip", "Hello")
    studio.whole.start(worker=False)
    assert len(studio.jobs.list()) == 2


def test_the_worker_is_started_when_the_page_is_drawn_and_also_when_nobody_looks(studio, monkeypatch) -> None:
    """Its start would keep a processor busy while a browser draws the page."""
    done: list[object] = []

    class Page(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            done.append(timeout)
            return False

    monkeypatch.setattr(studio.whole, "start_worker", lambda: done.append("worker"))
    studio.whole.start(sample=False, after=Page())
    assert done == [composition.WORKER_WAIT_SECONDS, "worker"]
    studio.whole.start(sample=False)
    assert done[2:] == ["worker"]


def test_a_used_studio_gets_no_sample(studio) -> None:
    studio.projects.add("Mine")
    assert studio.sample.ensure() is None
    assert studio.jobs.list() == ()


def test_the_real_sample_is_there() -> None:
    assert sample.sample_portrait().name == "astronaut.jpg"
    assert sample.sample_speech(composition.ASSETS).transcript


def test_sources_are_exactly_one_thing(tmp_path) -> None:
    for bad in ({}, {"photo_id": "a", "sha256": "b"}, {"path": "x", "other": 1}):
        with pytest.raises(ValidationError):
            MediaSource.model_validate(bad)


def test_the_doctor_names_what_is_missing(tmp_path) -> None:
    findings = {f.what: f for f in checkup(tmp_path / "data", tmp_path / "no assets")}
    assert findings["Parametric head"].state == "bad"
    assert "head.npz" in findings["Parametric head"].detail
    assert findings["Data folder"].state == "ok"
    assert not (tmp_path / "data").exists(), "a checkup changes nothing"


def test_the_doctor_sees_a_damaged_database(tmp_path) -> None:
    (tmp_path / "studio.db").write_bytes(b"no database at all, but long enough to look at" * 50)
    findings = {f.what: f for f in checkup(tmp_path, composition.ASSETS)}
    assert findings["Data folder"].state == "bad"


def test_engines_say_what_is_missing(tmp_path) -> None:
    from studio.engines import Engines

    with pytest.raises(EngineUnavailableError) as found:
        Engines(tmp_path).animator()
    assert "assets build" in found.value.hint
    with pytest.raises(EngineUnavailableError, match="magic"):
        Engines(tmp_path).animator("magic")
    with pytest.raises(EngineUnavailableError, match="vision"):
        Engines(tmp_path).animator("vision")
