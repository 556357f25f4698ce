"""Pieces that several tabs are made of: listeners, cards, sliders, the portrait chooser.

A slider is built from one row of the control table in domain/expression.py;
its range, step, unit and help are never written a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.domain.expression import Control
from studio.ui.guard import guarded

Updates = dict[Any, Any]
"""What a handler changes on the page: component -> new value; what is not named stays as it is."""

CARD_CLICKS = "window.studioCards(element, trigger);"
"""What a list of cards answers with is the same for all of them, and stands once in the page's script (window.js)."""


def scroll_to(selector: str) -> str:
    """Return a script that brings what has just begun into sight, where it stands above or below what is seen."""
    return f"""() => {{
  const begun = document.querySelector('{selector}');
  const top = begun?.getBoundingClientRect().top ?? 0;
  if (top < 0 || top > window.innerHeight - 240) begun?.scrollIntoView({{ behavior: 'smooth' }});
}}"""


PICTURE_TYPES = ["image", ".heic", ".heif", ".avif"]
SOUND_TYPES = ["audio", "video", ".flac", ".opus", ".m4a"]


def listen(
    event: Callable[..., Any],
    handler: Callable[..., Any] | None,
    inputs: Any = None,
    outputs: Any = None,
    **options: Any,
) -> Any:
    """Attach a handler that fails softly and is no part of the public API."""
    options.setdefault("show_progress", "minimal")
    if options["show_progress"] == "hidden":
        # else the browser looks through the whole page for every output, at every step of every event, to show nothing
        options.setdefault("show_progress_on", [])
    function = None if handler is None else guarded(handler)
    return event(fn=function, inputs=inputs, outputs=outputs, api_visibility="private", **options)


def downloaded(press: Callable[..., Any], make: Callable[..., Any], inputs: Any, file: gr.DownloadButton) -> None:
    """Let a press make a file and hand it to the browser.

    Args:
        press: the event of the button that is pressed.
        make: returns `file` with a path that is new each time.
        file: unseen; bears the address to the page.
    """
    made = listen(press, make, inputs, file)
    # A handler that failed leaves the address as it was; the script takes none twice.
    listen(made.success, None, file, js="(file) => window.studioTake(file)")


def html(value: str = "", **options: Any) -> gr.HTML:
    """Return a piece of the page that only shows."""
    return gr.HTML(value, js_on_load=None, apply_default_css=False, **options)


def clickable(value: str = "", **options: Any) -> gr.HTML:
    """Return a piece of the page whose `data-act` buttons report to `.click`."""
    return gr.HTML(value, js_on_load=CARD_CLICKS, apply_default_css=False, **options)


def clicked(event: gr.EventData) -> tuple[str, str]:
    """Return act and id of the button that was clicked."""
    data = event._data or {}
    return str(data.get("act", "")), str(data.get("id", ""))


def slider(control: Control) -> gr.Slider:
    """Return the slider of one control."""
    label = control.label + (f" ({control.unit})" if control.unit else "")
    return gr.Slider(
        control.minimum,
        control.maximum,
        value=0,
        step=control.step,
        label=label,
        info=control.help,
        buttons=["reset"],
        min_width=150,
        elem_id=f"control-{control.name}",
        elem_classes=["control"] if control.minimum < 0 else ["control", "one-sided"],
    )


def sliders_by_group(controls: Sequence[Control]) -> dict[str, list[Control]]:
    """Return the controls by group, both in the table's order."""
    out: dict[str, list[Control]] = {}
    for control in controls:
        out.setdefault(control.group, []).append(control)
    return out
