"""Small line plots as SVG text: no script, no picture file, legible in light and dark and on a phone.

A plot is a figure with a caption that holds the newest value, the drawing with
a title and a description for screen readers, and a fold with the same numbers
as a table. Colors are CSS variables, so the page's scheme needs no redraw.
Pure functions from numbers to text; what the numbers mean is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
WIDTH, HEIGHT = 360, 172
LEFT, RIGHT, TOP, BOTTOM = 38, 12, 10, 24
LARGEST = 1e30
MOST_POINTS = 180
"""More points than this fall on the same pixels at the width a plot has on the page."""
TABLE_ROWS = 12


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        points: (x, y), x not falling; values that are no number, or beyond LARGEST, are left out.
        style: "main", "faint" (the raw values behind a smoothed line) or "second".
        dots: draw every point as a dot, with its value as a tooltip.
    """

    name: str
    points: Sequence[Point]
    style: str = "main"
    dots: bool = False


@dataclass(frozen=True)
class Band:
    """A range of y that means something, such as how much a person's own photos vary."""

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Plot:
    """Everything one figure shows.

    Attributes:
        about: one sentence for people who do not see the drawing.
        form: writes a y value.
        y_range: what must be visible; widened by the data.
        x_end: the last x of the axis, so that a run's plot fills up from the left.
        mark: x of a vertical line, such as the suggested checkpoint, with its label.
        across: what x counts.
        told: stands beside the title; the newest value where nothing is said.
    """

    title: str
    about: str
    lines: Sequence[Line]
    form: Callable[[float], str] = "{:.3g}".format
    y_range: tuple[float, float] | None = None
    x_end: float | None = None
    band: Band | None = None
    mark: tuple[float, str] | None = None
    empty: str = "No values yet."
    across: str = "step"
    told: str = ""


def drawable(y: float) -> bool:
    """Say whether a value can be drawn: a number, and not so large that only its size would be seen."""
    return abs(y) < LARGEST


def smoothed(points: Sequence[Point], weight: float = 0.9) -> list[Point]:
    """Return the running mean that forgets by `weight` per point, without the pull towards a start value.

    Args:
        weight: 0 keeps the points as they are; .9 looks back about ten points.
    """
    out: list[Point] = []
    total = norm = 0.0
    for x, y in points:
        if not drawable(y):
            continue
        total, norm = weight * total + (1 - weight) * y, weight * norm + (1 - weight)
        out.append((x, total / norm))
    return out


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most about `most` points: of every stretch the lowest and the highest, and always the last."""
    whole = [p for p in points if drawable(p[1])]
    if len(whole) <= most:
        return whole
    out: list[Point] = []
    stretch = math.ceil(2 * len(whole) / most)
    for begin in range(0, len(whole), stretch):
        part = whole[begin : begin + stretch]
        out += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return out if out[-1] == whole[-1] else [*out, whole[-1]]


TINIEST = 1e-200
"""Ranges below it have no digits left to write on an axis."""


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers from `low` to `high`, about `count` of them."""
    if not high - low > TINIEST:
        return [low]
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def figure(plot: Plot) -> str:
    """Return the figure: caption with the newest value, drawing, table."""
    main = next((line for line in plot.lines if line.style == "main"), None)
    finite = [p for p in (main.points if main else ()) if drawable(p[1])]
    newest = f"<b>{escape(plot.told or plot.form(finite[-1][1]))}</b>" if finite else ""
    caption = f"<figcaption><span>{escape(plot.title)}</span>{newest}</figcaption>"
    if not finite:
        return f'<figure class="plot empty-plot">{caption}<p class="fine">{escape(plot.empty)}</p></figure>'
    return f'<figure class="plot">{caption}{_drawing(plot)}{_legend(plot)}{_table(plot)}</figure>'


def _drawing(plot: Plot) -> str:
    points = [p for line in plot.lines for p in line.points if drawable(p[1])]
    x0, x1 = min(p[0] for p in points), max(max(p[0] for p in points), plot.x_end or 0.0)
    x0 = min(x0, 0.0) if plot.x_end else x0
    x1 = x1 if x1 > x0 else x0 + 1.0
    y0, y1 = _y_range(plot, [p[1] for p in points])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (min(max(y, y0), y1) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    key = f"plot-{abs(hash((plot.title, len(points), points[-1]))):x}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escape(plot.title)}</title><desc id="{key}-d">{escape(plot.about)}</desc>'
        + _axes(plot, at, (x0, x1), (y0, y1))
        + "".join(_line(line, at, plot) for line in plot.lines)
        + "</svg>"
    )


def _y_range(plot: Plot, values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if plot.y_range:
        low, high = min(low, plot.y_range[0]), max(high, plot.y_range[1])
    if plot.band:
        low, high = min(low, plot.band.low), max(high, plot.band.high)
    if not high > low:
        room = abs(high) * 0.1 or 1.0
        return low - room, high + room
    room = 0.06 * (high - low)
    pinned = plot.y_range is not None and low == plot.y_range[0]
    return (low if pinned else low - room), high + room


def _axes(plot: Plot, at: Callable[[float, float], Point], xs: tuple[float, float], ys: tuple[float, float]) -> str:
    out = []
    if plot.band:
        (left, top), (right, bottom) = at(xs[0], plot.band.high), at(xs[1], plot.band.low)
        out.append(
            f'<rect class="band" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{max(bottom - top, 1.5):.1f}"><title>{escape(plot.band.label)}</title></rect>'
        )
    for y in ticks(*ys):
        left, height = at(xs[0], y)
        out.append(f'<line class="rule" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{height + 3.5:.1f}" text-anchor="end">{escape(plot.form(y))}</text>')
    for x in ticks(*xs, count=5):
        across, _ = at(x, ys[0])
        anchor = "end" if across > WIDTH - RIGHT - 8 else "middle"
        out.append(f'<text x="{across:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">{x:g}</text>')
    if plot.mark:
        across, top = at(plot.mark[0], ys[1])
        out.append(
            f'<line class="mark-line" x1="{across:.1f}" x2="{across:.1f}" y1="{top:.1f}" y2="{HEIGHT - BOTTOM}">'
            f"<title>{escape(plot.mark[1])}</title></line>"
        )
    return "".join(out)


def _line(line: Line, at: Callable[[float, float], Point], plot: Plot) -> str:
    shown = thinned(line.points)
    if not shown:
        return ""
    places = [at(x, y) for x, y in shown]
    path = " ".join(f"{'M' if k == 0 else 'L'}{x:.1f} {y:.1f}" for k, (x, y) in enumerate(places))
    out = f'<path class="line {escape(line.style)}" d="{path}"/>'
    dotted = zip(shown, places, strict=True) if line.dots else [(shown[-1], places[-1])]
    if line.style == "faint":
        return out
    for (x, y), (across, height) in dotted:
        words = f"{line.name}: {plot.form(y)} at {plot.across} {x:g}"
        out += (
            f'<circle class="dot {escape(line.style)}" cx="{across:.1f}" cy="{height:.1f}" r="3">'
            f"<title>{escape(words)}</title></circle>"
        )
    return out


def _legend(plot: Plot) -> str:
    rows = [(line.style, line.name) for line in plot.lines if line.points]
    rows += [("band", plot.band.label)] if plot.band else []
    rows += [("mark-line", plot.mark[1])] if plot.mark else []
    if len(rows) < 2:
        return ""
    inside = "".join(f'<li><i class="{escape(style)}"></i>{escape(name)}</li>' for style, name in rows)
    return f'<ul class="legend" aria-hidden="true">{inside}</ul>'


def _table(plot: Plot) -> str:
    """Return the numbers of the lines that are not faint, at most TABLE_ROWS steps of them."""
    lines = [line for line in plot.lines if line.style != "faint" and line.points]
    steps = sorted({x for line in lines for x, _ in line.points})
    if len(steps) > TABLE_ROWS:
        steps = [steps[round(k * (len(steps) - 1) / (TABLE_ROWS - 1))] for k in range(TABLE_ROWS)]
    values = [dict(line.points) for line in lines]
    head = "".join(f'<th scope="col">{escape(line.name)}</th>' for line in lines)
    body = "".join(
        f'<tr><th scope="row">{x:g}</th>'
        + "".join(f"<td>{escape(plot.form(v[x])) if x in v else ''}</td>" for v in values)
        + "</tr>"
        for x in steps
    )
    across = escape(plot.across.capitalize())
    return (
        f'<details class="numbers" data-key="numbers-{escape(plot.title)}"><summary>As numbers</summary>'
        f'<div class="table-wrap"><table><thead><tr><th scope="col">{across}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )
