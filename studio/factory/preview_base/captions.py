"""The sentences that go with rendered pictures, whole or with words left out.

A base that has only seen complete captions does not know "a photo of a
person". In training the parts of a caption are therefore dropped and shuffled
by chance; `caption` and `caption_of` give the complete sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from studio.factory.preview_base.people import RenderedPicture, check_labels

EMPTY_SHARE = 0.1
"""Share of training captions that are empty, for classifier-free guidance."""

_OPENINGS = ("a photo of", "a photo of", "a photo of", "portrait of", "a portrait of", "photo of", "a picture of")


def caption(picture: RenderedPicture) -> str:
    """Return the complete caption of a picture."""
    return caption_of(picture.labels)


def caption_of(labels: Mapping[str, str]) -> str:
    """Return the caption that asks for some attributes; those left out are not mentioned.

    Args:
        labels: attribute -> value, as in `rendered_faces.ATTRIBUTES`.

    Returns:
        Such as "a photo of a young woman with long red hair, pale skin, glasses, smiling, blue background,
        looking left, light from the right". What is absent (glasses, beard) is not mentioned.

    Raises:
        UserInputError: an attribute or value does not exist.
    """
    check_labels(labels)
    hair = _hair_words(labels)
    parts = [f"a photo of {_who(labels)}" + (f" with {hair}" if hair and hair != "bald" else "")]
    if hair == "bald":
        parts.append(hair)
    return ", ".join(parts + list(_rest(labels).values()))


def training_caption(labels: Mapping[str, str], rng: np.random.Generator) -> str:
    """Return a caption as training sees it: words dropped, parts shuffled, sometimes nothing at all.

    Args:
        labels: every attribute of the picture.
        rng: the only source of chance.
    """
    if rng.random() < EMPTY_SHARE:
        return ""
    keep = (1.0, 0.7, 0.3)[int(rng.choice(3, p=(0.68, 0.2, 0.12)))]
    kept = {n: v for n, v in labels.items() if rng.random() < _keep_chance(n, v, keep)}
    hair, rest = _hair_words(kept), _rest(kept)
    if kept.get("glasses") == "no" and rng.random() < 0.3:
        rest["glasses"] = "no glasses"
    elif kept.get("glasses") == "yes" and rng.random() < 0.2:
        rest["glasses"] = "wearing glasses"
    if kept.get("beard") == "no" and rng.random() < 0.1:
        rest["beard"] = "no beard"
    opening = f"{_OPENINGS[int(rng.integers(len(_OPENINGS)))]} {_who(kept)}"
    others = list(rest.values())
    if rng.random() < 0.4:
        rng.shuffle(others)
    if hair and hair != "bald" and rng.random() < 0.8:
        opening += f" with {hair}"
    elif hair:
        others.insert(int(rng.integers(len(others) + 1)), hair)
    elif "beard" in rest and labels["beard"] == "yes" and rng.random() < 0.5:
        opening += f" with {rest['beard']}"
        others.remove(rest["beard"])
    return ", ".join([opening, *others])


def _keep_chance(name: str, value: str, keep: float) -> float:
    """Return how likely an attribute is mentioned; glasses and beards nearly always are.

    Were they often left out, a prompt without them could not mean their absence.
    """
    if name in ("glasses", "beard"):
        return 1.0 if value == "yes" and keep > 0.5 else 0.6
    if name in ("age", "sex"):
        return max(keep, 0.6) * 0.95
    return keep


def _who(labels: Mapping[str, str]) -> str:
    words = [labels[n] for n in ("age",) if n in labels] + [labels.get("sex", "person")]
    return f"{'an' if words[0] == 'old' else 'a'} {' '.join(words)}"


def _hair_words(labels: Mapping[str, str]) -> str:
    color, length = labels.get("hair_color"), labels.get("hair_length")
    if "bald" in (color, length):
        return "bald"
    if color is None and length is None:
        return ""
    if length == "bun":
        return f"{color + ' ' if color else ''}hair in a bun"
    return " ".join(w for w in (length, color, "hair") if w)


def _rest(labels: Mapping[str, str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for name in ("skin", "glasses", "beard", "expression", "background", "direction", "light"):
        value = labels.get(name)
        if value is None or (name in ("glasses", "beard") and value == "no"):
            continue
        words[name] = {
            "skin": f"{value} skin",
            "glasses": "glasses",
            "beard": "a beard",
            "expression": "neutral expression" if value == "neutral" else value,
            "background": f"{value} background",
            "direction": f"looking {value}",
            "light": f"light from the {value}",
        }[name]
    return words
