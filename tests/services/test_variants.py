"""The rig multiplies a person's photos: true captions, nothing twice, thrown out stays out, gone with the person."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from studio.domain.consent import Consent
from studio.domain.variants import MOST_PER_PHOTO, traits_of_variant, variant_recipe
from studio.engines.media.pictures import read_picture
from studio.errors import ConsentMissingError, EngineError, NotFoundError, UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.studio import JOB_KINDS
from tests.services.fakes import picture

TRAIN = Consent(agreed_by="Ann", scopes=("train",), granted_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def ann(studio, tmp_path):
    photos = [picture(tmp_path / f"{i}.png", shade=100 + 20 * i) for i in range(3)]
    return studio.identities.add("Ann", photos, consent=TRAIN)


def test_every_photo_has_its_own_variants_and_drawing_again_adds_only_what_is_missing(studio, ann) -> None:
    told = []
    assert studio.variants.multiply(ann.id, 4, on_progress=told.append).drawn == 12
    found = studio.variants.list(ann.id)
    assert [(v.number, v.kept) for v in found] == [(n, True) for _ in range(3) for n in range(4)]
    assert len({v.photo_id for v in found}) == 3
    assert len({str(v.recipe) for v in found}) == 12, "photos differ in what is asked of them"
    assert [p.fraction for p in told] == sorted(p.fraction for p in told)
    assert studio.variants.multiply(ann.id, 4).drawn == 0
    assert studio.variants.multiply(ann.id, 6).drawn == 6
    again = {v.id for v in studio.variants.list(ann.id)}
    assert {v.id for v in found} <= again
    assert studio.variants.multiply(ann.id, 2, seed=5).drawn == 6, "another seed draws anew"
    assert {(v.seed, v.number) for v in studio.variants.list(ann.id)} == {
        (5, 0), (5, 1), (0, 2), (0, 3), (0, 4), (0, 5),
    }  # fmt: skip


def test_training_sees_them_square_masked_and_with_true_words(studio, ann) -> None:
    studio.variants.multiply(ann.id, 8)
    seen = studio.variants.examples(ann.id, 64, "sks", "woman")
    assert len(seen) == 24
    for example, variant in zip(seen, studio.variants.list(ann.id), strict=True):
        assert example.drawn
        assert example.image.shape == (64, 64, 3)
        assert example.mask is not None
        assert example.mask.shape == (64, 64)
        assert example.caption.startswith("a photo of sks woman")
        if variant.recipe.mood != "own":
            assert variant.recipe.mood in example.caption
    stored = read_picture(studio.variants.path(studio.variants.list(ann.id)[0].id)).rgb
    assert stored.shape[0] == stored.shape[1]


def test_what_is_thrown_out_is_not_learned_and_stays_out(studio, ann) -> None:
    studio.variants.multiply(ann.id, 2)
    first = studio.variants.list(ann.id)[0]
    studio.variants.set_kept(ann.id, [first.id], False)
    assert studio.variants.multiply(ann.id, 2).drawn == 0
    assert len(studio.variants.examples(ann.id, 32, "sks", "woman")) == 5
    studio.variants.set_kept(ann.id, [first.id], True)
    assert len(studio.variants.examples(ann.id, 32, "sks", "woman")) == 6
    photo = studio.identities.photos(ann.id)[0]
    studio.training_sets.set_kept(ann.id, [photo.id], False)
    assert len(studio.variants.examples(ann.id, 32, "sks", "woman")) == 4, "those of a photo left out go along"
    with pytest.raises(NotFoundError):
        studio.variants.set_kept(ann.id, ["nobody"], False)


def test_own_captions_are_kept_and_what_was_asked_is_added(studio, ann) -> None:
    photo = studio.identities.photos(ann.id)[0]
    studio.training_sets.set_caption(ann.id, photo.id, "a photo of sks woman in a boat", trigger="sks")
    studio.variants.multiply(ann.id, 12)
    seen = zip(studio.variants.list(ann.id), studio.variants.examples(ann.id, 32, "sks", "woman"), strict=True)
    own = [(variant, example) for variant, example in seen if variant.photo_id == photo.id]
    assert len(own) == 12
    for variant, example in own:
        said = "" if variant.recipe.mood == "own" else f", {variant.recipe.mood}"
        assert example.caption == f"a photo of sks woman in a boat{said}"


def test_nobody_is_multiplied_without_consent_or_photos(studio, tmp_path, ann) -> None:
    bob = studio.identities.add("Bob", [picture(tmp_path / "bob.png", shade=33)])
    with pytest.raises(ConsentMissingError):
        studio.variants.multiply(bob.id)
    with pytest.raises(ConsentMissingError):
        studio.variants.submit_multiply(bob.id)
    for wrong in (0, MOST_PER_PHOTO + 1):
        with pytest.raises(UserInputError):
            studio.variants.multiply(ann.id, wrong)
    studio.training_sets.set_kept(ann.id, [p.id for p in studio.identities.photos(ann.id)], False)
    with pytest.raises(UserInputError, match="no photo"):
        studio.variants.multiply(ann.id)


def test_a_photo_that_the_rig_cannot_fit_is_said_and_the_others_are_drawn(studio, engines, ann, monkeypatch) -> None:
    animator = engines.animator()
    real, calls = animator.prepare, []

    def prepare(image, face):
        calls.append(1)
        if len(calls) == 2:
            raise EngineError("The head cannot be fitted.")
        return real(image, face)

    monkeypatch.setattr(animator, "prepare", prepare)
    monkeypatch.setattr(engines, "animator", lambda name="rig": animator)
    done = studio.variants.multiply(ann.id, 3)
    assert done.drawn == 6
    assert len(done.skipped) == 1
    assert done.skipped[0].endswith("The head cannot be fitted.")
    assert "png" in done.skipped[0]


def test_a_job_draws_them_and_stopping_keeps_what_is_drawn(studio, ann) -> None:
    studio.variants.submit_multiply(ann.id, 2)
    (job,) = work_off(Workplace(studio.whole.store, JOB_KINDS, services=lambda owner: studio))
    assert (job.state, job.outputs["drawn"]) == ("done", 6)

    class Enough(Exception):
        pass

    def stop(progress) -> None:
        if progress.fraction > 0.5:
            raise Enough

    with pytest.raises(Enough):
        studio.variants.multiply(ann.id, 4, on_progress=stop)
    assert 6 < len(studio.variants.list(ann.id)) < 12
    assert studio.variants.multiply(ann.id, 4).drawn + 6 < 12


def test_clearing_and_deleting_take_the_pictures_along(studio, ann) -> None:
    studio.variants.multiply(ann.id, 2)
    paths = [studio.variants.path(v.id) for v in studio.variants.list(ann.id)]
    assert studio.variants.clear(ann.id) == 6
    assert not any(p.exists() for p in paths)
    studio.variants.multiply(ann.id, 2)
    paths = [studio.variants.path(v.id) for v in studio.variants.list(ann.id)]
    studio.identities.delete(ann.id)
    assert not any(p.exists() for p in paths)


def test_a_recipe_follows_from_its_numbers_and_stays_small() -> None:
    recipes = [variant_recipe(3, n, "ab" * 32) for n in range(200)]
    assert recipes[7] == variant_recipe(3, 7, "ab" * 32)
    assert recipes[7] != variant_recipe(3, 7, "cd" * 32)
    assert np.abs([r.values.get("headYaw", 0.0) for r in recipes]).max() <= 8
    moods = [r.mood for r in recipes]
    assert min(moods.count(mood) for mood in set(moods)) >= 0.08 * len(moods), "no word is rare"
    assert len(set(moods)) == 5
    assert all(r.values.get("eyeBlinkLeft") == r.values.get("eyeBlinkRight") for r in recipes)


def test_words_change_only_where_something_was_asked() -> None:
    photo = {"expression": "smiling", "direction": "straight", "hair": "brown"}
    recipes = [variant_recipe(0, n, "ab" * 32) for n in range(99)]
    by_mood = {r.mood: traits_of_variant(photo, r, "straight") for r in recipes}
    assert by_mood["own"] == photo
    assert by_mood["mouth open"]["expression"] == "smiling", "a laugh"
    assert by_mood["surprised"]["expression"] == "smiling", "with raised brows too"
    for recipe in recipes:
        said = traits_of_variant({"direction": "straight"}, recipe, None)
        assert said == ({} if recipe.mood == "own" else {"expression": recipe.mood}), "of a calm photo"
    assert "direction" not in traits_of_variant(photo, variant_recipe(0, 0, "ab" * 32), None)
