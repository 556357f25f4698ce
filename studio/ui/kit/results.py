"""Drawn pictures as the Generate tab shows them: one large with its badge, the batch, the recent ones.

Pure functions from renders to HTML. The badge says how alike the picture is
and how much that number is worth; small pictures are enlarged by the browser
and said to be small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from studio.domain.likeness import likeness_figure
from studio.domain.render import Render
from studio.ui.kit import text

SMALL_PIXELS = 256
"""Pictures up to this are shown larger than they are, and the page says so."""
ENLARGED = 3
"""How many times its size a small picture is shown at most: larger, and only its squares are seen."""
ACTS = (
    ("to-expression", "Edit expression"),
    ("to-animate", "Make it speak"),
    ("to-video", "Speak, drawn anew"),
    ("to-source", "Use as source"),
    ("to-library", "Show in Library"),
)


def badge(recipe: Mapping[str, Any]) -> str:
    """Return how alike the picture is: "likeness .83, own photos 1 ± .10", or why nobody can say."""
    measures = recipe.get("measures") or {}
    likeness, spread = measures.get("likeness"), measures.get("spread")
    if likeness is None:
        reason = str(measures.get("reason") or "")
        return f'<span class="badge">{escape(reason)}</span>' if reason else ""
    words = escape(text.likeness(likeness, spread))
    return f'<span class="badge {text.likeness_tone(likeness, spread)}">{words}</span>'


def short_badge(recipe: Mapping[str, Any]) -> str:
    """Return the likeness in a few signs, for the corner of a small picture."""
    likeness = (recipe.get("measures") or {}).get("likeness")
    return "" if likeness is None else likeness_figure(likeness)


def prompt_of(render: Render) -> str:
    """Return what was asked for."""
    return str((render.recipe.get("request") or {}).get("prompt") or render.title or "Picture")


def large(render: Render, url: str, file_name: str, base_title: str = "") -> str:
    """Return the large picture with star, badge, facts and what can be done with it."""
    request = render.recipe.get("request") or {}
    seed = render.recipe.get("seed", request.get("seed"))
    facts = [f"{render.width}×{render.height} px", f"seed {seed}" if seed is not None else "", base_title]
    small, width = "", ""
    if max(render.width or 0, render.height or 0) <= SMALL_PIXELS:
        small = f'<p class="fine">{escape(base_title or "Small base")}, {render.width} px, shown enlarged.</p>'
        width = f' style="width:min(100%, {ENLARGED * (render.width or 1)}px)"'
        facts.pop()
    short = text.shortened(prompt_of(render))
    whole = text.folded(prompt_of(render), "All words") if short.endswith("…") else ""
    acts = "".join(text.button(act, render.id, label, f"{label}: {prompt_of(render)}") for act, label in ACTS)
    star = (
        f'<button type="button" class="star" data-act="star" data-id="{escape(render.id)}" '
        f'data-key="star-{escape(render.id)}" aria-pressed="{str(render.starred).lower()}" '
        f'aria-label="Star this picture">{"★" if render.starred else "☆"}</button>'
    )
    return (
        f'<figure class="result" data-render="{escape(render.id)}"><div class="big">'
        f'<img src="{escape(url)}" alt="{escape(prompt_of(render))}" width="{render.width or ""}" '
        f'height="{render.height or ""}"{width}>{star}</div>'
        f"<figcaption>{badge(render.recipe)}<strong>{escape(short)}</strong>{whole}"
        f"<span>{escape(' · '.join(f for f in facts if f))}</span>{small}</figcaption>"
        f'<div class="acts">{acts}<a class="mini" href="{escape(url)}" download="{escape(file_name)}">Download</a>'
        "</div></figure>"
    )


def thumbs(renders: Sequence[tuple[Render, str]], selected: str | None, label: str) -> str:
    """Return small pictures to choose from; each row is (render, address)."""
    items = [
        text.Card(
            r.id,
            text.shortened(prompt_of(r), 60),
            text.when(r.created),
            url,
            corner=short_badge(r.recipe),
            mark="★" if r.starred else "",
            act="picture",
            selected=r.id == selected,
        )
        for r, url in renders
    ]
    return text.cards(items, "strip recent", label)


def worn(render: Render) -> str:
    """Return the adapters that a picture was drawn with: "Ada × 0.8, Bob × 0.4"."""
    return ", ".join(f"{a['name']} × {a['strength']:g}" for a in render.recipe.get("adapters") or ())


HIDDEN = ("project_id", "identity_id", "count", "source", "mask", "adapters", "base")


def recipe_facts(render: Render) -> str:
    """Return the recipe in names and values; the whole of it is in the file and in the Library."""
    request = dict(render.recipe.get("request") or {})
    rows = {n.replace("_", " ").capitalize(): _value(v) for n, v in request.items() if n not in HIDDEN}
    base = render.recipe.get("base") or {}
    if not request.get("source"):
        rows.pop("Denoise", None)
    rows |= {
        "Adapters": worn(render),
        "Starts from": "a picture" if request.get("source") else "",
        "Drawn anew": request["mask"] if isinstance(request.get("mask"), str) else "",
        "Base": f"{base.get('name', '')} {str(base.get('sha256', ''))[:12]}",
        "Engine": f"{render.engine} {render.engine_version}",
        "Took": text.span(render.seconds) if render.seconds >= 1 else f"{render.seconds * 1000:.0f} ms",
    }
    return text.facts(rows)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
