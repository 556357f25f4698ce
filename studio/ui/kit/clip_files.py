"""What can be taken along from a finished clip: subtitles, curves, mouth cues, its head; the same on every tab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.domain.clip_format import CURVE_FORMATS, CurveFormat
from studio.domain.provenance import credentials_beside
from studio.domain.speech_format import SPEECH_FORMATS, SpeechFormat
from studio.errors import UserInputError
from studio.services.clips.dubbing import is_dubbed
from studio.ui.kit.controls import Updates, downloaded
from studio.ui.window import Window


class ClipFiles:
    """Buttons for the files of one clip, made when the clip is shown; the head when it is asked for."""

    def __init__(self, window: Window, name: str) -> None:
        """Remember the window; `name` is the tab's and begins the ids of elements."""
        self.window = window
        self.name = name

    def build_first(self) -> None:
        """Create what most people take, the first of each kind; inside a row."""
        self._timing = self._buttons([*SPEECH_FORMATS.values()][:1])
        self._curves = self._buttons([*CURVE_FORMATS.values()][:1], "Curves")
        self.credentials = gr.DownloadButton(
            "Credentials", size="sm", visible=False, elem_id=f"{self.name}-get-credentials"
        )
        self.make_head = gr.Button("3D head, moving (glTF)", size="sm", visible=False, elem_id=f"{self.name}-make-head")
        self.get_head = gr.DownloadButton("Head", elem_id=f"{self.name}-get-head", elem_classes=["unseen"])

    def build_more(self) -> None:
        """Create the fold with every other file."""
        with gr.Accordion("More files", open=False, visible=False, elem_id=f"{self.name}-more-files") as self.more:
            with gr.Row(elem_classes=["actions"]):
                self._timing += self._buttons([*SPEECH_FORMATS.values()][1:])
            with gr.Row(elem_classes=["actions"]):
                self._curves += self._buttons([*CURVE_FORMATS.values()][1:], "Curves")
        self.shown = gr.State(None)

    def _buttons(self, formats: Sequence[CurveFormat | SpeechFormat], of: str | None = None) -> list[gr.DownloadButton]:
        """Create one button for each format, hidden until a clip has such a file."""
        return [
            gr.DownloadButton(
                f"{of} ({f.title})" if of else f.title, size="sm", visible=False, elem_id=f"{self.name}-get-{f.name}"
            )
            for f in formats
        ]

    @property
    def parts(self) -> list[Any]:
        """What `of` updates."""
        return [self.more, self.credentials, *self._curves, *self._timing, self.make_head, self.shown]

    def wire(self) -> None:
        """Attach the listeners."""
        downloaded(self.make_head.click, self._make_head, self.shown, self.get_head)

    def of(self, render_id: str) -> Updates:
        """Return the updates for one render; a picture has no such files."""
        library, put = self.window.studio.library, self.window.shelf.put
        render = library.show(render_id)
        name = render.title or "clip"
        curves, timing = library.curves(render_id), library.timing(render_id)
        files = [put(curves[f], name + row.suffix) if f in curves else None for f, row in CURVE_FORMATS.items()]
        files += [put(timing[f], name + row.suffix) if f in timing else None for f, row in SPEECH_FORMATS.items()]
        # a format that carries no credentials has them in a file of its own
        lying = credentials_beside(self.window.handed_out(render))
        beside = lying if lying.exists() else None
        buttons = zip([*self._curves, *self._timing], files, strict=True)
        return {
            self.more: gr.Accordion(visible=any(files)),
            self.credentials: gr.DownloadButton(value=beside, visible=beside is not None),
            self.make_head: gr.Button(visible=bool(curves) and not is_dubbed(render.recipe)),
            self.shown: render_id,
            **{button: gr.DownloadButton(value=c, visible=c is not None) for button, c in buttons},
        }

    def _make_head(self, render_id: str | None) -> gr.DownloadButton:
        if not render_id:
            raise UserInputError("There is no clip yet.", "Make one first.")
        studio = self.window.studio
        path = studio.head_models.of_render(render_id)
        name = f"{studio.library.show(render_id).title or 'clip'} head{path.suffix}"
        try:
            return gr.DownloadButton(value=self.window.shelf.put(path, name))
        finally:
            path.unlink(missing_ok=True)
