"""Generate: words, adapters and perhaps a picture become new pictures.

On the left the form, on the right the newest picture with its badge, the
others of its batch and the recent ones. Drawing is a job which this tab only
watches, so that a refresh or a second browser finds it again; the result
appears by itself. What was drawn goes on to Expression or Animate from here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.adapter import Adapter
from studio.domain.job import Job
from studio.domain.render import Render
from studio.errors import NotFoundError
from studio.ui.guard import say
from studio.ui.kit import results, text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen, scroll_to
from studio.ui.kit.draft import HANDED_OVER, Draft
from studio.ui.kit.portrait_chooser import Choice
from studio.ui.pictures.picture_form import LARGEST_SEED, PictureForm
from studio.ui.window import Window

ENGINE = "diffusion"
RECENT = 24
ENLARGED_PIXELS = 512
"""Small pictures are enlarged to this before Expression or Animate look for the face."""
EMPTY_STAGE = text.empty("The picture appears here", "Write what to draw, choose who is in it, press Draw.", "generate")


class GenerateTab:
    """The tab."""

    id = "generate"
    title = "Generate"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.generation
        self.library = window.studio.library
        self.form = PictureForm(window)
        self.draft = Draft("generate")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.watched = gr.State(None)
        self.seen = gr.State(None)
        self.selected = gr.State(None)
        self.draft.build()
        with gr.Row(elem_classes=["split", "workbench"]):
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet"]):
                self.form.build()
                with gr.Row(elem_classes=["actions", "afoot"]):
                    self.make = gr.Button("Draw", variant="primary", elem_id="generate-make")
            with gr.Column(scale=6, min_width=320, elem_classes=["stage"]):
                self.result = clickable(EMPTY_STAGE, elem_id="generate-result")
                self.progress = clickable(elem_id="generate-progress")  # below the picture, which stays where it is
                self.recent = clickable(elem_id="generate-recent")
                with gr.Accordion("Recipe", open=False, elem_id="generate-recipe"):
                    self.recipe = html('<p class="fine">How the picture above was made.</p>')

    # -- listeners ------------------------------------------------------------

    @property
    def stage(self) -> list[Any]:
        """What shows a picture."""
        return [self.selected, self.result, self.recent, self.recipe]

    @property
    def handed(self) -> list[Any]:
        """What `hand_over` updates."""
        return self.form.handed

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        self.form.wire()
        form = self.form
        standing = [form.base, form.wearing, form.prompt, *form.strengths]
        listen(item.select, form.fill, standing, [form.base, *form.worn], **quiet, **self.draft.lane)
        listen(item.select, self._enter, self.selected, self.stage, **quiet)
        self.watch = [self.watched, self.seen, self.progress, *self.stage]
        asked = [self.form.lock, *self.form.inputs]
        asked_for = listen(self.make.click, self._submit, asked, [self.form.seed, *self.watch], **quiet)
        listen(asked_for.success, None, None, None, js=scroll_to("#generate-progress"))
        listen(self.progress.click, self._act, None, self.watch, **quiet)
        listen(self.recent.click, self._open, None, self.stage, **quiet)
        self.tick = (self._tick, [self.watched, self.seen], self.watch)
        self.draft.wire(item, form.kept, form.restore, [form.wearing, form.start.source], form.restored)
        self._wire_result(tabs)

    def _wire_result(self, tabs: dict[str, Any]) -> None:
        """Attach what the buttons under a picture do."""
        self.targets = {"to-expression": tabs["expression"], "to-animate": tabs["animate"]}
        self.show_in_library = tabs["library"].show
        start = self.form.start
        handed = [c for t in self.targets.values() for c in t.chooser.parts]
        self.video = tabs["video"]
        handed += self.video.handed
        outputs = [*handed, *start.outputs, start.fold, *tabs["library"].detail, *self.stage, self.window.tabs]
        listen(self.result.click, self._use, None, outputs, show_progress="hidden")

    # -- pictures ---------------------------------------------------------------

    def recent_pictures(self) -> list[Render]:
        """Return the newest drawn pictures."""
        return [r for r in self.library.page(kind="image", size=RECENT).renders if r.engine == ENGINE]

    def show(self, render_id: str | None) -> Updates:
        """Return the updates of `stage` for one picture, or for the newest."""
        recent = self.recent_pictures()
        render = next((r for r in recent if r.id == render_id), None)
        if render is None and render_id is not None:
            try:
                render = self.library.show(render_id)
            except NotFoundError:
                render = None
        render = render or (recent[0] if recent else None)
        if render is None:
            recipe = '<p class="fine">How the picture above was made.</p>'
            return {self.selected: None, self.result: EMPTY_STAGE, self.recent: "", self.recipe: recipe}
        strip = results.thumbs(
            [(r, self.window.picture_url(self.library.thumbnail(r))) for r in recent], render.id, "Recent pictures"
        )
        name = f"{results.prompt_of(render)[:40]}{render.file_extension}"
        url = self.window.shelf.url(self._shelf_copy(render))
        large = results.large(render, url, name, self._base_title(render))
        return {
            self.selected: render.id,
            self.result: large,
            self.recent: strip if len(recent) > 1 else "",
            self.recipe: results.recipe_facts(render),
        }

    def _shelf_copy(self, render: Render) -> Path:
        return self.window.handed_out(render, results.prompt_of(render))

    def _base_title(self, render: Render) -> str:
        name = str((render.recipe.get("base") or {}).get("name", ""))
        try:
            return self.window.studio.bases.get(name).card.title
        except NotFoundError:  # the base was removed since
            return name

    def _open(self, event: gr.EventData) -> Updates:
        return self.show(clicked(event)[1])

    def _enter(self, selected: str | None) -> Updates:
        return self.show(selected)

    # -- the job ----------------------------------------------------------------

    def _submit(self, keep_seed: bool, *values: Any) -> Updates:
        request = self.form.request(*values)
        job = self.service.submit_generate(request)
        updates = self._watch(job, None)
        return updates if keep_seed else updates | {self.form.seed: random.randint(0, LARGEST_SEED)}

    def _act(self, event: gr.EventData) -> Updates:
        act, job_id = clicked(event)
        return self._watch(self.window.act_on_job(act, job_id), None)

    def find_running(self) -> Updates:
        """Find the newest active drawing again, after a refresh or in a second browser."""
        job = self.window.studio.jobs.newest_active("generate")
        return {} if job is None else self._watch(job, None)

    def _tick(self, watched: str | None, seen: str | None) -> Updates:
        if not watched:
            return {}
        try:
            return self._watch(self.window.studio.jobs.get(watched), seen)
        except NotFoundError:
            return {self.watched: None, self.seen: None, self.progress: ""}

    def _watch(self, job: Job, seen: str | None) -> Updates:
        """Return the updates of `watch`: the job's card, and its pictures once it is done."""
        state = f"{job.id}/{job.state}/{job.fraction:.3f}/{job.preview_number}/{job.message}/{job.cancel_requested}"
        if state == seen:
            return {self.watched: job.id}
        if job.state != "done":
            card = self.window.job_card(job, with_open=False)
            return {self.watched: job.id, self.seen: state, self.progress: card}
        ended = {self.watched: None, self.seen: None, self.progress: ""}
        return ended | self.show(str(job.outputs["render_ids"][0]))

    # -- going on with a picture --------------------------------------------------

    def _use(self, event: gr.EventData) -> Updates:
        act, render_id = clicked(event)
        render = self.library.show(render_id)
        if act == "star":
            self.library.star(render_id, not render.starred)
            return self.show(render_id)
        if act == "to-library":
            detail: Updates = self.show_in_library(render_id)
            return detail | {self.window.tabs: gr.Tabs(selected="library")}
        if act == "to-source":
            say("Drawing starts from this picture now; see the end of the form.", 5)
            return self.form.start.start_from_render(render) | {self.form.start.fold: gr.Accordion(open=True)}
        if act == "to-video":
            begun: Updates = self.video.hand_over(render)
            return begun | {self.window.tabs: gr.Tabs(selected="video")}
        target = self.targets[act]
        chosen: Updates = target.chooser.answer(self.choice(render))
        return chosen | {self.window.tabs: gr.Tabs(selected=target.id)}

    def choice(self, render: Render) -> Choice:
        """Return the picture as a portrait to choose; small ones enlarged, so that the face is found."""
        path = self._shelf_copy(render)
        if max(render.width or 0, render.height or 0) <= results.SMALL_PIXELS:
            path = self.window.shelf.enlarged(path, ENLARGED_PIXELS)
            say(f"The picture was enlarged from {render.width} pixels.", 6)
        return {"path": str(path), "face_index": None, "title": results.prompt_of(render)[:40]}

    @property
    def reopened(self) -> list[Any]:
        """What `reopen` updates."""
        return [*self.form.restored, self.draft.box]

    def reopen(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the form as it was when a picture was drawn."""
        return self.form.reopen(render, files) | {self.draft.box: HANDED_OVER}

    def hand_over(self, adapter: Adapter) -> Updates:
        """Return the updates of `handed`: the form with one adapter worn."""
        return self.form.hand_over(adapter)
