"""Action units as sliders: a second hand on the single weights, in FACS's words.

A unit's slider shows what the weights of the look show of it, of two sides the
stronger; when it is moved, its weights move. The look knows weights alone, so
that nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

from studio.domain.action_units import MOST, OPPOSED, UNITS, ActionUnit, by_unit, intensities, setting
from studio.domain.expression import ARKIT_NAMES
from studio.domain.look import Look
from studio.services.portraits.units import UnitScores
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, html

SHOWN = 0.5
"""What the photo shows of a unit below this is not worth a mark."""


def scores_of(values: Mapping[str, float]) -> dict[str, float]:
    """Return what weights show of each unit, by its code.

    Args:
        values: control name -> value; what is no single weight is passed over.
    """
    weights = np.array([values.get(name, 0.0) for name in ARKIT_NAMES])
    scores = by_unit(intensities(weights))
    return {unit.code: round(float(v), 2) for unit, v in zip(UNITS, scores, strict=True)}


class UnitSliders:
    """The fold of sliders, one for each unit."""

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.sliders: dict[str, gr.Slider] = {}
        shown = [unit for unit in UNITS if unit.code not in OPPOSED]
        regions = list(dict.fromkeys(unit.region for unit in shown))
        with gr.Accordion("Action units (FACS)", open=False, elem_id="expression-units"):
            html('<p class="fine">Strengths from 0 to 5. They move the ARKit weights below, both sides alike.</p>')
            self.own = html(elem_id="expression-own-units")
            for region in regions:
                html(f'<h3 class="group">{region}</h3>')
                with gr.Row(elem_classes=["control-grid"]):
                    self.sliders |= {unit.code: _slider(unit) for unit in shown if unit.region == region}

    def moved(self, code: str, intensity: float | None, look: Look) -> Look:
        """Return the look with one unit set."""
        for name, value in setting(code, float(intensity or 0.0), look.values).items():
            look = look.moved(name, value)
        return look

    def positions(self, look: Look) -> Updates:
        """Return where the sliders stand for a look."""
        scores = scores_of(look.values)
        return {slider: scores[code] for code, slider in self.sliders.items()}

    def marks(self, own: UnitScores) -> str:
        """Return what the photo itself shows, in bars."""
        scores = own.told()["units"]
        shown = {u.code: (f"{u.number} {u.name}", scores[u.code]) for u in UNITS if scores[u.code] >= SHOWN}
        if not shown:
            return '<p class="fine">The photo shows a neutral face.</p>'
        ranked = dict(sorted(shown.items(), key=lambda item: -item[1][1]))
        return '<p class="fine">What the photo itself shows, of 5; sliders add to it.</p>' + text.bars(ranked, MOST)


def _slider(unit: ActionUnit) -> Any:
    return gr.Slider(
        0, MOST, value=0, step=0.1, label=f"{unit.number} {unit.name}", info=f"{unit.does} {unit.limit}".strip(),
        buttons=["reset"], min_width=150, elem_id=f"unit-{unit.code}", elem_classes=["control", "one-sided"],
    )  # fmt: skip
