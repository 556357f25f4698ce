"""What a run has drawn and learned: samples by step, checkpoints, and the grid that is voted on.

Pure functions from values to HTML. Likeness is always said with the spread of
the person's own photos, since differences below it mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from studio.domain.likeness import likeness_figure
from studio.ui.kit import text

NEWEST = 6
"""So many of the newest samples stand beside the plots; all of them are in the sheet."""


@dataclass(frozen=True)
class SampleView:
    """One sample picture: `kind` is "person" or "class", `likeness` None where no face was found."""

    step: int
    kind: str
    prompt: str
    seed: int
    url: str
    likeness: float | None = None


@dataclass(frozen=True)
class CheckpointView:
    """One checkpoint with its pictures; `reason` is not empty on the suggested one."""

    id: str
    step: int
    likeness: float | None
    drift: float | None
    loss: float | None
    pictures: Sequence[str]
    reason: str = ""
    kept: str = ""


@dataclass(frozen=True)
class CellView:
    """One picture of the grid; `vote` is -1, 0 or 1."""

    id: str
    step: int
    strength: float
    url: str
    vote: int = 0
    likeness: float | None = None


# -- samples ------------------------------------------------------------------------


def sample_steps(samples: Sequence[SampleView]) -> list[int]:
    """Return the steps at which samples were drawn, ascending."""
    return sorted({s.step for s in samples})


def sample_sheet(samples: Sequence[SampleView], spread: float | None = None) -> str:
    """Return all samples: a row per prompt and seed, a column per step, the newest at the right end."""
    if not samples:
        return text.empty(
            "No samples yet", "Pictures of fixed prompts and seeds appear here while a run trains.", "train"
        )
    steps = sample_steps(samples)
    found = {(s.kind, s.prompt, s.seed, s.step): s for s in samples}
    rows = sorted({(s.kind != "person", s.prompt, s.seed) for s in samples})
    head_cells = "".join(f'<th scope="col">{"base" if s == 0 else s}</th>' for s in steps)
    body = ""
    for other, prompt, seed in rows:
        cells = ""
        for step in steps:
            sample = found.get(("class" if other else "person", prompt, seed, step))
            cells += f"<td>{_sample(sample, spread) if sample else ''}</td>"
        name = (
            f'<th scope="row"><span>{escape(prompt)}</span><small>seed {seed}{" · drift" if other else ""}</small></th>'
        )
        body += f"<tr>{name}{cells}</tr>"
    return (
        '<div class="sheet-wrap" tabindex="0" aria-label="Samples by step"><table class="samples"><thead><tr>'
        f'<th scope="col">Step</th>{head_cells}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def newest(samples: Sequence[SampleView], spread: float | None = None) -> str:
    """Return the newest samples as a figure that stands beside the plots."""
    if not samples:
        return ""
    step = samples[-1].step
    title = "The base, before training" if step == 0 else "Newest samples"
    inside = "".join(f'<div role="listitem">{_sample(s, spread)}</div>' for s in samples[:NEWEST])
    return (
        f'<figure class="plot"><figcaption><span>{title}</span><b>step {step}</b></figcaption>'
        f'<div class="newest" role="list" aria-label="Newest samples">{inside}</div></figure>'
    )


def _sample(sample: SampleView, spread: float | None) -> str:
    alike = ""
    if sample.kind == "person":
        said = likeness_figure(sample.likeness) if sample.likeness is not None else "–"
        alike = f'<span class="score {text.likeness_tone(sample.likeness, spread)}">{said}</span>'
    said = f"Step {sample.step}, seed {sample.seed}: {text.likeness(sample.likeness, spread)}"
    return (
        f'<span class="thumb" title="{escape(said)}"><img src="{escape(sample.url)}" alt="{escape(said)}" '
        f'loading="lazy" decoding="async">{alike}</span>'
    )


# -- checkpoints ----------------------------------------------------------------------


def checkpoint_list(items: Sequence[CheckpointView], spread: float | None = None) -> str:
    """Return the checkpoints, the newest first, each with its numbers and buttons."""
    if not items:
        return text.empty("No checkpoint yet", "Every checkpoint can be tried and kept, not only the last.", "check")
    rows = "".join(_checkpoint(c, spread) for c in sorted(items, key=lambda c: -c.step))
    return f'<div class="checkpoints" role="list" aria-label="Checkpoints">{rows}</div>'


def _checkpoint(item: CheckpointView, spread: float | None) -> str:
    pictures = "".join(f'<img src="{escape(u)}" alt="" loading="lazy" decoding="async">' for u in item.pictures[:3])
    numbers = [
        (
            "likeness",
            likeness_figure(item.likeness) if item.likeness is not None else "–",
            text.likeness_tone(item.likeness, spread),
        ),
        ("drift", f"{100 * item.drift:.1f} %" if item.drift is not None else "–", ""),
        ("loss", f"{item.loss:.3f}" if item.loss is not None else "–", ""),
    ]
    said = "".join(f'<div><dt>{k}</dt><dd class="{c}">{escape(v)}</dd></div>' for k, v, c in numbers)
    suggested = f'<p class="why"><em>Suggested</em> {escape(item.reason)}</p>' if item.reason else ""
    kept = f'<p class="why kept">Kept as {escape(item.kept)}</p>' if item.kept else ""
    name = f"step {item.step}"
    acts = "".join(
        text.button(a, item.id, label, f"{label}, {name}")
        for a, label in (("keep", "Keep as adapter"), ("try", "Try in Generate"), ("export", "Export"))
        if not (item.kept and a == "keep")
    )
    return (
        f'<article class="checkpoint{" suggested" if item.reason else ""}" role="listitem" data-step="{item.step}">'
        f'<div class="pictures">{pictures}</div><div class="body"><h4>Step {item.step}</h4><dl>{said}</dl></div>'
        f'<div class="acts">{acts}</div>{suggested}{kept}</article>'
    )


# -- grid -----------------------------------------------------------------------------


def grid(cells: Sequence[CellView], spread: float | None = None) -> str:
    """Return the grid of checkpoints and strengths with its votes, and what they say so far."""
    if not cells:
        return '<p class="fine">Draws every checkpoint at several strengths, with the same seeds. Vote to compare.</p>'
    strengths = sorted({c.strength for c in cells})
    steps = sorted({c.step for c in cells})
    head_cells = "".join(f'<th scope="col">× {s:g}</th>' for s in strengths)
    body = ""
    for step in steps:
        body += f'<tr><th scope="row">{step}</th>'
        for strength in strengths:
            inside = "".join(_cell(c, spread) for c in cells if c.step == step and c.strength == strength)
            body += f'<td><div class="votes">{inside}</div></td>'
        body += "</tr>"
    return (
        f'{vote_summary(cells)}<div class="sheet-wrap" tabindex="0" aria-label="Checkpoints and strengths">'
        f'<table class="samples grid-table"><thead><tr><th scope="col">Step</th>{head_cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: CellView, spread: float | None) -> str:
    name = f"step {cell.step}, strength {cell.strength:g}"
    score = f'<span class="score {text.likeness_tone(cell.likeness, spread)}">{likeness_figure(cell.likeness)}</span>'
    ups = "".join(
        f'<button type="button" class="vote" data-act="{act}" data-id="{escape(cell.id)}" '
        f'data-key="{act}-{escape(cell.id)}" aria-pressed="{str(cell.vote == value).lower()}" '
        f'aria-label="{label}: {escape(name)}">{sign}</button>'
        for act, value, sign, label in (("up", 1, "▲", "Better"), ("down", -1, "▼", "Worse"))
    )
    return (
        f'<span class="thumb"><img src="{escape(cell.url)}" alt="{escape(name)}" loading="lazy" decoding="async">'
        f'{score if cell.likeness is not None else ""}<span class="pair">{ups}</span></span>'
    )


def vote_summary(cells: Sequence[CellView]) -> str:
    """Return which checkpoint and strength the votes favor, with how many there are."""
    sums: dict[tuple[int, float], list[int]] = {}
    for cell in cells:
        if cell.vote:
            sums.setdefault((cell.step, cell.strength), []).append(cell.vote)
    if not sums:
        return '<p class="fine">No votes yet. ▲ is better, ▼ is worse.</p>'
    ranked = sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0]))
    said = "; ".join(
        f"step {step} × {strength:g}: {votes.count(1)} up, {votes.count(-1)} down"
        for (step, strength), votes in ranked[:3]
    )
    return f'<p class="summary" role="status"><strong>By your votes:</strong> {escape(said)}.</p>'
