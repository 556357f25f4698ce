"""The rendered people and their pictures: repeatable, in range, and true to their captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.errors import UserInputError
from studio.factory.preview_base.cache import SHARD, PictureCache, fill
from studio.factory.preview_base.captions import caption, caption_of, training_caption
from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.people import (
    ATTRIBUTES,
    PERSON_ATTRIBUTES,
    RenderedPicture,
    mirrored_labels,
    picture_of_index,
    sample_person,
    sample_picture,
    with_labels,
)

seeds = st.integers(0, 2**31)


def _one(seed: int = 3, **fixed: str) -> RenderedPicture:
    return sample_picture(np.random.default_rng(seed), **fixed)


@settings(deadline=None)
@given(seeds)
def test_every_label_is_one_of_its_attribute(seed: int) -> None:
    labels = _one(seed).labels
    assert list(labels) == list(ATTRIBUTES)
    for name, value in labels.items():
        assert value in ATTRIBUTES[name]
    assert (labels["hair_color"] == "bald") == (labels["hair_length"] == "bald")
    assert labels["beard"] == "no" or labels["sex"] == "man"


@settings(deadline=None)
@given(seeds)
def test_numbers_of_a_picture_stay_in_range_and_agree_with_its_labels(seed: int) -> None:
    picture = _one(seed)
    assert all(0 <= w <= 2 for _, w in picture.weights)
    assert (picture.brows[0] > 0.05, picture.brows[0] < -0.05) == (
        picture.expression in ("sad", "surprised"),
        picture.expression == "angry",
    )
    assert np.isclose(np.linalg.norm(picture.light_direction), 1)
    for color in (picture.person.skin_rgb, picture.person.hair_rgb, picture.background_rgb, picture.shirt_rgb):
        assert all(0 <= v <= 1 for v in color)
    assert (picture.yaw < -20, picture.yaw > 20) == (picture.direction == "left", picture.direction == "right")
    assert (picture.pitch < -12, picture.pitch > 12) == (picture.direction == "down", picture.direction == "up")
    assert (picture.light_direction[0] < -0.5, picture.light_direction[0] > 0.5) == (
        picture.light == "left",
        picture.light == "right",
    )


@settings(deadline=None)
@given(seeds, st.sampled_from([(n, v) for n, values in ATTRIBUTES.items() for v in values]))
def test_a_fixed_label_is_kept(seed: int, wanted: tuple[str, str]) -> None:
    name, value = wanted
    assert _one(seed, **{name: value}).labels[name] == value


@settings(deadline=None)
@given(seeds)
def test_one_person_keeps_what_makes_them_recognisable(seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = sample_person(rng)
    first, second = sample_picture(rng, person), sample_picture(rng, person)
    assert {n: first.labels[n] for n in PERSON_ATTRIBUTES} == {n: second.labels[n] for n in PERSON_ATTRIBUTES}
    assert first.background_rgb != second.background_rgb
    smiling = with_labels(first, rng, expression="smiling")
    assert smiling.labels == {**first.labels, "expression": "smiling"}


def test_wrong_labels_are_refused_in_words() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserInputError, match="no attribute 'hat'"):
        sample_picture(rng, hat="yes")
    with pytest.raises(UserInputError, match="skin cannot be 'green'"):
        sample_picture(rng, skin="green")
    with pytest.raises(UserInputError, match="belongs to a picture"):
        sample_person(rng, background="red")
    with pytest.raises(UserInputError, match="sex is not woman"):
        sample_picture(rng, sample_person(rng, sex="man"), sex="woman")
    with pytest.raises(UserInputError, match="bald person has no hair color"):
        sample_person(rng, hair_color="bald", hair_length="long")
    with pytest.raises(UserInputError, match="2000 pixels"):
        render(_one(), 2000)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_same_picture_is_drawn_to_the_byte(seed: int) -> None:
    first, mask = render(_one(seed))
    again, mask_again = render(_one(seed))
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert mask.shape == (128, 128)
    assert np.array_equal(first, again)
    assert np.array_equal(mask, mask_again)
    assert 0.06 < (mask > 127).mean() < 0.6
    assert first.std() > 15


def test_sizes_show_the_same_picture() -> None:
    picture = _one(8)
    small, small_mask = render(picture, 64)
    large, large_mask = render(picture, 256)
    shrunk = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 4
    assert abs(float(large_mask.mean()) - float(small_mask.mean())) < 6


@pytest.mark.parametrize("background", ATTRIBUTES["background"])
def test_the_background_has_its_color(background: str) -> None:
    corner = render(_one(5, background=background))[0][:8, :6].reshape(-1, 3).mean(0)
    strongest = {"red": 0, "green": 1, "blue": 2}.get(background)
    if strongest is None:
        assert np.ptp(corner) < 25
        assert (corner.mean() > 190) == (background == "white")
    else:
        assert corner[strongest] > 1.3 * np.delete(corner, strongest).max()


def test_every_attribute_changes_the_picture() -> None:
    """Each value of each picture attribute is seen: at least one twentieth of the picture's pixels differ."""
    rng = np.random.default_rng(2)
    first = sample_picture(rng, glasses="no", expression="neutral", direction="straight", light="front")
    before = render(first)[0].astype(float)
    for name, value in (("glasses", "yes"), ("expression", "surprised"), ("direction", "left"), ("light", "right")):
        change = {
            "glasses": lambda p: {"glasses": p.glasses},
            "expression": lambda p: {"expression": p.expression, "weights": p.weights, "brows": p.brows},
            "direction": lambda p: {"direction": p.direction, "yaw": p.yaw, "pitch": p.pitch},
            "light": lambda p: {"light": p.light, "light_direction": p.light_direction, "ambient": p.ambient},
        }[name](with_labels(first, rng, **{name: value}))
        changed = replace(first, **change)
        assert changed.labels == {**first.labels, name: value}
        seen = np.abs(render(changed)[0] - before).max(2) > 12
        assert seen.mean() > (0.02 if name == "glasses" else 0.05), name


@settings(deadline=None)
@given(seeds)
def test_the_complete_caption_says_every_label(seed: int) -> None:
    labels = _one(seed).labels
    text = caption(_one(seed))
    assert text == caption_of(labels)
    assert text.startswith(f"a photo of a{'n' if labels['age'] == 'old' else ''} {labels['age']} {labels['sex']}")
    for name in ("skin", "background"):
        assert f"{labels[name]} {name}" in text
    assert f"looking {labels['direction']}" in text
    assert f"light from the {labels['light']}" in text
    assert ("glasses" in text) == (labels["glasses"] == "yes")
    assert ("beard" in text) == (labels["beard"] == "yes")
    assert ("bald" in text) == (labels["hair_color"] == "bald")
    assert labels["expression"] in text


def test_a_caption_reads_like_the_example() -> None:
    wanted = {"hair_color": "red", "hair_length": "long", "skin": "pale", "age": "young", "sex": "woman",
              "glasses": "yes", "expression": "smiling", "background": "blue", "direction": "left",
              "light": "right"}  # fmt: skip
    assert caption_of(wanted) == (
        "a photo of a young woman with long red hair, pale skin, glasses, smiling, blue background, looking left, "
        "light from the right"
    )
    assert caption_of({}) == "a photo of a person"
    assert caption_of({"sex": "man", "beard": "yes"}) == "a photo of a man, a beard"
    with pytest.raises(UserInputError):
        caption_of({"hair_color": "violet"})


@settings(deadline=None)
@given(seeds)
def test_a_training_caption_never_says_anything_wrong(seed: int) -> None:
    """Whatever is left out or moved: a color, a side or an age that is named is the picture's own."""
    labels = _one(seed).labels
    text = training_caption(labels, np.random.default_rng(seed))
    if not text:
        return
    assert text == text.strip(" ,")
    for name, phrase in (("skin", "{} skin"), ("background", "{} background"), ("direction", "looking {}"),
                         ("light", "light from the {}"), ("expression", "{}"), ("age", "{} ")):  # fmt: skip
        for value in ATTRIBUTES[name]:
            if value != labels[name] and not (name == "age" and value == "old"):
                assert phrase.format(value) not in text, (text, name)
    for color in set(ATTRIBUTES["hair_color"]) - {labels["hair_color"]}:
        assert f"{color} hair" not in text
    assert labels["glasses"] == "yes" or text.count("glasses") == text.count("no glasses")
    assert labels["beard"] == "yes" or text.count("beard") == text.count("no beard")


def test_training_captions_are_sometimes_short_and_sometimes_empty() -> None:
    rng = np.random.default_rng(0)
    texts = [training_caption(picture_of_index(9, i).labels, rng) for i in range(600)]
    assert 0.06 < np.mean([t == "" for t in texts]) < 0.15
    assert 0.05 < np.mean([0 < len(t) < 60 for t in texts]) < 0.5
    assert len(set(texts)) > 450


def test_flipping_swaps_the_sides_only() -> None:
    labels = _one(1, direction="left", light="right").labels
    flipped = mirrored_labels(labels)
    assert (flipped["direction"], flipped["light"]) == ("right", "left")
    assert mirrored_labels(flipped) == labels
    assert {n for n in labels if labels[n] != flipped[n]} == {"direction", "light"}


def test_the_cache_holds_the_pictures_of_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.factory.preview_base import cache as cache_module

    monkeypatch.setattr(cache_module, "SHARD", 4)
    assert SHARD == 1024
    shares: list[float] = []
    fill(tmp_path, 7, 6, on_progress=shares.append)
    assert shares == [0.5, 1.0]
    cache = PictureCache(tmp_path, 7, 6)
    assert len(cache) == 6
    rows = cache.pictures(np.array([5, 0]))
    assert np.array_equal(rows[0], render(picture_of_index(7, 5), 128)[0])
    assert cache.labels[5] == picture_of_index(7, 5).labels
    made = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    fill(tmp_path, 7, 6)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == made, "shards are made once"
    with pytest.raises(FileNotFoundError):
        PictureCache(tmp_path, 8, 6)
