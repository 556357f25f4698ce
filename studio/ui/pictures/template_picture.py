"""From another picture: an upload whose expression goes to the sliders of the Expression tab.

What was copied stands in the look (`Look.like`) as a path on the shelf, so that
undo and a refresh of the page keep it; whoever saves asks `origin` for it, which
trusts no path that the page sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.look import Look
from studio.domain.template import STRONGEST, Copying
from studio.errors import UserInputError
from studio.services.portraits.expressions import NOT_COPIED, TEMPLATE, TEMPLATE_NEUTRAL, CopiedFrom, PortraitHandle
from studio.services.portraits.templates import TemplateFace
from studio.services.sources import MediaSource
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import PICTURE_TYPES, Updates, clickable, clicked, html, listen
from studio.ui.kit.portrait_chooser import face_cards
from studio.ui.window import Window

ADD, EXACTLY = "Add to the photo's own", "Exactly"


class TemplatePicture:
    """The fold, and what it asks of the services."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.templates

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.template = gr.State(None)
        with gr.Accordion("From another picture", open=False, elem_id="expression-like"):
            html('<p class="fine">The sliders are set as any picture of a face looks, to go on from there.</p>')
            self.upload = gr.File(
                label="Picture to copy from", file_types=PICTURE_TYPES, height=64, elem_id="like-upload",
                elem_classes=["drop"],
            )  # fmt: skip
            self.at_rest = gr.File(
                label="The same person at rest, if you have it: better", file_types=PICTURE_TYPES, height=64,
                elem_id="like-at-rest", elem_classes=["drop"],
            )  # fmt: skip
            self.faces = clickable(elem_id="like-faces")
            with gr.Row(elem_classes=["inline"]):
                self.amount = gr.Slider(
                    0, STRONGEST, value=1, step=0.05, label="How much of it", info="1 is as it is there.",
                    buttons=["reset"], min_width=150,
                    elem_id="like-amount", elem_classes=["amount"],
                )  # fmt: skip
                self.how = gr.Radio(
                    [ADD, EXACTLY], value=ADD, label="How", min_width=150, elem_id="like-how",
                    info="Exactly takes back first what the photo shows itself.",
                )  # fmt: skip
            with gr.Row(elem_classes=["inline"]):
                self.head = gr.Checkbox(
                    label="And the head", info="Turned as there.", container=False, min_width=120, elem_id="like-head"
                )
                self.gaze = gr.Checkbox(
                    label="And the eyes", info="Looking as there.", container=False, min_width=120, elem_id="like-gaze"
                )
            self.message = html(elem_id="like-message")

    @property
    def parts(self) -> list[Any]:
        """What `copied` takes besides the look."""
        return [self.template, self.amount, self.how, self.head, self.gaze]

    def wire(self, copy: Any, now: list[Any], placed: list[Any], lane: Mapping[str, Any]) -> None:
        """Attach the listeners.

        Args:
            copy: the tab's handler: gets `now` and `parts`, sets the sliders.
        """
        given = [self.upload, self.at_rest]
        read = [self.template, self.faces, self.message]
        events = [
            listen(self.upload.upload, self._read, given, read),
            listen(self.at_rest.upload, self._read, given, read),
            listen(self.at_rest.clear, self._read, given, read),
            listen(self.faces.click, self._pick, given, read),
        ]
        for event in events:
            listen(event.success, copy, [*now, *self.parts], placed, **lane)
        listen(self.upload.clear, lambda: {self.template: None, self.faces: "", self.message: ""}, None, read)
        for change in (self.amount.release, self.how.input, self.head.input, self.gaze.input):
            listen(change, copy, [*now, *self.parts], placed, **lane)

    def copied(
        self, handle: PortraitHandle, look: Look, template: TemplateFace, how: tuple[float, str, bool, bool]
    ) -> tuple[Look, str]:
        """Return the look with the template's expression, and what is to be said of it; `how` is `parts` but one."""
        amount, way, head, gaze = how
        copying = Copying(amount, way == EXACTLY, head, gaze)
        made = self.service.copy(handle, template, copying)
        like = {role: str(source.path) for role, source in template.sources.items()}
        origin = {**like, **self.service.copied_from(template, copying).how}
        said = text.hints((*template.notes, *made.notes), "Copied to the sliders.")
        return look.copying(made.edit, origin, copying.not_taken), said

    def origin(self, look: Look) -> CopiedFrom:
        """Return what a look was copied from, where its picture is still there."""
        if not look.like:
            return NOT_COPIED
        roles = [role for role in (TEMPLATE, TEMPLATE_NEUTRAL) if role in look.like]
        if not all(self.window.shelf.holds(look.like[role]) for role in roles):
            say("The picture that this was copied from is no longer there; the recipe names none.", 6)
            return NOT_COPIED
        known = {*asdict(Copying()), "face_index"}
        sources = {role: MediaSource.file(str(look.like[role])) for role in roles}
        return CopiedFrom(sources, {n: v for n, v in look.like.items() if n in known})

    def reopened(self, request: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
        """Return what `Look.like` says of a picture that was kept."""
        if TEMPLATE not in files:
            return {}
        roles = [role for role in (TEMPLATE, TEMPLATE_NEUTRAL) if role in files]
        laid = {role: str(self.window.shelf.put(files[role])) for role in roles}
        return {**laid, **(request.get("copied") or {})}

    # -- handlers ---------------------------------------------------------------

    def _read(self, path: str | None, at_rest: str | None, face_index: int | None = None) -> Updates:
        if not path:
            return {self.template: None}
        neutral = MediaSource.file(at_rest) if at_rest else None
        template = self.service.read(MediaSource.file(path), face_index=face_index, neutral=neutral)
        cards = ""
        if template.faces > 1:
            found = self.window.studio.identities.inspect(Path(path))
            cards = face_cards(self.window, found, picked=template.face_index)
        return {self.template: template, self.faces: cards, self.message: ""}

    def _pick(self, path: str | None, at_rest: str | None, event: gr.EventData) -> Updates:
        _, index = clicked(event)
        if not path:
            raise UserInputError("There is no picture to copy from.", "Drop one first.")
        return self._read(path, at_rest, int(index))
