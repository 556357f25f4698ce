"""Words and small pieces of HTML: everything here escapes what it is given.

Pure functions from values to text; Gradio is not needed to test them. Cards
carry `data-act` and `data-id` for the one click listener in controls.py, and
`data-key` so that the focus survives when a list is drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape

from studio.domain.likeness import likeness_figure
from studio.domain.training import judged


@dataclass(frozen=True)
class Card:
    """One thing in a grid: a picture, a title, a line beneath it.

    Attributes:
        id, act: what a click reports.
        picture: relative address; empty draws an icon.
        corner: short text in the corner of the picture, such as "0:12" or a number.
        tone: "", "good", "warn" or "bad", for the line beneath.
        extras: further small buttons: (act, label, accessible name).
    """

    id: str
    title: str
    line: str = ""
    picture: str = ""
    corner: str = ""
    mark: str = ""
    tone: str = ""
    act: str = "open"
    selected: bool = False
    icon: str = "photo"
    extras: Sequence[tuple[str, str, str]] = field(default_factory=tuple)


def span(seconds: float | None) -> str:
    """Return a length of time as a person says it: "40 s", "3 min", "1 h 5 min"."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(seconds: float | None) -> str:
    """Return a clip's length as minutes and seconds: "0:07"."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def when(moment: datetime | None, now: datetime | None = None) -> str:
    """Return a moment in the computer's own time: "today 14:03", "21 Nov 14:03"."""
    if moment is None:
        return ""
    local, today = moment.astimezone(), (now or datetime.now().astimezone()).astimezone()
    days = (today.date() - local.date()).days
    if days in (0, 1):
        return f"{'today' if days == 0 else 'yesterday'} {local:%H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}" if local.year == today.year else f"{local.day} {local:%b %Y}"


def size(count: float) -> str:
    """Return a number of bytes in words: "3.4 MB"."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def empty(title: str, body: str, icon: str = "photo") -> str:
    """Return an empty state: what is missing, and what to do next."""
    return (
        f'<div class="empty"><span class="glyph" style="--icon:var(--icon-{escape(icon)})" aria-hidden="true"></span>'
        f"<strong>{escape(title)}</strong><p>{escape(body)}</p></div>"
    )


def notice(message: str, hint: str = "", tone: str = "info") -> str:
    """Return an inline card with one sentence and a hint."""
    role = "alert" if tone == "bad" else "status"
    extra = f"<span>{escape(hint)}</span>" if hint else ""
    return f'<div class="notice {escape(tone)}" role="{role}"><strong>{escape(message)}</strong>{extra}</div>'


def hints(sentences: Iterable[str], fine: str = "") -> str:
    """Return quality hints as a short list; `fine` is said when there are none."""
    rows = list(dict.fromkeys(sentences))
    if not rows:
        return f'<p class="fine" role="status">{escape(fine)}</p>' if fine else ""
    return '<ul class="hints" role="status">' + "".join(f"<li>{escape(s)}</li>" for s in rows) + "</ul>"


def shortened(said: str, most: int = 90) -> str:
    """Return the beginning of a long text, cut at a word."""
    words = " ".join(said.split())
    return words if len(words) <= most else words[: most - 1].rsplit(" ", 1)[0] + "…"


def folded(said: str, title: str) -> str:
    """Return a text of any length behind its title; nothing for no text."""
    if not said.strip():
        return ""
    return f'<details class="words"><summary>{escape(title)}</summary><p>{escape(said)}</p></details>'


def heading(title: str, body: str = "") -> str:
    """Return a section's title and one line that says what it is for."""
    return f'<div class="heading"><h2>{escape(title)}</h2>' + (f"<p>{escape(body)}</p>" if body else "") + "</div>"


def card(item: Card) -> str:
    """Return one card as a button, with its further buttons beside it."""
    picture = (
        f'<img src="{escape(item.picture)}" alt="" loading="lazy" decoding="async">'
        if item.picture
        else f'<span class="glyph" style="--icon:var(--icon-{escape(item.icon)})"></span>'
    )
    corner = f'<span class="corner">{escape(item.corner)}</span>' if item.corner else ""
    mark = f'<span class="mark" aria-hidden="true">{escape(item.mark)}</span>' if item.mark else ""
    line = f'<span class="line {escape(item.tone)}">{escape(item.line)}</span>' if item.line else ""
    extras = "".join(
        f'<button type="button" class="extra" data-act="{escape(act)}" data-id="{escape(item.id)}" '
        f'data-key="{escape(act)}-{escape(item.id)}" aria-label="{escape(name)}" title="{escape(name)}">'
        f"{escape(label)}</button>"
        for act, label, name in item.extras
    )
    return (
        f'<div class="cell" role="listitem"><button type="button" class="card" data-act="{escape(item.act)}" '
        f'data-id="{escape(item.id)}" data-key="{escape(item.act)}-{escape(item.id)}" '
        f'aria-pressed="{str(item.selected).lower()}" aria-label="{escape(item.title + ", " + item.line)}">'
        f'<span class="picture">{picture}{corner}{mark}</span>'
        f'<span class="title">{escape(item.title)}</span>{line}</button>{extras}</div>'
    )


def cards(items: Sequence[Card], shape: str = "grid", label: str = "") -> str:
    """Return a grid ("grid"), a strip ("strip") or a column ("column") of cards."""
    inside = "".join(card(i) for i in items)
    return f'<div class="cards {escape(shape)}" role="list" aria-label="{escape(label)}">{inside}</div>'


def facts(rows: Mapping[str, str]) -> str:
    """Return names and values in two columns; empty values are left out."""
    inside = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)
    return f'<dl class="facts">{inside}</dl>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a plain table."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in rows)
    return f'<div class="table-wrap"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def findings(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return a checkup's (what, state, detail) rows, the troubled ones first."""
    order = {"bad": 0, "warning": 1, "ok": 2}
    inside = "".join(
        f'<li class="{escape(state)}"><strong>{escape(what)}</strong><em>{escape(state)}</em>'
        f"<span>{escape(detail)}</span></li>"
        for what, state, detail in sorted(rows, key=lambda row: order.get(row[1], 1))
    )
    return f'<ul class="findings">{inside}</ul>' if inside else ""


def bars(values: Mapping[str, tuple[str, float]], most: float = 1.0) -> str:
    """Return named amounts 0..most as thin bars, e.g. the photo's own weights."""
    inside = "".join(
        f'<div class="bar"><span>{escape(label)}</span><i style="--amount:{min(max(v / most, 0.0), 1.0):.3f}"></i>'
        f"<b>{v:.2f}</b></div>"
        for label, v in values.values()
    )
    return f'<div class="bars">{inside}</div>'


def button(act: str, id: str, label: str, name: str, style: str = "mini") -> str:
    """Return a small button for the click listener; `name` is what a screen reader says."""
    return (
        f'<button type="button" class="{escape(style)}" data-act="{escape(act)}" data-id="{escape(id)}" '
        f'data-key="{escape(act)}-{escape(id)}" aria-label="{escape(name)}">{escape(label)}</button>'
    )


def likeness(value: float | None, spread: float | None) -> str:
    """Return the sentence that goes with a picture: how alike, and how much that is worth."""
    if value is None:
        return "likeness not measured"
    own = f" ± {likeness_figure(spread)}" if spread is not None else ""
    return f"likeness {likeness_figure(value)}, own photos 1{own}"


def likeness_tone(value: float | None, spread: float | None) -> str:
    """Return the color of a likeness; none where it was not measured."""
    return "" if value is None else {"good": "good", "fair": "warn", "poor": "bad"}[judged(value, spread)]
