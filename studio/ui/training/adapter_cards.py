"""An adapter in words: what was measured of it, where it comes from, what an export and a leak test have shown.

Pure functions from values to HTML; nothing here asks a service.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from studio.domain.adapter import Adapter
from studio.domain.job import Job
from studio.domain.likeness import likeness_figure
from studio.errors import UserInputError
from studio.services.adapters.model_card import NO_EFFECT
from studio.services.adapters.shelf import LineageStep
from studio.ui.kit import text

STEP_WORDS = {
    "photos": "Photos", "run": "Run", "checkpoint": "Checkpoint", "parent": "Merged from", "adapter": "Adapter",
    "file": "File",
}  # fmt: skip


LEAST_LIKENESS = 0.1
LEAK_WAITS = "The verdict appears here; the Jobs tab shows how far it is"


def measures_line(adapter: Adapter) -> str:
    """Return what was measured in a few words."""
    measures = adapter.measures
    parts = []
    if measures.get("likeness") is not None:
        parts.append(f"likeness {likeness_figure(float(measures['likeness']))}")
    if measures.get("drift") is not None:
        parts.append(f"drift {100 * float(measures['drift']):.1f} %")
    if measures.get("effect") is not None and float(measures["effect"]) <= NO_EFFECT:
        parts.append("changes nothing")
    return ", ".join(parts)


def lineage_list(steps: Iterable[LineageStep]) -> str:
    """Return an adapter's way from the photos to its files."""
    rows = "".join(
        f'<li class="{"gone" if step.gone else ""}"><b>{STEP_WORDS.get(step.what, step.what)}</b> '
        f"{escape(step.text)}{' (gone)' if step.gone else ''}</li>"
        for step in steps
    )
    return f'<ol class="lineage">{rows}</ol>'


def strengths_of(typed: str, count: int) -> list[float]:
    """Return `count` strengths as they were typed; empty is 1 each.

    Raises:
        UserInputError: no numbers, or not so many.
    """
    if not (typed or "").strip():
        return [1.0] * count
    try:
        found = [float(part) for part in typed.replace(";", ",").split(",") if part.strip()]
    except ValueError as exc:
        raise UserInputError(f"{typed!r} are no numbers.", "Write strengths with commas, such as 1, 0.5.") from exc
    if len(found) != count:
        raise UserInputError(f"There are {len(found)} strengths for {count} adapters.", "Write one for each.")
    return found


def export_card(report: Any) -> str:
    """Return what reading a written file back has shown."""
    rows = {
        "File": f"{Path(report.path).name}, {text.size(report.bytes)}",
        "Keys": f"{report.matched} matched, {len(report.unmatched)} not",
        "Same picture before and after": f"differs by at most {report.max_difference:.1g} (of 1)",
        "What the adapter changes in it": f"up to {report.effect:.2f} (of 1)",
        "sha256": report.sha256[:16] + "…",
    }
    if report.unmatched:
        return text.notice("Some keys were not taken.", tone="warn") + text.facts(rows)
    return text.notice("The file was read back and draws the same picture.", tone="good") + text.facts(rows)


def leak_progress(job: Job) -> str:
    """Return how far a leak test is that waits or runs."""
    if job.state == "queued":
        return text.notice(f"{job.title} waits for its turn.", f"{LEAK_WAITS}.")
    done = f"{round(100 * job.fraction)} % done" + (f": {job.message}" if job.message else "")
    return text.notice(f"{job.title} runs, {done}.", f"{LEAK_WAITS}.")


NOT_YET = "It is not alike yet, so what the strangers do says little: train on, or with more photos of these angles."


def leak_card(found: Any, sheet_url: str = "", likeness: float | None = None, spread: float | None = None) -> str:
    """Return the verdict of a leak test with its figures by strength; empty when there was none.

    The card says one likeness, that of the run's samples; the test's own, drawn with other words, is only said as
    the share that a strength keeps. And it says one advice: what is not alike needs training before anything else.
    """
    if not found:
        return ""
    advice = str(found["advice"])
    if text.likeness_tone(likeness, spread) == "bad":
        advice = NOT_YET
    tone = "good" if advice.startswith("Fine") else "info" if advice.startswith("Not") else "warn"
    most = next((r["likeness"] for r in found["results"]), None)
    rows = [
        (f"{r['strength']:g}", _percent(r["leak"]), _percent(_share(r["likeness"], most)), _percent(r["drift"]))
        for r in found["results"]
    ]
    table = text.table(("Strength", "Strangers move", "Likeness kept", "Pictures change"), rows)
    picture = ""
    if sheet_url:
        picture = (
            '<details class="log" data-key="leak-sheet"><summary>The pictures, without and with it</summary>'
            f'<img src="{escape(sheet_url)}" alt="Strangers without and with the adapter" loading="lazy"></details>'
        )
    return f'<div class="leak">{text.notice(advice, tone=tone)}{table}{picture}</div>'


def _share(value: float | None, most: float | None) -> float | None:
    """Return a likeness as a share of the strongest one; None where that would mean nothing."""
    return value / most if value is not None and most is not None and most > LEAST_LIKENESS else None


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
