"""The window's stable API: the same actions by name, for programs.

Names and fields do not change between versions. Files come in as uploads of
this window (a path from anywhere else is refused) and go out as files of the
shelf. Every error is one sentence with a hint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api as gradio_api

from studio.domain.expression import ExpressionEdit
from studio.domain.job import Job
from studio.domain.model_format import MODEL_FORMATS
from studio.domain.provenance import credentials_beside
from studio.domain.render import Render, RenderKind
from studio.domain.template import Copying
from studio.domain.turns import read_turns
from studio.errors import UserInputError
from studio.services.clips.animation import AnimationRequest, checked_request
from studio.services.clips.dialogue import checked_dialogue
from studio.services.clips.dialogue_request import names_of
from studio.services.clips.dubbing import checked_dub
from studio.services.clips.request import MOVING_ROLES
from studio.services.portraits.expressions import NOT_COPIED, TEMPLATE, CopiedFrom, PortraitHandle
from studio.services.sources import MediaSource
from studio.ui.api import arguments
from studio.ui.api import models as api_models
from studio.ui.api import performances as api_performances
from studio.ui.guard import answered
from studio.ui.kit import text
from studio.ui.kit.controls import html
from studio.ui.window import Window

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """Return a value of ours as JSON values; pictures and paths are left to the caller."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value


class Api:
    """The functions behind the public names; docstrings are their descriptions."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.studio = window.studio

    # -- files in and out ---------------------------------------------------------

    def upload(self, file: Any) -> Path:
        """Return the path of an uploaded file.

        Raises:
            UserInputError: the file was not uploaded to this window.
        """
        given = str(file.get("path", "") if isinstance(file, dict) else file)
        try:
            path = Path(given).resolve()
            ours = path.is_relative_to(self.window.shelf.folder.resolve()) and path.is_file()
        except (OSError, ValueError):  # far too long, or no path at all
            ours = False
        if not ours:
            raise UserInputError("The file was not uploaded to this window.", "Upload it first, then pass its handle.")
        return path

    def file(self, path: Path) -> Json:
        """Return a file of the shelf as a client understands it."""
        return {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def source(self, portrait: Json) -> MediaSource:
        """Return {"photo_id": ...} or {"file": upload} as a source."""
        fields = arguments.portrait(portrait)
        return MediaSource.photo(fields.photo_id) if fields.photo_id else MediaSource.file(self.upload(fields.file))

    def job_row(self, job: Job) -> Json:
        """Return what a program needs of a job."""
        row: Json = plain(job)
        return {k: v for k, v in row.items() if k not in ("params", "checkpoint", "pid", "process_started", "host")}

    def render_row(self, render: Render) -> Json:
        """Return a render with its file."""
        path = self.window.handed_out(render)
        beside = credentials_beside(path)  # of a format that carries none
        signed = {"credentials": self.file(beside)} if beside.exists() else {}
        return {**plain(render), "file": self.file(path), **signed}

    def opened(self, portrait: Json) -> PortraitHandle:
        """Return the handle of {"photo_id" | "file", "face_index"?, "size"?}."""
        fields = arguments.portrait(portrait)
        return self.studio.expressions.open(self.source(portrait), face_index=fields.face_index, size=fields.size)

    # -- people -----------------------------------------------------------------------

    def add_identity(self, name: str, photos: list[Any], face_index: int | None = None) -> dict[str, Any]:
        """Add a person from uploaded photos; face_index is needed when a photo has several faces."""
        paths = [self.upload(p) for p in photos]
        return dict(plain(self.studio.identities.add(name, paths, face_index=face_index)))

    def list_identities(self) -> list[Any]:
        """List all people with the ids of their photos."""
        people = self.studio.identities.list()
        return [{**plain(p), "photo_ids": [x.id for x in self.studio.identities.photos(p.id)]} for p in people]

    # -- expression -------------------------------------------------------------------

    def open_portrait(self, portrait: dict[str, Any]) -> dict[str, Any]:
        """Fit a portrait, given as photo_id or file; returns its size, its own weights and hints."""
        handle = self.opened(portrait)
        return {
            "width": handle.width, "height": handle.height, "face_index": handle.face_index, "likely": handle.likely,
            "own_values": dict[str, Any](handle.own_values), "hints": list(handle.hints), "sha256": handle.sha256,
        }  # fmt: skip

    def export_head(
        self,
        portrait: dict[str, Any],
        format: str = "glb",
        values: dict[str, float] | None = None,
        neutralise: bool = False,
    ) -> dict[str, Any]:
        """Write a portrait's head as a 3D model (glb, obj or ply), in the photo's own state or in that of values."""
        fields = arguments.portrait(portrait)
        if format not in MODEL_FORMATS:
            raise UserInputError(f"There is no model format {format!r}.", f"Formats: {', '.join(MODEL_FORMATS)}.")
        edit = ExpressionEdit(values or {}, neutralise) if values or neutralise else None
        out = self.window.shelf.place(f"head{MODEL_FORMATS[format].suffix}")
        self.studio.head_models.write(self.source(portrait), out, face_index=fields.face_index, edit=edit)
        return {**self.file(out), "credentials": self.file(credentials_beside(out))}

    def edit_expression(
        self, portrait: dict[str, Any], values: dict[str, float], neutralise: bool = False
    ) -> dict[str, Any]:
        """Draw slider values on a portrait; returns the picture and hints."""
        drawn = self.studio.expressions.render(self.opened(portrait), ExpressionEdit(values, neutralise))
        return {"file": self.file(self.window.shelf.picture(drawn.image)), "hints": list(drawn.hints)}

    def copy_expression(
        self,
        portrait: dict[str, Any],
        template: dict[str, Any],
        neutral: dict[str, Any] | None = None,
        amount: float = 1.0,
        exactly: bool = False,
        head: bool = False,
        gaze: bool = False,
    ) -> dict[str, Any]:
        """Read the expression of a template picture as slider values for a portrait; neutral is its person at rest."""
        how = Copying(amount, exactly, head, gaze)
        fields = arguments.portrait(template, "template")
        at_rest = None if neutral is None else self.source(neutral)
        read = self.studio.templates.read(self.source(template), face_index=fields.face_index, neutral=at_rest)
        copy = self.studio.templates.copy(self.opened(portrait), read, how)
        return {
            "values": dict(copy.edit.values), "neutralise": copy.edit.neutralise, "hints": [*read.notes, *copy.notes],
        }  # fmt: skip

    def save_expression(
        self,
        portrait: dict[str, Any],
        values: dict[str, float],
        neutralise: bool = False,
        note: str = "",
        template: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Keep an edit in the library as a png that carries its recipe; template: what its values were copied from."""
        edit = ExpressionEdit(values, neutralise)
        copied = NOT_COPIED if template is None else CopiedFrom({TEMPLATE: self.source(template)})
        return self.render_row(self.studio.expressions.save(self.opened(portrait), edit, note=note, copied=copied))

    def action_units(
        self,
        face: dict[str, Any],
        neutral: dict[str, Any] | None = None,
        neutral_seconds: float | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Say which FACS action units a picture or a clip of a face shows, 0 to 5; neutral is its person at rest."""
        fields = arguments.portrait(face, "face")
        at_rest = neutral_seconds if neutral is None else self.source(neutral)
        scores = self.studio.action_units.read(
            self.source(face), face_index=fields.face_index, neutral=at_rest, seconds=seconds
        )
        return scores.told()

    # -- animation --------------------------------------------------------------------

    def request(self, request: Json) -> AnimationRequest:
        """Return an animation request: the fields of AnimationRequest, its sources as photo_id or file."""
        fields = dict(request)
        for name in ("portrait", *MOVING_ROLES):
            if fields.get(name) is not None:
                fields[name] = self.source(fields[name])
        return checked_request(fields)

    def preview_animation(self, request: dict[str, Any], seconds: float = 3.0) -> dict[str, Any]:
        """Draw the first seconds of a clip at once."""
        result = self.studio.animation.preview(self.request(request), seconds=seconds)
        return {
            **plain(result),
            "path": None,
            "file": self.file(self.window.shelf.put(result.path, f"preview{result.path.suffix}")),
        }

    def animate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put a clip into the queue; returns its job."""
        return self.job_row(self.studio.animation.submit_render(self.request(request)))

    def dub(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let a video say something else: the fields of DubRequest, clip and sound as photo_id or file; its job."""
        fields = self._with_sources(request, ("clip", "sound"))
        return self.job_row(self.studio.dubbing.submit_dub(checked_dub(fields)))

    def dialogue(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let people talk: the fields of DialogueRequest, pictures and sounds as photo_id or file; its job.

        "turns" may also be a text, as lines "Anna 0:00 0:03.2", subtitles or a table.
        """
        fields = dict(request)
        people = fields.get("people")
        if isinstance(people, list) and all(isinstance(one, dict) for one in people):
            fields["people"] = [self._with_sources(one, ("portrait", "sound")) for one in people]
            if isinstance(fields.get("turns"), str):
                names = names_of([str(one.get("name") or "") for one in people])
                fields["turns"] = read_turns(fields["turns"], names)
        fields = self._with_sources(fields, ("picture", "sound"))
        return self.job_row(self.studio.dialogue.submit_dialogue(checked_dialogue(fields)))

    def _with_sources(self, fields: Json, names: Sequence[str]) -> Json:
        """Return fields in which pictures and sounds are sources."""
        return {**fields, **{name: self.source(fields[name]) for name in names if fields.get(name) is not None}}

    # -- jobs -------------------------------------------------------------------------

    def job(self, job_id: str) -> dict[str, Any]:
        """Return one job: state, fraction, seconds left, outputs."""
        return self.job_row(self.studio.jobs.get(job_id))

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Ask a job to stop."""
        return self.job_row(self.window.act_on_job("cancel", job_id))

    def retry_job(self, job_id: str) -> dict[str, Any]:
        """Start a job that ended badly as a new attempt."""
        return self.job_row(self.window.act_on_job("retry", job_id))

    # -- library ----------------------------------------------------------------------

    def library(
        self, cursor: str | None = None, kind: RenderKind | None = None, identity_id: str | None = None
    ) -> dict[str, Any]:
        """Return one page of 24 renders, newest first, and the cursor of the next."""
        page = self.studio.library.page(cursor=cursor, kind=kind, identity_id=identity_id)
        return {"renders": plain(page.renders), "next_cursor": page.next_cursor, "total": page.total}

    def show_render(self, render_id: str) -> dict[str, Any]:
        """Return one render with its whole recipe and its file."""
        return self.render_row(self.studio.library.show(render_id))

    def rerun(self, render_id: str) -> dict[str, Any]:
        """Make a render once more; returns its job."""
        return self.job_row(self.studio.library.submit_rerun(render_id))

    def recipe_of_file(self, file: dict[str, Any]) -> dict[str, Any]:
        """Read the recipe from an uploaded file of ours."""
        return dict(plain(dict(self.studio.library.recipe_of_file(self.upload(file)))))


OWN_NAMES: tuple[str, ...] = (
    "add_identity", "list_identities", "open_portrait", "edit_expression", "copy_expression", "action_units",
    "save_expression", "export_head", "preview_animation", "animate", "dub", "dialogue", "job", "cancel_job",
    "retry_job", "library", "show_render", "rerun", "recipe_of_file",
)  # fmt: skip
NAMES: tuple[str, ...] = (*OWN_NAMES, *api_performances.NAMES, *api_models.NAMES)


def expose(window: Window) -> None:
    """Give every action its stable name, on a page of its own inside the Blocks: the one for people stays light.

    Gradio lays a piece without a look on the page for each parameter and each
    answer, dozens of them. A browser would draw each as two empty boxes: they stand in
    a hidden column, and before it what the names are for.
    """
    own = Api(window)
    models = api_models.ModelApi(window, plain, own.upload, own.file, own.job_row)
    played = api_performances.PerformanceApi(window, own.upload, own.source, own.file, own.job_row)
    homes = dict.fromkeys(OWN_NAMES, own) | dict.fromkeys(api_performances.NAMES, played)
    actions = {name: getattr(homes.get(name, models), name) for name in NAMES}
    html(text.heading("For programs", "What the studio does, by name, for gradio_client and other programs."))
    html(text.facts({f"/{name}": (action.__doc__ or "").partition("\n")[0] for name, action in actions.items()}))
    html('<p class="fine"><a href="./">Back to the studio</a></p>')
    with gr.Column(visible=False):
        for name, action in actions.items():
            gradio_api(answered(arguments.checked(action)), api_name=name)
