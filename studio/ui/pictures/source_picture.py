"""A picture to start from: chosen from the Library or the people, or dropped; and which part is drawn anew.

A stored photo goes by its id and a render by its bytes, so that the service
can ask for the consent of the person shown. The choice is a small dictionary
in a gr.State: `source`, the fields of a MediaSource, and `shown`, the copy
that the page may fetch. What is painted is laid on the shelf after each stroke,
so that a refresh of the page loses none of it.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from studio.domain.render import Render
from studio.errors import UserInputError
from studio.services.sources import MediaSource
from studio.ui.kit import text
from studio.ui.kit.controls import PICTURE_TYPES, Updates, clickable, clicked, listen
from studio.ui.kit.draft import Kept, fits, fitting, hidden, parsed
from studio.ui.pictures.painting import CANVAS_SIDE, check
from studio.ui.window import Window

MASKS = [("The whole picture", ""), ("The face", "face"), ("The background", "background"), ("What I draw", "drawn")]
LIBRARY_PICTURES = 18
STROKES = "window.studioStrokes('#generate-painting', trigger);"
"""Tells when something was painted (window.js)."""


def control_slider(low: float, high: float, value: float, step: float, label: str, info: str, id: str) -> gr.Slider:
    """Return a slider with its name and number on one line."""
    return gr.Slider(
        low, high, value=value, step=step, label=label, info=info, elem_id=id, elem_classes=["control"],
        buttons=["reset"], min_width=130,
    )  # fmt: skip


def drawn_mask(editor: dict[str, Any] | None) -> np.ndarray | None:
    """Return what was painted in the editor: 255 where, 0 elsewhere; None when nothing was.  # (H, W) uint8"""
    layers = [np.asarray(layer) for layer in (editor or {}).get("layers") or ()]
    painted = [layer[..., 3] > 0 for layer in layers if layer.ndim == 3 and layer.shape[2] == 4]
    if not painted or not np.any(painted):
        return None
    return np.where(np.any(painted, axis=0), np.uint8(255), np.uint8(0))


def earlier_mask(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a mask that was laid on the shelf: 255 where painted.  # (H, W) uint8

    Args:
        shape: rows and columns that it is brought to; default its own.

    Raises:
        gr.Error: it is no picture of a canvas.
    """
    from PIL import Image

    check(str(path))
    with Image.open(path, formats=["PNG", "JPEG"]) as opened:
        size = opened.size if shape is None else (shape[1], shape[0])
        mask = np.asarray(opened.convert("L").resize(size, Image.Resampling.NEAREST))
    return np.where(mask > 127, np.uint8(255), np.uint8(0))


class SourcePicture:
    """The fold with its components."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside the form's layout."""
        self.source = gr.State(None)
        self.held = hidden("generate-source-held", "Picture to start from")
        self.painted = hidden("generate-painted", "What was painted")
        self.earlier = gr.State("")  # the mask of what was painted before the page was loaded anew
        with gr.Accordion("Start from a picture", open=False, elem_id="generate-from") as self.fold:
            self._build_choice()

    def _build_choice(self) -> None:
        self.offered = clickable(elem_id="generate-offered")
        self.upload = gr.File(
            label="Or drop a picture here",
            file_types=PICTURE_TYPES,
            height=64,
            elem_id="generate-upload",
            elem_classes=["drop"],
        )
        self.chosen = clickable(elem_id="generate-source")
        self.denoise = control_slider(
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
        # The editor's own events send what is painted without end once somebody listens to them.
        self.strokes = gr.HTML(js_on_load=STROKES, apply_default_css=False, elem_id="generate-strokes")

    # -- listeners ------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """Everything that `fields` reads, in its order."""
        return [self.source, self.denoise, self.mask, self.painting, self.earlier]

    @property
    def outputs(self) -> list[Any]:
        """What `start_from` updates."""
        return [self.source, self.chosen, self.mask, self.painting, self.painted, self.earlier]

    def wire(self) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        listen(self.fold.expand, self.offer, None, self.offered, **quiet)
        listen(self.offered.click, self._pick, None, self.outputs, **quiet)
        listen(self.upload.upload, self._take, self.upload, self.outputs, **quiet)
        listen(self.chosen.click, self.nothing, None, self.outputs, **quiet)
        listen(
            self.mask.input, self._mask, [self.mask, self.source], [self.painting, self.painted, self.earlier], **quiet
        )
        done = [self.painting, self.earlier]
        listen(self.strokes.click, self._keep, done, self.painted, trigger_mode="always_last", **quiet)
        listen(self.source.change, json.dumps, self.source, self.held, **quiet)

    @property
    def plain(self) -> dict[str, Any]:
        """What is a single value, by name."""
        return {"denoise": self.denoise}

    @property
    def kept(self) -> dict[str, Any]:
        """What a draft keeps, by name."""
        return {**self.plain, "source": self.held, "mask": self.mask, "painted": self.painted}

    def restored(self, kept: Kept) -> Updates:
        """Return the updates of the picture that a draft kept, where it is still there."""
        updates, held = fitting(self.plain, kept), parsed(kept.get("source"))
        source = held.get("source")
        if not (isinstance(source, dict) and self.window.shelf.holds(held.get("shown"))):
            return updates
        if source.get("path") and not self.window.shelf.holds(source["path"]):
            return updates
        title = str(held.get("title") or "the picture")[:80]
        source = {str(k): str(v) for k, v in source.items()}
        updates |= self.start_from(Path(held["shown"]), title, source)
        updates |= {self.fold: gr.Accordion(open=True), self.offered: self.offer()}
        painted = kept.get("painted")
        there = Path(str(painted)) if self.window.shelf.holds(painted) else None
        return updates | self.masked(kept.get("mask"), source, there)

    def masked(self, kind: Any, source: dict[str, Any], painted: Path | None) -> Updates:
        """Return the updates of `outputs` for what was to be drawn anew in a picture that is open.

        Args:
            kind: one of MASKS; anything else is the whole picture.
            source: the fields of the picture's MediaSource.
            painted: the mask of "drawn"; without one there is an empty canvas.
        """
        if not fits(self.mask, kind):
            return {}
        if kind != "drawn":
            return {self.mask: kind}
        canvas = self._canvas(source)
        if painted is not None:  # Gradio's editor misplaces a layer that it is given: the canvas shows it
            canvas = np.where(earlier_mask(painted, canvas.shape)[..., None] > 0, np.uint8(0), canvas)
        shown = gr.ImageMask(value=str(self.window.shelf.picture(canvas)), visible=True)
        kept = str(painted or "")
        return {self.mask: kind, self.painting: shown, self.painted: kept, self.earlier: kept}

    # -- the choice -------------------------------------------------------------

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

    def nothing(self) -> Updates:
        """Return the updates of `outputs` for words alone."""
        nothing = {self.source: None, self.chosen: "", self.mask: "", self.painted: "", self.earlier: ""}
        return {**nothing, self.painting: gr.ImageMask(visible=False, value=None)}

    def start_from(self, path: Path, title: str, source: dict[str, str]) -> Updates:
        """Return the updates of `outputs` for a picture.

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
        return {
            self.source: {"source": source, "title": title, "shown": str(copy)},
            self.chosen: picture,
            self.mask: "",
            self.painting: gr.ImageMask(visible=False, value=None),
            self.painted: "",
            self.earlier: "",
        }

    def _pick(self, event: gr.EventData) -> Updates:
        act, id = clicked(event)
        library = self.window.studio.library
        if act == "photo":
            path = self.window.studio.identities.photo_path(id)
            return self.start_from(path, "the photo", {"photo_id": id})
        return self.start_from_render(library.show(id))

    def start_from_render(self, render: Render) -> Updates:
        """Return the updates of `outputs` for a picture of the Library."""
        path = self.window.studio.library.path(render)
        return self.start_from(path, f"“{render.title or 'Picture'}”", {"sha256": render.media_sha256})

    def _take(self, path: str | None) -> Updates:
        if not path:
            return {}
        return self.start_from(Path(path), Path(path).name, {"path": path})

    def _mask(self, kind: str, source: dict[str, Any] | None) -> Updates:
        if kind != "drawn":
            return {self.painting: gr.ImageMask(visible=False)}
        if not source:
            raise UserInputError("There is no picture to paint on.", "Choose one above first.")
        canvas = self._canvas(source["source"])
        shown = gr.ImageMask(value=str(self.window.shelf.picture(canvas)), visible=True)
        return {self.painting: shown, self.painted: "", self.earlier: ""}

    def _canvas(self, source: dict[str, Any]) -> np.ndarray:
        return self.window.studio.generation.canvas(MediaSource(**source), CANVAS_SIDE)

    def _keep(self, painting: dict[str, Any] | None, earlier: str) -> str:
        """Lay what is painted on the shelf, for a refresh of the page."""
        mask = self._all_painted(painting, earlier)
        return "" if mask is None else str(self.window.shelf.matte(mask))

    def _all_painted(self, painting: dict[str, Any] | None, earlier: str) -> np.ndarray | None:
        """Return what was painted now and before a refresh of the page; None when nothing was."""
        now = drawn_mask(painting)
        if not earlier or not self.window.shelf.holds(earlier):
            return now
        if now is None:
            return earlier_mask(Path(earlier))
        both: np.ndarray = np.maximum(now, earlier_mask(Path(earlier), now.shape))
        return both

    # -- the request ------------------------------------------------------------

    def fields(
        self, source: dict[str, Any] | None, denoise: float, mask: str, painting: Any, earlier: str
    ) -> dict[str, Any]:
        """Return source, mask and denoise of a request.

        Raises:
            UserInputError: nothing is painted, though that is to be drawn anew.
        """
        if not source:
            return {"source": None, "mask": None, "denoise": 1.0}
        return {
            "source": MediaSource(**source["source"]), "mask": self._mask_of(mask, painting, earlier),
            "denoise": float(denoise),
        }  # fmt: skip

    def _mask_of(self, kind: str, painting: dict[str, Any] | None, earlier: str) -> Any:
        if kind != "drawn":
            return kind or None
        mask = self._all_painted(painting, earlier)
        if mask is None:
            raise UserInputError("Nothing is painted yet.", "Paint over what is to be drawn anew.")
        return MediaSource.file(self.window.shelf.matte(mask))
