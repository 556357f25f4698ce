"""Words for measured numbers, captions made of them, and what a set lacks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.pose import HeadPose
from studio.domain.traits import (
    TRAIT,
    TRAITS,
    Measures,
    caption_of,
    color_word,
    coverage_of,
    default_policies,
    rest_of,
    traits_of,
)

FRONT = HeadPose(0.0, -6.0, 0.0)
CALM = {"eye_open": 0.3, "mouth_open": 0.01, "smile": 0.0, "mouth_width": 0.52, "brow_raise": 0.3}


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (FRONT, "straight"), (HeadPose(-30, -6, 0), "left"), (HeadPose(30, -6, 0), "right"),
        (HeadPose(0, 8, 0), "up"), (HeadPose(0, -20, 0), "down"), (HeadPose(14, -6, 0), None),
    ],
)  # fmt: skip
def test_direction_has_a_word_only_where_it_is_clear(head: HeadPose, word: str | None) -> None:
    assert traits_of(Measures(), head).get("direction") == word


def test_direction_is_read_against_the_persons_own_level() -> None:
    """A face that reads 4 degrees lower when it looks ahead looks ahead at -10; a set that only looks down does not."""
    ahead, raised, turned = HeadPose(0, -10, 0), HeadPose(0, 2, 0), HeadPose(-40, -10, 0)
    rest = rest_of([(Measures(**CALM), head) for head in (ahead, ahead, raised, turned)])
    assert [traits_of(Measures(), h, rest).get("direction") for h in (ahead, raised)] == ["straight", "up"]
    assert traits_of(Measures(), raised).get("direction") == "straight"
    low = rest_of([(Measures(**CALM), HeadPose(0, -25, 0))] * 4)
    assert traits_of(Measures(), HeadPose(0, -25, 0), low).get("direction") == "down"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "neutral"), ({"smile": 0.06, "mouth_width": 0.66}, "smiling"), ({"mouth_open": 0.14}, "mouth open"),
        ({"mouth_open": 0.3, "eye_open": 0.42}, "surprised"), ({"smile": -0.07}, "sad"),
        ({"smile": -0.07, "eye_open": 0.1}, "sad"), ({"smile": -0.07, "eye_open": 0.05}, "eyes closed"),
        ({"eye_open": 0.05}, "eyes closed"),
    ],
)  # fmt: skip
def test_expressions(change: dict[str, float], word: str) -> None:
    assert traits_of(Measures(**{**CALM, **change}), FRONT)["expression"] == word


def test_a_smile_is_read_against_the_persons_own_mouth_at_rest() -> None:
    calm, faint = Measures(**{**CALM, "smile": -0.02}), Measures(**{**CALM, "smile": 0.02, "mouth_width": 0.64})
    assert traits_of(faint, FRONT)["expression"] == "neutral"
    rest = rest_of([(m, FRONT) for m in (calm, faint, calm, faint)])
    assert traits_of(faint, FRONT, rest)["expression"] == "smiling"
    assert traits_of(calm, FRONT, rest)["expression"] == "neutral"
    assert rest_of([(calm, FRONT), (faint, FRONT)]) is None


def test_beside_sad_photos_a_calm_face_does_not_smile() -> None:
    sad, calm = (Measures(**{**CALM, **change}) for change in ({"smile": -0.08, "mouth_width": 0.5}, {"smile": -0.01}))
    rest = rest_of([(m, FRONT) for m in (sad, sad, sad, calm)])
    assert [traits_of(m, FRONT, rest)["expression"] for m in (sad, calm)] == ["sad", "neutral"]


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((0.94, 0.94, 0.93), "white"), ((0.5, 0.5, 0.51), "gray"), ((0.05, 0.05, 0.05), "black"),
        ((0.2, 0.36, 0.74), "blue"), ((0.2, 0.55, 0.28), "green"), ((0.74, 0.17, 0.17), "red"),
        ((0.9, 0.8, 0.2), "yellow"), ((0.45, 0.3, 0.18), "brown"),
    ],
)  # fmt: skip
def test_plain_colors(rgb: tuple[float, float, float], word: str) -> None:
    assert color_word(rgb) == word


def test_dark_skin_is_not_dim_light_and_a_dark_picture_is() -> None:
    dark_skin = Measures(light_side=0.0, skin_rgb=(0.12, 0.08, 0.06), brightest=220)
    assert traits_of(dark_skin, FRONT)["light"] == "front"
    assert traits_of(Measures(light_side=0.0, brightest=60), FRONT)["light"] == "dark"
    assert "light" not in traits_of(Measures(light_side=0.65, brightest=220), FRONT)


def test_captions_say_what_the_policy_lets_them() -> None:
    traits = {"expression": "smiling", "direction": "left", "background": "blue", "hair": "red", "light": "front"}
    assert caption_of(traits, "sks", "person") == "a photo of sks person, looking left, smiling, blue background"
    said = caption_of(traits, "sks", "woman", {"background": "leave out", "hair": "describe"})
    assert said == "a photo of sks woman, looking left, smiling, red hair"
    assert caption_of({}, "", "") == "a photo"


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional={t.name: st.sampled_from(t.values) for t in TRAITS}))
def test_every_caption_begins_with_the_person_and_has_no_empty_part(traits: dict[str, str]) -> None:
    parts = caption_of(traits, "sks", "person", dict.fromkeys(TRAIT, "describe")).split(", ")
    assert parts[0] == "a photo of sks person"
    assert all(p.strip() for p in parts)
    assert len(set(parts)) == len(parts)


def test_coverage_counts_and_asks_for_what_is_missing() -> None:
    have = [
        {
            "direction": "straight",
            "expression": "neutral",
            "light": "front",
            "framing": "close-up",
            "background": "white",
        }
    ] * 4
    found = coverage_of(have)
    rows = {r.name: r for r in found.rows}
    assert dict(rows["direction"].counts)["straight"] == 4
    assert rows["direction"].missing == ("left", "right", "up", "down")
    assert rows["glasses"].unknown == 4
    assert any("4 photos are few" in a for a in found.advice)
    assert any("Every background is white" in a for a in found.advice)
    assert any("No smile" in a for a in found.advice)
    assert coverage_of([]).advice == ("There is no photo to learn from yet.",)


def test_a_full_set_is_left_in_peace() -> None:
    have = []
    for trait in ("framing", "direction", "expression", "light"):
        have += [{trait: word, "background": "mixed"} for word in TRAIT[trait].wanted]
    assert coverage_of(have).advice == ()


def test_hair_is_learned_unless_somebody_asks() -> None:
    assert default_policies()["hair"] == "leave out"
    assert set(default_policies()) == set(TRAIT)
