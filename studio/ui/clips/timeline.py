"""The timeline of a performance: loudness, words, sounds with borders to drag, keys and emotions, and a moment.

Drawn here as plain elements; the page's script (window.js) drags, zooms and
tells of what was done when it is done: `{"act": "scrub", "seconds": 1.2}`,
`{"act": "boundary", "index": 4, "seconds": 1.2}` or `{"act": "word", "index":
3, "text": "going to"}`. Long performances are shown a minute at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import CONTROL
from studio.services.clips.timeline import Mark, Timeline

SHOWN_SECONDS = 60.0
SILENT = {"SIL": "·"}
_HALF = 50


def component(elem_id: str) -> gr.HTML:
    """Return the empty timeline."""
    return gr.HTML("", elem_id=elem_id, js_on_load="window.studioTimeline(element, trigger);", apply_default_css=False)


def shown_part(duration_seconds: float, at_seconds: float) -> tuple[float, float]:
    """Return from when to when the timeline shows a performance: the minute that holds a moment."""
    inside = min(max(at_seconds, 0.0), max(duration_seconds - 1e-6, 0.0))
    first = SHOWN_SECONDS * int(inside // SHOWN_SECONDS)
    return first, min(duration_seconds, first + SHOWN_SECONDS)


def curves(values: Mapping[str, NDArray[np.float64]], first: float) -> str:
    """Return the curves of controls, for the page to lay into the timeline that begins at the same second.

    Args:
        values: of each control, evenly spaced over what the timeline shows.  # (T,)
        first: second at which they begin.
    """
    lines, names = "", ""
    for i, (name, amounts) in enumerate(values.items()):
        control = CONTROL[name]
        reach = max(abs(control.minimum), abs(control.maximum))
        across = np.linspace(0, 1000, len(amounts))
        points = " ".join(f"{x:.1f},{50 - 48 * v / reach:.1f}" for x, v in zip(across, amounts, strict=True))
        lines += f'<polyline class="tl-curve-{i}" points="{points}" vector-effect="non-scaling-stroke"/>'
        names += f'<span class="tl-curve-{i}">{escape(control.label)}</span>'
    if not lines:
        return ""
    return (
        f'<div class="tl-lines" data-first="{first:.4f}" hidden><svg viewBox="0 0 1000 100" preserveAspectRatio="none" '
        f'role="img" aria-label="Curves over time"><path d="M0 50H1000" vector-effect="non-scaling-stroke"/>{lines}'
        f'</svg><div class="tl-names">{names}</div></div>'
    )


def drawn(timeline: Timeline, at_seconds: float = 0.0, sound_url: str = "") -> str:
    """Return the elements of a timeline, the minute that holds a moment.

    Args:
        at_seconds: the moment that is looked at.
        sound_url: where the page gets what is heard; "" plays in silence.
    """
    whole = timeline.duration_seconds
    first, last = shown_part(whole, at_seconds)
    length = max(last - first, 1e-3)

    def place(start: float, end: float) -> str:
        left, right = (min(max((s - first) / length, 0.0), 1.0) * 100 for s in (start, end))
        return f"left:{left:.3f}%;width:{right - left:.3f}%"

    said, at = timeline.analysis, timeline.at_seconds
    words, phones, edges = "", "", ""
    if said is not None:
        words = "".join(
            f'<span tabindex="0" role="button" data-word="{i}" data-key="word-{i}" '
            f'style="{place(w.start + at, w.end + at)}" '
            f'title="{escape(w.text)}: press twice, or Enter, to mend it">{escape(w.text)}</span>'
            for i, w in enumerate(said.words)
            if _seen(w, at, first, last)
        )
        shown = [(i, p) for i, p in enumerate(said.phones) if _seen(p, at, first, last)]
        phones = _boxes((SILENT.get(p.label, p.label), place(p.start + at, p.end + at)) for _, p in shown)
        edges = "".join(
            f'<i class="tl-edge" tabindex="0" role="slider" data-index="{i}" data-key="edge-{i}" '
            f'data-seconds="{p.start + at:.4f}" style="left:{(p.start + at - first) / length * 100:.3f}%" '
            f'aria-valuenow="{p.start + at:.2f}" aria-label="{escape(said.phones[i - 1].label)} ends, '
            f'{escape(p.label)} begins"></i>'
            for i, p in shown
            if i and first < p.start + at < last
        )
    marks = "".join(_mark(m, (m.seconds - first) / length * 100) for m in timeline.marks if first <= m.seconds <= last)
    more = ""
    if whole > SHOWN_SECONDS:
        more = f'<span class="fine">{first:.0f} to {last:.0f} of {whole:.0f} s; move the moment for the rest</span>'
    return (
        f'<div class="timeline" data-first="{first:.4f}" data-seconds="{length:.4f}" data-sound="{escape(sound_url)}">'
        '<div class="tl-tools"><button type="button" class="mini" data-zoom="2" aria-label="Zoom in">+</button>'
        '<button type="button" class="mini" data-zoom="0.5" aria-label="Zoom out">−</button>'
        '<button type="button" class="mini" data-play="play" aria-pressed="false">Play</button>'
        '<button type="button" class="mini" data-play="from" title="The loop begins at the moment">From here</button>'
        '<button type="button" class="mini" data-play="to" title="The loop ends at the moment">To here</button>'
        '<button type="button" class="mini" data-play="all" hidden>All</button>'
        f'<output class="tl-now">{at_seconds:.2f} s</output>{more}</div>'
        '<div class="tl-scroll"><div class="tl-inner">'
        f'<div class="tl-wave" tabindex="0" role="slider" data-key="tl-wave" aria-label="Moment" '
        f'aria-valuenow="{at_seconds:.2f}">{_wave(timeline, first, last)}</div>'
        f'<div class="tl-lane tl-words">{words}</div><div class="tl-lane tl-phones">{phones}{edges}</div>'
        f'<div class="tl-lane tl-marks">{marks}</div><div class="tl-curves"></div><i class="tl-span" hidden></i>'
        f'<i class="tl-head" style="left:{min(max((at_seconds - first) / length, 0), 1) * 100:.3f}%"></i>'
        "</div></div></div>"
    )


def _seen(piece: object, at: float, first: float, last: float) -> bool:
    start, end = getattr(piece, "start", 0.0) + at, getattr(piece, "end", 0.0) + at
    return end > first and start < last


def _boxes(pieces: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<span style="{place}" title="{escape(t)}">{escape(t)}</span>' for t, place in pieces)


def _mark(mark: Mark, left: float) -> str:
    label = CONTROL[mark.what].label if mark.layer and mark.what in CONTROL else mark.what.capitalize()
    kind = "key" if mark.layer else "emotion"
    said = escape(f"{label} {mark.value:g} at {mark.seconds:.2f} s")
    return f'<b class="tl-{kind}" style="left:{left:.3f}%" title="{said}" aria-label="{said}"></b>'


def _wave(timeline: Timeline, first: float, last: float) -> str:
    """Return the loudness as one filled line."""
    peaks, whole = timeline.peaks, max(timeline.duration_seconds, 1e-6)
    if not peaks:
        return ""
    part = peaks[int(first / whole * len(peaks)) : max(int(last / whole * len(peaks)), 1)] or (0.0,)
    step = 1000 / len(part)
    above = [f"{(i + 0.5) * step:.1f},{_HALF - max(p, 0.01) * (_HALF - 2):.1f}" for i, p in enumerate(part)]
    below = [f"{(i + 0.5) * step:.1f},{_HALF + max(p, 0.01) * (_HALF - 2):.1f}" for i, p in enumerate(part)]
    line = " ".join([*above, *reversed(below)])
    return f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true"><polygon points="{line}"/></svg>'
