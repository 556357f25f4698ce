"""Variants of a person's photos: what the rig is asked to draw, and the words that are then true.

From one photo the rig draws others of the same person: another expression,
gaze, blink, a small turn, another crop and light. Because it is told what to
do, the caption of a variant needs no reading of pixels. Turns stay far inside
what one photo carries. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

Mood = Literal["own", "smiling", "mouth open", "surprised", "eyes closed"]

_MOODS: tuple[tuple[Mood, float], ...] = (
    ("own", 0.32), ("smiling", 0.24), ("mouth open", 0.18), ("surprised", 0.13), ("eyes closed", 0.13),
)  # fmt: skip
"""How often each is asked for; a choice. A word is learned from many pictures, so none is rare."""
_TURN_DEGREES = (4.0, 2.5, 2.5)  # spread of yaw, pitch and roll, held within twice of it
MOST_PER_PHOTO = 100


@dataclass(frozen=True, kw_only=True)
class VariantRecipe:
    """What one variant differs in from its photo.

    Attributes:
        mood: the expression that is asked for; "own" leaves the photo's.
        values: control name -> slider value, as in ExpressionEdit.
        zoom: side of the crop against the photo's own, .8 to 1.15.
        shift: of the crop's center, in sides of the crop, right and down.
        gamma: exponent of brightness, below 1 brighter.
        tint: factors of red, green and blue.
    """

    mood: Mood
    values: Mapping[str, float]
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; `from_json` reads them."""
        return {
            "mood": self.mood, "values": dict(self.values), "zoom": self.zoom, "shift": list(self.shift),
            "gamma": self.gamma, "tint": list(self.tint),
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VariantRecipe:
        """Read what `as_json` returned."""
        return cls(**{**values, "shift": tuple(values["shift"]), "tint": tuple(values["tint"])})


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One picture that the rig drew of a photo.

    Attributes:
        number: counts from 0 within the photo.
        traits: what it shows, as words of `traits`: the photo's, changed by what was asked.
        media_sha256, mask_sha256: the square picture and the person's matte in it.
        kept: training may use it.
        engine: name and version of what drew it.
    """

    id: str
    photo_id: str
    number: int
    seed: int
    recipe: VariantRecipe
    traits: Mapping[str, str] = field(default_factory=dict)
    media_sha256: str
    mask_sha256: str
    kept: bool = True
    engine: str = ""
    created: datetime


def variant_recipe(seed: int, number: int, sha256: str) -> VariantRecipe:
    """Return the recipe of a variant; the same arguments give the same one.

    Args:
        sha256: of the photo's bytes, so that photos differ in what is asked of them.
    """
    rng = np.random.default_rng((seed, number, int(sha256[:12], 16)))
    moods, shares = zip(*_MOODS, strict=True)
    mood: Mood = moods[int(rng.choice(len(moods), p=shares))]
    turn = [float(np.clip(rng.normal(0, s), -2 * s, 2 * s)) for s in _TURN_DEGREES]
    values = {
        "headYaw": turn[0], "headPitch": turn[1], "headRoll": turn[2],
        "gazeX": float(np.clip(rng.normal(0, 0.3), -0.7, 0.7)) * (rng.random() < 0.5),
        "eyebrow": float(rng.uniform(-0.2, 0.45)) * (rng.random() < 0.5),
    }  # fmt: skip
    strength = float(rng.uniform(0, 1))
    jaw = float(rng.uniform(0, 0.12)) * (rng.random() < 0.6)
    # As strong as the words are read by the curation: a faint smile would be called one and look like none.
    values |= {
        "own": {},
        "smiling": {
            "smile": 1.0,
            "mouthSmileLeft": 0.3 * strength,
            "mouthSmileRight": 0.3 * strength,
            "jawOpen": jaw,
        },
        "mouth open": {"jawOpen": 0.25 + 0.2 * strength},
        "surprised": {"jawOpen": 0.48 + 0.14 * strength, "mouthFunnel": 3 * jaw, "eyesOpen": 1.0, "eyebrow": 1.0},
        "eyes closed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "gazeX": 0.0},
    }[mood]
    return VariantRecipe(
        mood=mood,
        values={name: round(value, 4) for name, value in values.items() if abs(value) > 1e-4},
        zoom=round(float(rng.uniform(0.8, 1.15)), 4),
        shift=(round(float(rng.uniform(-0.05, 0.05)), 4), round(float(rng.uniform(-0.05, 0.05)), 4)),
        gamma=round(float(np.exp(rng.uniform(-0.2, 0.2))), 4),
        tint=tuple(round(float(v), 4) for v in rng.uniform(0.95, 1.05, 3)),  # type: ignore[arg-type]
    )


def traits_of_variant(traits: Mapping[str, str], recipe: VariantRecipe, direction: str | None) -> dict[str, str]:
    """Return the words that hold for a variant.

    Args:
        traits: of its photo.
        direction: where the head points after the turn; None where it lies between two words.
    """
    said = {name: word for name, word in traits.items() if name != "direction"}
    if direction is not None:
        said["direction"] = direction
    laughs = traits.get("expression") == "smiling" and recipe.mood in ("mouth open", "surprised")
    if recipe.mood != "own" and not laughs:  # a smiling photo whose jaw drops is a laugh, with raised brows too
        said["expression"] = recipe.mood
    return said
