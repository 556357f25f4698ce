"""How people behave in a conversation: who speaks, who looks where, who nods.

Pure: stretches of speech go in; out come, for every person, moments at which the eyes go elsewhere, and nods. What of
that a face shows stands in `dialogue_motion`. Knows nothing of pixels. Figures are those of people who talk in pairs:
who listens looks at the speaker most of the time, who speaks looks away more, above all when a turn begins, and back
when it ends (Kendon 1967; Argyle and Cook 1976); a listener takes .2 to .5 s to turn to whoever begins
(docs/dialogue.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone
from studio.domain.turns import Turn, merged

Array = NDArray[np.float64]
Span = tuple[float, float]
"""Beginning and end of a stretch of speech, seconds."""

VERSION = "1"
"""Raised whenever people move differently: a rerun promises the same frames, and refuses where it cannot."""
CAMERA, ASIDE = -1, -2
"""Where somebody looks who looks at nobody in the picture: into the camera, or to where nobody is."""
FADE_SECONDS = 0.015
"""A sound is eased in and out at a turn's ends."""
THOUGHT_SECONDS = 0.75
"""Pauses up to this are inside of what is said: whoever makes them has not begun to listen."""

_REACTION_SECONDS = (0.22, 0.52)  # until a listener turns to whoever begins
_BRIEF_SECONDS = 0.55  # a "yes" as short as this draws no eyes
_LISTENER_LOOKS, _LISTENER_AWAY = (3.2, 4.0), (0.5, 1.0)  # seconds at the speaker: at least, and mean beyond; away
_SPEAKER_LOOKS, _SPEAKER_AWAY = (1.6, 1.8), (0.7, 1.5)
_CAMERA_SHARE = 0.6  # of a speaker's looks away
_THINKS_FIRST = 0.35  # of turns begin with eyes elsewhere
_HANDS_OVER_SECONDS = 0.9  # before the end of a turn its speaker looks at the other
_CLOSES_SECONDS, _OPENS_SECONDS, _SEAL_RAMP = 0.30, 0.26, 0.22  # after one's speech, before it, slope
_NOD_EVERY = (2.6, 2.6)  # seconds at least, and mean beyond
_NOD_DEGREES = (1.6, 3.6)
_NOD_PULL_SECONDS = 0.9  # a nod waits so long for a pause of the speaker


@dataclass(frozen=True)
class Look:
    """From a moment on somebody looks somewhere.

    Attributes:
        at: index of a person, CAMERA or ASIDE.
    """

    seconds: float
    at: int


@dataclass(frozen=True)
class Nod:
    """A listener's nod.

    Attributes:
        seconds: when it begins.
        degrees: how deep.
        times: how often down and up.
    """

    seconds: float
    degrees: float
    times: int


@dataclass(frozen=True)
class Part:
    """What one person does in a conversation besides speaking.

    Attributes:
        spans: when they speak, in order and apart.
        looks: where they look, in order; the first at 0.
        nods: in order.
        seed: of what is left to chance.
    """

    spans: tuple[Span, ...]
    looks: tuple[Look, ...]
    nods: tuple[Nod, ...]
    seed: int


# -- who speaks ------------------------------------------------------------------------------


def spoken_spans(phones: Iterable[Phone]) -> tuple[Span, ...]:
    """Return when somebody speaks, from the phones of their sound; short pauses are part of it."""
    return merged([(p.start, p.end) for p in phones if p.label != SILENCE], THOUGHT_SECONDS)


def spans_of(turns: Sequence[Turn], person: int) -> tuple[Span, ...]:
    """Return when a person has the floor."""
    return merged([(t.start, t.end) for t in turns if t.person == person])


def words_of(turns: Sequence[Turn], person: int) -> str:
    """Return what a person says in all their turns; empty where one of them has no words."""
    said = [t.words for t in turns if t.person == person]
    return " ".join(said) if all(said) else ""


def only(samples: NDArray[np.float32], rate_hz: int, spans: Sequence[Span]) -> NDArray[np.float32]:
    """Return a sound that is silent outside of stretches of time, with soft ends inside of them.

    Args:
        samples: -1..1.  # (N,)

    Returns:
        As long as it was.  # (N,)
    """
    out = np.zeros_like(samples)
    for start, end in merged(spans):
        first, last = max(0, round(start * rate_hz)), min(len(samples), round(end * rate_hz))
        if last <= first:
            continue
        count = last - first
        fade = np.minimum(np.arange(1, count + 1), np.arange(count, 0, -1)) / (FADE_SECONDS * rate_hz)
        out[first:last] = samples[first:last] * np.minimum(fade, 1)
    return out


# -- who looks where ---------------------------------------------------------------------------


def conversation(
    spans: Sequence[Sequence[Span]], duration_seconds: float, seed: int, pauses: Sequence[Sequence[float]] = ()
) -> tuple[Part, ...]:
    """Return what everybody does; same input and seed, same conversation.

    Args:
        spans: of each person, when they speak.
        duration_seconds: of the whole.
        seed: of what is left to chance.
        pauses: of each person, moments at which listeners may nod; none takes the ends of what is said.
    """
    joined = [merged(one) for one in spans]
    breaks = [list(pauses[i]) if i < len(pauses) else [] for i in range(len(joined))]
    breaks = [found or [end for _, end in own] for found, own in zip(breaks, joined, strict=True)]
    parts = []
    for person, own in enumerate(joined):
        rng = np.random.default_rng([seed, person, 7])
        looks = _looks(person, joined, duration_seconds, rng)
        heard = sorted(t for other, found in enumerate(breaks) if other != person for t in found)
        nods = _nods(own, [s for i, s in enumerate(joined) if i != person], heard, duration_seconds, rng)
        parts.append(Part(own, looks, nods, int(rng.integers(2**31))))
    return tuple(parts)


def _looks(person: int, spans: Sequence[Sequence[Span]], duration: float, rng: np.random.Generator) -> tuple[Look, ...]:
    """Return where one person looks."""
    own, listened = spans[person], _speaker_seen(person, spans, rng)
    edges = sorted({0.0, duration, *(t for span in own for t in span if 0 < t < duration)})
    looks: list[Look] = []
    for start, end in pairwise(edges):
        speaks = any(a <= start and end <= b for a, b in own)
        if speaks:
            _speak(looks, start, end, _addressed(start, listened, len(spans), person, rng), rng)
        else:
            _listen(looks, start, end, listened, rng)
    tidy = [looks[0]] if looks else [Look(0.0, _other(person, len(spans)))]
    for look in looks[1:]:
        if look.at != tidy[-1].at:
            tidy.append(look)
    return (replace(tidy[0], seconds=0.0), *tidy[1:])


def _other(person: int, people: int) -> int:
    return 1 if person == 0 and people > 1 else max(person - 1, 0)


def _speaker_seen(person: int, spans: Sequence[Sequence[Span]], rng: np.random.Generator) -> list[Look]:
    """Return whom a person would look at while listening: whoever began last, a moment after they began."""
    begun = sorted(
        (start, other)
        for other, found in enumerate(spans)
        for start, end in found
        if other != person and end - start >= _BRIEF_SECONDS
    )
    out: list[Look] = []
    for start, other in begun:
        if not out:
            out.append(Look(0.0, other))  # one knows who is about to speak
        elif out[-1].at != other:
            at = max(start + float(rng.uniform(*_REACTION_SECONDS)), out[-1].seconds + 0.3)
            out.append(Look(at, other))
    return out or [Look(0.0, _other(person, len(spans)))]


def _addressed(at: float, listened: Sequence[Look], people: int, person: int, rng: np.random.Generator) -> int:
    """Return to whom a turn is said: to whoever spoke last, sometimes to another."""
    last = next((look.at for look in reversed(listened) if look.seconds <= at), listened[0].at)
    others = [i for i in range(people) if i not in (person, last)]
    return int(rng.choice(others)) if others and rng.random() < 0.3 else last


def _speak(looks: list[Look], start: float, end: float, to: int, rng: np.random.Generator) -> None:
    """Add the looks of a turn: away to think, at the other, now and then into the camera, back at its end."""
    time, until = start, end - _HANDS_OVER_SECONDS
    thinks = end - start > 2.5 and rng.random() < _THINKS_FIRST
    if thinks:
        looks.append(Look(time, ASIDE))
        time += float(rng.uniform(0.5, 1.0))
    looks.append(Look(time, to))
    while True:
        time += _SPEAKER_LOOKS[0] + float(rng.exponential(_SPEAKER_LOOKS[1]))
        away = float(rng.uniform(*_SPEAKER_AWAY))
        if time + away > until:
            return
        looks.append(Look(time, CAMERA if rng.random() < _CAMERA_SHARE else ASIDE))
        time += away
        looks.append(Look(time, to))


def _listen(looks: list[Look], start: float, end: float, listened: Sequence[Look], rng: np.random.Generator) -> None:
    """Add the looks of somebody who listens: at the speaker, with short looks away."""
    here = [look for look in listened if look.seconds <= start][-1:] or [listened[0]]
    changes = [replace(here[0], seconds=start), *(look for look in listened if start < look.seconds < end)]
    for look, following in pairwise([*changes, Look(end, CAMERA)]):
        time = look.seconds
        looks.append(look)
        while True:
            time += _LISTENER_LOOKS[0] + float(rng.exponential(_LISTENER_LOOKS[1]))
            away = float(rng.uniform(*_LISTENER_AWAY))
            if time + away > following.seconds - 0.5:
                break
            looks.append(Look(time, ASIDE))
            time += away
            looks.append(Look(time, look.at))


def _nods(
    own: Sequence[Span], others: Sequence[Sequence[Span]], pauses: Sequence[float], duration: float,
    rng: np.random.Generator,
) -> tuple[Nod, ...]:  # fmt: skip
    """Return the nods of a listener, drawn to the pauses of whoever speaks."""
    out: list[Nod] = []
    time = float(rng.uniform(1.0, 2.5))
    speech = merged([span for found in others for span in found], THOUGHT_SECONDS)
    while time < duration - 0.8:
        near = [p for p in pauses if time - 0.2 < p < time + _NOD_PULL_SECONDS]
        at = near[0] + float(rng.uniform(0.0, 0.15)) if near else time
        depth, times = float(rng.uniform(*_NOD_DEGREES)), int(rng.choice([1, 1, 2, 2, 3]))
        heard = any(a + 0.6 < at < b + 0.6 for a, b in speech)
        free = not any(a - 1.0 < at < b + 0.5 for a, b in own)
        if heard and free and at < duration - 0.5 and (not out or at - out[-1].seconds > 1.2):
            out.append(Nod(at, depth, times))
        time = max(at, time) + _NOD_EVERY[0] + float(rng.exponential(_NOD_EVERY[1]))
    return tuple(out)


def looks_at(part: Part, times: Array) -> NDArray[np.intp]:
    """Return whom somebody looks at at each moment.  # (T,)"""
    begins = np.array([look.seconds for look in part.looks])
    row = np.maximum(np.searchsorted(begins, times + 1e-9, side="right") - 1, 0)
    return np.array([look.at for look in part.looks], np.intp)[row]


def listening(part: Part, times: Array) -> Array:
    """Return how much somebody listens at each moment: 0 speaking .. 1 lips closed, with slopes.  # (T,)"""
    out = np.ones(len(times))
    for start, end in part.spans:
        opens = smooth((times - (start - _OPENS_SECONDS)) / _SEAL_RAMP)
        closes = smooth((times - (end + _CLOSES_SECONDS - _SEAL_RAMP)) / _SEAL_RAMP)
        out = np.minimum(out, 1 - np.minimum(opens, 1 - closes))
    return out


def smooth(x: Array) -> Array:
    """Return 0 below 0, 1 above 1, and a slope without corners between."""
    held = np.clip(x, 0, 1)
    return np.asarray(held**3 * (10 - 15 * held + 6 * held * held))
