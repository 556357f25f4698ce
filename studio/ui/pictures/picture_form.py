"""The form of a picture that is to be drawn: words, base, adapters, numbers, and perhaps a picture to start from.

Several adapters can be worn at once, each with its strength; one slider per
place is made at the start and shown when an adapter takes it. The request is
built here and checked by services/generation.py.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.adapter import STRENGTH_RANGE, Adapter, says_trigger, with_trigger
from studio.domain.render import Render
from studio.errors import NotFoundError, UserInputError
from studio.services.bases import BaseEntry
from studio.services.pictures.generation import AdapterUse, GenerationRequest, Wording, checked_generation
from studio.ui.guard import warn
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.kit.draft import Kept, fits, fitting
from studio.ui.pictures.source_picture import SourcePicture, control_slider
from studio.ui.training.plan_form import base_note, base_title
from studio.ui.window import Window

PLACES = 4
"""So many adapters can be worn together; more blur each other."""
MOST_PICTURES = 8
MOST_UNKNOWN = 5
LARGEST_SEED = 2**31 - 1
SHAPES = (("Square", 1.0, 1.0), ("Portrait", 0.75, 1.0), ("Landscape", 1.0, 0.75))
DEFAULT_PROMPT = "a photo of a person, smiling"
START_STEPS, START_GUIDANCE = 10, 2.0
"""As the card of the embedded base says; another base brings its own."""


def sizes_of(entry: BaseEntry) -> list[tuple[str, str]]:
    """Return (title, "width x height") that suit a base."""
    side = entry.card.resolution
    shapes = SHAPES if side >= 256 else SHAPES[:1]
    out = []
    for title, across, down in shapes:
        width, height = int(side * across) // 64 * 64, int(side * down) // 64 * 64
        out.append((f"{title}, {width}×{height}", f"{width}x{height}"))
    return out


class PictureForm:
    """The components of the form; the tab asks it for the request."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.start = SourcePicture(window)

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.wearing = gr.State([])
        self.prompt = gr.Textbox(
            value=DEFAULT_PROMPT,
            label="Picture",
            info="What to draw, in words.",
            lines=3,
            max_lines=8,
            elem_id="generate-prompt",
        )
        self.reading = html(elem_id="generate-reading")
        self.negative = gr.Textbox(
            label="Not in the picture", info="Words for what to avoid.", max_lines=3, elem_id="generate-negative"
        )
        with gr.Row():
            self.base = gr.Dropdown(
                [], label="Base model", info="Draws the picture.", filterable=False, scale=3, min_width=200,
                elem_id="generate-base",
            )  # fmt: skip
            self.size = gr.Dropdown([], label="Size", info="In pixels.", filterable=False, scale=2, min_width=150)
        self.note = clickable()
        self.adapters = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=PLACES,
            label="Adapters",
            info=f"The people in it; up to {PLACES} together.",
            elem_id="generate-adapters",
        )
        self.strengths = [
            gr.Slider(
                *STRENGTH_RANGE,
                value=1.0,
                step=0.05,
                label=f"Strength {place + 1}",
                info="0 is the base alone, 1 as trained.",
                visible=False,
                buttons=["reset"],
                elem_classes=["control"],
                elem_id=f"generate-strength-{place + 1}",
            )
            for place in range(PLACES)
        ]
        self.words = clickable(elem_id="generate-words")
        with gr.Row(elem_classes=["control-grid"]):
            self.count = control_slider(1, MOST_PICTURES, 1, 1, "Pictures", "With the next seeds.", "generate-count")
            self.steps = control_slider(1, 100, START_STEPS, 1, "Steps", "More is finer and slower.", "generate-steps")
            self.guidance = control_slider(
                1, 15, START_GUIDANCE, 0.5, "Guidance", "How strictly the words count.", "generate-guidance"
            )
        with gr.Row(elem_classes=["inline", "dice-row"]):
            self.seed = gr.Number(
                value=1,
                precision=0,
                minimum=0,
                maximum=LARGEST_SEED,
                label="Seed",
                info="Same seed, same picture.",
                elem_id="generate-seed",
            )
            self.dice = gr.Button("New seed", size="sm", elem_id="generate-dice")
            self.lock = gr.Checkbox(
                label="Keep it", info="Else each click takes a new one.", container=False, elem_id="generate-lock"
            )
        self.start.build()

    def _slider(self, low: float, high: float, value: float, step: float, label: str, info: str, id: str) -> gr.Slider:
        return gr.Slider(
            low, high, value=value, step=step, label=label, info=info, elem_id=id, elem_classes=["control"],
            buttons=["reset"], min_width=130,
        )  # fmt: skip

    # -- listeners ------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """Everything that `request` reads, in its order."""
        return [
            self.prompt, self.negative, self.base, self.adapters, *self.strengths, self.size, self.count, self.steps,
            self.guidance, self.seed, *self.start.inputs,
        ]  # fmt: skip

    @property
    def plain(self) -> dict[str, Any]:
        """What of the form is a single value that suits every base, by name."""
        names = ("prompt", "negative", "count", "steps", "guidance", "seed", "lock")
        return {name: getattr(self, name) for name in names}

    @property
    def kept(self) -> dict[str, Any]:
        """What a draft keeps, by name."""
        strengths = {f"strength {place}": slider for place, slider in enumerate(self.strengths)}
        rest = {"base": self.base, "adapters": self.adapters, "size": self.size}
        return {**self.plain, **rest, **strengths, **self.start.kept}

    def restore(self, kept: Kept, wearing: Sequence[str], source: dict[str, Any] | None) -> Updates:
        """Return the form as it was before the page was loaded anew; what was handed over since stays."""
        updates = fitting(self.plain, kept)
        if source is None:
            updates |= self.start.restored(kept)
        if wearing:  # handed over, with its base and its word
            updates.pop(self.prompt, None)
            return updates
        chosen = kept.get("adapters")
        adapters = [str(a) for a in chosen] if isinstance(chosen, list) else []
        strengths = [kept.get(f"strength {place}", 1.0) for place in range(PLACES)]
        fine = [float(s) if fits(c, s) else 1.0 for c, s in zip(self.strengths, strengths, strict=True)]
        updates |= self.fill(kept.get("base"), adapters, str(kept.get("prompt") or ""), *fine)
        sizes = [s for e in self.window.studio.bases.list() if e.card.name == kept.get("base") for s in sizes_of(e)]
        if kept.get("size") in [value for _, value in sizes]:
            updates[self.size] = gr.Dropdown(sizes, value=kept["size"])
        return updates

    @property
    def restored(self) -> list[Any]:
        """What `restore` and `reopen` update."""
        start = self.start
        opened = [start.fold, start.offered, *start.plain.values(), *start.outputs]
        return [self.base, *self.worn, *self.plain.values(), *opened]

    def reopen(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the form as it was when a picture was drawn; adapters are known by their bytes.

        Args:
            files: what the picture was made from, by role.
        """
        request, recipe = dict(render.recipe["request"]), render.recipe
        here = {a.media_sha256: a for a in self.window.studio.adapters.list()}
        worn = [(here[a["sha256"]].id, a["strength"]) for a in recipe.get("adapters") or () if a["sha256"] in here]
        kept = {**request, "count": 1, "lock": True, "size": f"{request['width']}x{request['height']}"}
        kept |= {"adapters": [id for id, _ in worn], **{f"strength {n}": s for n, (_, s) in enumerate(worn)}}
        updates = {**self.start.nothing(), **self.restore({**kept, "source": ""}, (), None)}
        if request.get("source") and "source" in files:
            source = {"sha256": render.inputs["source"]}
            updates |= self.start.start_from(files["source"], "the same picture", source)
            mask = "drawn" if "mask" in files else request.get("mask")
            updates |= self.start.masked(mask, source, files.get("mask"))
        bases = [e.card.name for e in self.window.studio.bases.list()]
        gone = [] if request["base"] in bases else [f"the base model {request['base']}"]
        gone += [f"the adapter {a['name']}" for a in recipe.get("adapters") or () if a["sha256"] not in here]
        gone += ["the picture it started from"] if request.get("source") and "source" not in files else []
        if gone:
            warn(f"Not everything could be set. No longer here: {', '.join(gone)}.", 10)
        return updates

    @property
    def worn(self) -> list[Any]:
        """What changes with the base and the adapters."""
        return [self.note, self.adapters, *self.strengths, self.words, self.wearing, self.size]

    def wire(self) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        listen(self.base.input, self._new_base, self.base, [*self.worn, self.steps, self.guidance], **quiet)
        wear = [self.adapters, self.prompt, self.wearing, *self.strengths]
        listen(self.adapters.input, self._wear, wear, [*self.strengths, self.words, self.wearing], **quiet)
        listen(self.prompt.blur, self._missing, [self.prompt, self.wearing], self.words, **quiet)
        read: dict[str, Any] = {"inputs": [self.base, self.prompt], "outputs": self.reading, **quiet}
        for change in (self.prompt.change, self.base.change):
            listen(change, self._read, trigger_mode="always_last", **read)
        listen(self.words.click, self._insert, [self.prompt], [self.prompt, self.words], **quiet)
        listen(self.note.click, self._download, None, self.note)
        listen(self.dice.click, lambda: random.randint(0, LARGEST_SEED), None, self.seed, **quiet)
        self.start.wire()

    # -- base and adapters ------------------------------------------------------

    def fill(self, base: str | None, worn: Sequence[str], prompt: str, *strengths: float) -> Updates:
        """Return the updates of [base, *worn] when the tab is opened; adapters that are gone come off."""
        entries = {e.card.name: e for e in self.window.studio.bases.list()}
        shown = base
        if base not in entries:
            # a tab that is opened while it is being filled still sends no base: what is worn says which one is meant
            base = self._base_worn(worn, entries) or next(iter(entries), None)
        choices = gr.Dropdown([(base_title(e), n) for n, e in entries.items()], value=base)
        if base is None:
            return {self.base: choices, **self._suited(base)}
        entry = entries[base]
        fitting = {a.id: a.name for a in self.window.studio.adapters.fitting(entry.card.name)}
        left = [i for i in worn if i in fitting]
        kept = self.wear(left, prompt, dict(zip(worn, strengths, strict=False)))
        named = gr.Dropdown([(n, i) for i, n in fitting.items()], value=left)
        sizes = _sizes(entry) if base != shown else gr.Dropdown(sizes_of(entry))
        return {self.base: choices, self.note: base_note(entry), self.adapters: named, **kept, self.size: sizes}

    def _base_worn(self, worn: Sequence[str], entries: Mapping[str, BaseEntry]) -> str | None:
        """Return the base that the first adapter of `worn` was made on or for; None where none is left."""
        known = {a.id: a for a in self.window.studio.adapters.list()}
        first = next((known[i] for i in worn if i in known), None)
        return None if first is None else self._base_for(first, entries)

    def _base_for(self, adapter: Adapter, entries: Mapping[str, BaseEntry]) -> str | None:
        """Return the base that an adapter was trained on, else the first of its family."""
        if adapter.base_name in entries:
            return adapter.base_name
        return next((n for n, e in entries.items() if e.card.family == adapter.family), None)

    def _new_base(self, base: str) -> Updates:
        entry = self.window.studio.bases.get(base)
        return {**self._suited(base), self.steps: entry.card.steps, self.guidance: entry.card.guidance}

    def _suited(self, base: str | None) -> Updates:
        """Return the updates of `worn` for another base: nothing is worn yet."""
        if base is None:
            note, choices, sizes = "", [], gr.Dropdown([])
        else:
            entry = self.window.studio.bases.get(base)
            choices = [(a.name, a.id) for a in self.window.studio.adapters.fitting(base)]
            note, sizes = base_note(entry), _sizes(entry)
        worn = {self.note: note, self.adapters: gr.Dropdown(choices, value=[]), self.size: sizes}
        return worn | self.wear((), "", {})

    def _wear(self, chosen: list[str] | None, prompt: str, before: list[str], *strengths: float) -> Updates:
        return self.wear(chosen, prompt, dict(zip(before, strengths, strict=False)))

    def wear(self, chosen: Sequence[str] | None, prompt: str, kept: Mapping[str, float]) -> Updates:
        """Return the updates of [*strengths, words, wearing]; an adapter keeps its strength when others go."""
        worn = [self.window.studio.adapters.get(i) for i in chosen or ()][:PLACES]
        sliders = [gr.Slider(label=a.name, visible=True, value=kept.get(a.id, 1.0)) for a in worn]
        sliders += [gr.Slider(visible=False, value=1.0)] * (PLACES - len(worn))
        shown: Updates = dict(zip(self.strengths, sliders, strict=True))
        return shown | {self.words: _missing_words(worn, prompt), self.wearing: [a.id for a in worn]}

    def _missing(self, prompt: str, wearing: Sequence[str]) -> str:
        known = {a.id: a for a in self.window.studio.adapters.list()}
        return _missing_words([known[i] for i in wearing if i in known], prompt)

    def _read(self, base: str | None, prompt: str | None) -> str:
        """Return whether all words count: how the chosen base reads them."""
        if not base or not prompt or not prompt.strip():
            return ""
        found = self.window.studio.generation.wording(base, prompt)
        return "" if found is None else reading_words(found)

    def _insert(self, event: gr.EventData, prompt: str) -> tuple[str, str]:
        trigger = self.window.studio.adapters.get(clicked(event)[1]).trigger
        return with_trigger(prompt or "", trigger), ""

    def _download(self, event: gr.EventData) -> str:
        job = self.window.studio.bases.submit_download(clicked(event)[1])
        return text.notice(f"{job.title} has begun.", "The Jobs tab shows how far it is.", "good")

    def hand_over(self, adapter: Adapter) -> Updates:
        """Return the updates of `handed`: one adapter worn alone, its word in the prompt."""
        entries = {e.card.name: e for e in self.window.studio.bases.list()}
        base = self._base_for(adapter, entries)
        if base is None:
            raise NotFoundError(
                f"No base model suits {adapter.name}.", "Settings shows the bases; add one of its family."
            )
        entry = entries[base]
        updates = self.fill(entry.card.name, (), "") | self.wear([adapter.id], adapter.trigger, {})
        choices = [(a.name, a.id) for a in self.window.studio.adapters.fitting(entry.card.name)]
        updates |= {self.adapters: gr.Dropdown(choices, value=[adapter.id]), self.size: _sizes(entry)}
        return updates | ({self.prompt: f"a photo of {adapter.trigger}"} if adapter.trigger else {})

    @property
    def handed(self) -> list[Any]:
        """What `hand_over` updates."""
        return [self.prompt, self.base, *self.worn]

    # -- the request ------------------------------------------------------------

    def request(self, *values: Any) -> GenerationRequest:
        """Return what the person asked for.

        Raises:
            UserInputError: a value cannot be used.
        """
        prompt, negative, base, chosen, *values = values  # type: ignore[assignment]
        strengths, values = values[:PLACES], values[PLACES:]
        size, count, steps, guidance, seed, *start = values
        if not (prompt or "").strip():
            raise UserInputError("There are no words yet.", "Write what to draw.")
        if not base or not size:
            raise UserInputError("There is no base model yet.", "Choose one.")
        width, _, height = str(size).partition("x")
        uses = tuple(AdapterUse(adapter_id=i, strength=float(s)) for i, s in zip(chosen or (), strengths, strict=False))
        return checked_generation(
            {
                "base": base,
                "prompt": prompt.strip(),
                "negative": (negative or "").strip(),
                "adapters": uses,
                "width": int(width),
                "height": int(height),
                "steps": int(steps),
                "guidance": float(guidance),
                "seed": int(seed or 0),
                "count": int(count),
                **self.start.fields(*start),
            }
        )


def reading_words(found: Wording) -> str:
    """Return a line on how a base reads the words: all of them count, but some may mean nothing to it."""
    count = f"All {found.words} words count" if found.words > 1 else "The word counts"
    if found.pieces > 1:
        count += f", read in {found.pieces} pieces; what belongs together should stand close together"
    if not found.spelled:
        return f'<p class="fine">{count}.</p>'
    few = ", ".join(f"“{escape(w)}”" for w in found.spelled[:MOST_UNKNOWN])
    more = len(found.spelled) - MOST_UNKNOWN
    unknown = few + (f" and {more} more" if more > 0 else "")
    return f'<p class="fine warn">This base does not know {unknown}. It knows few words, those of portraits.</p>'


def _sizes(entry: BaseEntry) -> gr.Dropdown:
    sizes = sizes_of(entry)
    return gr.Dropdown(sizes, value=sizes[0][1])


def _missing_words(worn: Sequence[Adapter], prompt: str) -> str:
    """Return a note for each adapter whose word the prompt does not say."""
    return "".join(_trigger_note(a) for a in worn if not says_trigger(prompt or "", a.trigger))


def _trigger_note(adapter: Adapter) -> str:
    return (
        f'<div class="notice info" role="status"><span>{escape(adapter.name)} answers to '
        f"<strong>“{escape(adapter.trigger)}”</strong>, which the words above do not say.</span>"
        f"{text.button('insert', adapter.id, 'Put it in', f'Put {adapter.trigger} into the words')}</div>"
    )
