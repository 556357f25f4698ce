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
import numpy as np

from studio.domain.adapter import STRENGTH_RANGE, Adapter
from studio.domain.render import Render
from studio.errors import UserInputError
from studio.services.bases import BaseEntry
from studio.services.generation import AdapterUse, GenerationRequest, checked_generation
from studio.services.sources import MediaSource
from studio.ui import text
from studio.ui.controls import PICTURE_TYPES, clickable, clicked, listen
from studio.ui.plan_form import base_note, base_title
from studio.ui.window import Window

PLACES = 4
"""So many adapters can be worn together; more blur each other."""
MOST_PICTURES = 8
LARGEST_SEED = 2**31 - 1
MASKS = [("The whole picture", ""), ("The face", "face"), ("The background", "background"), ("What I draw", "drawn")]
SHAPES = (("Square", 1.0, 1.0), ("Portrait", 0.75, 1.0), ("Landscape", 1.0, 0.75))
LIBRARY_PICTURES = 18
DEFAULT_PROMPT = "a photo of a person, smiling"
QUICK_STEPS, FINE_STEPS = 12, 25
"""Sampler steps at the start: of the embedded base, and of the large ones."""


def sizes_of(entry: BaseEntry) -> list[tuple[str, str]]:
    """Return (title, "width x height") that suit a base."""
    side = entry.card.resolution
    shapes = SHAPES if side >= 256 else SHAPES[:1]
    out = []
    for title, across, down in shapes:
        width, height = int(side * across) // 64 * 64, int(side * down) // 64 * 64
        out.append((f"{title}, {width}×{height}", f"{width}x{height}"))
    return out


def drawn_mask(editor: dict[str, Any] | None) -> np.ndarray | None:
    """Return what was painted in the editor: 255 where, 0 elsewhere; None when nothing was.  # (H, W) uint8"""
    layers = [np.asarray(layer) for layer in (editor or {}).get("layers") or ()]
    painted = [layer[..., 3] > 0 for layer in layers if layer.ndim == 3 and layer.shape[2] == 4]
    if not painted or not np.any(painted):
        return None
    return np.where(np.any(painted, axis=0), np.uint8(255), np.uint8(0))


class PictureForm:
    """The components of the form; the tab asks it for the request."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.source = gr.State(None)
        self.wearing = gr.State([])
        self.prompt = gr.Textbox(
            value=DEFAULT_PROMPT,
            label="Picture",
            info="What to draw, in words.",
            lines=3,
            max_lines=8,
            elem_id="generate-prompt",
        )
        self.negative = gr.Textbox(
            label="Not in the picture", info="Words for what to avoid.", max_lines=3, elem_id="generate-negative"
        )
        with gr.Row():
            self.base = gr.Dropdown(
                [], label="Base model", info="Draws the picture.", filterable=False, scale=3, min_width=150,
                elem_id="generate-base",
            )  # fmt: skip
            self.size = gr.Dropdown([], label="Size", info="In pixels.", filterable=False, scale=2, min_width=120)
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
            self.count = self._slider(1, MOST_PICTURES, 1, 1, "Pictures", "Each with the next seed.", "generate-count")
            self.steps = self._slider(1, 100, QUICK_STEPS, 1, "Steps", "More is finer and slower.", "generate-steps")
            self.guidance = self._slider(
                1, 15, 4.0, 0.5, "Guidance", "How strictly the words count.", "generate-guidance"
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
        with gr.Accordion("Start from a picture", open=False, elem_id="generate-from") as self.fold:
            self._build_source()

    def _slider(self, low: float, high: float, value: float, step: float, label: str, info: str, id: str) -> gr.Slider:
        return gr.Slider(
            low, high, value=value, step=step, label=label, info=info, elem_id=id, elem_classes=["control"],
            buttons=["reset"], min_width=130,
        )  # fmt: skip

    def _build_source(self) -> None:
        self.offered = clickable(elem_id="generate-offered")
        self.upload = gr.File(
            label="Or drop a picture here",
            file_types=PICTURE_TYPES,
            height=64,
            elem_id="generate-upload",
            elem_classes=["drop"],
        )
        self.chosen = clickable(elem_id="generate-source")
        self.denoise = self._slider(
            0.05, 1, 0.6, 0.05, "How much may change", "Little keeps it, 1 forgets it.", "generate-denoise"
        )
        self.mask = gr.Radio(
            MASKS, value="", label="What is drawn anew", info="The rest stays as it is.", elem_id="generate-mask"
        )
        self.painting = gr.ImageMask(
            label="Paint what is to be drawn anew",
            type="numpy",
            visible=False,
            height=320,
            buttons=[],
            sources=(),
            layers=False,
            elem_id="generate-painting",
        )

    # -- listeners ------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """Everything that `request` reads, in its order."""
        return [
            self.prompt, self.negative, self.base, self.adapters, *self.strengths, self.size, self.count, self.steps,
            self.guidance, self.seed, self.source, self.denoise, self.mask, self.painting,
        ]  # fmt: skip

    @property
    def worn(self) -> list[Any]:
        """What changes with the base and the adapters."""
        return [self.note, self.adapters, *self.strengths, self.words, self.wearing, self.size]

    def wire(self) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        listen(self.base.input, self._new_base, self.base, [*self.worn, self.steps], **quiet)
        wear = [self.adapters, self.prompt, self.wearing, *self.strengths]
        listen(self.adapters.input, self._wear, wear, [*self.strengths, self.words, self.wearing], **quiet)
        listen(self.words.click, self._insert, [self.prompt], [self.prompt, self.words], **quiet)
        listen(self.note.click, self._download, None, self.note)
        listen(self.dice.click, lambda: random.randint(0, LARGEST_SEED), None, self.seed, **quiet)
        source = [self.source, self.chosen, self.mask, self.painting]
        listen(self.fold.expand, self.offer, None, self.offered, **quiet)
        listen(self.offered.click, self._pick, None, source, **quiet)
        listen(self.upload.upload, self._take, self.upload, source, **quiet)
        listen(self.chosen.click, lambda: (None, "", "", gr.ImageMask(visible=False)), None, source, **quiet)
        listen(self.mask.input, self._mask, [self.mask, self.source], self.painting, **quiet)

    # -- base and adapters ------------------------------------------------------

    def fill(self, base: str | None) -> tuple[Any, ...]:
        """Return the updates of [base, *worn] when the tab is opened."""
        entries = {e.card.name: e for e in self.window.studio.bases.list()}
        known = base in entries
        base = base if known else next(iter(entries), None)
        choices = gr.Dropdown([(base_title(e), n) for n, e in entries.items()], value=base)
        return (choices, *self._suited(base, keep=known))

    def _new_base(self, base: str) -> tuple[Any, ...]:
        entry = self.window.studio.bases.get(base)
        steps = QUICK_STEPS if entry.card.source == "embedded" else FINE_STEPS
        return (*self._suited(base, keep=False), steps)

    def _suited(self, base: str | None, *, keep: bool) -> tuple[Any, ...]:
        """Return the updates of `worn`; with `keep` the worn adapters stay chosen."""
        if base is None:
            return ("", gr.Dropdown([], value=[]), *self.wear((), "", {}), gr.Dropdown([]))
        entry = self.window.studio.bases.get(base)
        choices = [(a.name, a.id) for a in self.adapters_for(entry)]
        if keep:
            stay = (gr.skip() for _ in range(PLACES + 2))
            return (base_note(entry), gr.Dropdown(choices), *stay, gr.Dropdown(sizes_of(entry)))
        return (base_note(entry), gr.Dropdown(choices, value=[]), *self.wear((), "", {}), _sizes(entry))

    def adapters_for(self, entry: BaseEntry) -> list[Adapter]:
        """Return the adapters that fit a base: of its family, and of the embedded base its own alone."""
        fitting = [a for a in self.window.studio.adapters.list() if a.family == entry.card.family]
        embedded = {e.card.name for e in self.window.studio.bases.list() if e.card.source == "embedded"}
        if entry.card.name in embedded:
            return [a for a in fitting if a.base_name in (entry.card.name, "")]
        return [a for a in fitting if a.base_name not in embedded]

    def _wear(self, chosen: list[str] | None, prompt: str, before: list[str], *strengths: float) -> tuple[Any, ...]:
        return self.wear(chosen, prompt, dict(zip(before, strengths, strict=False)))

    def wear(self, chosen: Sequence[str] | None, prompt: str, kept: Mapping[str, float]) -> tuple[Any, ...]:
        """Return the updates of [*strengths, words, wearing]; an adapter keeps its strength when others go."""
        worn = [self.window.studio.adapters.get(i) for i in chosen or ()][:PLACES]
        sliders = [gr.Slider(label=a.name, visible=True, value=kept.get(a.id, 1.0)) for a in worn]
        sliders += [gr.Slider(visible=False, value=1.0)] * (PLACES - len(worn))
        missing = [a for a in worn if a.trigger and a.trigger.lower() not in (prompt or "").lower()]
        return (*sliders, "".join(_trigger_note(a) for a in missing), [a.id for a in worn])

    def _insert(self, event: gr.EventData, prompt: str) -> tuple[str, str]:
        trigger = self.window.studio.adapters.get(clicked(event)[1]).trigger
        return with_trigger(prompt, trigger), ""

    def _download(self, event: gr.EventData) -> str:
        job = self.window.studio.bases.submit_download(clicked(event)[1])
        return text.notice(f"{job.title} has begun.", "The Jobs tab shows how far it is.", "good")

    def hand_over(self, adapter: Adapter) -> tuple[Any, ...]:
        """Return the updates of `handed`: one adapter worn alone, its word in the prompt."""
        entries = {e.card.name: e for e in self.window.studio.bases.list()}
        entry = entries.get(adapter.base_name) or next(e for e in entries.values() if e.card.family == adapter.family)
        choices, note, *_ = self.fill(entry.card.name)
        worn = gr.Dropdown([(a.name, a.id) for a in self.adapters_for(entry)], value=[adapter.id])
        prompt = f"a photo of {adapter.trigger}" if adapter.trigger else gr.skip()
        return (prompt, choices, note, worn, *self.wear([adapter.id], adapter.trigger, {}), _sizes(entry))

    @property
    def handed(self) -> list[Any]:
        """What `hand_over` updates."""
        return [self.prompt, self.base, *self.worn]

    # -- a picture to start from --------------------------------------------------

    def offer(self) -> str:
        """Return pictures of the Library and photos of the people, to start from."""
        items = []
        for render in self.window.studio.library.page(kind="image", size=LIBRARY_PICTURES).renders:
            url = self.window.picture_url(self.window.studio.library.thumbnail(render))
            items.append(text.Card(render.id, render.title or "Picture", text.when(render.created), url, act="render"))
        for person in self.window.studio.identities.list():
            for photo in self.window.studio.identities.photos(person.id)[:3]:
                url = self.window.picture_url(self.window.studio.identities.photo_path(photo.id))
                items.append(text.Card(photo.id, person.name, "photo", url, act="photo"))
        if not items:
            return '<p class="fine">Nothing is in the Library yet; drop a picture below.</p>'
        return text.cards(items, "strip", "Pictures to start from")

    def start_from(self, path: Path, title: str, source: dict[str, str]) -> tuple[Any, ...]:
        """Return the updates of [source, chosen, mask, painting] for a picture.

        Args:
            source: the fields of its MediaSource; a stored photo by its id, so that consent is asked for.
        """
        copy = self.window.shelf.put(path)
        shown = self.window.shelf.url(copy)
        picture = (
            f'<div class="notice info" role="status"><img class="small" src="{escape(shown)}" alt="">'
            f"<strong>Starts from {escape(title)}</strong>"
            f"{text.button('drop', 'source', 'Take it off', 'Draw from words alone')}</div>"
        )
        return {"shown": str(copy), "source": source}, picture, "", gr.ImageMask(visible=False, value=None)

    def _pick(self, event: gr.EventData) -> tuple[Any, ...]:
        act, id = clicked(event)
        library = self.window.studio.library
        if act == "photo":
            path = self.window.studio.identities.photo_path(id)
            return self.start_from(path, "the photo", {"photo_id": id})
        return self.start_from_render(library.show(id))

    def start_from_render(self, render: Render) -> tuple[Any, ...]:
        """Return the updates of [source, chosen, mask, painting] for a picture of the Library."""
        path = self.window.studio.library.path(render)
        return self.start_from(path, f"“{render.title or 'Picture'}”", {"sha256": render.media_sha256})

    def _take(self, path: str | None) -> tuple[Any, ...]:
        if not path:
            return tuple(gr.skip() for _ in range(4))
        return self.start_from(Path(path), Path(path).name, {"path": path})

    def _mask(self, kind: str, source: dict[str, Any] | None) -> Any:
        if kind != "drawn":
            return gr.ImageMask(visible=False)
        if not source:
            raise UserInputError("There is no picture to paint on.", "Choose one above first.")
        return gr.ImageMask(value=source["shown"], visible=True)

    # -- the request ------------------------------------------------------------

    def request(self, *values: Any) -> GenerationRequest:
        """Return what the person asked for.

        Raises:
            UserInputError: a value cannot be used.
        """
        prompt, negative, base, chosen, *values = values  # type: ignore[assignment]
        strengths, values = values[:PLACES], values[PLACES:]
        size, count, steps, guidance, seed, source, denoise, mask, painting = values
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
                "source": MediaSource(**source["source"]) if source else None,
                "mask": self._mask_of(mask, painting) if source else None,
                "denoise": float(denoise) if source else 1.0,
            }
        )

    def _mask_of(self, kind: str, painting: dict[str, Any] | None) -> Any:
        if kind != "drawn":
            return kind or None
        mask = drawn_mask(painting)
        if mask is None:
            raise UserInputError("Nothing is painted yet.", "Paint over what is to be drawn anew.")
        return MediaSource.file(self.window.shelf.matte(mask))


def _sizes(entry: BaseEntry) -> gr.Dropdown:
    sizes = sizes_of(entry)
    return gr.Dropdown(sizes, value=sizes[0][1])


def with_trigger(prompt: str, trigger: str) -> str:
    """Return the prompt with an adapter's word in it: in place of "a person" where that stands, else in front."""
    words = prompt or ""
    for plain in ("a person", "a woman", "a man"):
        if plain in words:
            return words.replace(plain, trigger, 1)
    return f"{trigger}, {words}" if words.strip() else f"a photo of {trigger}"


def _trigger_note(adapter: Adapter) -> str:
    return (
        f'<div class="notice info" role="status"><span>{escape(adapter.name)} answers to '
        f"<strong>“{escape(adapter.trigger)}”</strong>, which the words above do not say.</span>"
        f"{text.button('insert', adapter.id, 'Put it in', f'Put {adapter.trigger} into the words')}</div>"
    )
