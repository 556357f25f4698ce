"""The fold on Animate in which a video gets new speech: what is said stands in the form above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.job import Job
from studio.domain.render import Render
from studio.errors import UserInputError
from studio.services.clips.dubbing import DubRequest, checked_dub
from studio.services.sources import MediaSource
from studio.ui.kit.controls import Updates, html, listen, scroll_to
from studio.ui.kit.draft import Kept
from studio.ui.kit.speech_form import SpeechForm
from studio.ui.window import Window

NOBODY = ("Nobody in the studio", "")


class DubFold:
    """The fold; its clip is made by a job that the tab's stage watches."""

    def __init__(self, window: Window, speech: SpeechForm, suffixes: tuple[str, ...]) -> None:
        """Remember the window and the form that says what is spoken."""
        self.window, self.speech, self._suffixes = window, speech, suffixes
        self.service = window.studio.dubbing

    def build(self) -> None:
        """Create the components, inside the tab's form."""
        with gr.Accordion("Or let a video say it", open=False, elem_id="animate-dub") as self.fold:
            html(
                '<p class="fine">Somebody in a video says what stands above: the mouth is drawn anew, everything else '
                "stays as it was filmed, and the old sound gives way. No portrait is needed.</p>"
            )
            self.clip = gr.File(
                label="Drop a video of a face here", file_types=list(self._suffixes), type="filepath",
                elem_id="animate-dub-clip", height=72, elem_classes=["drop"],
            )  # fmt: skip
            with gr.Row():
                self.person = gr.Dropdown(
                    [NOBODY], value="", label="Who is in it", filterable=False, min_width=140,
                    info="Their agreement is asked.", elem_id="animate-dub-person",
                )  # fmt: skip
                self.face = gr.Number(
                    value=1, precision=0, minimum=1, maximum=20, label="Which face", info="1 is the largest.",
                    elem_id="animate-dub-face", min_width=140,
                )  # fmt: skip
            self.make = gr.Button("Speak over this video", size="sm", elem_id="animate-dub-make")

    @property
    def told(self) -> dict[str, Any]:
        """What a draft keeps, by name."""
        return {"dub": self.clip, "dub_face": self.face, "dub_person": self.person}

    @property
    def restored(self) -> list[Any]:
        """What `restore` and `of_render` update."""
        return [self.fold, self.clip, self.face, self.person]

    def wire(
        self,
        item: gr.Tab,
        lane: Mapping[str, Any],
        form: Any,
        watch: Callable[[Job, str | None], Updates],
        watched: list[Any],
    ) -> None:
        """Attach the listeners.

        Args:
            form: the component that names the format.
            watch: returns the updates of `watched` for a job, as `ClipStage.of_job`.
        """
        listen(item.select, self._people, self.person, self.person, show_progress="hidden", **lane)

        def submit(*values: Any) -> Updates:
            return watch(self.submit(*values), None)

        begun = listen(
            self.make.click, submit, [*self.inputs, form, *self.speech.inputs], watched, show_progress="hidden"
        )
        listen(begun.success, None, None, None, js=scroll_to("#animate-progress"))

    def restore(self, kept: Kept) -> Updates:
        """Return the fold as it was before the page was loaded anew."""
        file = kept.get("dub")
        path = file.get("path") if isinstance(file, dict) else None
        if not self.window.shelf.holds(path):
            return {}
        return {
            self.clip: gr.File(value=path),
            self.fold: gr.Accordion(open=True),
            self.face: kept.get("dub_face") or 1,
            self.person: self._people(str(kept.get("dub_person") or "")),
        }

    def of_render(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the fold as it was when a video got new speech."""
        request = render.recipe["request"]
        path = str(self.window.shelf.put(files["clip"])) if "clip" in files else None
        return {
            self.clip: gr.File(value=path),
            self.fold: gr.Accordion(open=True),
            self.face: (request.get("face_index") or 0) + 1,
            self.person: self._people(request.get("identity_id")),
        }

    def with_clip(self, path: Path, person: str | None) -> Updates:
        """Return the fold with a clip of the library."""
        return {
            self.clip: gr.File(value=str(path)),
            self.fold: gr.Accordion(open=True),
            self.face: 1,
            self.person: self._people(person),
        }

    def _people(self, chosen: str | None) -> gr.Dropdown:
        people = [(person.name, person.id) for person in self.window.studio.identities.list()]
        return gr.Dropdown([NOBODY, *people], value=chosen if chosen in [i for _, i in people] else "")

    @property
    def inputs(self) -> list[Any]:
        """What says which video; `submit` takes it, the format and the inputs of the speech."""
        return [self.clip, self.person, self.face]

    def submit(self, *values: Any) -> Job:
        """Put the video with its new speech into the queue."""
        return self.service.submit_dub(self._request(*values))

    def _request(self, clip: str | None, person: str | None, face: float | None, form: str, *speech: Any) -> DubRequest:
        if not clip:
            raise UserInputError("There is no video yet.", "Drop one whose mouth shall say what stands above.")
        return checked_dub(
            {
                "clip": MediaSource.file(clip),
                "face_index": None if not face or face <= 1 else int(face) - 1,
                **self.speech.fields(*speech),
                "format": form,
                "identity_id": person or None,
            }
        )
