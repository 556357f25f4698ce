"""Pictures from words: what may be asked, whose consent it needs, what is kept, and making it again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import studio.studio as composition
from studio.domain.adapter import NewAdapter
from studio.domain.base_model import BaseLocation, BaseModelCard
from studio.domain.consent import Consent
from studio.engines.media.pictures import read_picture
from studio.engines.media.recipe import read_recipe
from studio.errors import (
    ConsentMissingError,
    EngineUnavailableError,
    NoFaceError,
    NotFoundError,
    StudioError,
    UnreadableMediaError,
    UserInputError,
)
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.bases import BaseEntry
from studio.services.pictures.generation import AdapterUse, GenerationRequest, checked_generation
from studio.services.sources import MediaSource
from tests.services.fakes import picture

LOCATION = BaseLocation(name="toy", title="Toy", family="sd15", path="nowhere", resolution=64, sha256="b" * 64)


class FakeGenerator:
    """Draws flat pictures: red says there is a face, green the seed, blue how strong the adapters are."""

    name = "diffusion"

    def __init__(self) -> None:
        self.version = "1"
        self.calls = []
        self.steps_before_failure = None

    def libraries(self):
        return {"torch": "0", "diffusers": "0"}

    def generate(self, location, order, adapters=(), *, source=None, mask=None, on_step=None, should_stop=None):
        self.calls.append((location, order, tuple(adapters), source, mask))
        for number in range(order.count):
            for step in range(order.steps):
                on_step(number * order.steps + step + 1, order.count * order.steps, None)
            image = np.zeros((order.height, order.width, 3), np.uint8)
            image[:] = (1, (order.seed + number) % 256, round(100 + 10 * sum(a.strength for a in adapters)))
            yield image


class FakeBases:
    def __init__(self) -> None:
        self.locations = {"toy": LOCATION}

    def resolve(self, name: str) -> BaseLocation:
        if name not in self.locations:
            raise NotFoundError(f"The base {name} is not here.", "Download it.")
        return self.locations[name]

    def get(self, name: str) -> BaseEntry:
        quick = {"steps": 10, "guidance": 2.0} if self.resolve(name).embedded else {}
        card = BaseModelCard(
            name=name, title=name, family="sd15", source="folder", licence="none", resolution=64, **quick
        )
        return BaseEntry(card, "ready", 0)


@pytest.fixture
def generator(studio, engines, monkeypatch):
    made = FakeGenerator()
    monkeypatch.setattr(engines, "generator", lambda: made)
    monkeypatch.setattr(studio.generation, "_bases", FakeBases())
    return made


def consent(*scopes) -> Consent:
    granted = datetime.now(UTC) - timedelta(days=1)
    return Consent(agreed_by="Ann", scopes=scopes, granted_at=granted)


@pytest.fixture
def ann(studio, tmp_path):
    photos = [picture(tmp_path / f"ann{i}.png", shade=100 + i) for i in range(3)]
    return studio.identities.add("Ann", photos, consent=consent("train", "generate"))


def keep_adapter(studio, tmp_path, name="Ann", person=None, family="sd15", content=None):
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(content or name.encode())
    sha256 = studio.store.media.put(path)
    new = NewAdapter(name=name, family=family, media_sha256=sha256, trigger="sks person", identity_id=person)
    return studio.store.adapters.add(new)


def request(**values) -> GenerationRequest:
    return checked_generation({"base": "toy", "prompt": "a photo of sks person", "steps": 2, **values})


def off(studio):
    return work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=lambda owner: studio))


# -- the request ------------------------------------------------------------------------------


def test_a_request_round_trips_through_json() -> None:
    asked = request(
        adapters=[{"adapter_id": "x", "strength": 0.5}],
        source=MediaSource.media("f" * 64),
        mask="face",
        seed=7,
        count=3,
    )
    assert GenerationRequest.model_validate(json.loads(json.dumps(asked.model_dump(mode="json")))) == asked
    own = request(source=MediaSource.media("f" * 64), mask=MediaSource.media("e" * 64))
    assert GenerationRequest.model_validate(json.loads(json.dumps(own.model_dump(mode="json")))) == own


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": "  "}, {"steps": 0}, {"guidance": 0}, {"seed": -1}, {"count": 65}, {"width": 16}, {"denoise": 0},
        {"mask": "face"}, {"mask": "hat"}, {"adapters": [{"adapter_id": "x", "strength": 3}]}, {"nonsense": 1},
        {"adapters": [{"adapter_id": "x"}, {"adapter_id": "x"}]},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(wrong) -> None:
    with pytest.raises(UserInputError) as caught:
        request(**wrong)
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


def test_a_size_that_no_model_draws_is_refused_before_anything_is_loaded(studio, generator) -> None:
    for size in ({"width": 100}, {"height": 100}, {"width": 64, "height": 65}):
        with pytest.raises(UserInputError, match="multiples of 8"):
            studio.generation.submit_generate(request(**size))
    assert generator.calls == []


# -- what is kept --------------------------------------------------------------------------------


def test_each_picture_of_a_batch_is_kept_with_a_recipe_of_its_own(studio, generator) -> None:
    told = []
    renders = studio.generation.generate(request(seed=5, count=3), told.append)
    assert [r.recipe["request"]["seed"] for r in renders] == [5, 6, 7]
    assert {r.recipe["request"]["count"] for r in renders} == {1}
    for render in renders:
        recipe = read_recipe(studio.library.path(render))
        assert recipe == render.recipe
        assert recipe["base"] == {"name": "toy", "family": "sd15", "sha256": "b" * 64}
        assert recipe["engines"]["generator"] == "diffusion 1"
        assert {"torch", "diffusers"} <= recipe["engines"].keys()
        assert (render.width, render.height, render.kind, render.engine) == (64, 64, "image", "diffusion")
    assert [r.id for r in studio.library.page(text="photo sks").renders] == [r.id for r in reversed(renders)]
    fractions = [p.fraction for p in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any(p.seconds_left is not None for p in told)


def test_adapters_stand_in_recipe_and_inputs_by_hash(studio, generator, ann, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, "Ann's face!", ann.id)
    (render,) = studio.generation.generate(request(adapters=[{"adapter_id": adapter.id, "strength": 0.8}]))
    assert render.inputs == {"adapter:Ann's face!": adapter.media_sha256}
    noted = {"name": "Ann's face!", "sha256": adapter.media_sha256, "strength": 0.8, "trigger": "sks person"}
    assert render.recipe["adapters"] == [noted]
    assert render.identity_id == ann.id
    (file,) = generator.calls[0][2]
    assert (file.name, file.strength) == ("Ann_s_face__0", 0.8)
    assert studio.store.media.get(adapter.media_sha256).samefile(file.path)


def test_an_adapter_of_another_family_is_refused(studio, generator, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, "XL", family="sdxl")
    with pytest.raises(UserInputError, match="Stable Diffusion XL"):
        studio.generation.submit_generate(request(adapters=[{"adapter_id": adapter.id}]))


def test_unknown_names_are_not_found(studio, generator) -> None:
    for wrong in ({"base": "gone"}, {"adapters": [{"adapter_id": "gone"}]}, {"identity_id": "gone"}):
        with pytest.raises(NotFoundError):
            studio.generation.submit_generate(request(**wrong))


# -- consent -----------------------------------------------------------------------------------------


def test_people_in_adapters_must_have_agreed(studio, generator, tmp_path) -> None:
    nobody_asked = studio.identities.add("Bob", [picture(tmp_path / "bob.png")])
    trained = studio.identities.add("Cyd", [picture(tmp_path / "cyd.png", shade=9)], consent=consent("train"))
    for number, person in enumerate((nobody_asked, trained)):
        adapter = keep_adapter(studio, tmp_path, f"a{number}", person.id)
        for act in (studio.generation.submit_generate, studio.generation.generate):
            with pytest.raises(ConsentMissingError, match=r"generate|recorded"):
                act(request(adapters=[{"adapter_id": adapter.id}]))
    assert generator.calls == []


def test_the_person_on_the_source_must_have_agreed_also_when_named_by_bytes(studio, generator, tmp_path) -> None:
    dan = studio.identities.add("Dan", [picture(tmp_path / "dan.png")], consent=consent("edit"))
    photo = studio.identities.photos(dan.id)[0]
    for source in (MediaSource.photo(photo.id), MediaSource.media(photo.sha256)):
        with pytest.raises(ConsentMissingError):
            studio.generation.submit_generate(request(source=source))


def test_a_job_asks_for_consent_again_when_it_begins(studio, generator, ann, tmp_path) -> None:
    """Taking consent back cancels what waits; a job that was taken up in between still refuses by itself."""
    adapter = keep_adapter(studio, tmp_path, person=ann.id)
    studio.generation.submit_generate(request(adapters=[{"adapter_id": adapter.id}]))
    studio.store.identities.revoke_consents(ann.id, datetime.now(UTC))
    (job,) = off(studio)
    assert job.state == "failed"
    studio.identities.set_consent(ann.id, ann.consents[0])
    waiting = studio.generation.submit_generate(request(adapters=[{"adapter_id": adapter.id}]))
    studio.withdrawals.take_back(ann.id)
    assert studio.jobs.get(waiting.id).state == "cancelled"
    assert studio.library.page().total == 0


# -- pictures to start from ----------------------------------------------------------------------------


def test_a_queued_source_may_move(studio, generator, tmp_path) -> None:
    path = picture(tmp_path / "start.png")
    pixels = read_picture(path).rgb
    studio.generation.submit_generate(request(source=MediaSource.file(path), denoise=0.3))
    path.unlink()
    (job,) = off(studio)
    assert job.state == "done", job.failure
    _, order, _, source, mask = generator.calls[0]
    assert np.array_equal(source, pixels)
    assert mask is None
    assert order.denoise == 0.3
    (render,) = studio.library.page().renders
    assert set(render.inputs) == {"source"}


def test_unreadable_and_missing_sources_are_named(studio, generator, tmp_path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UnreadableMediaError):
        studio.generation.submit_generate(request(source=MediaSource.file(broken)))
    with pytest.raises(NotFoundError):
        studio.generation.submit_generate(request(source=MediaSource.file(tmp_path / "gone.png")))


def test_mask_presets_come_from_the_face_analyser(studio, engines, generator, tmp_path, monkeypatch) -> None:
    source = MediaSource.file(picture(tmp_path / "start.png", size=(300, 280)))
    studio.generation.generate(request(source=source, mask="background"))
    mask = generator.calls[-1][4]
    assert mask.shape == (280, 300)
    assert not mask.any(), "the fake sees the person everywhere"

    def detect(image):
        (face,) = type(engines.analyser)().detect(image)
        angles = np.linspace(0, 6.28, 478)
        face.landmarks[:, 0] = 150 + 40 * np.cos(angles)
        face.landmarks[:, 1] = 140 + 60 * np.sin(angles)
        return (face,)

    monkeypatch.setattr(engines.analyser, "detect", detect)
    studio.generation.generate(request(source=source, mask="face"))
    mask = generator.calls[-1][4]
    assert (mask[140, 150], mask[5, 5]) == (255, 0)


def test_a_picture_without_a_face_has_no_face_to_redraw(studio, generator, tmp_path) -> None:
    source = MediaSource.file(picture(tmp_path / "empty.png", faces=0))
    with pytest.raises(NoFaceError):
        studio.generation.generate(request(source=source, mask="face"))


def test_a_mask_of_ones_own_is_brought_to_the_sources_size(studio, generator, tmp_path) -> None:
    from studio.engines.media.pictures import write_png

    white = np.zeros((40, 30, 3), np.uint8)
    white[:20] = 255
    own = write_png(tmp_path / "mask.png", white)
    source = MediaSource.file(picture(tmp_path / "start.png"))
    (render,) = studio.generation.generate(request(source=source, mask=MediaSource.file(own)))
    mask = generator.calls[-1][4]
    assert mask.shape == (280, 300)
    assert (mask[5, 5], mask[-5, 5]) == (255, 0)
    assert set(render.inputs) == {"source", "mask"}


# -- the identity badge ------------------------------------------------------------------------------


def test_the_badge_is_measured_against_the_adapters_person(studio, generator, ann, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, person=ann.id)
    (render,) = studio.generation.generate(request(adapters=[{"adapter_id": adapter.id}]))
    measures = render.recipe["measures"]
    assert measures["identity_id"] == ann.id
    assert measures["distance"] == pytest.approx(0.0, abs=1e-3), "the fake embeds every face alike"
    assert measures["likeness"] is not None
    assert measures["reason"] == ""


def test_no_badge_comes_with_its_reason(studio, engines, generator, ann, tmp_path, monkeypatch) -> None:
    def measures(**values):
        return studio.generation.generate(request(**values))[0].recipe["measures"]

    assert "No adapter" in measures()["reason"]
    monkeypatch.setattr(studio.likeness, "score", lambda image, person: None)
    assert "No face" in measures(identity_id=ann.id)["reason"]

    def missing(image, person):
        raise EngineUnavailableError("There is no embedder.")

    monkeypatch.setattr(studio.likeness, "score", missing)
    found = measures(identity_id=ann.id)
    assert (found["likeness"], found["reason"]) == (None, "There is no embedder.")
    eve = studio.identities.add("Eve", [picture(tmp_path / "eve.png", shade=3)], consent=consent("generate"))
    both = [keep_adapter(studio, tmp_path, f"of {p.name}", p.id) for p in (ann, eve)]
    found = measures(adapters=[{"adapter_id": a.id} for a in both])
    assert "Several people" in found["reason"]


# -- jobs ----------------------------------------------------------------------------------------------


def test_a_job_that_was_killed_draws_only_what_is_missing(studio, generator) -> None:
    job = studio.generation.submit_generate(request(count=3, seed=10))
    first = studio.generation.generate(request(count=3, seed=10).model_copy(update={"count": 1}), job_id=job.id)
    (done,) = off(studio)
    assert done.state == "done", done.failure
    assert [c[1].count for c in generator.calls] == [1, 2]
    assert generator.calls[1][1].seed == 11
    assert done.outputs["render_ids"][0] == first[0].id
    assert studio.library.page().total == 3


def test_what_stops_progress_stops_the_drawing_and_finished_pictures_stay(studio, generator) -> None:
    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.fraction > 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        studio.generation.generate(request(count=3), stop)
    assert studio.library.page().total == 1


# -- making it again -------------------------------------------------------------------------------------


def test_a_generated_picture_is_made_again_with_the_same_pixels(studio, generator, ann, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, person=ann.id)
    asked = request(adapters=[AdapterUse(adapter_id=adapter.id, strength=0.5)], seed=3, count=2,
                    source=MediaSource.file(picture(tmp_path / "start.png")))  # fmt: skip
    second = studio.generation.generate(asked)[1]
    studio.store.adapters.change(adapter.id, name="another name")
    again = studio.library.rerun(second.id)
    assert again.same_frames
    assert again.render.parent_id == second.id
    assert generator.calls[-1][1].seed == 4
    job = studio.library.submit_rerun(second.id)
    off(studio)
    assert studio.jobs.get(job.id).outputs["same_frames"]


def test_what_is_gone_is_named_with_its_hash(studio, generator, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, "Mine")
    (render,) = studio.generation.generate(request(adapters=[{"adapter_id": adapter.id}]))
    studio.store.adapters.delete(adapter.id)
    with pytest.raises(NotFoundError, match=f"Mine .*{adapter.media_sha256[:12]}"):
        studio.library.rerun(render.id)
    back = keep_adapter(studio, tmp_path, "Back", content=b"Mine")
    assert back.media_sha256 == adapter.media_sha256
    assert studio.library.rerun(render.id).same_frames

    bases = studio.generation._bases
    bases.locations["toy"] = BaseLocation(
        name="toy", title="Toy", family="sd15", path="x", resolution=64, sha256="c" * 64
    )
    with pytest.raises(NotFoundError, match="bbbbbbbbbbbb"):
        studio.library.rerun(render.id)
    del bases.locations["toy"]
    with pytest.raises(NotFoundError, match="bbbbbbbbbbbb"):
        studio.library.rerun(render.id)


def test_another_version_of_the_generator_does_not_call_it_a_rerun(studio, generator) -> None:
    (render,) = studio.generation.generate(request())
    generator.version = "2"
    with pytest.raises(UserInputError, match="diffusion 1"):
        studio.library.rerun(render.id)


def test_deleting_a_person_takes_their_generated_pictures(studio, generator, ann, tmp_path) -> None:
    adapter = keep_adapter(studio, tmp_path, person=ann.id)
    (render,) = studio.generation.generate(request(adapters=[{"adapter_id": adapter.id}]))
    path = studio.library.path(render)
    studio.identities.delete(ann.id)
    with pytest.raises(NotFoundError):
        studio.library.show(render.id)
    assert not path.exists()


def test_errors_of_the_engine_reach_the_person_as_they_are(studio, engines, monkeypatch) -> None:
    monkeypatch.setattr(studio.generation, "_bases", FakeBases())

    def missing():
        raise EngineUnavailableError("Pictures from words cannot start: torch is missing.", "pip install torch")

    monkeypatch.setattr(engines, "generator", missing)
    with pytest.raises(StudioError, match="torch is missing"):
        studio.generation.generate(request())


def test_steps_and_guidance_suit_the_base_when_nobody_says(studio, generator) -> None:
    asked = request().model_copy(update={"steps": None, "guidance": None})
    assert studio.generation.generate(asked)[0].recipe["request"]["steps"] == 25
    small = BaseLocation(name="small", title="Small", family="sd15", path="x", embedded=True, resolution=64)
    studio.generation._bases.locations["small"] = small
    quick = asked.model_copy(update={"base": "small"})
    kept = studio.generation.generate(quick)[0].recipe["request"]
    assert (kept["steps"], kept["guidance"]) == (10, 2.0)


def test_a_picture_outlives_its_project(studio, generator) -> None:
    project = studio.projects.add("Short")
    (render,) = studio.generation.generate(request(project_id=project.id))
    studio.store.projects.delete(project.id)
    assert studio.library.rerun(render.id).render.project_id is None


@pytest.mark.parametrize(
    ("embedded", "sha256", "fits"),
    [(True, "c" * 64, False), (True, "b" * 64, True), (True, "", True), (False, "c" * 64, True)],
)
def test_an_adapter_of_an_earlier_build_of_the_studios_own_base_is_refused_and_stays(
    studio, generator, tmp_path, embedded, sha256, fits
):
    here = LOCATION.__class__(**{**vars(LOCATION), "embedded": embedded})
    studio.generation._bases.locations["toy"] = here
    file = tmp_path / "old.safetensors"
    file.write_bytes(b"old")
    new = NewAdapter(
        name="Old Ann", family="sd15", media_sha256=studio.store.media.put(file), base_name="toy", base_sha256=sha256
    )
    old = studio.store.adapters.add(new)
    asked = request(adapters=[{"adapter_id": old.id}])
    if fits:
        assert len(studio.generation.generate(asked)) == 1
        return
    with pytest.raises(UserInputError, match="Old Ann was trained on an earlier Toy") as caught:
        studio.generation.submit_generate(asked)
    assert "train the person again" in caught.value.hint
    assert [a.name for a in studio.store.adapters.list()] == ["Old Ann"]
    assert not studio.jobs.list()
