"""What a photo shows besides the person: measured numbers, the words for them, captions, coverage.

`Measures` are numbers taken from the pixels (engines/vision/appearance.py).
`traits_of` reads them as words; a trait that was not measured, or that lies
between two words, has no word: a caption must not guess. What a caption says
is learned as changeable; what it leaves out is learned as the person. That is
what the policy decides.

Left and right are those of the picture. Knows nothing of age, sex or descent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from studio.domain.pose import HeadPose

Rgb = tuple[float, float, float]
Policy = Literal["describe", "leave out"]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Numbers about one face in one photo; None where it could not be measured.

    Attributes:
        face_share: height of the face (forehead to chin) against the picture's height.
        room_below: person seen below the chin, in face heights.
        detail: fine contrast of the face drawn 256 pixels wide, against its whole contrast; blurred below .055.
        eye_open: lid gap against the eye's width, mean of both eyes.
        mouth_open: gap between the lips against the outer eye corners' distance.
        smile: how far the mouth corners lie above the lips' middle, same unit.
        mouth_width: between the mouth corners, same unit.
        brow_raise: brows above the eyes, same unit.
        light_side: brightness of the face's right half against the left one, in doublings; > 0: light from the right.
        brightest: brightness that 5 % of the picture exceed, 0..255 (the face's would tell of skin, not of light).
        background_spread: how uneven the background is, in steps of color (CIE Lab); a wall has below 12.
        background_share: part of the picture that is not the person, 0..1.
        background_rgb, hair_rgb, skin_rgb: median sRGB, 0..1.
        glasses: steps of brightness where frames would be (nose bridge, below the eyes), against the skin's brightness.
    """

    face_share: float | None = None
    room_below: float | None = None
    detail: float | None = None
    eye_open: float | None = None
    mouth_open: float | None = None
    smile: float | None = None
    mouth_width: float | None = None
    brow_raise: float | None = None
    light_side: float | None = None
    brightest: float | None = None
    background_spread: float | None = None
    background_share: float | None = None
    background_rgb: Rgb | None = None
    hair_rgb: Rgb | None = None
    skin_rgb: Rgb | None = None
    glasses: float | None = None


@dataclass(frozen=True)
class Trait:
    """One thing a caption may say.

    Attributes:
        values: every word it can have; the order is that of the coverage strip.
        wanted: the words a varied set has.
        policy: what happens when nobody chose otherwise.
        help: one sentence about what the choice means.
    """

    name: str
    title: str
    values: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    policy: Policy = "describe"
    help: str = ""


TRAITS: tuple[Trait, ...] = (
    Trait(
        "framing", "Framing", ("close-up", "head and shoulders", "half body", "far away"),
        ("close-up", "head and shoulders", "half body"), help="How much of the person is in the picture.",
    ),
    Trait(
        "direction", "Head", ("straight", "left", "right", "up", "down"), ("straight", "left", "right", "up", "down"),
        help="Where the head is turned.",
    ),
    Trait(
        "expression", "Expression", ("neutral", "smiling", "sad", "surprised", "mouth open", "eyes closed"),
        ("neutral", "smiling", "mouth open"), help="What mouth and eyes do.",
    ),
    Trait(
        "light", "Light", ("front", "left", "right", "dark"), ("front", "left", "right"),
        help="Where the light comes from.",
    ),
    Trait(
        "background", "Background",
        ("white", "gray", "black", "blue", "green", "red", "yellow", "brown", "mixed"), (),
        help="The color of a plain background; mixed where it is not plain.",
    ),
    Trait("glasses", "Glasses", ("no", "yes"), (), help="Say it when the glasses come and go; else they are learned."),
    Trait(
        "hair", "Hair color", ("black", "brown", "blond", "red", "gray"), (), "leave out",
        "Left out, it is learned as the person's own.",
    ),
)  # fmt: skip
TRAIT: dict[str, Trait] = {t.name: t for t in TRAITS}

# Source: chosen on renders with known labels and on photos, see benchmarks/curation.py.
_CLOSE_UP, _FAR = 0.62, 0.12
_HALF_BODY_ROOM = 2.0
_LEVEL_PITCH, _TURNED_YAW, _RAISED, _LOWERED = -6.0, 15.0, 11.0, 9.0
_OWN_PITCH = 4.0  # how far one person's level may lie from everybody's
_NEARLY = 0.85  # share of those angles from which on a head is neither straight nor turned
_CLOSED_EYE, _HEAVY_LID = 0.13, 0.08  # lids hang in a sad face too
_SMILE, _SMILING_WIDTH = 0.03, 0.55
_RISE, _WIDENING = 0.027, 1.15  # against the person's own mouth at rest
_HANGING = -0.01  # corners below this are no mouth at rest: beside a sad face every calm one would smile
_SAD, _CLOSED_MOUTH = -0.052, 0.06
_OPEN_MOUTH, _WIDE_OPEN, _ROUND_WIDTH, _WIDE_EYE = 0.09, 0.19, 0.61, 0.33
_SIDE_LIGHT, _EVEN_LIGHT, _DARK_PICTURE = 0.75, 0.55, 95.0
_PLAIN_SPREAD, _LEAST_BACKGROUND = 14.0, 0.04
_GLASSES, _NO_GLASSES = 0.52, 0.42


@dataclass(frozen=True)
class Rest:
    """A person's face at rest, since one person's calm mouth is another's faint smile.

    Attributes:
        smile, mouth_width: as in Measures.
        pitch_degrees: what is read when the person looks straight ahead: shapes of faces shift it.
    """

    smile: float
    mouth_width: float
    pitch_degrees: float


def rest_of(faces: Sequence[tuple[Measures, HeadPose]]) -> Rest | None:
    """Return what a person's photos tell of the face at rest; None with fewer than three measured.

    The mouth is the lower quartile, hanging corners aside. The pitch is the
    median of faces to the front, held near everybody's: all photos of a set may look down.
    """
    smiles = sorted(m.smile for m, _ in faces if m.smile is not None)
    widths = sorted(m.mouth_width for m, _ in faces if m.mouth_width is not None)
    if min(len(smiles), len(widths)) < 3:
        return None
    pitches = [head.pitch_degrees for _, head in faces if abs(head.yaw_degrees) < _TURNED_YAW]
    pitch = median(pitches) if len(pitches) >= 3 else _LEVEL_PITCH
    level = min(max(pitch, _LEVEL_PITCH - _OWN_PITCH), _LEVEL_PITCH + _OWN_PITCH)
    return Rest(max(smiles[(len(smiles) - 1) // 4], _HANGING), widths[(len(widths) - 1) // 4], level)


def traits_of(measures: Measures, head: HeadPose, rest: Rest | None = None) -> dict[str, str]:
    """Read numbers as words.

    Args:
        measures: of one face.
        head: its absolute pose; people who look straight ahead are read as about -6 degrees of pitch.
        rest: the person's face at rest, where it is known.

    Returns:
        Trait name -> one of its values, only for traits that were measured clearly.
    """
    words = {
        "framing": _framing(measures),
        "direction": direction_of(head, rest),
        "expression": _expression(measures, rest),
        "light": _light(measures),
        "background": _background(measures),
        "glasses": _glasses(measures.glasses),
        "hair": None if measures.hair_rgb is None else _hair(measures.hair_rgb),
    }
    return {name: word for name, word in words.items() if word is not None}


def _framing(m: Measures) -> str | None:
    if m.face_share is None:
        return None
    if m.face_share >= _CLOSE_UP:
        return "close-up"
    if m.face_share < _FAR:
        return "far away"
    if m.room_below is not None and m.room_below >= _HALF_BODY_ROOM:
        return "half body"
    return "head and shoulders"


def direction_of(head: HeadPose, rest: Rest | None) -> str | None:
    """Say where a head points; None between two words. The arguments are those of `traits_of`."""
    level = _LEVEL_PITCH if rest is None else rest.pitch_degrees
    yaw, pitch = head.yaw_degrees, head.pitch_degrees - level
    sideways = abs(yaw) / _TURNED_YAW
    upright = pitch / _RAISED if pitch > 0 else -pitch / _LOWERED
    if max(sideways, upright) < 1:
        return "straight" if max(sideways, upright) < _NEARLY else None
    if sideways >= upright:
        return "right" if yaw > 0 else "left"
    return "up" if pitch > 0 else "down"


def _expression(m: Measures, rest: Rest | None) -> str | None:
    if m.mouth_open is None or m.smile is None or m.eye_open is None or m.mouth_width is None:
        return None
    sad = m.smile <= _SAD and m.mouth_open < _CLOSED_MOUTH
    if m.eye_open < (_HEAVY_LID if sad else _CLOSED_EYE):
        return "eyes closed"
    if m.mouth_open >= _WIDE_OPEN and m.mouth_width < _ROUND_WIDTH and m.eye_open >= _WIDE_EYE:
        return "surprised"
    risen = rest is not None and m.smile - rest.smile >= _RISE and m.mouth_width >= _WIDENING * rest.mouth_width
    if risen or (m.smile >= _SMILE and m.mouth_width >= _SMILING_WIDTH):
        return "smiling"
    if m.mouth_open >= _OPEN_MOUTH:
        return "mouth open"
    return "sad" if sad else "neutral"


def _light(m: Measures) -> str | None:
    if m.light_side is None:
        return None
    if m.brightest is not None and m.brightest < _DARK_PICTURE:
        return "dark"
    if abs(m.light_side) >= _SIDE_LIGHT:
        return "right" if m.light_side > 0 else "left"
    return "front" if abs(m.light_side) <= _EVEN_LIGHT else None


def _background(m: Measures) -> str | None:
    if m.background_rgb is None or m.background_share is None or m.background_share < _LEAST_BACKGROUND:
        return None
    if m.background_spread is None or m.background_spread > _PLAIN_SPREAD:
        return "mixed"
    return color_word(m.background_rgb)


def _glasses(amount: float | None) -> str | None:
    if amount is None or _NO_GLASSES < amount < _GLASSES:
        return None
    return "yes" if amount >= _GLASSES else "no"


def color_word(rgb: Rgb) -> str:
    """Return a plain color word for sRGB 0..1: white, gray, black, red, yellow, brown, green or blue."""
    high, low = max(rgb), min(rgb)
    chroma = high - low
    if high < 0.16:
        return "black"
    if chroma < 0.1 or chroma < 0.13 * high:
        return "white" if low > 0.78 else ("black" if high < 0.2 else "gray")
    r, g, b = rgb
    if high == r:
        hue = 60 * ((g - b) / chroma) % 360
    elif high == g:
        hue = 60 * ((b - r) / chroma) + 120
    else:
        hue = 60 * ((r - g) / chroma) + 240
    if 70 <= hue < 170:
        return "green"
    if 170 <= hue < 290:
        return "blue"
    if 15 <= hue < 70:
        return "yellow" if high > 0.72 and chroma > 0.35 else "brown"
    return "red"


def _hair(rgb: Rgb) -> str:
    high, low = max(rgb), min(rgb)
    r, _, b = rgb
    if high < 0.2:
        return "black"
    if high - low < 0.1 and high > 0.42:
        return "gray"
    if r - b > 0.34 and rgb[1] < 0.55 * r:
        return "red"
    return "blond" if high > 0.55 else "brown"


# -- captions -------------------------------------------------------------------

_PHRASES: dict[str, dict[str, str]] = {
    "framing": {"close-up": "close-up", "head and shoulders": "", "half body": "half body", "far away": "from afar"},
    "direction": {
        "straight": "", "left": "looking left", "right": "looking right", "up": "looking up", "down": "looking down",
    },
    "expression": {
        "neutral": "", "smiling": "smiling", "sad": "sad", "surprised": "surprised", "mouth open": "mouth open",
        "eyes closed": "eyes closed",
    },
    "light": {
        "front": "", "left": "light from the left", "right": "light from the right", "dark": "in dim light",
    },
    "glasses": {"no": "", "yes": "wearing glasses"},
}  # fmt: skip
"""What a caption says; what is usual is not said."""


def default_policies() -> dict[str, Policy]:
    """Return the policy of every trait when nobody chose otherwise."""
    return {t.name: t.policy for t in TRAITS}


def caption_of(
    traits: Mapping[str, str], trigger: str, class_word: str, policies: Mapping[str, Policy] | None = None
) -> str:
    """Write a caption: "a photo of sks person, smiling, looking left, blue background".

    Args:
        traits: of `traits_of`.
        trigger, class_word: as in TrainingPlan; either may be empty.
        policies: by trait name; missing ones are the trait's own.
    """
    chosen = {**default_policies(), **(policies or {})}
    who = " ".join(w for w in (trigger.strip(), class_word.strip()) if w)
    parts = [f"a photo of {who}" if who else "a photo"]
    for trait in TRAITS:
        word = traits.get(trait.name)
        if word is None or chosen[trait.name] != "describe":
            continue
        if trait.name == "background":
            phrase = "" if word == "mixed" else f"{word} background"
        elif trait.name == "hair":
            phrase = f"{word} hair"
        else:
            phrase = _PHRASES[trait.name][word]
        if phrase:
            parts.append(phrase)
    return ", ".join(parts)


# -- coverage -------------------------------------------------------------------


@dataclass(frozen=True)
class CoverageRow:
    """How often each word of one trait occurs in a set.

    Attributes:
        counts: (word, photos) in the trait's order.
        unknown: photos in which it could not be told.
        missing: wanted words that no photo has.
    """

    name: str
    title: str
    counts: tuple[tuple[str, int], ...]
    unknown: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """What a set of photos has and lacks; `advice` is one sentence each, the most useful first."""

    photos: int
    rows: tuple[CoverageRow, ...]
    advice: tuple[str, ...] = field(default=())


FEW_PHOTOS, GOOD_PHOTOS = 6, 12
"""Below the first a person is learned as one picture; other studios train with 10 to 25."""

_ASK: dict[tuple[str, str], str] = {
    ("framing", "close-up"): "No close-up: add a photo in which the face fills at least half of the picture.",
    ("framing", "head and shoulders"): "No head-and-shoulders photo: add one from chest to hair.",
    ("framing", "half body"): "No half-body photo: without one, wider pictures of the person will be guessed.",
    ("direction", "straight"): "Nobody looks into the camera: add a photo from the front.",
    ("direction", "left"): "The head is never turned to the left of the picture: add one such photo.",
    ("direction", "right"): "The head is never turned to the right of the picture: add one such photo.",
    ("direction", "up"): "The head is never raised: add a photo that looks up a little.",
    ("direction", "down"): "The head is never lowered: add a photo that looks down a little.",
    ("expression", "neutral"): "No neutral face: add a photo with a calm face and closed mouth.",
    ("expression", "smiling"): "No smile: add a photo that shows one.",
    ("expression", "mouth open"): "The mouth is never open: add a photo while speaking or laughing.",
    ("light", "front"): "No even light: add a photo with light from the front.",
    ("light", "left"): "No light from the left: add a photo beside a window.",
    ("light", "right"): "No light from the right: add a photo beside a window.",
}


def coverage_of(sets: Sequence[Mapping[str, str]]) -> Coverage:
    """Say what a set has and lacks.

    Args:
        sets: the traits of each kept photo.
    """
    rows = []
    for trait in TRAITS:
        words = [t.get(trait.name) for t in sets]
        counts = tuple((value, words.count(value)) for value in trait.values)
        had = {value for value, count in counts if count}
        covers = had | ({"mouth open"} if "surprised" in had else set())
        missing = tuple(v for v in trait.wanted if v not in covers)
        rows.append(CoverageRow(trait.name, trait.title, counts, words.count(None), missing))
    return Coverage(len(sets), tuple(rows), _advice(len(sets), rows))


def _advice(photos: int, rows: Sequence[CoverageRow]) -> tuple[str, ...]:
    if photos == 0:
        return ("There is no photo to learn from yet.",)
    said = []
    if photos == 1:
        said.append("One photo is learned as that one picture; add at least five more.")
    elif photos < FEW_PHOTOS:
        said.append(f"{photos} photos are few; {FEW_PHOTOS} to {GOOD_PHOTOS} varied ones are learned much better.")
    said += [_ASK[(row.name, word)] for row in rows for word in row.missing if (row.name, word) in _ASK]
    by_name = {row.name: row for row in rows}
    seen = [value for value, count in by_name["background"].counts if count]
    if photos >= 3 and len(seen) == 1 and seen != ["mixed"]:
        said.append(f"Every background is {seen[0]}: it would be learned with the person; vary it.")
    for row in rows:
        top = max((count for _, count in row.counts), default=0)
        if row.name in ("direction", "expression", "light") and photos >= 8 and top > 0.85 * photos:
            value = next(v for v, count in row.counts if count == top)
            said.append(f"{top} of {photos} photos have the same {row.title.lower()} ({value}).")
    return tuple(said)
