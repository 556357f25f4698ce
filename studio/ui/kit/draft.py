"""A draft: what a form holds, kept through a refresh of the page.

It lies in the session storage of one tab of one browser and nowhere else: a
second tab and another person begin with an empty form, and closing the tab
forgets it. The page's script keeps it (window.js) and hands it back when the
form's own tab is opened for the first time. What comes back is read like
anything a person sends: values that do not fit, and files that the studio has
not laid out for the page, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr

from studio.outside import NoSuchContent, json_of
from studio.ui.kit.controls import Updates, listen

Kept = dict[str, Any]
HANDED_OVER = "handed over"
"""In a draft's box: the whole form was just filled from elsewhere, and no draft may come over it."""


def fits(component: Any, value: Any) -> bool:
    """Say whether a value could have been set in the form by hand."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(component, gr.Slider | gr.Number):
        low, high = component.minimum, component.maximum
        return number and (low is None or value >= low) and (high is None or value <= high)
    if isinstance(component, gr.Dropdown | gr.Radio):
        return value in [v for _, v in component.choices]
    if isinstance(component, gr.CheckboxGroup):
        return isinstance(value, list) and all(one in [v for _, v in component.choices] for one in value)
    if isinstance(component, gr.Checkbox):
        return isinstance(value, bool)
    return isinstance(component, gr.Textbox) and isinstance(value, str)


def fitting(parts: Mapping[str, Any], kept: Kept) -> Updates:
    """Return the updates of plain components whose kept values fit."""
    return {part: kept[name] for name, part in parts.items() if name in kept and fits(part, kept[name])}


def hidden(name: str, what: str) -> gr.Textbox:
    """Return a box in which the page can read what otherwise only the server knows."""
    return gr.Textbox(visible="hidden", label=what, info="Kept for a refresh of the page.", elem_id=name)


class Draft:
    """The draft of one tab."""

    def __init__(self, name: str, pressed: Mapping[str, str] | None = None) -> None:
        """Remember the tab's name.

        Args:
            pressed: where cards stand to choose from, by the name under which the id of the pressed one is kept.
        """
        self.name = name
        self.pressed = dict(pressed or {})
        self.lane: dict[str, Any] = {"concurrency_id": f"{name} form", "concurrency_limit": 1}

    def build(self) -> None:
        """Create the box through which the draft comes back, inside the tab's layout."""
        self.box = hidden(f"{self.name}-draft", "Draft")

    def _script(self, act: str, names: Sequence[str], answer: str) -> str:
        said = ", ".join(json.dumps(v) for v in (self.name, list(names)))
        return f"(...values) => {{ window.studioDraft.{act}({said}, values, {json.dumps(self.pressed)}); {answer} }}"

    def keeping(self, names: Sequence[str]) -> str:
        """Return the script of a listener that keeps its inputs under these names, and hands them on to its handler."""
        return self._script("keep", names, "return values;")

    def wire(
        self,
        item: gr.Tab,
        parts: Mapping[str, Any],
        restore: Callable[..., Updates],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        watched: bool = True,
    ) -> Any:
        """Keep the parts as they change, and bring them back once.

        Listeners that fill the form when its tab is opened belong into the same
        `lane`, and before this one: the draft comes last.

        Args:
            restore: gets what was kept (never empty) and `inputs`; what is there already was handed over and stays.
            watched: False where listeners of the form keep it by `keeping`.

        Returns:
            What has happened when the draft is back.
        """
        keep = self._script("keep", list(parts), "return [];")
        read = f"(box) => window.studioDraft.read('{self.name}', box)"
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        components = list(parts.values())
        if watched:
            listen(partial(gr.on, [c.change for c in components]), None, components, None, js=keep, **quiet)
        opened = listen(item.select, None, self.box, self.box, js=read, **quiet)
        listen(opened.then, None, components, None, js=keep, **quiet)

        def again(said: str, *values: Any) -> Updates:
            kept = parsed(said)
            return restore(kept, *values) if kept else {}

        back = listen(self.box.change, again, [self.box, *inputs], list(outputs), **quiet, **self.lane)
        listen(back.then, None, components, None, js=self._script("restored", list(parts), "return [];"), **quiet)
        return back


def parsed(said: Any) -> Kept:
    """Return what a box says as a dictionary; an empty one where it says nothing that could be used."""
    if not isinstance(said, str) or not said:
        return {}
    try:
        found = json_of(said)
    except NoSuchContent:
        return {}
    return found if isinstance(found, dict) else {}
