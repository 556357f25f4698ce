"""Leaks: whether an adapter turns strangers into its person, as numbers and one sentence of advice.

Strangers are drawn twice with the same seeds, without and with the adapter.
How far each moves towards the person is read on a scale on which 0 is the
stranger as the base draws them and 1 the person's own likeness. The mean comes
with twice its standard error, because two faces differ by chance too. Nothing
here draws or measures faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

StrangerKind = Literal["class", "name", "other", "style"]
LEAK_LIMIT = 0.15
"""Below it a leak is called fine; a choice."""
KEPT_LIKENESS = 0.6
"""Share of the likeness at full strength that a lower strength must keep to be advised; a choice."""


@dataclass(frozen=True)
class Stranger:
    """A prompt for somebody else."""

    prompt: str
    kind: StrangerKind


def strangers(class_word: str) -> tuple[Stranger, ...]:
    """Return prompts for people who are not the person; the class itself first.

    Args:
        class_word: what the person was trained as one of.
    """
    others = [w for w in ("man", "woman") if w != class_word]
    return (
        Stranger(f"a photo of a {class_word}", "class"),
        Stranger("a photo of Anna", "name"),
        Stranger("a photo of James", "name"),
        *(Stranger(f"a photo of a {word}", "other") for word in others),
        Stranger("a photo of an old man", "other"),
        Stranger("a photo of a young woman", "other"),
        Stranger(f"a painting of a {class_word}", "style"),
    )


@dataclass(frozen=True)
class StrangerPicture:
    """One stranger drawn without and with the adapter, same seed.

    Attributes:
        before, after: distance to the person; None where no face was found.
        drift: mean change of the picture, 0..1 of the full range.
    """

    stranger: Stranger
    seed: int
    before: float | None
    after: float | None
    drift: float


@dataclass(frozen=True)
class StrengthResult:
    """What one strength does.

    Attributes:
        leak: mean move of strangers towards the person, 0 none .. 1 they became the person; None if not measurable.
        noise: twice the standard error of `leak`; a smaller leak means nothing.
        drift: mean change of strangers' pictures, 0..1 of the full range.
        likeness: of pictures of the person, on the same scale; None if not measurable.
        measured: pairs with a face in both pictures, of `drawn`.
        worst: the prompt that leaks most.
    """

    strength: float
    leak: float | None
    noise: float | None
    drift: float
    likeness: float | None
    measured: int
    drawn: int
    worst: str = ""


@dataclass(frozen=True)
class LeakReport:
    """What a leak test found.

    Attributes:
        results: by strength, the strongest first.
        center: what strangers were compared with: the person's photos, or pictures the adapter draws of them.
        advice: one sentence.
        advised_strength: None when no strength helps, or nothing was measurable.
    """

    results: tuple[StrengthResult, ...]
    center: Literal["photos", "drawn"]
    advice: str
    advised_strength: float | None
    seconds: float = 0.0

    @property
    def full(self) -> StrengthResult:
        """The result at the highest strength."""
        return self.results[0]

    def values(self) -> dict[str, Any]:
        """Return the report as JSON values, for the adapter's measures."""
        return {
            "results": [vars(result) for result in self.results],
            "center": self.center,
            "advice": self.advice,
            "advised_strength": self.advised_strength,
            "seconds": round(self.seconds, 2),
        }


def strength_result(
    strength: float, pictures: Sequence[StrangerPicture], person: Sequence[float], own: float
) -> StrengthResult:
    """Summarize the strangers drawn at one strength.

    Args:
        person: distances of pictures of the person, drawn with the adapter.
        own: distance that counts as the person themselves.
    """
    drift = fmean(p.drift for p in pictures) if pictures else 0.0
    pairs = [(p, p.before, p.after) for p in pictures if p.before is not None and p.after is not None]
    room = fmean(before for _, before, _ in pairs) - own if pairs else 0.0
    if len(pairs) < 2 or room <= 0.0:
        return StrengthResult(strength, None, None, drift, None, len(pairs), len(pictures))
    moves = [(before - after) / room for _, before, after in pairs]
    by_prompt: dict[str, list[float]] = {}
    for (picture, _, _), move in zip(pairs, moves, strict=True):
        by_prompt.setdefault(picture.stranger.prompt, []).append(move)
    worst = max(by_prompt, key=lambda prompt: fmean(by_prompt[prompt]))
    stranger = fmean(before for _, before, _ in pairs)
    likeness = (stranger - fmean(person)) / room if person else None
    noise = 2.0 * stdev(moves) / len(moves) ** 0.5
    return StrengthResult(strength, fmean(moves), noise, drift, likeness, len(pairs), len(pictures), worst)


def leak_report(
    results: Sequence[StrengthResult], center: Literal["photos", "drawn"], *, seconds: float = 0.0
) -> LeakReport:
    """Say what to do about what was measured.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError("a report needs at least one strength")
    ordered = tuple(sorted(results, key=lambda r: -r.strength))
    full = ordered[0]
    if full.leak is None or full.noise is None:
        advice = "Not measurable: too few faces were found in the pictures."
        return LeakReport(ordered, center, advice, None, seconds)
    said = f"strangers move {full.leak:.0%} of the way to this person (give or take {full.noise:.0%})"
    if full.leak <= LEAK_LIMIT:
        return LeakReport(ordered, center, f"Fine: {said}.", full.strength, seconds)
    for result in ordered[1:]:
        keeps = full.likeness is None or result.likeness is None or result.likeness >= KEPT_LIKENESS * full.likeness
        if result.leak is not None and result.leak <= LEAK_LIMIT and keeps:
            advice = f"Lower the strength to {result.strength:g}: at {full.strength:g} {said}, there {result.leak:.0%}."
            return LeakReport(ordered, center, advice, result.strength, seconds)
    advice = f"Train again with more prior pictures or a higher prior weight, or fewer steps: {said}."
    return LeakReport(ordered, center, advice, None, seconds)
