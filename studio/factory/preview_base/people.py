"""Who and what stands in a rendered portrait: people, pictures and their captions.

The embedded base model is trained on pictures of the studio's own parametric
head. A `RenderedPerson` fixes everything that makes somebody recognisable
(geometry, skin, eyes, hair, brows, freckles, beard, frames of the glasses); a
`RenderedPicture` adds what may change from photo to photo (expression, pose,
light, background, shirt, framing). Both are plain values drawn from a seeded
generator, so that a picture can be made again anywhere. `drawing` draws them.

The module knows no photographs and makes no claim about real people: its age
and sex words name directions of a CC0 head model, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from studio.errors import UserInputError

Rgb = tuple[float, float, float]

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_color": ("blond", "brown", "black", "red", "gray", "bald"),
    "hair_length": ("short", "long", "bun", "bald"),
    "skin": ("pale", "light", "tan", "brown", "dark"),
    "age": ("young", "middle-aged", "old"),
    "sex": ("man", "woman"),
    "glasses": ("no", "yes"),
    "beard": ("no", "yes"),
    "expression": ("neutral", "smiling", "surprised", "angry", "sad"),
    "background": ("white", "gray", "blue", "green", "red"),
    "direction": ("straight", "left", "right", "up", "down"),
    "light": ("front", "left", "right"),
}
"""What a prompt controls. Left and right are those of the picture."""

PERSON_ATTRIBUTES = ("hair_color", "hair_length", "skin", "age", "sex", "beard")
DATASET_VERSION = 5
"""Counts up whenever the same seed draws another picture."""

_SKIN: dict[str, Rgb] = {
    "pale": (0.93, 0.79, 0.715),
    "light": (0.87, 0.68, 0.555),
    "tan": (0.78, 0.555, 0.40),
    "brown": (0.545, 0.355, 0.245),
    "dark": (0.37, 0.24, 0.175),
}
_HAIR: dict[str, Rgb] = {
    "blond": (0.81, 0.67, 0.44),
    "brown": (0.325, 0.232, 0.165),
    "black": (0.085, 0.075, 0.075),
    "red": (0.56, 0.26, 0.14),
    "gray": (0.70, 0.70, 0.70),
    "bald": (0.25, 0.18, 0.13),
}
_IRIS: tuple[Rgb, ...] = (
    (0.30, 0.50, 0.78), (0.30, 0.52, 0.35), (0.38, 0.23, 0.11), (0.26, 0.15, 0.08), (0.48, 0.55, 0.58),
)  # fmt: skip
_BACKGROUND: dict[str, Rgb] = {
    "white": (0.94, 0.94, 0.93),
    "gray": (0.50, 0.50, 0.51),
    "blue": (0.20, 0.36, 0.74),
    "green": (0.20, 0.55, 0.28),
    "red": (0.74, 0.17, 0.17),
}
_EXPRESSIONS: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({"mouthSmile": 0.25}, {"mouthSmile": 0.28, "mouthPress": 0.15}, {"mouthSmile": 0.22, "jawOpen": 0.03}),
    "smiling": (
        {"mouthSmile": 1.2, "jawOpen": 0.20, "mouthUpperUp": 0.5, "mouthLowerDown": 0.4, "mouthStretch": 0.35,
         "cheekSquint": 0.6},
        {"mouthSmile": 1.3, "jawOpen": 0.32, "mouthUpperUp": 0.55, "mouthLowerDown": 0.3, "mouthStretch": 0.3,
         "cheekSquint": 0.7, "eyeSquint": 0.3},
    ),
    "surprised": (
        {"jawOpen": 0.75, "browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 1.0},
        {"jawOpen": 0.55, "mouthFunnel": 0.5, "browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 1.0},
    ),
    "angry": (
        {"browDown": 1.4, "noseSneer": 0.5, "mouthPress": 0.9, "mouthPucker": 0.25, "eyeSquint": 0.5,
         "mouthFrown": 0.4},
        {"browDown": 1.4, "noseSneer": 0.6, "mouthRollLower": 0.5, "mouthRollUpper": 0.4, "eyeSquint": 0.45,
         "mouthFrown": 0.5},
    ),
    "sad": (
        {"browInnerUp": 1.35, "mouthFrown": 1.15, "mouthShrugLower": 0.4, "eyeBlink": 0.24},
        {"browInnerUp": 1.35, "mouthFrown": 1.2, "mouthShrugLower": 0.5, "mouthStretch": 0.3, "eyeBlink": 0.28},
    ),
}  # fmt: skip
"""ARKit mixtures, overdrawn so that they read at 64 pixels; a name without Left or Right drives both sides."""
_BROWS: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0), "smiling": (0.01, 0.01), "surprised": (0.06, 0.055), "angry": (-0.07, 0.025),
    "sad": (0.085, -0.04),
}  # fmt: skip
"""How far the inner and the outer end of the brows are drawn above their place, in head units."""


@dataclass(frozen=True)
class RenderedPerson:
    """What stays the same in every picture of one person. Colors are sRGB, 0..1.

    Attributes:
        hair_color, hair_length, skin, age, sex, beard: values of ATTRIBUTES.
        macros: amounts of the head's named directions (male, old, african, asian), by name.
        shape: amounts of the identity components on top of them.  # (K,)
        fringe: how far hair falls onto the forehead, 0..1.
        parting: where the hair parts, -1 (picture left) .. 1.
        volume: thickness of the hair in head units (1 unit is about 107 mm).
        waves: how wavy the hair is, 0..1.
        brow_thickness: half height of the brows in head units.
        folds, wrinkles: how deep the folds of middle age and the lines of old age are, 0..1.25.
        texture_seed: freckles and strands.
    """

    hair_color: str
    hair_length: str
    skin: str
    age: str
    sex: str
    beard: str
    macros: tuple[tuple[str, float], ...]
    shape: tuple[float, ...]
    skin_rgb: Rgb
    hair_rgb: Rgb
    iris_rgb: Rgb
    lip_tint: float
    brow_rgb: Rgb
    brow_thickness: float
    freckles: float
    folds: float
    wrinkles: float
    beard_length: float
    fringe: float
    parting: float
    volume: float
    waves: float
    frame_rgb: Rgb
    frame_roundness: float
    frame_thickness: float
    texture_seed: int


@dataclass(frozen=True)
class RenderedPicture:
    """One photo to take of a person.

    Attributes:
        glasses, expression, background, direction, light: values of ATTRIBUTES.
        weights: ARKit weights by full name; up to 2, as caricature.
        brows: how far the inner and the outer end of the brows are drawn above their place, in head units.
        flush: reddening of the skin, 0..1.
        yaw, pitch, roll: head rotation in degrees; positive turns the nose to the
            picture's right, raises it, tilts the head clockwise.
        gaze: eyes against the head, to the picture's right and up, -1..1.
        light_direction: unit vector towards the key light, x right, y up, z to the viewer.
        key, ambient: intensities.
        gradient: brightness slope of the background to the right and downwards.
        blobs: x, y, radius, brightness of soft spots of the background, picture units 0..1.
        zoom: 1 shows 2.95 head units from top to bottom.
        shift: displacement of the head to the right and up in head units.
    """

    person: RenderedPerson
    glasses: str
    expression: str
    background: str
    direction: str
    light: str
    weights: tuple[tuple[str, float], ...]
    brows: tuple[float, float]
    flush: float
    yaw: float
    pitch: float
    roll: float
    gaze: tuple[float, float]
    light_direction: tuple[float, float, float]
    key: float
    ambient: float
    background_rgb: Rgb
    gradient: tuple[float, float]
    blobs: tuple[tuple[float, float, float, float], ...]
    shirt_rgb: Rgb
    zoom: float
    shift: tuple[float, float]

    @property
    def labels(self) -> dict[str, str]:
        """The value of every attribute, in ATTRIBUTES' order."""
        return {n: getattr(self.person if n in PERSON_ATTRIBUTES else self, n) for n in ATTRIBUTES}


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse attributes and values that do not exist.

    Raises:
        UserInputError: one of them is unknown.
    """
    for name, value in labels.items():
        if name not in ATTRIBUTES:
            raise UserInputError(f"There is no attribute {name!r}.", f"There are {', '.join(ATTRIBUTES)}.")
        if value not in ATTRIBUTES[name]:
            raise UserInputError(f"{name} cannot be {value!r}.", f"It can be {', '.join(ATTRIBUTES[name])}.")


def sample_person(rng: np.random.Generator, **fixed: str) -> RenderedPerson:
    """Draw a person.

    Args:
        rng: the only source of chance.
        fixed: values of PERSON_ATTRIBUTES to keep, as in `sample_person(rng, sex="woman")`.

    Raises:
        UserInputError: a fixed value does not exist, or belongs to a picture.
    """
    check_labels(fixed)
    wrong = set(fixed) - set(PERSON_ATTRIBUTES)
    if wrong:
        raise UserInputError(f"{wrong.pop()} belongs to a picture, not to a person.", "Give it to sample_picture.")
    sex = fixed.get("sex") or _pick(rng, "man woman", 0.5, 0.5)
    age = fixed.get("age") or _pick(rng, "young middle-aged old", 0.36, 0.32, 0.32)
    beard = fixed.get("beard") or ("yes" if sex == "man" and rng.random() < 0.42 else "no")
    hair_color, hair_length = _hair(rng, sex, age, fixed)
    skin = fixed.get("skin") or _pick(rng, "pale light tan brown dark", 0.2, 0.2, 0.2, 0.2, 0.2)
    hair_rgb = _jitter(rng, _HAIR[hair_color], 0.05, 0.02)
    male = rng.uniform(0.75, 1.3) * (1 if sex == "man" else -1)
    aging = {"young": (-0.5, -0.3), "middle-aged": (0.4, 0.6), "old": (1.0, 1.3)}[age]
    dark = {"pale": 0.0, "light": 0.1, "tan": 0.25, "brown": 0.7, "dark": 0.95}[skin]
    shape = np.clip(rng.normal(0, 0.46, 80), -1.0, 1.0)
    brow = 0.037 if sex == "man" else 0.024
    gray_brow = hair_color in ("gray", "blond")
    brow_rgb = _mixed(hair_rgb, (0.0, 0.0, 0.0), 0.5 if gray_brow else 0.45)
    if skin in ("brown", "dark"):
        brow_rgb = _mixed(brow_rgb, (0.06, 0.04, 0.03), 0.0 if hair_color == "gray" else 0.6)
    if age == "old" and hair_color != "black":
        brow_rgb = _mixed(brow_rgb, (0.66, 0.65, 0.63), 0.55)
    return RenderedPerson(
        hair_color=hair_color, hair_length=hair_length, skin=skin, age=age, sex=sex, beard=beard,
        macros=(
            ("male", float(male) / 2), ("old", float(rng.uniform(*aging))),
            ("african", float(dark * rng.uniform(0.3, 1.0))),
            ("asian", float((rng.random() < 0.25 and dark < 0.6) * rng.uniform(0.4, 1.0))),
        ),
        shape=tuple(float(v) for v in shape), skin_rgb=_jitter(rng, _SKIN[skin], 0.035, 0.012), hair_rgb=hair_rgb,
        iris_rgb=_jitter(rng, _IRIS[int(rng.integers(5)) if dark < 0.5 else 2 + int(rng.integers(2))], 0.1, 0.03),
        lip_tint=float(rng.uniform(0.8, 1.2) if sex == "woman" else rng.uniform(0.05, 0.3)), brow_rgb=brow_rgb,
        brow_thickness=float(brow * rng.uniform(0.8, 1.3)),
        freckles=float(rng.uniform(0.4, 1) if rng.random() < 0.2 and skin in ("pale", "light", "tan") else 0.0),
        folds=float(rng.uniform(*{"young": (0.0, 0.1), "middle-aged": (0.6, 0.85), "old": (0.7, 0.95)}[age])),
        wrinkles=float(rng.uniform(*{"young": (0.0, 0.02), "middle-aged": (0.15, 0.35), "old": (0.95, 1.25)}[age])),
        beard_length=float(rng.uniform(0.3, 1.0) if beard == "yes" else 0.0), fringe=float(rng.uniform(0, 1) ** 1.5),
        parting=float(rng.uniform(-1, 1)), volume=float(rng.uniform(0.05, 0.15)), waves=float(rng.uniform(0, 1)),
        frame_rgb=_FRAMES[int(rng.integers(len(_FRAMES)))], frame_roundness=float(rng.uniform(0, 1)),
        frame_thickness=float(rng.uniform(0.016, 0.026)), texture_seed=int(rng.integers(1 << 20)),
    )  # fmt: skip


_FRAMES: tuple[Rgb, ...] = ((0.05, 0.05, 0.06), (0.10, 0.06, 0.04), (0.06, 0.08, 0.2), (0.25, 0.05, 0.06))
_DIRECTIONS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "straight": ((-7, 7), (-4, 4)),
    "left": ((-40, -24), (-5, 5)),
    "right": ((24, 40), (-5, 5)),
    "up": ((-7, 7), (14, 20)),
    "down": ((-7, 7), (-22, -15)),
}
_LIGHTS: dict[str, tuple[float, float, float]] = {
    "front": (0.0, 0.35, 0.94), "left": (-0.86, 0.25, 0.35), "right": (0.86, 0.25, 0.35),
}  # fmt: skip


def sample_picture(rng: np.random.Generator, person: RenderedPerson | None = None, **fixed: str) -> RenderedPicture:
    """Draw a picture, of a new person if none is given.

    Args:
        rng: the only source of chance.
        fixed: values of ATTRIBUTES to keep; those of the person only where none is given.

    Raises:
        UserInputError: a fixed value does not exist or contradicts the person.
    """
    check_labels(fixed)
    own = {n: v for n, v in fixed.items() if n in PERSON_ATTRIBUTES}
    if person is None:
        person = sample_person(rng, **own)
    for name, value in own.items():
        if getattr(person, name) != value:
            raise UserInputError(f"This person's {name} is not {value}.", "Leave it out, or draw another person.")
    glasses = fixed.get("glasses") or _pick(rng, "no yes", 0.6, 0.4)
    expression = fixed.get("expression") or str(rng.choice(ATTRIBUTES["expression"]))
    background = fixed.get("background") or str(rng.choice(ATTRIBUTES["background"]))
    direction = fixed.get("direction") or _pick(rng, "straight left right up down", 0.36, 0.16, 0.16, 0.16, 0.16)
    light = fixed.get("light") or _pick(rng, "front left right", 0.4, 0.3, 0.3)
    strength, weights = _drawn_expression(rng, expression)
    yaw, pitch = sample_turn(rng, direction)
    towards = np.array(_LIGHTS[light]) + rng.normal(0, 0.06, 3)
    towards /= np.linalg.norm(towards)
    blobs = tuple(
        (float(rng.uniform(0, 1)), float(rng.uniform(0, 1)), float(rng.uniform(0.12, 0.35)), float(v))
        for v in rng.normal(0, 0.07, int(rng.integers(0, 4)))
    )
    shirt = np.clip(rng.uniform(0.08, 0.85) + rng.normal(0, 0.17, 3), 0.04, 0.95)
    return RenderedPicture(
        person=person, glasses=glasses, expression=expression, background=background, direction=direction, light=light,
        weights=weights, brows=(_BROWS[expression][0] * strength, _BROWS[expression][1] * strength),
        flush=float(strength * rng.uniform(0.7, 1.0) if expression == "angry" else 0.0), yaw=yaw, pitch=pitch,
        roll=float(rng.uniform(-6, 6)),
        gaze=(float(rng.normal(0, 0.1) + yaw / 90), float(rng.normal(0, 0.06) + pitch / 90)),
        light_direction=(float(towards[0]), float(towards[1]), float(towards[2])),
        key=float(rng.uniform(0.9, 1.1) * (0.80 if light == "front" else 1.06)),
        ambient=float(rng.uniform(0.34, 0.42) if light == "front" else rng.uniform(0.17, 0.24)),
        background_rgb=_jitter(rng, _BACKGROUND[background], 0.09 if background != "white" else 0.03, 0.02),
        gradient=(float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.15, 0.15))), blobs=blobs,
        shirt_rgb=(float(shirt[0]), float(shirt[1]), float(shirt[2])), zoom=float(rng.uniform(1.12, 1.26)),
        shift=(float(rng.uniform(-0.08, 0.08)), float(rng.uniform(-0.02, 0.07) - 0.15 * (person.hair_length == "bun"))),
    )  # fmt: skip


def sample_expression(
    rng: np.random.Generator, word: str
) -> tuple[tuple[tuple[str, float], ...], tuple[float, float], float]:
    """Draw weights, brows and flush of an expression, as `sample_picture` does.

    Args:
        word: one of ATTRIBUTES["expression"].
    """
    strength, weights = _drawn_expression(rng, word)
    brows = (_BROWS[word][0] * strength, _BROWS[word][1] * strength)
    return weights, brows, float(strength * rng.uniform(0.7, 1.0) if word == "angry" else 0.0)


def sample_turn(rng: np.random.Generator, word: str) -> tuple[float, float]:
    """Draw yaw and pitch in degrees of one of ATTRIBUTES["direction"]."""
    yaw, pitch = (float(rng.uniform(*span)) for span in _DIRECTIONS[word])
    return yaw, pitch


def _drawn_expression(rng: np.random.Generator, word: str) -> tuple[float, tuple[tuple[str, float], ...]]:
    variants = _EXPRESSIONS[word]
    strength = float(rng.uniform(0.85, 1.0))
    recipe = variants[int(rng.integers(len(variants)))]
    weights = {n: float(v * strength * rng.uniform(0.92, 1.0)) for n, v in recipe.items()}
    return strength, _both_sides(weights)


def mirrored_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the picture flipped left to right."""
    swap = {"left": "right", "right": "left"}
    return {n: swap.get(v, v) for n, v in labels.items()}


def with_labels(picture: RenderedPicture, rng: np.random.Generator, **fixed: str) -> RenderedPicture:
    """Return another picture of the same person with some labels fixed and the others as they are."""
    kept = {n: v for n, v in picture.labels.items() if n not in PERSON_ATTRIBUTES}
    return replace(sample_picture(rng, picture.person, **{**kept, **fixed}))


def _hair(rng: np.random.Generator, sex: str, age: str, fixed: Mapping[str, str]) -> tuple[str, str]:
    color, length = fixed.get("hair_color"), fixed.get("hair_length")
    if {color, length} - {None, "bald"} and "bald" in (color, length):
        raise UserInputError("A bald person has no hair color or length.", "Fix both to bald, or neither.")
    if "bald" in (color, length):
        return "bald", "bald"
    if color is None and length is None and rng.random() < (0.16 if sex == "man" else 0.03):
        return "bald", "bald"
    if color is None:
        gray = {"young": 0.04, "middle-aged": 0.14, "old": 0.55}[age]
        rest = (1 - gray) / 4
        color = _pick(rng, "blond brown black red gray", rest, rest, rest, rest, gray)
    if length is None:
        length = _pick(rng, "short long bun", *((0.76, 0.2, 0.04) if sex == "man" else (0.3, 0.54, 0.16)))
    return color, length


def _pick(rng: np.random.Generator, values: str, *chances: float) -> str:
    return str(rng.choice(values.split(), p=np.array(chances) / sum(chances)))


def _jitter(rng: np.random.Generator, color: Rgb, brightness: float, hue: float) -> Rgb:
    out = np.clip(np.array(color) * (1 + rng.uniform(-brightness, brightness)) + rng.uniform(-hue, hue, 3), 0, 1)
    return float(out[0]), float(out[1]), float(out[2])


def _mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    """Return a color between two; share 0 is the first, 1 the second."""
    out = [float(a + share * (b - a)) for a, b in zip(first, second, strict=True)]
    return out[0], out[1], out[2]


def _both_sides(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    from studio.domain.expression import INDEX

    out: list[tuple[str, float]] = []
    for name, value in weights.items():
        out += [(n, value) for n in ((name,) if name in INDEX else (name + "Left", name + "Right"))]
    return tuple(out)


def picture_of_index(seed: int, index: int) -> RenderedPicture:
    """Return picture number `index` of the endless training set `seed`."""
    return sample_picture(np.random.default_rng((DATASET_VERSION, seed, index)))
