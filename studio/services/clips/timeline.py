"""A performance along time, as it is looked at: the sound's loudness, words and sounds, keys and emotions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from studio.domain.performance_document import KeyframesLayer, PerformanceDocument, SpeechLayer
from studio.domain.speech import SpeechAnalysis
from studio.engines.base import Sound

PEAKS = 600
"""Loudness is told at so many places."""


@dataclass(frozen=True)
class Mark:
    """A key or an emotion at a moment.

    Attributes:
        what: the control or the emotion.
        layer: that holds the key; "" for an emotion.
    """

    seconds: float
    what: str
    value: float
    layer: str = ""


@dataclass(frozen=True)
class Timeline:
    """What lies along the time of a performance.

    Attributes:
        peaks: loudest sample in each of PEAKS equal parts of the whole, 0..1; empty without speech.
        layer: id of the layer that speaks; None where none does.
        at_seconds: when its sound begins; words and phones of `analysis` count from there.
        analysis: what is said; None where nothing is.
        marks: in order of time.
    """

    duration_seconds: float
    peaks: tuple[float, ...]
    layer: str | None
    at_seconds: float
    analysis: SpeechAnalysis | None
    marks: tuple[Mark, ...]


def timeline_of(
    document: PerformanceDocument, layer: SpeechLayer | None, heard: tuple[Sound, SpeechAnalysis] | None
) -> Timeline:
    """Return what lies along a performance.

    Args:
        layer: the one that speaks, with what is `heard` of it.
    """
    marks = [
        Mark(key.seconds, key.control, key.value, one.id)
        for one in document.layers
        if isinstance(one, KeyframesLayer)
        for key in one.keys
    ]
    marks += [Mark(m.seconds, m.emotion, m.strength) for m in document.emotions]
    ordered = tuple(sorted(marks, key=lambda mark: (mark.seconds, mark.what)))
    if layer is None or heard is None:
        return Timeline(document.duration_seconds, (), None, 0.0, None, ordered)
    peaks = _peaks(heard[0], layer.at_seconds, document.duration_seconds)
    return Timeline(document.duration_seconds, peaks, layer.id, layer.at_seconds, heard[1], ordered)


def speaking_layer(document: PerformanceDocument, layer: str | None = None) -> SpeechLayer | None:
    """Return a layer that speaks: the named one, else the first; None where there is none."""
    spoken = {one.id: one for one in document.layers if isinstance(one, SpeechLayer)}
    return spoken.get(layer) if layer else next(iter(spoken.values()), None)


def rows_of(timeline: Timeline) -> Mapping[str, object]:
    """Return words, sounds and marks as plain rows, times in seconds of the performance, for programs."""
    said, at = timeline.analysis, timeline.at_seconds
    return {
        "duration_seconds": timeline.duration_seconds,
        "layer": timeline.layer,
        "words": [[w.text, w.start + at, w.end + at] for w in (said.words if said else ())],
        "phones": [[p.label, p.start + at, p.end + at] for p in (said.phones if said else ())],
        "marks": [[m.seconds, m.what, m.value, m.layer] for m in timeline.marks],
    }


def _peaks(sound: Sound, at_seconds: float, seconds: float) -> tuple[float, ...]:
    """Return the loudest sample of each part of the performance, the loudest of all 1."""
    borders = (np.linspace(0, seconds, PEAKS + 1) - at_seconds) * sound.rate_hz
    places = np.clip(borders.astype(int), 0, len(sound.samples))
    loud = np.abs(sound.samples)
    found = np.array([loud[a:b].max() if b > a else 0.0 for a, b in itertools.pairwise(places)])
    return tuple((found / max(float(found.max()), 1e-6)).round(3).tolist())
