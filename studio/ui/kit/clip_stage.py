"""Where a clip is shown: the player, what is said of it, the job that makes it, the downloads.

The stage only watches its job: it reads the row, so that a refresh or a second
browser finds the running job again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from studio.domain.clip_format import CURVE_FORMATS, CurveFormat, clip_suffixes
from studio.domain.job import Job
from studio.domain.speech_format import SPEECH_FORMATS, SpeechFormat
from studio.errors import NotFoundError, UserInputError
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.window import Window


class ClipStage:
    """The right half of a tab that makes clips."""

    def __init__(self, window: Window, name: str, kind: str, empty: str) -> None:
        """Remember the window.

        Args:
            name: of the tab; begins the ids of elements.
            kind: of the jobs that are watched.
            empty: shown while there is no clip.
        """
        self.window = window
        self.name = name
        self.kind = kind
        self.empty = empty

    def build(self, acts: Callable[[], None]) -> None:
        """Create the components, inside the tab's layout; `acts` creates its buttons."""
        self.watched = gr.State(None)
        self.shown = gr.State(None)
        self.looked = gr.State(False)
        self.placeholder = html(self.empty)
        self.video = gr.Video(
            label="Clip",
            show_label=False,
            interactive=False,
            visible=False,
            height=440,
            elem_id=f"{self.name}-video",
            buttons=[],
        )
        self.caption = html(elem_id=f"{self.name}-caption")
        with gr.Row(elem_classes=["actions", "clip-acts"], elem_id=f"{self.name}-acts"):
            acts()
        self.progress = clickable(elem_id=f"{self.name}-progress")
        with gr.Column(visible=False) as self.downloads:
            self._build_downloads()

    def _build_downloads(self) -> None:
        """Put what most people take, the first of each kind, into sight, and every other file into a fold."""
        with gr.Row(elem_classes=["actions"]):
            self.get_clip = gr.DownloadButton("Download clip", size="sm", elem_id=f"{self.name}-get-clip")
            subtitles = self._get_buttons([*SPEECH_FORMATS.values()][:1])
            curves = self._get_buttons([*CURVE_FORMATS.values()][:1], "Curves")
            self.make_head = gr.Button("3D head, moving (glTF)", size="sm", elem_id=f"{self.name}-make-head")
            self.get_head = gr.DownloadButton("Head", elem_id=f"{self.name}-get-head", elem_classes=["unseen"])
        with gr.Accordion("More files", open=False, elem_id=f"{self.name}-more-files") as self.more:
            with gr.Row(elem_classes=["actions"]):
                self.get_timing = subtitles + self._get_buttons([*SPEECH_FORMATS.values()][1:])
            with gr.Row(elem_classes=["actions"]):
                self.get_curves = curves + self._get_buttons([*CURVE_FORMATS.values()][1:], "Curves")
        self.finished = gr.State(None)

    def _get_buttons(
        self, formats: Sequence[CurveFormat | SpeechFormat], of: str | None = None
    ) -> list[gr.DownloadButton]:
        """Create one button for each format, hidden until a clip has such a file."""
        return [
            gr.DownloadButton(
                f"{of} ({f.title})" if of else f.title, size="sm", visible=False, elem_id=f"{self.name}-get-{f.name}"
            )
            for f in formats
        ]

    @property
    def parts(self) -> list[Any]:
        """What shows a clip."""
        downloads = [self.downloads, self.more, self.get_clip, *self.get_curves, *self.get_timing, self.finished]
        return [self.video, self.placeholder, self.caption, *downloads]

    @property
    def watch(self) -> list[Any]:
        """What `of_job` updates."""
        return [self.watched, self.shown, self.progress, *self.parts]

    def wire(self, item: gr.Tab) -> None:
        """Attach the listeners."""
        quiet = {"show_progress": "hidden"}
        listen(item.select, self._show_newest, [self.looked, self.watched], [self.looked, *self.parts], **quiet)
        listen(self.progress.click, self._act, None, self.watch, show_progress="hidden")
        made = listen(self.make_head.click, self._make_head, self.finished, self.get_head)
        listen(made.success, None, js=f"() => {{ document.querySelector('#{self.name}-get-head')?.click(); }}")
        self.tick = (self._tick, [self.watched, self.shown], self.watch)

    def find_running(self) -> Updates:
        """Find the newest active clip again, after a refresh or in a second browser."""
        job = self.window.studio.jobs.newest_active(self.kind)
        return {} if job is None else self.of_job(job, None)

    def _show_newest(self, looked: bool, watched: str | None) -> Updates:
        """Show the newest finished clip when the tab is first opened: one that ended during a refresh is not lost.

        It is not watched, so that this answer, come late, takes the place of no job that was begun meanwhile.
        """
        if looked or watched:
            return {self.looked: True}
        for job in self.window.studio.jobs.list():
            if job.kind == self.kind and job.state == "done" and self._is_kept(job):
                return {self.looked: True, **self._finished(job)}
        return {self.looked: True}

    def _is_kept(self, job: Job) -> bool:
        try:
            self.window.studio.library.show(str(job.outputs.get("render_id")))
        except NotFoundError:  # deleted since
            return False
        return True

    def of_job(self, job: Job, shown: str | None) -> Updates:
        """Return the updates of `watch`: the job's card, and its clip once it is done."""
        state = f"{job.id}/{job.state}/{job.fraction:.3f}/{job.preview_number}/{job.message}/{job.cancel_requested}"
        if state == shown:
            return {self.watched: job.id}
        now = {self.watched: job.id, self.shown: state}
        if job.state != "done":
            return {**now, self.progress: self.window.job_card(job, with_open=False)}
        note = text.notice(
            f"Done in {text.span(_seconds(job))}.", "The clip is in the Library, with its recipe.", "good"
        )
        return {**now, self.progress: note, **self._finished(job)}

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

    def _act(self, event: gr.EventData) -> Updates:
        act, job_id = clicked(event)
        return self.of_job(self.window.act_on_job(act, job_id), None)

    def _tick(self, watched: str | None, shown: str | None) -> Updates:
        if not watched:
            return {}
        try:
            return self.of_job(self.window.studio.jobs.get(watched), shown)
        except NotFoundError:
            return {self.watched: None, self.shown: None, self.progress: ""}

    def _finished(self, job: Job) -> Updates:
        """Return the updates of `parts` for a finished job."""
        library = self.window.studio.library
        render = library.show(str(job.outputs["render_id"]))
        path = self.window.shelf.put(library.path(render), f"{render.title or 'clip'}{render.file_extension}")
        playable = render.file_extension in clip_suffixes("video")
        video = gr.Video(value=path if playable else None, visible=playable, autoplay=False)
        name = render.title or "clip"
        fine = f"{escape(name)} · {render.width}×{render.height} px · {text.clock(render.duration_seconds)}"
        said = text.hints(str(h) for h in job.outputs.get("hints", ()))
        curves = library.curves(render.id)
        files = [self.window.shelf.put(curves[f], name + curves[f].suffix) if curves else None for f in CURVE_FORMATS]
        timing = library.timing(render.id)
        files += [self.window.shelf.put(timing[f], name + row.suffix) if f in timing else None
                  for f, row in SPEECH_FORMATS.items()]  # fmt: skip
        buttons = zip([*self.get_curves, *self.get_timing], files, strict=True)
        return {
            self.video: video,
            self.placeholder: gr.HTML(visible=not playable),
            self.caption: f'<p class="fine">{fine}</p>' + said,
            self.downloads: gr.Column(visible=True),
            self.more: gr.Accordion(visible=any(files)),
            self.get_clip: gr.DownloadButton(value=path),
            self.finished: render.id,
            **{button: gr.DownloadButton(value=c, visible=c is not None) for button, c in buttons},
        }


def _seconds(job: Job) -> float:
    if not (job.started and job.finished):
        return 0.0
    return (job.finished - job.started).total_seconds()
